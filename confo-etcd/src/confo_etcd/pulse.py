"""Signs of life from who answers no requests for progress, as etcd's own gRPC proxy does not.

A second watch on the same stream is answered by everybody, a proxy included. It is on the marker's key alone, where
next to nothing happens, and ends when the next one is asked for. Pure: watch.py sends.
"""

from __future__ import annotations

from collections.abc import Iterator

from confo_etcd.schema import Message, schema


class Pulse:
    """The watches of one stream: the one that tells of commits, and those that only show that the stream works."""

    def __init__(self, marker: bytes) -> None:
        self._marker = marker
        self._main: int | None = None
        self._other: int | None = None

    def is_main(self, answer: Message) -> bool:
        """Tell whether an answer is about the first watch of the stream, or about the stream."""
        if self._main is None:
            self._main = answer.watch_id
            return True
        if answer.created:
            self._other = None if answer.canceled else answer.watch_id
            return False
        return not (answer.canceled or answer.events) or bool(answer.watch_id == self._main)

    def requests(self) -> Iterator[Message]:
        """Return what to send for a sign of life."""
        wire = schema()
        other, self._other = self._other, None
        if other is not None:
            yield wire.WatchRequest(cancel_request=wire.WatchCancelRequest(watch_id=other))
        yield wire.WatchRequest(create_request=wire.WatchCreateRequest(key=self._marker))
