"""Distributions of other people: built as wheels and tested where nothing of this repository is but wheels."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.packaging.conftest import Environment, make_environment
from tests.packaging.distributions import DISTRIBUTIONS
from tests.packaging.projects import build


def kit_wheels(factory: pytest.TempPathFactory) -> list[Path]:
    """Build what an author of a backend installs, once a session: the core and the testkit."""
    out = factory.getbasetemp() / "kit"
    if not out.exists():
        for one in DISTRIBUTIONS:
            if one.name in {"confo-core", "confo-testkit"}:
                build(one.folder, out)
    return sorted(out.glob("*.whl"))


def install(factory: pytest.TempPathFactory, *projects: Path) -> Environment:
    """Return an environment with the core, the testkit and these projects, each from its wheel."""
    out = factory.mktemp("outside")
    wheels = [*kit_wheels(factory), *(build(copied(project, out), out) for project in projects)]
    return make_environment(out / "environment", "wheel", wheels)


def copied(project: Path, where: Path) -> Path:
    """Return a copy of a project, so that building leaves nothing behind in the original."""
    return Path(shutil.copytree(project, where / f"{project.name}-source"))


def run_tests(environment: Environment, project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a project's own tests on its wheel: its sources are not where they run."""
    place = environment.folder / "its-tests"
    shutil.copytree(project / "tests", place / "tests")
    shutil.copy(project / "pyproject.toml", place)
    return run_python(environment, place, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments)


def run_python(environment: Environment, place: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the environment's Python in a folder, away from the variables and folders of whoever runs it."""
    command = [environment.python, "-I", *arguments]
    return subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=55, check=False)
