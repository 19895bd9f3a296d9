"""A store for every test of the core: memory, the reference."""

from __future__ import annotations

import uuid

import pytest

from confo_memory import MemoryBackend
from tests.stores import config, options, other, sales, theirs  # noqa: F401 - fixtures


@pytest.fixture
def kind():
    """Return the kind of backend."""
    return "memory"


@pytest.fixture
def credentials():
    """Return the credentials of a store that only this test knows."""
    return {"store": uuid.uuid4().hex}


@pytest.fixture
def store(credentials):
    """Return a backend of its own on the store, to write there around Confo."""
    return MemoryBackend.open(credentials)
