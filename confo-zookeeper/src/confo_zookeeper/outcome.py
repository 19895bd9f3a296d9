"""What an error of kazoo or ZooKeeper means: one table from the error to what may be done next.

The question that decides is whether the request can have taken effect. Only the server's own refusals tell that it
did not; whatever is not in the table is of unknown outcome, a lost connection and a timeout first of all.
Source: KeeperException.Code of ZooKeeper, and faults seen in tests.
"""

from __future__ import annotations

import ssl
from enum import Enum
from typing import NamedTuple

from kazoo import exceptions as kazoo
from kazoo.handlers.threading import KazooTimeoutError

from confo import (
    AuthenticationFailed,
    BackendFailure,
    BackendUnavailable,
    ConfoError,
    NamespaceNotFound,
    OutcomeUnknown,
    PermissionDenied,
    UnsupportedServer,
)


class Outcome(Enum):
    """What became of a request that ended in an error."""

    NOT_DONE = "surely not done, and it may be done later"
    REFUSED = "refused for good"
    UNKNOWN = "done or not, nobody here can tell"


class Verdict(NamedTuple):
    """An outcome, the error that the caller gets, and what to do about it."""

    outcome: Outcome
    error: type[ConfoError]
    advice: str = ""


_NOT_DONE = Verdict(Outcome.NOT_DONE, BackendUnavailable)
_UNKNOWN = Verdict(Outcome.UNKNOWN, OutcomeUnknown)


def _refused(error: type[ConfoError], advice: str = "") -> Verdict:
    return Verdict(Outcome.REFUSED, error, advice)


TABLE: dict[type[Exception], Verdict] = {
    # Refused before it was looked at.
    kazoo.SessionMovedError: _NOT_DONE,
    kazoo.NotReadOnlyCallError: _NOT_DONE,
    kazoo.ThrottledOpError: _NOT_DONE,
    kazoo.AuthFailedError: _refused(AuthenticationFailed, "the server does not accept who this client says it is"),
    kazoo.SessionClosedRequireSaslError: _refused(
        AuthenticationFailed, "the server wants SASL, which is not supported"
    ),
    kazoo.NoAuthError: _refused(
        PermissionDenied, "check the user and the password, and the ACL of the znode: ZooKeeper takes any password"
    ),
    kazoo.InvalidACLError: _refused(PermissionDenied, "the server does not know this user, and so no ACL can name it"),
    kazoo.UnimplementedError: _refused(UnsupportedServer, "is this ZooKeeper 3.5 or later?"),
    kazoo.NoNodeError: _refused(NamespaceNotFound),
    kazoo.NodeExistsError: _refused(BackendFailure, "is another program writing there?"),
    kazoo.BadVersionError: _refused(BackendFailure, "is another program writing there?"),
    kazoo.NotEmptyError: _refused(BackendFailure, "there are znodes below it, which are not Confo's to delete"),
    kazoo.QuotaExceededError: _refused(BackendFailure, "the quota of this part of the store is used up"),
    kazoo.BadArgumentsError: _refused(BackendFailure),
    kazoo.NoChildrenForEphemeralsError: _refused(BackendFailure, "the namespace's znode is an ephemeral one"),
}
"""Not in it: ConnectionLoss, timeouts, SessionExpired (kazoo says it also of requests that were sent), and the rest."""


def verdict_on(error: Exception) -> Verdict:
    """Return what this error means."""
    return TABLE.get(type(error), _UNKNOWN)


def translate(error: Exception, asked: str, where: str, *, write: bool = False) -> ConfoError:
    """Return the error to raise in place of this one; ``asked`` goes after "cannot".

    A read of unknown outcome is BackendUnavailable, as nothing can have happened; a write OutcomeUnknown.
    """
    verdict = verdict_on(error)
    kind = verdict.error
    if verdict.outcome is Outcome.UNKNOWN and not write:
        kind = BackendUnavailable
    advice = f"; {verdict.advice}" if verdict.advice else ""
    doubt = ": it may or may not have happened" if kind is OutcomeUnknown else ": nothing was written" if write else ""
    said = "no answer in time" if isinstance(error, KazooTimeoutError) else type(error).__name__
    return kind(f"cannot {asked}{doubt} (ZooKeeper at {where}: {said}){advice}").instead_of(error)


def no_connection(error: OSError | None, attempts: int, connections: int, *, tls: bool) -> tuple[str, str]:
    """Return what is to be said of a server that gave no session, and what to look at.

    ``error`` is the last one of connecting, ``attempts`` is how many there were, ``connections`` how many were made.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message, (
            "the server's certificate is not from the authority in \"ca_cert\", or is for another name than the host's"
        )
    if isinstance(error, ssl.SSLError):
        reason = (getattr(error, "reason", None) or "").replace("_", " ").lower()
        return reason or "TLS failed", (
            'does that port speak TLS? It is the server\'s secureClientPort; leave "ca_cert" out for the plain one'
        )
    if isinstance(error, TimeoutError) or (error is None and attempts and not connections):
        return "no answer in time", "is the host right, and does a firewall stand between?"
    if error is not None:
        return error.strerror or type(error).__name__, "is it running, and can this machine reach it?"
    if not attempts:
        return "its name could not be looked up", "is the host's name spelt right, and does this machine know it?"
    if tls:
        return "it took the connection and gave no session", (
            "is it ZooKeeper with TLS, and does it want a client's certificate that its authority signed "
            '("cert_cert", "cert_key")?'
        )
    return "it took the connection and gave no session", (
        'is it ZooKeeper, does it serve (has a quorum), and does that port want TLS (give "ca_cert")?'
    )
