"""The lists that tools cannot compute for themselves agree with the folders."""

from __future__ import annotations

import configparser
import os
import tomllib

import pytest

from tests.packaging.distributions import DISTRIBUTIONS, ROOT


@pytest.fixture(scope="module")
def pyproject():
    """Read the configuration that the tools share."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def tox():
    """Read the matrix."""
    parser = configparser.ConfigParser(interpolation=None, inline_comment_prefixes="#")
    parser.read(ROOT / "tox.ini", encoding="utf-8")
    return parser


def test_tox_installs_every_distribution(tox):
    """tox.ini cannot glob: its list is compared with the folders."""
    installed = [line.removeprefix("-e ./") for line in tox["testenv"]["deps"].split("\n") if line]
    assert sorted(installed) == [distribution.name for distribution in DISTRIBUTIONS]


def test_the_import_contracts_cover_every_package(pyproject):
    """A distribution that the contracts do not know could import what it likes."""
    packages = {distribution.package for distribution in DISTRIBUTIONS}
    assert set(pyproject["tool"]["importlinter"]["root_packages"]) == packages


def test_the_matrix_is_what_the_classifiers_promise(tox):
    """Every Python that a distribution claims to run on is one that the tests run on."""
    tested = "".join(tox["tox"]["env_list"].split())
    for distribution in DISTRIBUTIONS:
        prefix = "Programming Language :: Python :: 3."
        claimed = [line.removeprefix(prefix) for line in distribution.project["classifiers"] if prefix in line]
        assert claimed
        assert all(f"3{minor}" in tested for minor in claimed)


@pytest.mark.parametrize("command", ["tests", "demo"])
def test_ci_runs_the_commands_of_the_readme(command):
    """The two commands that README.md promises are the ones that CI runs, to the letter."""
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    lines = script.read_text(encoding="utf-8").splitlines()
    wanted = "/nox -s demo" if command == "demo" else "/tox"
    (line,) = [line for line in lines if line.startswith("python3 -m venv") and wanted in line]
    assert line in (ROOT / "README.md").read_text(encoding="utf-8")
