"""The door: what the entry point ``memory`` of the group ``confo.backends`` names."""

from __future__ import annotations

from confo import hookimpl
from confo_memory.backend import MemoryBackend


@hookimpl
def confo_backend(kind: str) -> type[MemoryBackend] | None:
    """Hand over the class for the kind "memory"."""
    return MemoryBackend if kind == "memory" else None
