"""A watch: one stream on a channel of its own, from a revision on, until it breaks or is closed."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Iterator

import grpc

from confo import BackendUnavailable, Batch, Closed, ConfoError, PermissionDenied, Watch
from confo_etcd.connection import Connection
from confo_etcd.gate import gate
from confo_etcd.layout import past
from confo_etcd.outcome import Outcome, translate, verdict_on
from confo_etcd.position import Position
from confo_etcd.pulse import Pulse
from confo_etcd.schema import Message, schema
from confo_etcd.session import Session

# Seconds between requests for progress while nothing else comes. A server that is silent for three of them,
# though its answer is waited for, is given up; a hung one is found by the channel's pings before (9 seconds).
PROGRESS_PERIOD = 3.0
SILENT_PERIODS = 3
# The first of them may have begun before anything was asked.
ASKED_AND_SILENT = 2
# Seconds that a read may take which is asked where requests for progress are not answered.
READ_SECONDS = 3.0


class EtcdWatch(Watch):
    """The commits to a namespace after a revision; see ``confo.Watch`` for how it ends.

    It connects when it is first waited for. It uses no thread but those of its gRPC channel, which end
    with it.
    """

    def __init__(self, session: Session, namespace: str, marker: bytes, position: Position) -> None:
        self._session = session
        self._namespace = namespace
        self._marker = marker
        self._position = position
        self._asked = f"watch namespace {namespace!r}"
        self._endpoint = session.endpoint()
        self._pid = os.getpid()
        self._lock = threading.RLock()
        self._ended = threading.Event()
        self._closed = False
        self._failure: ConfoError | None = None
        self._connection: Connection | None = None
        self._stream: Message = None
        self._ready: deque[Batch] = deque()
        self._answers = 0
        self._waiting = False
        self._heard = 0.0
        self._silent = False
        self._mute = False
        self._pulse = Pulse(marker)
        session.own(self)

    def __repr__(self) -> str:
        """Show the namespace, the endpoint and how far it came."""
        state = "closed" if self._closed else "failed" if self._failure else "open"
        return f"<EtcdWatch of {self._namespace} at {self._endpoint}: {state}, revision {self._position.revision}>"

    def __next__(self) -> Batch:
        """Wait for the next commit; StopIteration once closed."""
        if self._pid != os.getpid():
            raise BackendUnavailable(f"cannot {self._asked}: the watch belongs to the process before the fork")
        while not self._closed and self._failure is None and not self._ready:
            try:
                self._ready.extend(self._advance())
            except ConfoError as error:
                self._fail(error)
        if self._closed or self._session.closed:
            raise StopIteration
        if self._ready:
            return self._ready.popleft()
        assert self._failure is not None  # noqa: S101 - the loop ends for no other reason
        raise self._failure

    def close(self) -> None:
        """End the stream and wake who waits in it; idempotent, at once, from any thread."""
        self._closed = True
        self._end()

    def _end(self) -> None:
        self._ended.set()  # gRPC's thread waits for this in _requests
        with self._lock:
            connection, self._connection, self._stream = self._connection, None, None
        # The parent's channel is not for a forked child to close.
        if connection is not None and self._pid == os.getpid():
            connection.close()
        self._session.disown(self)

    def _fail(self, error: ConfoError) -> None:
        self._failure = error
        if isinstance(error, BackendUnavailable) and not self._closed:
            self._session.failed(self._endpoint)
        self._end()

    # --- asking ----------------------------------------------------------------------------------

    def _advance(self) -> list[Batch]:
        """Wait for one answer of the server and return the commits that it completes."""
        stream, connection = self._stream, self._connection
        if stream is None or connection is None:
            stream, connection = self._start()
        self._waiting = True
        with gate:  # a fork under way: wait for its end before going into gRPC
            pass
        try:
            answer = next(stream)
        except StopIteration:
            raise BackendUnavailable(f"cannot {self._asked}: etcd at {self._endpoint} ended the stream") from None
        except grpc.RpcError as error:
            if connection.suspended:
                return self._begin_again()
            raise self._broken(error) from None
        finally:
            self._waiting = False
            self._answers += 1
            self._heard = time.monotonic()
        position = self._position
        if not self._pulse.is_main(answer):
            return self._of_another_watch(answer)
        if not (answer.created or answer.events):
            self._mute = False
        try:
            position.check_alive(answer)
        except PermissionDenied:
            # Up to 3.4 etcd says the same of an expired token. A read renews it, or is refused as well.
            self._present()
            raise BackendUnavailable(f"cannot {self._asked}: etcd at {self._endpoint} dropped the token") from None
        position.check_cluster(answer.header)
        if answer.header.revision < position.revision:
            # A store that was set back, or a member that lags: only a quorum knows.
            position.check_present(self._present())
        return position.take(answer)

    def _of_another_watch(self, answer: Message) -> list[Batch]:
        """Take a sign of life; one that is refused has a token that was good when the stream began."""
        if answer.created and answer.canceled:
            return self._begin_again()
        return [Batch(self._position.revision, {})]

    def _begin_again(self) -> list[Batch]:
        """Let go of a stream that a fork of this process ended, or a token's end; the next one goes on from here."""
        self._ended.set()
        with self._lock:
            connection, self._connection, self._stream = self._connection, None, None
        if connection is not None:
            connection.close()
        if not self._closed:
            self._ended = threading.Event()
        return []

    def _start(self) -> tuple[Message, Connection]:
        """Open the stream: a read on the same channel comes first.

        It shows that the endpoint has a quorum, that the token is good and the user may read, and where
        the store stands; on a watch stream etcd would tell none of this, or tell it late.
        """
        connection = Connection(self._endpoint, self._session.credentials)
        with self._lock:
            self._connection = connection
        if self._closed:  # close() came first and saw no connection to close
            self._end()
            raise Closed("the watch is closed")
        self._position.check_present(self._session.ask(connection, "Range", self._probe(), self._asked).header)
        self._position.version = connection.version or ()
        until = time.monotonic() + self._session.credentials.timeout
        metadata = self._session.introduce(connection, self._asked, until)
        self._pulse = pulse = Pulse(self._marker)
        stream = connection.watch(self._requests(self._ended, connection, pulse), metadata)
        self._heard = time.monotonic()
        with self._lock:
            self._stream = stream
        return stream, connection

    def _requests(self, ended: threading.Event, connection: Connection, pulse: Pulse) -> Iterator[Message]:
        """Yield what the server is sent; gRPC runs this in a thread of its own, which ends with it.

        Silence counts only while somebody waits for an answer: who is slow to ask for the next one
        leaves answers unread, and the server is not to blame for that. Where requests for progress are not
        answered, a read and a second watch are; the read alone would not show that this stream works.
        """
        wire = schema()
        yield wire.WatchRequest(
            create_request=wire.WatchCreateRequest(
                key=self._marker,
                range_end=past(self._marker),
                start_revision=self._position.revision + 1,
                progress_notify=True,
                fragment=True,
            )
        )
        silent, seen = 0, self._answers
        while not ended.wait(PROGRESS_PERIOD):
            silent = silent + 1 if self._waiting and self._answers == seen else 0
            seen = self._answers
            self._mute = self._mute or silent == ASKED_AND_SILENT
            if silent > SILENT_PERIODS or (self._mute and not self._reads(connection)):
                if not ended.is_set():
                    self._give_up()
                return
            if self._mute:
                yield from pulse.requests()
            else:
                yield wire.WatchRequest(progress_request=wire.WatchProgressRequest())

    def _reads(self, connection: Connection) -> bool:
        """Tell whether the server, asked on the stream's own channel, answers a read that a quorum agrees on."""
        try:
            self._session.ask(connection, "Range", self._probe(), self._asked, seconds=READ_SECONDS)
        except ConfoError:
            return False
        return True

    def _give_up(self) -> None:
        stream, self._silent = self._stream, True
        if stream is not None:
            stream.cancel()

    def _present(self) -> Message:
        """Return the header of a read that a quorum agrees on."""
        return self._session.call("Range", self._probe(), self._asked).header

    def _probe(self) -> Message:
        return schema().RangeRequest(key=self._marker, range_end=past(self._marker), limit=1, keys_only=True)

    def _broken(self, error: grpc.RpcError) -> ConfoError:
        if verdict_on(error).outcome is Outcome.STRANGER:
            self._session.drop_token()
        if self._silent:
            return BackendUnavailable(
                f"cannot {self._asked}: etcd at {self._endpoint} was silent for "
                f"{time.monotonic() - self._heard:.1f} seconds"
            )
        return translate(error, self._asked, self._endpoint)
