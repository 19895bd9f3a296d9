"""What an error of gRPC or etcd means: one table from code and details to what may be done next.

The question that decides is whether the request can have taken effect. Only etcd's or gRPC's own words
tell that a request was never sent or was refused; whatever is not in the table is of unknown outcome.
Sources: etcd's api/v3rpc/rpctypes/error.go for the wording, gRPC's status codes, and faults seen in tests.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from enum import Enum
from typing import Any, NamedTuple

import grpc

from confo import (
    AuthenticationFailed,
    BackendFailure,
    BackendUnavailable,
    ConfoError,
    OutcomeUnknown,
    PermissionDenied,
    ResyncNeeded,
    TooLarge,
    UnsupportedServer,
)


class Outcome(Enum):
    """What became of a request that ended in an error."""

    NOT_DONE = "surely not done, and another endpoint may do it"
    STRANGER = "refused as the token is not accepted: authenticate and repeat"
    REFUSED = "refused for good"
    UNKNOWN = "done or not, nobody here can tell"


class Verdict(NamedTuple):
    """An outcome, the error that the caller gets, and what to do about it."""

    outcome: Outcome
    error: type[ConfoError]
    advice: str = ""


class _Row(NamedTuple):
    code: str  # a regular expression for the status code's name
    details: str  # and one for its details, not minding case
    verdict: Verdict


def _refused(error: type[ConfoError], advice: str = "") -> Verdict:
    return Verdict(Outcome.REFUSED, error, advice)


_NOT_DONE = Verdict(Outcome.NOT_DONE, BackendUnavailable)
_NOBODY_THERE = Verdict(Outcome.NOT_DONE, BackendUnavailable, "is it running, and can this machine reach it?")
_NO_SUCH_NAME = Verdict(
    Outcome.NOT_DONE, BackendUnavailable, "is the host's name spelt right, and does this machine know it?"
)
_NO_TLS = Verdict(
    Outcome.NOT_DONE,
    BackendUnavailable,
    'does that port speak TLS? Leave "ca_cert" out, or take the port that does',
)
_WRONG_SERVER = Verdict(
    Outcome.NOT_DONE,
    BackendUnavailable,
    "the server's certificate is not from the authority in \"ca_cert\", or is for another name than the host's",
)
_WRONG_CLIENT = Verdict(
    Outcome.NOT_DONE,
    BackendUnavailable,
    'the server does not accept the client\'s certificate: give "cert_cert" and "cert_key" that its authority signed',
)
_NO_ETCD = Verdict(Outcome.NOT_DONE, BackendUnavailable, "what listens there is no etcd: is it the client port?")
_HUNG_UP = Verdict(
    Outcome.NOT_DONE, BackendUnavailable, 'it closed the connection: is it etcd, and does it want TLS (give "ca_cert")?'
)
_STRANGER = Verdict(Outcome.STRANGER, BackendUnavailable, "etcd does not accept the token it gave out just before")

# The first row that fits counts.
TABLE: tuple[_Row, ...] = (
    # gRPC fails a call at once while it has no connection: such a request never left. Why there is none, first.
    _Row("UNAVAILABLE", "dns resolution|errors resolving|domain name not found|address lookup failed", _NO_SUCH_NAME),
    _Row("UNAVAILABLE", "failed to connect.*(wrong_version_number|handshake read failed)", _NO_TLS),
    _Row("UNAVAILABLE", "failed to connect.*(certificate_verify_failed|verification check failed)", _WRONG_SERVER),
    _Row("UNAVAILABLE", "failed to connect.*(alert_|certificate_required)", _WRONG_CLIENT),
    _Row("UNAVAILABLE", "failed to connect.*(parsing http/2|settings frame)", _NO_ETCD),
    _Row("UNAVAILABLE", "failed to connect.*socket closed", _HUNG_UP),
    _Row("UNAVAILABLE", "failed to connect|connections to all backends failing", _NOBODY_THERE),
    _Row("UNAVAILABLE", "(dns|name|address).*resol|connection refused|empty address list", _NOBODY_THERE),
    # With metadata "hasleader" a member without a leader refuses before it looks at the request.
    _Row("UNAVAILABLE", "etcdserver: no leader", _NOT_DONE),
    _Row("RESOURCE_EXHAUSTED", "too many requests", _NOT_DONE),
    _Row(".*", "invalid auth token|revision of auth store is old|user name is empty", _STRANGER),
    _Row(
        ".*",
        "authentication failed|user name not found",
        _refused(AuthenticationFailed, 'check the credentials "user" and "password"'),
    ),
    _Row("PERMISSION_DENIED", "", _refused(PermissionDenied)),
    _Row(
        "OUT_OF_RANGE",
        "required revision (has been compacted|is a future revision)",
        _refused(ResyncNeeded, "load the namespace anew"),
    ),
    _Row(".*", "request is too large|message larger than max", _refused(TooLarge)),
    _Row(".*", "too many operations in txn", _refused(TooLarge)),
    _Row(
        "RESOURCE_EXHAUSTED",
        "database space exceeded",
        _refused(BackendFailure, "the store is full: compact and defragment it, then disarm its alarm"),
    ),
    _Row("UNIMPLEMENTED", "", _refused(UnsupportedServer, "is this an etcd server, 3.4 or later?")),
    _Row("UNAUTHENTICATED", "", _refused(AuthenticationFailed)),
    _Row("INVALID_ARGUMENT|FAILED_PRECONDITION|NOT_FOUND|OUT_OF_RANGE", "", _refused(BackendFailure)),
)
_UNKNOWN = Verdict(Outcome.UNKNOWN, OutcomeUnknown)
_SILENT = Verdict(Outcome.UNKNOWN, OutcomeUnknown, "is it etcd, is it overloaded, and does a firewall stand between?")


def judge(code: str, details: str) -> Verdict:
    """Return what an error with this status code (its name) and details means."""
    for row in TABLE:
        if re.fullmatch(row.code, code) and re.search(row.details, details, re.IGNORECASE):
            return row.verdict
    return _SILENT if code == "DEADLINE_EXCEEDED" else _UNKNOWN


def verdict_on(error: grpc.RpcError) -> Verdict:
    """Return what this error of gRPC means."""
    return judge(*_words(error))


def translate(
    error: grpc.RpcError, asked: str, endpoint: str, *, write: bool = False, seconds: float | None = None
) -> ConfoError:
    """Return the error to raise in place of this one; ``asked`` goes after "cannot", ``seconds`` were there to wait.

    A read of unknown outcome is BackendUnavailable, as nothing can have happened; a write OutcomeUnknown.
    """
    code, details = _words(error)
    verdict = judge(code, details)
    kind = verdict.error
    if verdict.outcome is Outcome.UNKNOWN and not write:
        kind = BackendUnavailable
    advice = f"; {verdict.advice}" if verdict.advice else ""
    doubt = ": it may or may not have happened" if kind is OutcomeUnknown else ""
    # Details are the server's or gRPC's words on the call; what was sent is not in them.
    said = f"etcd at {endpoint} says {code}: {details[:300]}"
    if code == "DEADLINE_EXCEEDED":
        said = f"no answer from etcd at {endpoint} in time" + (f", {seconds:g} seconds" if seconds else "")
    return kind(f"cannot {asked}{doubt} ({said}){advice}").instead_of(error)


@contextlib.contextmanager
def needing(needs: str) -> Iterator[None]:
    """Say what a refused user needs, where that is a matter of roles."""
    try:
        yield
    except PermissionDenied as error:
        if type(error) is PermissionDenied:
            error.args = (f"{error}; {needs}",)
        raise


def _words(error: grpc.RpcError) -> tuple[str, str]:
    # What a call raises is a grpc.Call as well, which has these; the class itself does not say so.
    call: Any = error
    details: str = call.details() or ""
    return call.code().name, details.replace("%5B", "[").replace("%5D", "]")  # as gRPC writes an IPv6 address
