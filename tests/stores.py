"""Fixtures over any store: a conftest imports them and gives ``kind``, ``credentials`` and ``store``."""

from __future__ import annotations

import uuid

import pytest

from confo import Confo

__all__ = ["config", "options", "other", "sales", "theirs"]


@pytest.fixture
def options():
    """Return the options of load_backend; a module of tests may override this."""
    return {}


@pytest.fixture
def config(kind, credentials, options):
    """Return a Confo with the test's store loaded and active, and the namespace "sales" in use."""
    with Confo(uuid.uuid4().hex) as config:
        config.load_backend(credentials, "store", kind, **options)
        config.activate_backend("store")
        config.create_namespace("sales")
        config.use_namespace("sales")
        yield config


@pytest.fixture
def other(config, kind, credentials, options):
    """Return a second Confo on the same store, as another process would have."""
    with Confo(uuid.uuid4().hex) as other:
        other.load_backend(credentials, "store", kind, **options)
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
