"""Talking to an ensemble: one kazoo client a process, every call within the credentials' timeout.

kazoo connects, goes on to the next host, keeps the session over lost connections and begins a new one only when the
server says that it has expired. It repeats nothing here: a request is handed to it when there is a connection, once.
A read of which nothing came back is asked again until its time is up; a write is not: OutcomeUnknown.
"""

from __future__ import annotations

import atexit
import contextlib
import copy
import os
import threading
import time
from collections.abc import Iterator
from typing import Any, Protocol

from kazoo.client import KazooClient
from kazoo.exceptions import (
    AuthFailedError,
    KazooException,
    SessionExpiredError,
    SessionMovedError,
    WriterNotClosedException,
)
from kazoo.handlers.threading import KazooTimeoutError
from kazoo.protocol.states import KeeperState
from kazoo.retry import KazooRetry
from kazoo.security import ACL, CREATOR_ALL_ACL, OPEN_ACL_UNSAFE

from confo import BackendUnavailable, Closed, ConfoError, OutcomeUnknown
from confo_zookeeper.credentials import Credentials
from confo_zookeeper.handler import Handler, log
from confo_zookeeper.outcome import Outcome, no_connection, translate, verdict_on
from confo_zookeeper.trail import Trail
from confo_zookeeper.wire import Answer, CatchUp, Pending, Request, Znode, submit

SESSION_SECONDS = 10.0
"""How long the ensemble keeps a session without hearing of it; a server that hangs is noticed after two thirds of it.
The server may answer with another number: 2 to 20 of its ticks."""
CONNECT_SECONDS = 3.0
"""How long one attempt to connect may take, so that the next host has its turn, and a close an end."""
GOODBYE_SECONDS = 1.0
"""How long a close waits for the server to answer it, before the connection is broken."""
ROUNDS = 2
"""Times that every host must have refused a connection before a call gives up early: a host may have two addresses."""


class Closable(Protocol):
    """What a session ends with itself."""

    def close(self) -> None:
        """End it, at once."""


class _Process:
    """What one process owns. A forked child makes its own: the parent's connection is not for it to use."""

    def __init__(self, credentials: Credentials) -> None:
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.client: KazooClient | None = None
        self.session_id = 0
        self.over: KazooClient | None = None
        """A client that has ended by itself: refused, or by a defect."""
        self.trails: dict[str, Trail] = {}
        self.owned: set[Closable] = set()
        self._credentials = credentials

    def start(self) -> KazooClient:
        """Begin to connect; returns at once."""
        given = self._credentials
        handler = Handler(given.tls, min(CONNECT_SECONDS, given.timeout), self.wake)
        auth = None if given.user is None else [("digest", f"{given.user}:{given.password}")]
        client = KazooClient(
            list(given.hosts),
            timeout=SESSION_SECONDS,
            handler=handler,
            auth_data=auth,
            logger=log,
            connection_retry=KazooRetry(max_tries=-1, delay=0.1, max_jitter=0.9, max_delay=1.0),
            command_retry=KazooRetry(max_tries=0),
        )
        client.add_listener(lambda _: self._note(client))
        client.start_async()
        return client

    def _note(self, client: KazooClient) -> None:
        if client.client_id is not None:
            self.session_id = client.client_id[0]
        if client.client_state in {KeeperState.AUTH_FAILED, KeeperState.CLOSED}:
            self.over = client
        self.wake()

    def wake(self) -> None:
        """Have those look again who wait for a connection."""
        with self.changed:
            self.changed.notify_all()


class _Common:
    """What a session and its branches know together."""

    def __init__(self) -> None:
        self.closed = False
        self.reads_many = True
        self.identity = ""


