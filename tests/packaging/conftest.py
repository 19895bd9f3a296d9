"""The distributions of this repository as wheels, and environments into which they are installed."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.packaging.distributions import DISTRIBUTIONS


class Environment(NamedTuple):
    """A virtual environment with every distribution in it, and the tests' own packages behind those."""

    folder: Path
    flavour: str

    @property
    def python(self) -> Path:
        return self.folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")

    def run(self, program: str, *arguments: str) -> str:
        """Run a program in a fresh process, away from the sources; return what it prints."""
        done = subprocess.run(
            [self.python, "-I", "-c", program, *arguments],
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=30,  # a hang should end in its own message, before the test's limit
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="session")
def wheels(tmp_path_factory) -> dict[str, dict[str, Path]]:
    """Build every distribution, the way that pip does it: {"wheel" or "editable": {name: file}}."""
    built: dict[str, dict[str, Path]] = {}
    for flavour, hook in {"wheel": "build_wheel", "editable": "build_editable"}.items():
        out = tmp_path_factory.mktemp(flavour)
        for distribution in DISTRIBUTIONS:
            program = f"import sys; from hatchling.build import {hook} as build; print(build(sys.argv[1]))"
            done = subprocess.run(
                [sys.executable, "-c", program, out],
                cwd=distribution.folder,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stderr
            built.setdefault(flavour, {})[distribution.name] = out / done.stdout.splitlines()[-1]
    return built


def make_environment(folder: Path, flavour: str, wheels: Iterable[Path]) -> Environment:
    """Make an environment of these wheels, without an index.

    A pure wheel is installed by unpacking it. The packages that it needs come from the tests' own
    environment, whose folder is added to the path; ``.pth`` files in there (an editable installation of this
    very tree) are not followed, as Python follows those of the environment itself only.
    """
    venv.EnvBuilder(with_pip=False, symlinks=sys.platform != "win32").create(folder)
    scheme = "nt_venv" if sys.platform == "win32" else "posix_venv"
    site = Path(sysconfig.get_path("purelib", scheme, {"base": str(folder)}))
    for path in wheels:
        with zipfile.ZipFile(path) as archive:
            archive.extractall(site)
    needed = dict.fromkeys((sysconfig.get_path("purelib"), sysconfig.get_path("platlib")))
    (site / "zz-needed.pth").write_text("\n".join(needed) + "\n", encoding="utf-8")
    return Environment(folder, flavour)


@pytest.fixture(scope="session", params=["wheel", "editable"])
def environment(request, wheels, tmp_path_factory) -> Environment:
    """Install every distribution, once from its wheel and once editable."""
    folder = tmp_path_factory.mktemp(f"environment-{request.param}")
    return make_environment(folder, request.param, wheels[request.param].values())
