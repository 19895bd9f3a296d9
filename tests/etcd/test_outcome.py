"""What each error means: the table, cell by cell."""

from __future__ import annotations

import grpc
import pytest

from confo import (
    AuthenticationFailed,
    BackendFailure,
    BackendUnavailable,
    OutcomeUnknown,
    PermissionDenied,
    ResyncNeeded,
    TooLarge,
    UnsupportedServer,
)
from confo_etcd.outcome import TABLE, Outcome, judge, translate, verdict_on

NOT_DONE, STRANGER, REFUSED, UNKNOWN = Outcome.NOT_DONE, Outcome.STRANGER, Outcome.REFUSED, Outcome.UNKNOWN
CELLS = [
    # never sent
    ("UNAVAILABLE", "failed to connect to all addresses; last error: UNKNOWN", NOT_DONE, BackendUnavailable),
    ("UNAVAILABLE", "failed to connect: Ssl handshake failed", NOT_DONE, BackendUnavailable),
    ("UNAVAILABLE", "connections to all backends failing; last error: UNKNOWN", NOT_DONE, BackendUnavailable),
    ("UNAVAILABLE", "DNS resolution failed for nowhere.invalid:2379", NOT_DONE, BackendUnavailable),
    ("UNAVAILABLE", "errors resolving nowhere.invalid:2379: name resolution failure", NOT_DONE, BackendUnavailable),
    ("UNAVAILABLE", "empty address list: ", NOT_DONE, BackendUnavailable),
    ("UNAVAILABLE", "failed to connect; last: Tls handshake: WRONG_VERSION_NUMBER", NOT_DONE, BackendUnavailable),
    ("UNAVAILABLE", "failed to connect; last: Handshake read failed (Socket closed)", NOT_DONE, BackendUnavailable),
    ("UNAVAILABLE", "failed to connect; last: CERTIFICATE_VERIFY_FAILED: unable", NOT_DONE, BackendUnavailable),
    ("UNAVAILABLE", "failed to connect; last: SSLV3_ALERT_BAD_CERTIFICATE", NOT_DONE, BackendUnavailable),
    ("UNAVAILABLE", "failed to connect; last: Failed parsing HTTP/2 (frame)", NOT_DONE, BackendUnavailable),
    ("UNAVAILABLE", "failed to connect; last: ipv4:127.0.0.1:1: Socket closed", NOT_DONE, BackendUnavailable),
    # refused before it was looked at
    ("UNAVAILABLE", "etcdserver: no leader", NOT_DONE, BackendUnavailable),
    ("RESOURCE_EXHAUSTED", "etcdserver: too many requests", NOT_DONE, BackendUnavailable),
    # authenticate again
    ("UNAUTHENTICATED", "etcdserver: invalid auth token", STRANGER, BackendUnavailable),
    ("INVALID_ARGUMENT", "etcdserver: revision of auth store is old", STRANGER, BackendUnavailable),
    ("INVALID_ARGUMENT", "etcdserver: user name is empty", STRANGER, BackendUnavailable),
    # refused for good
    ("INVALID_ARGUMENT", "etcdserver: authentication failed, invalid user ID", REFUSED, AuthenticationFailed),
    ("FAILED_PRECONDITION", "etcdserver: user name not found", REFUSED, AuthenticationFailed),
    ("UNAUTHENTICATED", "something else", REFUSED, AuthenticationFailed),
    ("PERMISSION_DENIED", "etcdserver: permission denied", REFUSED, PermissionDenied),
    ("OUT_OF_RANGE", "etcdserver: mvcc: required revision has been compacted", REFUSED, ResyncNeeded),
    ("OUT_OF_RANGE", "etcdserver: mvcc: required revision is a future revision", REFUSED, ResyncNeeded),
    ("INVALID_ARGUMENT", "etcdserver: request is too large", REFUSED, TooLarge),
    ("INVALID_ARGUMENT", "etcdserver: too many operations in txn request", REFUSED, TooLarge),
    ("RESOURCE_EXHAUSTED", "CLIENT: Received message larger than max (5000000 vs. 4194304)", REFUSED, TooLarge),
    ("RESOURCE_EXHAUSTED", "grpc: received message larger than max (3000000 vs. 2097152)", REFUSED, TooLarge),
    ("RESOURCE_EXHAUSTED", "etcdserver: mvcc: database space exceeded", REFUSED, BackendFailure),
    ("UNIMPLEMENTED", "unknown service etcdserverpb.KV", REFUSED, UnsupportedServer),
    ("INVALID_ARGUMENT", "etcdserver: duplicate key given in txn request", REFUSED, BackendFailure),
    ("FAILED_PRECONDITION", "etcdserver: authentication is not enabled", REFUSED, BackendFailure),
    ("NOT_FOUND", "etcdserver: requested lease not found", REFUSED, BackendFailure),
    ("OUT_OF_RANGE", "etcdserver: something", REFUSED, BackendFailure),
    # nobody can tell
    ("UNAVAILABLE", "Socket closed", UNKNOWN, OutcomeUnknown),
    ("UNAVAILABLE", "recvmsg:Connection reset by peer", UNKNOWN, OutcomeUnknown),
    ("UNAVAILABLE", "keepalive watchdog timeout", UNKNOWN, OutcomeUnknown),
    ("UNAVAILABLE", "ping timeout", UNKNOWN, OutcomeUnknown),
    ("UNAVAILABLE", "GOAWAY received", UNKNOWN, OutcomeUnknown),
    ("UNAVAILABLE", "etcdserver: request timed out", UNKNOWN, OutcomeUnknown),
    ("UNAVAILABLE", "etcdserver: request timed out, possibly due to previous leader failure", UNKNOWN, OutcomeUnknown),
    ("UNAVAILABLE", "etcdserver: request timed out, possibly due to connection lost", UNKNOWN, OutcomeUnknown),
    ("UNAVAILABLE", "etcdserver: leader changed", UNKNOWN, OutcomeUnknown),
    ("UNAVAILABLE", "etcdserver: server stopped", UNKNOWN, OutcomeUnknown),
    ("DEADLINE_EXCEEDED", "Deadline Exceeded", UNKNOWN, OutcomeUnknown),
    ("CANCELLED", "Channel closed!", UNKNOWN, OutcomeUnknown),
    ("INTERNAL", "Received RST_STREAM with error code 2", UNKNOWN, OutcomeUnknown),
    ("UNKNOWN", "Stream removed", UNKNOWN, OutcomeUnknown),
    ("RESOURCE_EXHAUSTED", "Bandwidth exhausted or memory limit exceeded", UNKNOWN, OutcomeUnknown),
    ("DATA_LOSS", "etcdserver: corrupt cluster", UNKNOWN, OutcomeUnknown),
    ("ABORTED", "", UNKNOWN, OutcomeUnknown),
]  # fmt: skip