class Session:
    """An ensemble as seen from this process; every method may be called from any thread."""

    def __init__(self, credentials: Credentials) -> None:
        self.credentials = credentials
        self.where = ", ".join(credentials.hosts)
        # Who is known by a password owns what he creates; for anybody else there is nobody to own it.
        self.acl: list[ACL] = list(OPEN_ACL_UNSAFE if credentials.user is None else CREATOR_ALL_ACL)
        self._common = _Common()
        self._processes: dict[int, _Process] = {}
        self._called_off = False
        self._waited_for: Pending = None

    def branch(self) -> Session:
        """Return another way to the same session, for one thread at a time, whose calls can be called off."""
        return copy.copy(self)

    def call_off(self) -> None:
        """End the call of this branch that is under way, and all to come, with Closed; from any thread."""
        process = self._process()
        with process.changed:
            self._called_off = True
            process.changed.notify_all()
            if self._waited_for is not None:
                self._waited_for.set_exception(Closed("the watch is closed"))

    @property
    def reads_many(self) -> bool:
        """Tell whether the server reads many znodes in one request; found out when the store is opened."""
        return self._common.reads_many

    @reads_many.setter
    def reads_many(self, can: bool) -> None:
        self._common.reads_many = can

    # --- calls -----------------------------------------------------------------------------------

    def call(self, request: Request, asked: str, *, write: bool = False, fresh: bool = False) -> Answer:
        """Send a request and return its answer within the timeout; ``asked`` goes after "cannot".

        ``fresh``: as the leader has it now, not as the connected server last heard of it. A server that is cut off
        from the others may take itself for the leader for a moment, and answer (ZOOKEEPER-1675). Yet a session never
        goes back: what this process has seen or written is in what it reads also then.

        BackendUnavailable: surely nothing was done; OutcomeUnknown: nobody knows.
        """
        deadline = time.monotonic() + self.credentials.timeout
        while True:
            client = self._connected(asked, deadline)
            if fresh:  # one connection keeps the order, and if that is lost both are
                submit(client, CatchUp("/"))
            try:
                answer = self._get(submit(client, request), deadline - time.monotonic())
            except (KazooException, KazooTimeoutError) as error:
                self._heed(error)
                outcome = verdict_on(error).outcome
                lost = outcome is Outcome.UNKNOWN and not isinstance(error, KazooTimeoutError)
                if write or self.closed or not lost or time.monotonic() >= deadline:
                    raise self._explained(error, asked, write=write) from None
            else:
                return answer if isinstance(answer, Answer) else Answer(answer[0], answer[1:])

    def send(self, request: Request, asked: str) -> Pending:
        """Send a request without waiting, once there is a connection; for reads."""
        return submit(self.connect(asked), request)

    def wait(self, pending: Pending, asked: str) -> Answer:
        """Wait for an answer within the timeout; raises as ``call`` does, and asks nothing again."""
        try:
            answer: Answer = self._get(pending, self.credentials.timeout)
        except (KazooException, KazooTimeoutError) as error:
            self._heed(error)
            raise self._explained(error, asked) from None
        return answer

    def _get(self, pending: Pending, seconds: float) -> Any:
        with self._process().lock:
            self.check_open()
            self._waited_for = pending
        return pending.get(timeout=max(0.0, seconds))

    def _heed(self, error: Exception) -> None:
        """Break a connection on which the server does not know the session any more: kazoo would stay with it."""
        client = self._process().client
        if client is not None and type(error) in {SessionExpiredError, SessionMovedError}:
            client.handler.drop()

    def _explained(self, error: Exception, asked: str, *, write: bool = False) -> ConfoError:
        explained = translate(error, asked, self.where, write=write)
        if self.closed and not isinstance(explained, OutcomeUnknown):
            return Closed("the ZooKeeper backend was closed meanwhile")
        return explained

    def connect(self, asked: str) -> KazooClient:
        """Return the client once it has a connection, within the timeout."""
        return self._connected(asked, time.monotonic() + self.credentials.timeout)

    def _connected(self, asked: str, deadline: float) -> KazooClient:
        process = self._process()
        with process.changed:
            self.check_open()
            client = process.client = process.client or process.start()
            handler = client.handler
            most = ROUNDS * len(self.credentials.hosts)
            until = handler.failures + most
            while not (client.connected or process.over is client):
                if handler.failures >= until and handler.failures_in_a_row >= most:
                    break
                if not process.changed.wait(deadline - time.monotonic()):
                    break
                self.check_open()
            if client.connected:
                return client
            over = process.over is client
            if over:  # it does not try again by itself, and the next call makes another
                process.client = process.over = None
        if over:
            refused = client.client_state == KeeperState.AUTH_FAILED
            _end(client)
            if refused:
                raise translate(AuthFailedError(), asked, self.where)
        error = handler.last_error
        said, advice = no_connection(error, handler.attempts, handler.connections, tls=self.credentials.tls is not None)
        unavailable = BackendUnavailable(
            f"cannot {asked}: no connection to ZooKeeper at {self.where}{said and ': '}{said}; {advice}"
        )
        raise unavailable if error is None else unavailable.instead_of(error)

    def standing(self, seconds: float) -> int:
        """Wait for what becomes of a lost connection, so many seconds at most, and return the session that stands.

        0 if there is none: as soon as every host has refused a connection, this is closed, or the time is over.
        """
        process = self._process()
        with process.changed:
            handler = None if process.client is None else process.client.handler
            refused = 0 if handler is None else handler.failures + len(self.credentials.hosts)
            process.changed.wait_for(
                lambda: _standing(process.client) or self.closed or handler is None or handler.failures >= refused,
                seconds,
            )
            return _standing(process.client)

    @property
    def id(self) -> int:
        """The session that this process has, or had last; 0 before the first."""
        return self._process().session_id

    @property
    def identity(self) -> str:
        """What tells the store from another one: when its topmost znode was made; empty until that was seen."""
        return self._common.identity

    def identify(self, top: Znode | None) -> None:
        """Keep in mind the topmost znode. An ensemble has no name, and a copy of its data is the same store."""
        self._common.identity = "" if top is None else f"{top.stat.czxid:x}-{top.stat.ctime:x}"

    # --- what belongs to this process ------------------------------------------------------------

    @contextlib.contextmanager
    def trails(self) -> Iterator[dict[str, Trail]]:
        """Hand over what is known of the namespaces' past, by their names, to one thread at a time."""
        process = self._process()
        with process.lock:
            yield process.trails

    def own(self, thing: Closable) -> None:
        """Close this together with the session."""
        process = self._process()
        with process.lock:
            self.check_open()
            process.owned.add(thing)

    def disown(self, thing: Closable) -> None:
        """Forget a thing that was closed."""
        process = self._process()
        with process.lock:
            process.owned.discard(thing)

    def close(self) -> None:
        """End everything of this process: what it owns, calls under way, the session and the connection."""
        process = self._process()
        with process.changed:
            self._common.closed = True
            client, process.client = process.client, None
            owned, process.owned = list(process.owned), set()
            process.changed.notify_all()
        for thing in owned:
            thing.close()
        if client is not None:
            _end(client)

    @property
    def closed(self) -> bool:
        """Tell whether ``close`` was called, or this branch called off."""
        return self._common.closed or self._called_off

    def check_open(self) -> None:
        """Raise Closed if it is."""
        if self.closed:
            raise Closed("the ZooKeeper backend is closed" if self._common.closed else "the watch is closed")

    def _process(self) -> _Process:
        # setdefault is one step for other threads. The parent's entry stays, as its connection must neither be used
        # nor closed in a child.
        pid = os.getpid()
        found = self._processes.get(pid)
        if found is None:
            for inherited in list(self._processes.values()):
                if inherited.client is not None:  # kazoo would stop the parent's threads when the child exits
                    atexit.unregister(inherited.client.handler.stop)
            found = self._processes.setdefault(pid, _Process(self.credentials))
        return found


def _end(client: KazooClient) -> None:
    """Close the session, or without an answer the connection, and wait for kazoo's threads."""
    impatience = threading.Timer(GOODBYE_SECONDS, client.handler.hang_up)
    impatience.daemon = True
    impatience.start()
    try:
        with contextlib.suppress(WriterNotClosedException, OSError):
            client.stop()
    finally:
        impatience.cancel()
        impatience.join()
    client.close()


def _standing(client: KazooClient | None) -> int:
    """Return the session that a client has at the moment, 0 if it has none."""
    known = None if client is None else client.client_id
    return 0 if known is None else int(known[0])
