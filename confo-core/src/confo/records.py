"""Reading the records of a namespace's commits: all of them, or a page from the newest down.

They lie in order of the revision that their commits were based on. A commit that lost races, or whose copy of the
namespace lagged, stands a little before its place: pages are read with some to spare, then sorted.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from confo.backend import Backend
from confo.history import TRIMMED, Record, name_before, parse
from confo.model import Entry
from confo.names import history_of

LATE = 64
"""Commits that others may make between the state that a commit was based on and the commit itself."""
LATER = 200
"""Newer records that are looked at to find what was replaced since."""
PAGE = 500
"""Records that are read at once."""


class Records(NamedTuple):
    """Records in order of revision; up to revision ``horizon`` some may have been let go (0: none was)."""

    kept: list[Record]
    horizon: int


class Reader:
    """Reads the records of one namespace."""

    def __init__(self, backend: Backend, namespace: str) -> None:
        self._backend = backend
        self._namespace = history_of(namespace)

    def all(self, until: int) -> Records:
        """Return every record up to a revision."""
        found: dict[str, Entry] = {}
        start, more = "", True
        while more:
            page = self._scan(start, PAGE)
            more, start = len(page) == PAGE, page[-1][0] if page else ""
            found.update(page)
        return _sorted(found, until)

    def page(self, limit: int, config: str | None, before: int | None) -> tuple[Records, bool]:
        """Return what was based on less than a revision: the newest, ``limit`` of this configuration and some to spare.

        And whether there are older ones.
        """
        found: dict[str, Entry] = {}
        start, more, wanted = "" if before is None else name_before(before), True, limit + LATE
        while more and wanted > 0:
            size = min(PAGE, wanted + 1)  # one may be the last of the page before
            page = dict(self._scan(start, size, reverse=True))
            more, start = len(page) == size, min(page, default="")
            fresh = _parsed((name, entry) for name, entry in page.items() if name not in found)
            wanted -= sum(touches(record, config) for record in fresh)
            found.update(page)
        return _sorted(found, sys.maxsize), more

    def newer(self, revision: int) -> list[Record]:
        """Return the records that follow those below a revision, some hundreds at most."""
        return _parsed(self._scan(name_before(revision), LATER))

    def _scan(self, start: str, limit: int, *, reverse: bool = False) -> list[tuple[str, Entry]]:
        return self._backend.scan(self._namespace, start=start, limit=limit, reverse=reverse)


def touches(record: Record, config: str | None) -> bool:
    """Tell whether a commit concerns this configuration; every one concerns None."""
    return config is None or config in record.steps or record.kind == "end"


def _sorted(found: Mapping[str, Entry], until: int) -> Records:
    records = sorted(one for one in _parsed(found.items()) if one.revision <= until)
    oldest = min((one.base for one in records), default=sys.maxsize)
    return Records(records, oldest if TRIMMED in found else 0)


def _parsed(entries: Iterable[tuple[str, Entry]]) -> list[Record]:
    return [record for name, entry in entries if (record := parse(name, entry)) is not None]