class Failure(grpc.RpcError):
    """An error as a call raises it."""

    def __init__(self, code, details):
        super().__init__()
        self._code, self._details = grpc.StatusCode[code], details

    def code(self):
        """Return the status code."""
        return self._code

    def details(self):
        """Return its details."""
        return self._details


@pytest.mark.parametrize(("code", "details", "outcome", "error"), CELLS)
def test_every_cell(code, details, outcome, error):
    """Each error has its outcome; the error raised names what was asked, the endpoint, the code and the details."""
    verdict = judge(code, details)
    assert (verdict.outcome, verdict.error) == (outcome, error)
    failure = Failure(code, details)
    assert verdict_on(failure) is verdict
    written = translate(failure, "commit to namespace 'sales'", "h:1", write=True)
    assert type(written) is error
    assert str(written).startswith("cannot commit to namespace 'sales'")
    said = f"says {code}: {details}" if code != "DEADLINE_EXCEEDED" else "in time"
    assert "etcd at h:1 " + said in str(written)
    # A read changes nothing, so nothing about it is in doubt.
    assert type(translate(failure, "load", "h:1")) is (BackendUnavailable if outcome is UNKNOWN else error)


def test_every_row_is_used():
    """No row of the table hides behind another: each decides a cell above."""
    deciding = {id(verdict) for verdict in (judge(code, details) for code, details, *_ in CELLS)}
    assert {id(row.verdict) for row in TABLE} <= deciding


@pytest.mark.parametrize("details", [details for _, details, outcome, _ in CELLS if outcome is not UNKNOWN])
def test_details_alone_decide_nothing_about_a_lost_answer(details):
    """After a deadline nothing is known, whatever the details say about connections."""
    if judge("DEADLINE_EXCEEDED", details).outcome is NOT_DONE:
        pytest.fail(f"{details!r} after a deadline is not known to be undone")


def test_details_are_shortened():
    """A server's endless details do not fill the log."""
    assert len(str(translate(Failure("UNKNOWN", "x" * 10_000), "load", "h:1"))) < 500


def test_an_ipv6_address_is_shown_as_such():
    """An address of IPv6 stands in a message as a person writes it."""
    details = "failed to connect to all addresses; last error: UNKNOWN: ipv6:%5B::1%5D:2379: Connection refused"
    assert "[::1]:2379: Connection refused" in str(translate(Failure("UNAVAILABLE", details), "load", "[::1]:2379"))
