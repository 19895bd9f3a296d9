"""The driver: connections to one file, transactions, and what SQLite's errors mean.

A connection serves one call at a time and is then kept for the next, in whatever thread. None may be carried across
a fork (https://www.sqlite.org/howtocorrupt.html, 2.6): the process waits until none is in use, closes them all, forks,
and both sides open new ones when they need them.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import weakref
from collections.abc import Iterator

from confo import (
    BackendFailure,
    BackendUnavailable,
    Closed,
    ConfoError,
    OutcomeUnknown,
    PermissionDenied,
    UnsupportedServer,
)

SCHEMA = """
CREATE TABLE IF NOT EXISTS counters(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT OR IGNORE INTO counters VALUES ('revision', 1), ('forgotten', 1);
CREATE TABLE IF NOT EXISTS namespaces(name TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS entries(
    namespace TEXT, name TEXT, data BLOB NOT NULL, revision INTEGER NOT NULL, PRIMARY KEY (namespace, name)
);
CREATE TABLE IF NOT EXISTS changes(
    revision INTEGER, namespace TEXT, name TEXT, data BLOB, PRIMARY KEY (namespace, revision, name)
);
CREATE INDEX IF NOT EXISTS changes_by_age ON changes(revision);
PRAGMA user_version = 1;
"""
VERSION = 1
"""Of the schema; the file keeps it as its ``user_version``, 0 while it is new."""
FORK_SECONDS = 5.0
"""How long a fork waits for calls that are under way."""

MEANING: dict[int, type[ConfoError]] = {
    sqlite3.SQLITE_BUSY: BackendUnavailable,
    sqlite3.SQLITE_LOCKED: BackendUnavailable,
    sqlite3.SQLITE_PROTOCOL: BackendUnavailable,  # too many came at once while the file was being opened
    sqlite3.SQLITE_CANTOPEN: BackendUnavailable,
    sqlite3.SQLITE_IOERR: BackendUnavailable,
    sqlite3.SQLITE_PERM: PermissionDenied,
    sqlite3.SQLITE_READONLY: PermissionDenied,
    sqlite3.SQLITE_AUTH: PermissionDenied,
}
"""What a result code says before anything was committed; any other is BackendFailure."""

CHANGED = threading.Condition()
"""Guards the connections of all databases; a commit, a close and an unused connection wake who waits."""
_databases: weakref.WeakSet[Database] = weakref.WeakSet()


class Database:
    """One file, opened by this process as often as its threads need."""

    commits = 0
    """How many this process made, to whichever file: what a watch waits for."""
    forking = False
    """A fork waits for the calls that are under way; no other begins before it."""

    def __init__(self, path: str, timeout: float) -> None:
        self.path, self.timeout = path, timeout
        self.closed = False
        self._idle: list[sqlite3.Connection] = []
        self._used = 0
        with CHANGED:
            _databases.add(self)
        try:
            self._prepare()
        except BaseException:
            self.close()
            raise

    @contextlib.contextmanager
    def connection(self) -> Iterator[sqlite3.Connection]:
        """Lend a connection to one call; Closed once the database was closed."""
        with CHANGED:
            CHANGED.wait_for(lambda: not Database.forking)
            if self.closed:
                raise Closed(f"the SQLite backend of {self.path} was closed; load it again")
            self._used += 1
            connection = self._idle.pop() if self._idle else None
        try:
            connection = connection or self._connect()
            yield connection
        finally:
            with CHANGED:
                self._used -= 1
                if connection is not None and not self.closed:
                    self._idle.append(connection)
                elif connection is not None:
                    connection.close()
                CHANGED.notify_all()

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Read one state: everything in here sees the same commits."""
        with self.connection() as connection, self.translated():
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                connection.rollback()

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Write all or nothing: an error in here takes everything back, and only the commit itself can be in doubt."""
        with self.connection() as connection:
            with self.translated():
                connection.execute("BEGIN IMMEDIATE")
                try:
                    yield connection
                except BaseException:
                    connection.rollback()
                    raise
            with self.translated(OutcomeUnknown):
                try:
                    connection.execute("COMMIT")
                except BaseException:
                    connection.rollback()  # if it is still open: a connection in the middle of one must not be lent
                    raise
        with CHANGED:
            Database.commits += 1
            CHANGED.notify_all()

    @contextlib.contextmanager
    def translated(self, doubt: type[ConfoError] | None = None) -> Iterator[None]:
        """Turn SQLite's errors into Confo's; ``doubt`` is what those mean that are no plain refusal."""
        try:
            yield
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF  # the primary one of an extended
            meaning = MEANING.get(code, BackendFailure)
            if doubt is not None and code != sqlite3.SQLITE_BUSY:
                meaning = doubt
            name = getattr(error, "sqlite_errorname", type(error).__name__)
            raise meaning(f"the SQLite database {self.path} failed with {name}") from error

    def close(self) -> None:
        """Close what is not in use, and what is in use as soon as it is not."""
        with CHANGED:
            self.closed = True
            self.drop_connections()
            CHANGED.notify_all()

    def drop_connections(self) -> None:
        """Close the connections that are not in use (hold ``CHANGED``)."""
        while self._idle:
            self._idle.pop().close()

    def forget_calls(self) -> None:
        """Know in a forked child that the parent's threads are not there."""
        self._used = 0

    @property
    def is_used(self) -> bool:
        """Tell whether a call is under way."""
        return self._used > 0

    def _prepare(self) -> None:
        with self.connection() as connection, self.translated():
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version not in (0, VERSION):
                raise UnsupportedServer(f"{self.path} has version {version} of a schema; this backend knows {VERSION}")
            if version == 0:  # several may come first at once: each statement does nothing the second time
                connection.executescript(f"BEGIN IMMEDIATE; {SCHEMA} COMMIT;")

    def _connect(self) -> sqlite3.Connection:
        with self.translated():
            # Every call begins and ends its own transaction; a connection is used by one thread at a time.
            connection = sqlite3.connect(self.path, timeout=self.timeout, isolation_level=None, check_same_thread=False)
            try:
                connection.execute("PRAGMA journal_mode = WAL").close()
                connection.execute("PRAGMA synchronous = FULL").close()  # a commit survives a loss of power
            except BaseException:
                connection.close()
                raise
        return connection


def _before_fork() -> None:
    CHANGED.acquire()
    Database.forking = True
    CHANGED.wait_for(lambda: not any(database.is_used for database in _databases), FORK_SECONDS)
    for database in _databases:
        database.drop_connections()


def _after_fork() -> None:
    Database.forking = False
    CHANGED.notify_all()
    CHANGED.release()


def _after_fork_in_child() -> None:
    for database in _databases:
        database.forget_calls()
    _after_fork()


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork_in_child)
