"""confo-sqlite keeps the contract that every backend of Confo keeps, and what the kit tries with more in hand."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from confo import Backend, plugins
from confo_testkit.contract import (
    BackendContract,
    CompactionContract,
    CredentialsContract,
    HeartbeatContract,
    OutOfBandContract,
)


class Shell:
    """Reaches a file as SQLite's own shell does, by the rule that README.md gives to other tools."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with contextlib.closing(sqlite3.connect(self._path)) as connection, connection:
            yield connection

    def put(self, namespace: str, name: str, data: bytes) -> None:
        """Write these bytes."""
        row = "SELECT :namespace, :name, :data, value FROM counters WHERE name = 'revision'"
        self._write(f"INSERT OR REPLACE INTO entries {row}", namespace, name, data)

    def delete(self, namespace: str, name: str) -> None:
        """Delete what is there."""
        self._write(
            "DELETE FROM entries WHERE namespace = :namespace AND name = :name AND :data IS NULL", namespace, name, None
        )

    def get(self, namespace: str, name: str) -> bytes | None:
        """Return the bytes that are there, or None."""
        query = "SELECT data FROM entries WHERE namespace = ? AND name = ?"
        with self._transaction() as connection:
            row = connection.execute(query, (namespace, name)).fetchone()
            return row and bytes(row[0])

    def forget(self) -> None:
        """Delete the log of changes."""
        with self._transaction() as connection:
            connection.execute("DELETE FROM changes")
            newest = "(SELECT value FROM counters WHERE name = 'revision')"
            connection.execute(f"UPDATE counters SET value = {newest} WHERE name = 'forgotten'")

    def _write(self, statement: str, namespace: str, name: str, data: bytes | None) -> None:
        with self._transaction() as connection:
            connection.execute("UPDATE counters SET value = value + 1 WHERE name = 'revision'")
            row = {"namespace": namespace, "name": name, "data": data}
            connection.execute(statement, row)
            log = "INSERT INTO changes SELECT value, :namespace, :name, :data FROM counters WHERE name = 'revision'"
            connection.execute(log, row)


class TestSqlite(BackendContract, OutOfBandContract, CompactionContract, CredentialsContract, HeartbeatContract):
    """Every promise of the seam, on a file of each test's own."""

    @pytest.fixture
    def credentials(self, tmp_path: Path) -> dict[str, object]:
        """Return all that can be said of the test's own database."""
        return {"path": str(tmp_path / "confo.db"), "timeout": 5, "history": 10_000}

    @pytest.fixture
    def heartbeat(self, monkeypatch: pytest.MonkeyPatch) -> float:
        """Give signs of life more often."""
        monkeypatch.setattr("confo_sqlite.watch.HEARTBEAT_SECONDS", 0.1)
        return 0.1

    @pytest.fixture
    def open_backend(self, credentials: dict[str, object]) -> Callable[[], Backend]:
        """Return a function that opens it; called again, the same one once more."""
        return lambda: plugins.load("sqlite").open(credentials)

    @pytest.fixture
    def outside(self, tmp_path: Path) -> Shell:
        """Return another tool at the same file."""
        return Shell(tmp_path / "confo.db")

    @pytest.fixture
    def compact(self, outside: Shell) -> Callable[[], None]:
        """Return what deletes the log."""
        return outside.forget
