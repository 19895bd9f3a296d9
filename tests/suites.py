"""The core's suites for any store: a module of tests gives ``kind``, ``credentials`` and ``store``, and takes them."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

from tests.core import (
    test_classic,
    test_history,
    test_live,
    test_namespace,
    test_persist,
    test_readable,
    test_sizes,
    test_transaction,
)
from tests.core.test_history import story
from tests.core.test_readable import put
from tests.core.test_transaction import counter

__all__ = ["check_what_is_left_out", "counter", "put", "story", "suites"]

# Tests that are about the memory store itself, or about Confo without any store.
ELSEWHERE = {
    "test_a_record_is_as_small_as_it_has_to_be",
    "test_sizes_near_the_limits",
    "test_what_is_no_packed_record",
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
    "test_acknowledged_increments_are_in_the_counter",
    "test_control_of_agreeing_values",
    "test_control_of_a_rule_over_what_was_only_read",
    "test_what_is_served_is_the_last_that_could_be_read",
    "test_the_names_are_public",
    "test_interleaved_blocks_are_as_if_one_after_the_other",
}
# Tests that count an event for each of several commits: they may come as one where ``every_commit`` is False.
COALESCED = {
    "test_it_is_told_once",
    "test_a_callback_may_end_its_own_subscription",
    "test_a_subscription_hears_what_it_asked_for",
}
_MODULES = (
    test_classic,
    test_history,
    test_live,
    test_namespace,
    test_persist,
    test_readable,
    test_sizes,
    test_transaction,
)


class _Once:
    @pytest.fixture
    def options(self):
        return {"follow": False}


def suites(*, every_commit: bool) -> dict[str, type]:
    """Return the classes of tests by name, for a module's globals."""
    left_out = ELSEWHERE if every_commit else ELSEWHERE | COALESCED
    return {
        "TestClassic": _class(test_classic, left_out),
        "TestHistory": _class(test_history, left_out),
        "TestLive": _class(test_live, left_out),
        "TestNamespace": _class(test_namespace, left_out, _Once),
        "TestPersist": _class(test_persist, left_out),
        "TestReadable": _class(test_readable, left_out),
        "TestSizes": _class(test_sizes, left_out),
        "TestTransaction": _class(test_transaction, left_out, _Once),
    }


def check_what_is_left_out() -> None:
    """Every name that is left out is the name of a test, and is left out for one reason."""
    assert {name for module in _MODULES for name in _tests(module)} >= ELSEWHERE | COALESCED
    assert not ELSEWHERE & COALESCED


def _tests(module: ModuleType) -> dict[str, Any]:
    return {name: staticmethod(test) for name, test in vars(module).items() if name.startswith("test_")}


def _class(module: ModuleType, left_out: set[str], *bases: type) -> type:
    tests = {test: function for test, function in _tests(module).items() if test not in left_out}
    return type(module.__name__, bases, {"__doc__": module.__doc__, **tests})
