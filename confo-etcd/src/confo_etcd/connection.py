"""One gRPC channel to one endpoint: plain calls in, messages or gRPC's own errors out."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Final

import grpc

from confo import Closed
from confo_etcd import green
from confo_etcd.credentials import Credentials
from confo_etcd.gate import gate
from confo_etcd.schema import Message, schema

Metadata = tuple[tuple[str, str], ...]
Version = tuple[int, ...]

# The method's path is what goes over the wire; the names of our message classes do not.
METHODS: Final = {
    "Range": "KV/Range",
    "Txn": "KV/Txn",
    "DeleteRange": "KV/DeleteRange",
    "Authenticate": "Auth/Authenticate",
    "Status": "Maintenance/Status",
}
# The largest answer of a ``read``: 128 values of 1.5 MiB each, and their keys.
MAX_RECEIVE = 256 * 1024 * 1024


def channel_options(timeout: float) -> list[tuple[str, int]]:
    """Return gRPC's options for a channel; ``timeout`` is in seconds, theirs are in milliseconds."""
    return [
        # A channel's connection is its own: the watch must not starve behind a large load (etcd #15402).
        ("grpc.use_local_subchannel_pool", 1),
        # A configuration store is not reached through the web proxy that an environment variable names.
        ("grpc.enable_http_proxy", 0),
        ("grpc.max_receive_message_length", MAX_RECEIVE),
        ("grpc.max_send_message_length", -1),  # what etcd takes is checked before, with a better message
        # A hung server is noticed after 6 + 3 seconds. It is ping_timeout that notices (keepalive_timeout
        # does not), and a period of less than 5 seconds makes the server close the connection.
        ("grpc.keepalive_time_ms", 6_000),
        ("grpc.http2.ping_timeout_ms", 3_000),
        ("grpc.http2.max_pings_without_data", 0),
        # The core waits with jitter between attempts; gRPC's own pause (120 s at most) would hide a server
        # that is back. The minimum is also how long one connection attempt may take.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 1_000),
        ("grpc.min_reconnect_backoff_ms", max(1_000, int(timeout * 1_000))),
    ]


class Connection:
    """A channel and what is known of the server behind it: ``version`` is None until it was asked.

    The channel is made at the first use, and again at the first use after a fork closed it; ``suspended`` tells
    whether one did.
    """

    def __init__(self, endpoint: str, credentials: Credentials) -> None:
        self.endpoint = endpoint
        self.version: Version | None = None
        self.suspended = False
        self._credentials = credentials
        self._channel: grpc.Channel | None = None
        self._methods: dict[str, Message] = {}
        self._closed = False
        self._lock = threading.RLock()
        gate.guard(self)

    def call(self, method: str, request: Message, timeout: float, metadata: Metadata) -> Message:
        """Call a method and return its answer within ``timeout`` seconds; raises grpc.RpcError or Closed."""
        with gate, _closed_in_our_words():
            return self._method(method)(request, timeout=max(timeout, 0.001), metadata=metadata)

    def send(self, method: str, request: Message, timeout: float, metadata: Metadata) -> Message:
        """Call a method without waiting: return gRPC's future of its answer."""
        with gate, _closed_in_our_words():
            return self._method(method).future(request, timeout=max(timeout, 0.001), metadata=metadata)

    def watch(self, requests: Iterator[Message], metadata: Metadata) -> Message:
        """Open a watch stream: gRPC takes the requests in a thread of its own; iterate the result."""
        with gate, _closed_in_our_words():
            return self._method("Watch")(requests, metadata=metadata)

    def suspend(self) -> bool:
        """Close the channel until the next use: what is under way ends with CANCELLED; tell whether there was one."""
        channel, self._channel = self._channel, None
        if channel is None:
            return False
        self.suspended = True
        channel.close()
        return True

    def close(self) -> None:
        """Close the channel for good: calls under way end at once with CANCELLED."""
        self._closed = True
        with gate, self._lock:
            channel, self._channel = self._channel, None
            if channel is not None:
                channel.close()

    def _method(self, name: str) -> Message:
        with self._lock:  # nobody holds it over a fork, as it is taken inside the gate only
            if self._closed:
                raise Closed("the etcd backend is closed")
            if self._channel is None:
                self._channel = self._connect()
                self._methods = _methods(self._channel)
            return self._methods[name]

    def _connect(self) -> grpc.Channel:
        green.prepare()
        credentials = self._credentials
        options = channel_options(credentials.timeout)
        if not credentials.tls:
            return grpc.insecure_channel(self.endpoint, options)
        certificates = grpc.ssl_channel_credentials(credentials.ca_cert, credentials.cert_key, credentials.cert_cert)
        return grpc.secure_channel(self.endpoint, certificates, options)


def _methods(channel: grpc.Channel) -> dict[str, Message]:
    wire = schema()
    made: dict[str, Message] = {
        name: channel.unary_unary(
            f"/etcdserverpb.{path}",
            request_serializer=getattr(wire, f"{name}Request").SerializeToString,
            response_deserializer=getattr(wire, f"{name}Response").FromString,
        )
        for name, path in METHODS.items()
    }
    made["Watch"] = channel.stream_stream(
        "/etcdserverpb.Watch/Watch",
        request_serializer=wire.WatchRequest.SerializeToString,
        response_deserializer=wire.WatchResponse.FromString,
    )
    return made


@contextlib.contextmanager
def _closed_in_our_words() -> Iterator[None]:
    try:
        yield
    except Closed:
        raise
    except ValueError:  # gRPC's word for a channel that was closed before the call
        raise Closed("the etcd backend is closed") from None
