"""etcd by grpcio alone, as the floor: one channel, the methods' stubs and the wire's messages, and nothing else.

The message classes are those of ``confo_etcd.schema``, as etcd publishes no current ones for Python; no other line of
Confo runs here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import grpc

from confo_etcd.schema import Message, schema

UNLIMITED = [("grpc.max_receive_message_length", -1)]


class Raw:
    """A plaintext channel to one server."""

    def __init__(self, port: int) -> None:
        self.wire = wire = schema()
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}", UNLIMITED)
        self.range = self.channel.unary_unary(
            "/etcdserverpb.KV/Range",
            request_serializer=wire.RangeRequest.SerializeToString,
            response_deserializer=wire.RangeResponse.FromString,
        )
        self.txn = self.channel.unary_unary(
            "/etcdserverpb.KV/Txn",
            request_serializer=wire.TxnRequest.SerializeToString,
            response_deserializer=wire.TxnResponse.FromString,
        )
        self._watch = self.channel.stream_stream(
            "/etcdserverpb.Watch/Watch",
            request_serializer=wire.WatchRequest.SerializeToString,
            response_deserializer=wire.WatchResponse.FromString,
        )

    def puts(self, pairs: Iterable[tuple[bytes, bytes]]) -> Message:
        """Return a transaction that puts these keys, without a guard."""
        request = self.wire.TxnRequest()
        for key, value in pairs:
            request.success.add().request_put.CopyFrom(self.wire.PutRequest(key=key, value=value))
        return request

    def watch(self, prefix: bytes, requests: Iterator[Message]) -> Message:
        """Open a watch of all keys with a prefix; ``requests`` gives what follows, and keeps the stream open."""

        def asked() -> Iterator[Message]:
            create = self.wire.WatchCreateRequest(key=prefix, range_end=prefix[:-1] + bytes([prefix[-1] + 1]))
            yield self.wire.WatchRequest(create_request=create)
            yield from requests

        return self._watch(asked())

    def close(self) -> None:
        """Close the channel."""
        self.channel.close()
