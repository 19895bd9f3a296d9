"""Every test here has a folder of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from confo_file import FileBackend


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return the test's own root."""
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


@pytest.fixture
def opening(root: Path) -> Iterator[Callable[..., FileBackend]]:
    """Open backends that are closed after the test."""
    with contextlib.ExitStack() as stack:

        def open_backend(**credentials: object) -> FileBackend:
            backend = FileBackend.open({"config_path": root, **credentials})
            stack.callback(backend.close)
            return backend

        yield open_backend


@pytest.fixture
def backend(opening: Callable[..., FileBackend]) -> FileBackend:
    """Open the test's root, with a namespace "sales"."""
    backend = opening()
    backend.create_namespace("sales")
    return backend
