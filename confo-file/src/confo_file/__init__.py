"""Confo on a folder of files: a backend for Confo, found by its entry point."""

from __future__ import annotations

from confo_file.backend import FileBackend

__all__ = ["FileBackend"]
