"""Reading the records of a namespace's commits: all of them, or a page from the newest down.

They lie in order of the revision that their commits were based on. A commit that lost races, or whose copy of the
namespace lagged, stands a little before its place: pages are read with some to spare, then sorted.
"""

from __future__ import annotations

import contextlib
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from confo.backend import Backend
from confo.errors import BackendFailure, BackendUnavailable, PermissionDenied
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
        self._owner = namespace
        self._namespace = history_of(namespace)

    def all(self, until: int) -> Records:
        """Return every record up to a revision."""
        return _records(self._from(""), until)

    def page(self, limit: int, config: str | None, before: int | None) -> tuple[Records, bool]:
        """Return what was based on less than a revision: the newest, ``limit`` of this configuration and some to spare.

        And whether there are older ones.
        """
        found: dict[str, Record | None] = {}
        start, more, wanted = "" if before is None else name_before(before), True, limit + LATE
        while more and wanted > 0:
            size = min(PAGE, wanted + 1)  # one may be the last of the page before
            page = self._scan(start, size, reverse=True)
            more, start = len(page) == size, page[-1][0] if page else ""
            fresh = {name: parse(name, entry) for name, entry in page if name not in found}
            wanted -= sum(record is not None and touches(record, config) for record in fresh.values())
            found.update(fresh)
        return _records(found, sys.maxsize), more

    def newer(self, revision: int) -> list[Record]:
        """Return the records of what was based on this revision or a later one."""
        return _records(self._from(name_before(revision)), sys.maxsize).kept

    def _from(self, start: str) -> dict[str, Record | None]:
        found: dict[str, Record | None] = {}
        more = True
        while more:
            page = self._scan(start, PAGE)
            more, start = len(page) == PAGE, page[-1][0] if page else ""
            found.update((name, parse(name, entry)) for name, entry in page if name not in found)
        return found

    def _scan(self, start: str, limit: int, *, reverse: bool = False) -> list[tuple[str, Entry]]:
        with looking_at_history(self._owner, "read the history of {}"):
            return self._backend.scan(self._namespace, start=start, limit=limit, reverse=reverse)


@contextlib.contextmanager
def looking_at_history(namespace: str, asked: str) -> Iterator[None]:
    """Have an error say what the program asked for ("commit to {}"), not the name of its history's own namespace."""
    try:
        yield
    except (BackendUnavailable, PermissionDenied, BackendFailure) as error:
        place = history_of(namespace)
        said = str(error).removeprefix(f"cannot scan namespace {place!r}")
        reason = said if said != str(error) else f": {said}"
        for told in (f"namespace {place!r}", repr(place)):  # a key or a path stays: who grants rights needs it
            reason = reason.replace(told, f"the history of {namespace!r}")
        error.args = (f"cannot {asked.format(repr(namespace))}{reason}",)
        error.namespace = namespace
        raise


def touches(record: Record, config: str | None) -> bool:
    """Tell whether a commit concerns this configuration; every one concerns None."""
    if config is None or record.kind == "end":
        return True
    return config in record.steps and record.steps[config].changed


def newest_revision(backend: Backend, namespace: str) -> int:
    """Return the revision of a namespace's newest record, 0 if it has none."""
    return max((entry.revision for _, entry in backend.scan(history_of(namespace), limit=1, reverse=True)), default=0)


def _records(found: Mapping[str, Record | None], until: int) -> Records:
    """Put what was found in order; None stands for an entry that is no record."""
    told = _told_apart(sorted((one for one in found.values() if one is not None), key=lambda one: one.base))
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
