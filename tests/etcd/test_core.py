"""The core's promises once more, on a real etcd: the same tests, another store."""

from __future__ import annotations

import pytest

from tests.core import test_classic, test_live, test_namespace
from tests.stores import config, options, other, sales, theirs  # noqa: F401 - fixtures

# Tests that are about the memory store itself, or about Confo without any store.
ELSEWHERE = {
    "test_backends_are_loaded_listed_and_activated",
    "test_each_backend_remembers_its_namespace",
    "test_open_by_url",
    "test_bad_urls",
    "test_bad_loads",
    "test_one_object_a_name",
    "test_without_an_active_backend",
    "test_without_a_namespace",
    "test_without_history",
    "test_a_class_in_place_of_a_kind",
    "test_closing",
    "test_a_slow_callback_gets_fewer_events_that_say_so",
    "test_close_from_a_callback",
    "test_closing_leaves_nothing",
    "test_follow_false_reads_once",
    "test_waiting_calls_in_asyncio",
    "test_a_backend_closed_under_the_replica",
    "test_two_stores_do_not_mix",
    "test_an_unknown_outcome_is_resolved",
    "test_an_outcome_that_stays_unknown_is_said",
    "test_an_unknown_outcome_and_a_lost_race",
    "test_namespaces_are_created_used_and_listed",
    "test_status_and_health",
}


@pytest.fixture
def kind():
    """Return the kind of backend."""
    return "etcd"


@pytest.fixture
def credentials(server, prefix):
    """Return the credentials of the test's own part of the server."""
    return {"host": "127.0.0.1", "port": server.port, "prefix": prefix}


@pytest.fixture
def store(credentials, opening):
    """Return a backend of its own on the store, to write there around Confo."""
    return opening(**credentials)


def _tests(module):
    return {name: staticmethod(test) for name, test in vars(module).items() if name.startswith("test_")}


class _Once:
    @pytest.fixture
    def options(self):
        return {"follow": False}


def _class(module, *bases):
    tests = {test: function for test, function in _tests(module).items() if test not in ELSEWHERE}
    return type(module.__name__, bases, {"__doc__": module.__doc__, **tests})


TestClassic = _class(test_classic)
TestLive = _class(test_live)
TestNamespace = _class(test_namespace, _Once)


def test_nothing_is_left_out_by_mistake():
    """Every name that is left out is the name of a test."""
    every = {name for module in (test_classic, test_live, test_namespace) for name in _tests(module)}
    assert every >= ELSEWHERE
