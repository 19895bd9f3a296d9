"""docs/backends.md says of each backend what it declares."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from confo import Capabilities
from confo.plugins import load

PAGE = (Path(__file__).parent.parent / "docs" / "backends.md").read_text(encoding="utf-8")
TABLE = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("|")]
KINDS = [cell.strip("`") for cell in TABLE[0][1:]]
SAID = {found[1]: row[1:] for row in TABLE if (found := re.match(r"`(\w+)`:", row[0]))}
WORDS = {"yes": True, "no": False, "no limit": None}


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_backend_declares(kind):
    """The table has every capability of every backend of this repository, as the backend itself declares it."""
    column = KINDS.index(kind)
    said = {
        name: WORDS[cells[column]] if cells[column] in WORDS else int(cells[column]) for name, cells in SAID.items()
    }
    assert said == dataclasses.asdict(load(kind).capabilities)


def test_it_is_complete():
    """Every backend of this repository is in the table, and every capability."""
    here = {folder.name.removeprefix("confo-") for folder in Path(__file__).parents[1].glob("confo-*")}
    assert set(KINDS) == here - {"core", "testkit", "cli"}
    assert set(SAID) == {field.name for field in dataclasses.fields(Capabilities)}
