"""Confo in this process's memory: the embedded default, and the backend to copy when you write your own."""

from __future__ import annotations

from confo_memory.backend import MemoryBackend

__all__ = ["MemoryBackend"]
