"""The list of distributions: the folders ``confo-*`` with a ``pyproject.toml``."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, NamedTuple

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]


class Distribution(NamedTuple):
    """A folder of this repository that becomes a wheel."""

    folder: Path
    project: dict[str, Any]  # the table [project] of its pyproject.toml

    @property
    def name(self) -> str:
        return str(self.project["name"])

    @property
    def package(self) -> str:
        """The name to import."""
        return "confo" if self.name == "confo-core" else self.name.replace("-", "_")

    @property
    def requirements(self) -> list[Requirement]:
        return [Requirement(line) for line in self.project.get("dependencies", [])]

    @property
    def kinds(self) -> dict[str, str]:
        return dict(self.project.get("entry-points", {}).get("confo.backends", {}))


DISTRIBUTIONS = [
    Distribution(path.parent, tomllib.loads(path.read_text(encoding="utf-8"))["project"])
    for path in sorted(ROOT.glob("confo-*/pyproject.toml"))
]
