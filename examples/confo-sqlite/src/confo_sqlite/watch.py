"""A watch: read the log of changes, wait, read on."""

from __future__ import annotations

import itertools
import sqlite3
import time
from collections import deque

from confo import HEARTBEAT_SECONDS, Batch, Closed, Entry, ResyncNeeded, Watch
from confo_sqlite.database import CHANGED, Database

POLL_SECONDS = 0.05
"""Between two looks at the counter: SQLite does not tell one process of another's commits."""
MOST_COMMITS = 100
"""In one look: a watch that was long away reads the log in pieces."""


class SqliteWatch(Watch):
    """Follows the log of one namespace."""

    def __init__(self, database: Database, namespace: str, after: int) -> None:
        self._database = database
        self._namespace, self._after = namespace, after
        self._ready: deque[Batch] = deque()
        self._tell_by = 0.0  # the first batch comes at once, a sign of life
        self._closed = False

    def __next__(self) -> Batch:
        """Wait for the next commit of the namespace, ten seconds at most."""
        while not self._has_ended():
            seen = Database.commits
            try:
                self._ready.extend(() if self._ready else self._look())
            except Closed:
                break
            if self._ready or time.monotonic() >= self._tell_by:
                self._tell_by = time.monotonic() + HEARTBEAT_SECONDS
                return self._ready.popleft() if self._ready else Batch(self._after, {})
            with CHANGED:
                if not self._has_ended() and Database.commits == seen:
                    CHANGED.wait(POLL_SECONDS)
        raise StopIteration

    def close(self) -> None:
        """End the watch and wake who waits in it."""
        self._closed = True
        with CHANGED:
            CHANGED.notify_all()

    def _has_ended(self) -> bool:
        return self._closed or self._database.closed

    def _look(self) -> list[Batch]:
        """Return the namespace's commits since the last look, and remember how far it went."""
        with self._database.reading() as connection:
            counters = dict(connection.execute("SELECT name, value FROM counters"))
            if counters["revision"] == self._after:
                return []
            self._check(counters)
            rows = _changes(connection, self._namespace, self._after)
        batches = [
            Batch(revision, {name: None if data is None else Entry(data, revision) for _, name, data in changes})
            for revision, changes in itertools.groupby(rows, key=lambda row: row[0])
        ]
        self._after = batches[-1].revision if len(batches) == MOST_COMMITS else counters["revision"]
        return batches

    def _check(self, counters: dict[str, int]) -> None:
        if not counters["forgotten"] <= self._after <= counters["revision"]:
            raise ResyncNeeded(
                f"{self._database.path} remembers its commits from revision {counters['forgotten']} to "
                f"{counters['revision']}, not what came after {self._after}: load {self._namespace!r} anew",
                namespace=self._namespace,
                revision=counters["revision"],
            )


def _changes(connection: sqlite3.Connection, namespace: str, after: int) -> list[tuple[int, str, bytes | None]]:
    """Return the changes of the next commits after this revision: of whole ones, by revision."""
    query = """
        SELECT revision, name, data FROM changes WHERE namespace = :namespace AND revision > :after AND revision <= (
            SELECT coalesce(max(revision), 0) FROM (
                SELECT DISTINCT revision FROM changes
                WHERE namespace = :namespace AND revision > :after ORDER BY revision LIMIT :most
            )
        ) ORDER BY revision, name
    """
    return connection.execute(query, {"namespace": namespace, "after": after, "most": MOST_COMMITS}).fetchall()
