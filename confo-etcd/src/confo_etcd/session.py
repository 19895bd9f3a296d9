"""Talking to a cluster: which endpoint, as whom, until when.

A session owns the channels of its process. It goes on to the next endpoint only when that is right: a read
always may, a write only if it surely was not done. It authenticates, sends the token itself (gRPC refuses
call credentials on a plaintext channel), and authenticates again, once, when the server drops the token.
"""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Protocol

import grpc

from confo import AuthenticationFailed, BackendUnavailable, Closed, ConfoError, OutcomeUnknown, UnsupportedServer
from confo_etcd.connection import Connection, Metadata, Version
from confo_etcd.credentials import Credentials
from confo_etcd.outcome import Outcome, translate, verdict_on
from confo_etcd.schema import Message, schema

log = logging.getLogger("confo")

# etcd 3.4 is the first with fragments and with progress on request.
OLDEST: Version = (3, 4, 0)
# A member that has no leader answers at once that it has none, and does not wait for one.
_HAS_LEADER = (("hasleader", "true"),)


class Closable(Protocol):
    """What a session ends with itself."""

    def close(self) -> None:
        """End it, at once."""


class _Process:
    """What one process owns. A forked child makes its own: gRPC channels do not survive a fork."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.connections: dict[str, Connection] = {}
        self.owned: set[Closable] = set()
        self.token: str | None = None


class Session:
    """A cluster as seen from this process; every method may be called from any thread."""

    def __init__(self, credentials: Credentials) -> None:
        self.credentials = credentials
        self.endpoints = credentials.endpoints
        self._turn = 0
        self._closed = False
        self._warned = False
        self._processes: dict[int, _Process] = {}

    # --- whom to ask -----------------------------------------------------------------------------

    def endpoint(self) -> str:
        """Return the endpoint whose turn it is."""
        return self.endpoints[self._turn % len(self.endpoints)]

    def failed(self, endpoint: str) -> None:
        """Give the turn to the next endpoint, if this one has it; what was known of its server is void."""
        connection = self._process().connections.get(endpoint)
        if connection is not None:
            connection.version = None
        turn = self._turn
        if self.endpoints[turn % len(self.endpoints)] == endpoint:
            self._turn = turn + 1

    def call(self, method: str, request: Message, asked: str, *, write: bool = False) -> Message:
        """Call a method within the credentials' timeout and return its answer; ``asked`` goes after "cannot".

        A read of which nothing is known goes to the next endpoint, a write does not: OutcomeUnknown.
        """
        deadline = time.monotonic() + self.credentials.timeout
        last: ConfoError | None = None
        for endpoint, until in self._turns(deadline):
            connection = self._connection(endpoint)
            try:
                return self._exchange(connection, method, request, asked, until, deadline, write=write)
            except BackendUnavailable as error:
                last = error
                self._check_open(error)
                self.failed(endpoint)
            except OutcomeUnknown:
                self.failed(endpoint)  # the core repeats it: not where it was lost
                raise
        if len(self.endpoints) == 1 and last is not None:
            raise last
        raise BackendUnavailable(
            f"cannot {asked}: no answer from etcd at {', '.join(self.endpoints)} "
            f"within {self.credentials.timeout:g} seconds; the last error: {last}"
        ) from None

    def ask(
        self, connection: Connection, method: str, request: Message, asked: str, *, seconds: float | None = None
    ) -> Message:
        """Read something from one server, on a channel of the caller's, within the timeout or fewer ``seconds``."""
        timeout = self.credentials.timeout
        deadline = time.monotonic() + (timeout if seconds is None else min(seconds, timeout))
        return self._exchange(connection, method, request, asked, deadline, deadline, write=False)

    def later(self, method: str, request: Message, asked: str) -> Callable[[], Message]:
        """Return what calls the method, as ``call`` does, when it is called."""
        return partial(self.call, method, request, asked)

    def ahead(self, method: str, request: Message, asked: str) -> Callable[[], Message]:
        """Send a read now and return what waits for its answer; if it fails, that asks again, as ``call`` does."""
        again = self.later(method, request, asked)
        until = time.monotonic() + self.credentials.timeout
        try:
            connection = self._connection(self.endpoint())
            metadata = self.introduce(connection, asked, until)
            sent = connection.send(method, request, until - time.monotonic(), metadata)
        except BackendUnavailable:
            return again

        def wait() -> Message:
            try:
                return sent.result()
            except (grpc.RpcError, grpc.FutureCancelledError):
                return again()

        return wait

    def _turns(self, deadline: float) -> Iterator[tuple[str, float]]:
        """Yield endpoints and until when each may take, in the monotonic clock's seconds.

        Those not tried yet share what is left, so that a hung one leaves time for the others. The first
        comes again at the end: its connection may merely have died of old age.
        """
        count, start = len(self.endpoints), self._turn
        for n in range(count + 1):
            left = deadline - time.monotonic()
            if left <= 0:
                return
            yield self.endpoints[(start + n) % count], deadline - left + left / max(1, count - n)

    def _exchange(
        self,
        connection: Connection,
        method: str,
        request: Message,
        asked: str,
        until: float,
        deadline: float,
        *,
        write: bool,
    ) -> Message:
        """Ask one endpoint. BackendUnavailable means that the next may be asked."""
        metadata = self.introduce(connection, asked, until)
        # Once a write is on its way no other endpoint gets it, so it may have all the time that is left.
        until = deadline if write else until
        try:
            return connection.call(method, request, until - time.monotonic(), metadata)
        except grpc.RpcError as error:
            if verdict_on(error).outcome is not Outcome.STRANGER:
                raise self._explained(error, asked, connection, write=write) from None
        metadata = self.introduce(connection, asked, until, refused=metadata)
        try:
            return connection.call(method, request, until - time.monotonic(), metadata)
        except grpc.RpcError as error:
            raise self._explained(error, asked, connection, write=write) from None

    def _explained(
        self, error: grpc.RpcError, asked: str, connection: Connection, *, write: bool = False
    ) -> ConfoError:
        seconds = self.credentials.timeout
        explained = translate(error, asked, connection.endpoint, write=write, seconds=seconds)
        if self._closed and not isinstance(explained, OutcomeUnknown):
            return Closed("the etcd backend was closed meanwhile")
        return explained

    # --- as whom ---------------------------------------------------------------------------------

    def introduce(
        self, connection: Connection, asked: str, until: float, *, refused: Metadata | None = None
    ) -> Metadata:
        """Return the metadata that calls on this connection carry; nothing that it does changes the store.

        Asks for the server's version if that is not known, and authenticates if there is no token yet or
        the one in ``refused`` was not accepted. A connection that comes through here is one that works,
        which is how a write on a dead endpoint is known not to have been sent.
        """
        process, user = self._process(), self.credentials.user
        try:
            if connection.version is None:
                connection.version = self._version(connection, asked, until)
            token = process.token
            if refused is not None and user is None:
                raise AuthenticationFailed(
                    f'cannot {asked}: etcd at {connection.endpoint} asks who it is: give "user" and "password"'
                )
            if user is not None and (token is None or refused == _metadata(token)):
                token = process.token = self._authenticate(connection, until)
        except grpc.RpcError as error:
            raise self._explained(error, asked, connection) from None
        return _metadata(token)

    def drop_token(self) -> None:
        """Authenticate anew at the next call."""
        self._process().token = None

    def _version(self, connection: Connection, asked: str, until: float) -> Version:
        answer = connection.call("Status", schema().StatusRequest(), until - time.monotonic(), _HAS_LEADER)
        version = parse_version(answer.version)
        if version < OLDEST:
            raise UnsupportedServer(
                f"cannot {asked}: etcd at {connection.endpoint} is version {answer.version or 'unknown'}, "
                f"and confo-etcd needs {'.'.join(map(str, OLDEST))} or later"
            )
        return version

    def _authenticate(self, connection: Connection, until: float) -> str:
        """Return a new token; an empty one if the server has authentication switched off, until it demands one."""
        request = schema().AuthenticateRequest(name=self.credentials.user, password=self.credentials.password)
        try:
            answer = connection.call("Authenticate", request, until - time.monotonic(), _HAS_LEADER)
        except grpc.RpcError as error:
            # Also after a token was refused: where authentication was switched off, an old one is not accepted.
            if "authentication is not enabled" in str(error):
                self._warn_once(connection)
                return ""
            raise
        self._warned = False
        return str(answer.token)

    def _warn_once(self, connection: Connection) -> None:
        """Say that the credentials protect nothing: whoever reaches the server may do everything."""
        if not self._warned:
            self._warned = True
            log.warning(
                "etcd at %s does not check users (its authentication is not enabled): the credentials "
                '"user" and "password" have no effect',
                connection.endpoint,
            )

    # --- what belongs to this process ------------------------------------------------------------

    def own(self, thing: Closable) -> None:
        """Close this together with the session."""
        process = self._process()
        with process.lock:
            self._check_open()
            process.owned.add(thing)

    def disown(self, thing: Closable) -> None:
        """Forget a thing that was closed."""
        process = self._process()
        with process.lock:
            process.owned.discard(thing)

    def close(self) -> None:
        """End everything of this process: calls under way, what it owns, and the channels."""
        self._closed = True
        process = self._process()
        with process.lock:
            closing = [*process.owned, *process.connections.values()]
            process.owned.clear()
            process.connections.clear()
        for thing in closing:
            thing.close()

    @property
    def closed(self) -> bool:
        """Tell whether ``close`` was called."""
        return self._closed

    def _process(self) -> _Process:
        # setdefault is one step for other threads. The parent's entry stays, as its channels must neither
        # be used nor destroyed in a child.
        pid = os.getpid()
        return self._processes.get(pid) or self._processes.setdefault(pid, _Process())

    def _connection(self, endpoint: str) -> Connection:
        process = self._process()
        with process.lock:
            self._check_open()
            connection = process.connections.get(endpoint)
            if connection is None:
                connection = process.connections[endpoint] = Connection(endpoint, self.credentials)
            return connection

    def _check_open(self, cause: Exception | None = None) -> None:
        if self._closed:
            raise Closed("the etcd backend is closed") from cause


def _metadata(token: str | None) -> Metadata:
    return (*_HAS_LEADER, ("token", token)) if token else _HAS_LEADER


def parse_version(text: str) -> Version:
    """Return the numbers of a version such as "3.5.1" or "3.6.0-rc.1"; a text without any is version 0."""
    found = re.match(r"(\d+)\.(\d+)\.(\d+)", text)
    return tuple(map(int, found.groups())) if found else (0,)
