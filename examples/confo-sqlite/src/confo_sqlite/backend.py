"""The seam over a database: four tables, one transaction for each call."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from confo import (
    ANY,
    Backend,
    Capabilities,
    Conflict,
    CredentialsError,
    Entry,
    InvalidCommit,
    NamespaceExists,
    NamespaceNotFound,
    Snapshot,
    TooLarge,
    Watch,
    Write,
)
from confo_sqlite.database import Database
from confo_sqlite.watch import SqliteWatch

MAX_WRITES = 1024
MAX_VALUE_BYTES = 1536 * 1024
"""Bytes of one entry. SQLite would take a gigabyte; this much can be copied to any other backend."""


class SqliteBackend(Backend):
    """One database file, shared with all processes that open it."""

    capabilities = Capabilities(
        atomic_writes=MAX_WRITES,
        max_value_bytes=MAX_VALUE_BYTES,
        durable=True,
        push=True,
        resumable=True,
        every_commit=True,
        shared=True,
    )

    def __init__(self, database: Database, history: int) -> None:
        self._database = database
        self._history = history

    @classmethod
    def open(cls, credentials: Mapping[str, object]) -> Self:
        """Open the file ``path``, made if need be; ``timeout`` in seconds (5), ``history`` in commits (10,000)."""
        for unknown in sorted(set(credentials) - {"path", "timeout", "history"}):
            raise CredentialsError(
                f"the SQLite backend knows no credential {unknown!r}; it takes 'path', 'timeout' and 'history'"
            )
        path, timeout = credentials.get("path"), credentials.get("timeout", 5.0)
        history = credentials.get("history", 10_000)
        if not isinstance(path, (str, Path)) or not str(path) or str(path) == ":memory:" or "\0" in str(path):
            raise CredentialsError("the SQLite backend needs 'path', the database's file: a text or a Path")
        if not isinstance(timeout, (int, float)) or isinstance(timeout, bool) or not 0 < timeout <= 3600:
            raise CredentialsError("the SQLite backend's 'timeout' is a number of seconds, more than 0")
        if not isinstance(history, int) or isinstance(history, bool) or history < 1:
            raise CredentialsError("the SQLite backend's 'history' is a number of commits, 1 or more")
        return cls(Database(os.path.abspath(path), float(timeout)), history)  # noqa: PTH100 - text, links kept

    @classmethod
    def url_credentials(cls, location: str, folder: str) -> dict[str, object]:
        """Return the file's path: ``sqlite:///var/lib/shop/confo.db/sales``."""
        if location or not folder.strip("/"):
            raise CredentialsError("a SQLite URL is sqlite:///absolute/path.db/namespace")
        return {"path": folder}

    def namespaces(self) -> list[str]:
        """Return the names, sorted."""
        with self._database.reading() as connection:
            return _names(connection)

    def create_namespace(self, namespace: str) -> None:
        """Create an empty namespace."""
        with self._database.writing() as connection:
            try:
                connection.execute("INSERT INTO namespaces VALUES (?)", (namespace,))
            except sqlite3.IntegrityError:
                raise NamespaceExists(f"namespace {namespace!r} exists already", namespace=namespace) from None
            self._next_revision(connection)

    def delete_namespace(self, namespace: str) -> None:
        """Delete the namespace and all in it."""
        with self._database.writing() as connection:
            _require(connection, namespace)
            revision = self._next_revision(connection)
            connection.execute(
                "INSERT INTO changes SELECT ?, namespace, name, NULL FROM entries WHERE namespace = ?",
                (revision, namespace),
            )
            connection.execute("DELETE FROM entries WHERE namespace = ?", (namespace,))
            connection.execute("DELETE FROM namespaces WHERE name = ?", (namespace,))

    def load(self, namespace: str) -> Snapshot:
        """Return the namespace as it is at one revision."""
        with self._database.reading() as connection:
            _require(connection, namespace)
            revision = _revision(connection)
            rows = connection.execute("SELECT name, data, revision FROM entries WHERE namespace = ?", (namespace,))
            return Snapshot(namespace, revision, {name: Entry(*entry) for name, *entry in rows})

    def read(self, namespace: str, names: Sequence[str]) -> dict[str, Entry]:
        """Return those of these names that exist."""
        with self._database.reading() as connection:
            _require(connection, namespace)
            found = ((name, _entry(connection, namespace, name)) for name in names)
            return {name: entry for name, entry in found if entry is not None}

    def scan(
        self, namespace: str, *, start: str = "", limit: int = 100, reverse: bool = False
    ) -> list[tuple[str, Entry]]:
        """Return up to ``limit`` entries in order of name: SQLite compares UTF-8, which is the order of Python's."""
        compare, order = ("<=", "DESC") if reverse else (">=", "ASC")
        query = f"AND (? = '' OR name {compare} ?) ORDER BY name {order} LIMIT ?"
        with self._database.reading() as connection:
            _require(connection, namespace)
            rows = connection.execute(
                f"SELECT name, data, revision FROM entries WHERE namespace = ? {query}",
                (namespace, start, start, max(0, limit)),
            )
            return [(name, Entry(*entry)) for name, *entry in rows]

    def commit(self, writes: Sequence[Write]) -> int:
        """Write all or nothing, in one transaction."""
        _check_size(writes)
        with self._database.writing() as connection:
            for namespace in {write.namespace for write in writes}:
                _require(connection, namespace)
            moved = [write[:2] for write in writes if not _holds(connection, write)]
            if moved:
                shown = ", ".join("/".join(key) for key in moved)
                raise Conflict(f"changed since they were read: {shown}; nothing was written", keys=moved)
            revision = self._next_revision(connection)
            for namespace, name, data, _ in writes:
                if data is None:
                    connection.execute("DELETE FROM entries WHERE namespace = ? AND name = ?", (namespace, name))
                else:
                    row = (namespace, name, data, revision)
                    connection.execute("INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?)", row)
                connection.execute("INSERT INTO changes VALUES (?, ?, ?, ?)", (revision, namespace, name, data))
            return revision

    def watch(self, namespace: str, after: int) -> Watch:
        """Tell what is committed after this revision."""
        with self._database.reading():  # Closed, or unavailable, is said here and not by the first batch
            return SqliteWatch(self._database, namespace, after)

    def close(self) -> None:
        """Close every connection and end every watch."""
        self._database.close()

    def _next_revision(self, connection: sqlite3.Connection) -> int:
        """Count up, and forget the changes that are more commits ago than are kept."""
        connection.execute("UPDATE counters SET value = value + 1 WHERE name = 'revision'")
        revision = _revision(connection)
        oldest = revision - self._history
        if oldest > 1:
            connection.execute("DELETE FROM changes WHERE revision <= ?", (oldest,))
            connection.execute("UPDATE counters SET value = max(value, ?) WHERE name = 'forgotten'", (oldest,))
        return revision


