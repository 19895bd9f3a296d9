"""Reading the records of a namespace's commits: all of them, or a page from the newest down.

They lie in order of the revision that their commits were based on. A commit that lost races, or whose copy of the
namespace lagged, stands a little before its place: pages are read with some to spare, then sorted.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from confo.backend import Backend
from confo.history import TRIMMED, Record, name_before, parse
from confo.model import Entry
from confo.names import history_of

LATE = 64
"""Commits that others may make between the state that a commit was based on and the commit itself, for it to be found
on the page where it belongs; who lags more bases the record on the newest one (``commits.persist``)."""
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
        return _sorted(self._from(""), until)

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
        """Return the records of what was based on this revision or a later one."""
        return _sorted(self._from(name_before(revision)), sys.maxsize).kept

    def _from(self, start: str) -> dict[str, Entry]:
        found: dict[str, Entry] = {}
        more = True
        while more:
            page = self._scan(start, PAGE)
            more, start = len(page) == PAGE, page[-1][0] if page else ""
            found.update(page)
        return found

    def _scan(self, start: str, limit: int, *, reverse: bool = False) -> list[tuple[str, Entry]]:
        return self._backend.scan(self._namespace, start=start, limit=limit, reverse=reverse)


def touches(record: Record, config: str | None) -> bool:
    """Tell whether a commit concerns this configuration; every one concerns None."""
    return config is None or config in record.steps or record.kind == "end"


def _sorted(found: Mapping[str, Entry], until: int) -> Records:
    told = _told_apart(sorted(_parsed(found.items()), key=lambda one: one.base))
    records = sorted((one for one in told if one.revision <= until), key=lambda one: one.revision)
    oldest = min((one.base for one in records), default=sys.maxsize)
    return Records(records, oldest if TRIMMED in found else 0)


def _told_apart(records: list[Record]) -> list[Record]:
    """Return records that came in together, as a restored folder's do, at the revisions that they had at home.

    A commit leaves one record in a namespace, and the next one's base is at least its revision.
    """
    seen = Counter(one.revision for one in records)
    nexts = [*(one.base for one in records[1:]), records[-1].base + 1] if records else []
    return [
        one if seen[one.revision] == 1 else one._replace(revision=after)
        for one, after in zip(records, nexts, strict=True)
    ]


def _parsed(entries: Iterable[tuple[str, Entry]]) -> list[Record]:
    return [record for name, entry in entries if (record := parse(name, entry)) is not None]
