"""The core's promises once more, on a folder of files: the same tests, another store."""

from __future__ import annotations

import sys

import pytest

from tests import suites
from tests.stores import config, options, other, sales, theirs  # noqa: F401 - fixtures
from tests.suites import counter, put, story  # noqa: F401 - fixtures


@pytest.fixture(autouse=True)
def _turns():
    """Let threads take turns often: readers that never rest hold each of a commit's system calls up for a turn."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(0.0001)
    yield
    sys.setswitchinterval(interval)


@pytest.fixture
def kind():
    """Return the kind of backend."""
    return "file"


@pytest.fixture
def credentials(root):
    """Return the credentials of the test's own folder."""
    return {"config_path": str(root)}


@pytest.fixture
def store(opening):
    """Return a backend of its own on the store, to write there around Confo."""
    return opening()


globals().update(suites.suites(every_commit=False))


def test_nothing_is_left_out_by_mistake():
    """Every name that is left out is the name of a test, and is left out for one reason."""
    suites.check_what_is_left_out()
