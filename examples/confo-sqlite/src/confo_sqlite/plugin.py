"""The door: what the entry point ``sqlite`` of the group ``confo.backends`` names."""

from __future__ import annotations

from confo import hookimpl
from confo_sqlite.backend import SqliteBackend


@hookimpl
def confo_backend(kind: str) -> type[SqliteBackend] | None:
    """Hand over the class for the kind "sqlite"."""
    return SqliteBackend if kind == "sqlite" else None
