"""What an error means: never "not done" of what may have been done."""

from __future__ import annotations

import ssl

import pytest
from kazoo import exceptions as kazoo
from kazoo.handlers.threading import KazooTimeoutError

from confo import BackendUnavailable, ConfoError, OutcomeUnknown, PermissionDenied
from confo_zookeeper.outcome import TABLE, Outcome, no_connection, translate, verdict_on


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


@pytest.mark.parametrize(
    ("error", "attempts", "connections", "tls", "said", "advice"),
    [
        (ConnectionRefusedError(111, "Connection refused"), 1, 0, False, "Connection refused", "is it running"),
        (TimeoutError("timed out"), 1, 0, False, "no answer in time", "firewall"),
        (None, 1, 0, True, "no answer in time", "firewall"),
        (None, 0, 0, False, "could not be looked up", "spelt right"),
        (None, 2, 2, False, "gave no session", 'give "ca_cert"'),
        (None, 2, 2, True, "gave no session", "client's certificate"),
        (ssl.SSLError(1, "WRONG_VERSION_NUMBER"), 1, 1, True, "TLS failed", "secureClientPort"),
    ],
)
def test_why_there_is_no_session(error, attempts, connections, tls, said, advice):
    """Who gets no session is told how far it came, and what to look at."""
    found = no_connection(error, attempts, connections, tls=tls)
    assert said in found[0]
    assert advice in found[1]
