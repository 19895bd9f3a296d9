"""How kazoo runs here: events in the order in which they came, connections of our own making, quiet logs.

kazoo takes a handler for its threads, sockets and callbacks. This one differs from its threading handler in four
points, each of which a promise rests on.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
import threading
from collections.abc import Callable
from typing import Any

from kazoo.handlers.threading import SequentialThreadingHandler
from kazoo.protocol.states import Callback

log = logging.getLogger("confo.zookeeper")
"""What kazoo says of connections. Below INFO it writes requests and answers, values and passwords included: they are
dropped, whatever level anybody sets."""
log.addFilter(lambda record: record.levelno >= logging.INFO)


class Handler(SequentialThreadingHandler):  # type: ignore[misc] # kazoo has no types
    """One for each client. ``connect_seconds`` bounds one attempt to connect; ``changed`` is called at every turn."""

    def __init__(self, tls: ssl.SSLContext | None, connect_seconds: float, changed: Callable[[], None]) -> None:
        super().__init__()
        self.failures = self.failures_in_a_row = 0
        """Attempts to connect that failed, in all and since one came about."""
        self.last_error: OSError | None = None
        self.attempts = self.connections = 0
        """How often a connection was tried, and how often there was one. Where none was tried, no name was known."""
        self._tls, self._seconds, self._changed = tls, connect_seconds, changed
        self._socket: socket.socket | None = None
        self._lock = threading.Lock()
        self._hung_up = False

    def dispatch_callback(self, callback: Callback) -> None:
        """Call a watcher at once, in the thread that reads the connection.

        An event comes before the answer that shows its change. By kazoo's queue and second thread, who waits for that
        answer could have it first. Our watchers never wait.
        """
        callback.func(*callback.args)

    def select(self, *args: Any, **options: Any) -> Any:
        """Wait for a socket; one whose TLS layer has bytes left is ready, which the system cannot know.

        Without it, answers that came in one TLS record lie there until the next event or ping.
        """
        holding = [one for one in args[0] if isinstance(one, ssl.SSLSocket) and one.pending()]
        return (holding, [], []) if holding else super().select(*args, **options)

    def create_connection(
        self, address: tuple[str, int], hostname: str | None = None, timeout: float | None = None, **_: Any
    ) -> socket.socket:
        """Connect, and prove the server's name. kazoo would trust the system's authorities too, and any name."""
        seconds = self._seconds if timeout is None else min(timeout, self._seconds)
        made: socket.socket | None = None
        self.attempts += 1
        try:
            made = socket.create_connection(address, seconds)
            self.connections += 1
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is not None:
                made = self._tls.wrap_socket(made, server_hostname=hostname)
            self._keep(made)
            self.failures_in_a_row = 0
        except OSError as error:
            if made is not None:
                made.close()
            self.failures, self.failures_in_a_row = self.failures + 1, self.failures_in_a_row + 1
            self.last_error = error
            self._changed()
            raise
        return made

    def hang_up(self) -> None:
        """Break the connection, now and whenever kazoo makes another: for a client that does not come to its end."""
        self._hung_up = True
        self.drop()

    def drop(self) -> None:
        """Break the connection; kazoo makes another."""
        with self._lock:
            if self._socket is not None:
                with contextlib.suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)

    def _keep(self, made: socket.socket) -> None:
        with self._lock:
            if self._hung_up:
                raise ConnectionAbortedError("this client is closed")
            self._socket = made
