"""What an error means: never "not done" of what may have been done."""

from __future__ import annotations

import pytest
from kazoo import exceptions as kazoo
from kazoo.handlers.threading import KazooTimeoutError

from confo import BackendUnavailable, ConfoError, OutcomeUnknown, PermissionDenied
from confo_zookeeper.outcome import TABLE, Outcome, translate, verdict_on


@pytest.mark.parametrize(
    "error",
    [
        kazoo.ConnectionLoss,
        kazoo.SessionExpiredError,
        kazoo.ConnectionClosedError,
        kazoo.OperationTimeoutError,
        kazoo.RequestTimeoutError,
        kazoo.SystemZookeeperError,
        KazooTimeoutError,
    ],
)
def test_unknown_outcomes(error):
    """A write that ended so may have happened, and a read that did cannot be had now."""
    assert verdict_on(error()).outcome is Outcome.UNKNOWN
    assert isinstance(translate(error(), "commit", "zoo:1", write=True), OutcomeUnknown)
    assert isinstance(translate(error(), "load", "zoo:1"), BackendUnavailable)


def test_every_error_is_translated():
    """Every error that kazoo knows becomes one of Confo's, with what was asked and where; the table has no other."""
    for error in kazoo.EXCEPTIONS.values():
        found = translate(error(), "load namespace 'sales'", "zoo:1")
        assert isinstance(found, ConfoError)
        assert "cannot load namespace 'sales'" in str(found)
        assert "zoo:1" in str(found)
    assert set(TABLE) <= set(kazoo.EXCEPTIONS.values())


def test_a_refusal_says_what_to_do():
    """Who may not is told to look at the user and the ACL."""
    found = translate(kazoo.NoAuthError(), "read", "zoo:1", write=True)
    assert isinstance(found, PermissionDenied)
    assert "ACL" in str(found)
