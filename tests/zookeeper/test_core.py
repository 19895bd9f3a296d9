"""The core's promises once more, on a real ZooKeeper: the same tests, another store."""

from __future__ import annotations

import pytest

from tests import suites
from tests.stores import config, options, other, sales, theirs  # noqa: F401 - fixtures
from tests.suites import counter, put, story  # noqa: F401 - fixtures


@pytest.fixture
def kind():
    """Return the kind of backend."""
    return "zookeeper"


@pytest.fixture
def credentials(server, prefix):
    """Return the credentials of the test's own part of the server."""
    return {"hosts": [server.host], "prefix": prefix}


@pytest.fixture
def store(credentials, opening):
    """Return a backend of its own on the store, to write there around Confo."""
    return opening(**credentials)


globals().update(suites.suites(every_commit=False))


def test_nothing_is_left_out_by_mistake():
    """Every name that is left out is the name of a test, and is left out for one reason."""
    suites.check_what_is_left_out()
