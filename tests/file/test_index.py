"""The log of what is known of a namespace's files."""

from __future__ import annotations

import os

import pytest

from confo_file import index
from confo_file.folder import Folder
from confo_file.index import Index


@pytest.fixture
def folder(tmp_path):
    """Return an open folder."""
    with Folder.open(str(tmp_path)) as folder:
        yield folder


def append(folder, revision, changes):
    """Add a line."""
    fd = index.open_log(folder, "sales")
    index.append(fd, revision, changes)
    os.close(fd)


def stamp(number):
    """Return some stamp."""
    return [".json", number, 1, 1, 1]


def test_read_on(folder):
    """What another process adds is read on from where one was."""
    mine = Index()
    assert not mine.catch_up(folder, "sales")
    append(folder, 2, {"a": stamp(2), "b": stamp(2)})
    assert mine.catch_up(folder, "sales")
    append(folder, 3, {"a": None, "c": stamp(3)})
    mine.catch_up(folder, "sales")
    assert {name: known.revision for name, known in mine.known.items()} == {"b": 2, "c": 3}
    assert (mine.since(1), mine.since(2), mine.since(3)) == ({"a", "b", "c"}, {"a", "c"}, set())


@pytest.mark.parametrize("cut", [1, 5, 20])
def test_a_line_that_a_crash_cut_off(folder, tmp_path, cut):
    """A line without its end does not count, and the next one takes its place."""
    append(folder, 2, {"a": stamp(2)})
    append(folder, 3, {"b": stamp(3)})
    path = tmp_path / "sales"
    path.write_bytes(path.read_bytes()[:-cut])
    mine = Index()
    mine.catch_up(folder, "sales")
    assert mine.revision == 2
    append(folder, 3, {"c": stamp(3)})
    mine.catch_up(folder, "sales")
    assert set(mine.known) == {"a", "c"}


def test_written_anew(folder, monkeypatch):
    """A log that is written anew says the same of every revision, but for the oldest deletions."""
    monkeypatch.setattr(index, "MOST_GONE", 4)
    monkeypatch.setattr(index, "SLACK", 10)
    mine, other = Index(), Index()
    for number in range(2, 40):
        append(folder, number, {"a": stamp(number), f"n{number % 7}": stamp(number) if number % 2 else None})
        other.catch_up(folder, "sales")
    mine.catch_up(folder, "sales")
    assert mine.is_long
    index.rewrite(folder, "sales", mine, ".new", forget=False, sync=False)
    other.catch_up(folder, "sales")
    fresh = Index()
    fresh.catch_up(folder, "sales")
    assert other.known == fresh.known == mine.known
    assert not fresh.is_long
    for revision in range(fresh.forgotten, 40):
        assert fresh.since(revision) == mine.since(revision)
    index.rewrite(folder, "sales", fresh, ".new", forget=True, sync=False)
    fresh.catch_up(folder, "sales")
    assert (fresh.forgotten, fresh.gone, fresh.known) == (39, {}, mine.known)
