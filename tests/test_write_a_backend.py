"""docs/write-a-backend.md says nothing that does not work: its files are written, installed and tested."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import confo
from confo import errors
from confo_testkit import contract, scaffold
from tests.outsiders import install, run_tests

PAGE = Path(__file__).parents[1] / "docs" / "write-a-backend.md"
BLOCK = re.compile(r"^```(\w+) (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def files() -> dict[str, str]:
    """Return the files of the page: blocks of one file follow each other."""
    found: dict[str, str] = {}
    for _, what, text in BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        if what.startswith("file="):
            found[what.removeprefix("file=")] = found.get(what.removeprefix("file="), "") + text
    return found


def programs() -> list[str]:
    """Return the blocks that users of the backend write."""
    return [text for _, what, text in BLOCK.findall(PAGE.read_text(encoding="utf-8")) if what == "run"]


def lines(text: str) -> list[str]:
    """Return the lines that say something; the versions that are pinned are the release's."""
    return [re.sub(r"~=[\w.]+", "~=", line) for line in text.splitlines() if line.strip()]


def test_every_block_is_tried():
    """A block of code without a file's name would be shown to readers, and tried by nobody."""
    fences = re.findall(r"^```(.+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert [fence for fence in fences if not re.search(r" (file=\S+|run)$", fence)] == []
    assert len(programs()) == 1


def test_the_page_shows_what_the_scaffold_writes():
    """The page and ``python -m confo_testkit new shelf`` teach the same code, line by line."""
    written = scaffold.render("shelf")
    shown = files()
    assert set(shown) <= set(written)
    for name in shown.keys() - {"README.md"}:
        assert lines(shown[name]) == lines(written[name])


def test_the_classes_of_the_kit_are_those_of_the_page():
    """Each class that the page offers is in the kit, and asks for the fixture that the page says; none is left out."""
    rows = re.findall(r"^\| `(\w+Contract)` \| `(\w+)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    offered = {name for name in contract.__all__ if name.endswith("Contract")} - {"BackendContract", "Contract"}
    assert {name for name, _ in rows} == offered
    assert all(fixture in vars(getattr(contract, name)) for name, fixture in rows)


def test_the_errors_of_the_page_are_the_facade_s():
    """Every name of an error on the page can be imported from ``confo``."""
    text = PAGE.read_text(encoding="utf-8")
    named = set(re.findall(r"\b(?:[A-Z][a-z]+){2,}\b", text)) & {*dir(errors)}
    assert len(named) > 10
    assert named - {"ConflictError"} <= {*dir(confo)}


@pytest.mark.slow
def test_from_an_empty_folder_to_a_passing_contract(tmp_path, tmp_path_factory):
    """The files of the page, written one by one, are a distribution that passes the contract; what users type works."""
    for name, text in files().items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (tmp_path / "src" / "confo_shelf" / "py.typed").touch()
    environment = install(tmp_path_factory, tmp_path)
    done = run_tests(environment, tmp_path)
    assert done.returncode == 0, done.stdout
    assert re.search(r"^\d{2,} passed in", done.stdout, re.MULTILINE), done.stdout
    for program in programs():
        environment.run(program)
