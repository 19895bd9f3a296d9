"""Confo on SQLite: one database file, shared by the processes of a machine."""

from __future__ import annotations

from confo_sqlite.backend import SqliteBackend

__all__ = ["SqliteBackend"]
