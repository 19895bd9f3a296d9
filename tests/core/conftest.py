"""A store for every test of the core: memory, the reference."""

from __future__ import annotations

import uuid

import pytest

from confo import Confo


@pytest.fixture
def credentials():
    """Return the credentials of a store that only this test knows."""
    return {"store": uuid.uuid4().hex}


@pytest.fixture
def options():
    """Return the options of load_backend; a module of tests may override this."""
    return {}


@pytest.fixture
def config(credentials, options):
    """Return a Confo with that store loaded and active, and the namespace "sales" in use."""
    with Confo(uuid.uuid4().hex) as config:
        config.load_backend(credentials, "store", "memory", **options)
        config.activate_backend("store")
        config.create_namespace("sales")
        config.use_namespace("sales")
        yield config


@pytest.fixture
def other(config, credentials, options):
    """Return a second Confo on the same store, as another process would have."""
    with Confo(uuid.uuid4().hex) as other:
        other.load_backend(credentials, "store", "memory", **options)
        other.activate_backend("store")
        other.use_namespace("sales")
        yield other


@pytest.fixture
def sales(config):
    """Return the handle of the namespace."""
    return config.namespace("sales")


@pytest.fixture
def theirs(other):
    """Return the other's handle of the namespace."""
    return other.namespace("sales")


@pytest.fixture
def store(config):
    """Return the backend itself, to write to the store around Confo."""
    from confo_memory import MemoryBackend

    return MemoryBackend(config._loaded["store"].backend.store)
