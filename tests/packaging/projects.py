"""Small distributions made for a test, as real wheels."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path


def build(folder: Path, out: Path) -> Path:
    """Build the project in this folder into a wheel, as pip does; return the file."""
    program = "import sys; from hatchling.build import build_wheel; print(build_wheel(sys.argv[1]))"
    command = [sys.executable, "-c", program, str(out)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return out / done.stdout.splitlines()[-1]


def write(folder: Path, name: str, entry_points: dict[str, dict[str, str]], files: dict[str, str], **project) -> Path:
    """Write a project of these files, all of one package, and return its folder."""
    package = name.replace("-", "_")
    (folder / package).mkdir(parents=True)
    lines = ["[build-system]", 'requires = ["hatchling"]', 'build-backend = "hatchling.build"']
    lines += ["[project]", f'name = "{name}"', 'version = "2.5"']
    lines += [f"{key} = {value!r}" for key, value in project.items()]
    for group, points in entry_points.items():
        lines += [f'[project.entry-points."{group}"]', *(f'{key} = "{value}"' for key, value in points.items())]
    (folder / "pyproject.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for file, text in {"__init__.py": "", **files}.items():
        (folder / package / file).write_text(textwrap.dedent(text), encoding="utf-8")
    return folder
