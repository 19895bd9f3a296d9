"""Confo on shelf: a backend for Confo, found by its entry point."""

from __future__ import annotations

from confo_shelf.backend import ShelfBackend

__all__ = ["ShelfBackend"]
