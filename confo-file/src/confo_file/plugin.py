"""The door: what the entry point ``file`` of the group ``confo.backends`` names."""

from __future__ import annotations

from confo import hookimpl
from confo_file.backend import FileBackend


@hookimpl
def confo_backend(kind: str) -> type[FileBackend] | None:
    """Hand over the class for the kind "file"."""
    return FileBackend if kind == "file" else None
