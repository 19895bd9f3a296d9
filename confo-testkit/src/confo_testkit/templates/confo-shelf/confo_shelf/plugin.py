"""The door: what the entry point ``shelf`` of the group ``confo.backends`` names."""

from __future__ import annotations

from confo import hookimpl
from confo_shelf.backend import ShelfBackend


@hookimpl
def confo_backend(kind: str) -> type[ShelfBackend] | None:
    """Hand over the class for the kind "shelf"."""
    return ShelfBackend if kind == "shelf" else None