def _revision(connection: sqlite3.Connection) -> int:
    (revision,) = connection.execute("SELECT value FROM counters WHERE name = 'revision'").fetchone()
    return int(revision)


def _names(connection: sqlite3.Connection) -> list[str]:
    return [name for (name,) in connection.execute("SELECT name FROM namespaces ORDER BY name")]


def _require(connection: sqlite3.Connection, namespace: str) -> None:
    if namespace.startswith("."):  # the core's own need not be created
        return
    if connection.execute("SELECT 1 FROM namespaces WHERE name = ?", (namespace,)).fetchone() is None:
        there = ", ".join(_names(connection)) or "none"
        raise NamespaceNotFound(f"no namespace {namespace!r} in this database; there are: {there}", namespace=namespace)


def _entry(connection: sqlite3.Connection, namespace: str, name: str) -> Entry | None:
    query = "SELECT data, revision FROM entries WHERE namespace = ? AND name = ?"
    row = connection.execute(query, (namespace, name)).fetchone()
    return row and Entry(*row)


def _holds(connection: sqlite3.Connection, write: Write) -> bool:
    if write.expected is ANY:
        return True
    entry = _entry(connection, write.namespace, write.name)
    return write.expected == (entry.revision if entry else 0)


def _check_size(writes: Sequence[Write]) -> None:
    if not writes or len({write[:2] for write in writes}) != len(writes):
        raise InvalidCommit("a commit is one or more writes, each of a name of its own")
    if len(writes) > MAX_WRITES:
        raise TooLarge(
            f"{len(writes):,} writes in one commit, the SQLite backend takes {MAX_WRITES:,}; nothing was written"
        )
    for write in writes:
        if write.data is not None and len(write.data) > MAX_VALUE_BYTES:
            raise TooLarge(
                f"{write.namespace}/{write.name} is {len(write.data):,} bytes, the SQLite backend takes "
                f"{MAX_VALUE_BYTES:,}; nothing was written",
                namespace=write.namespace,
                configuration=write.name,
            )
