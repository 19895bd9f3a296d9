"""Watches on a namespace's znodes: what has fired, and that nothing fires unseen.

ZooKeeper's watches fire once. An event comes before any answer that has its change in it, on one connection, and is
noted here in the thread that reads that connection: whoever has an answer has every event before it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence

from kazoo.client import KazooClient
from kazoo.protocol.states import EventType, WatchedEvent

from confo_zookeeper.layout import Layout
from confo_zookeeper.wire import Pending, SetWatches, forget, submit

ALWAYS = 2**63 - 1
"""Later than any change: watches armed since then fire for later changes only."""
CHUNK_BYTES = 128 * 1024
"""Bytes of paths in one request; as ZooKeeper's own client does."""


class Tripwire:
    """Names of one namespace whose watches have fired: ``changed`` are to be read and armed, ``deleted`` read only.

    ``listing``: a name came or went, or the namespace itself. ``broken``: the connection was lost, and every watch
    with it. ``news`` is notified of each, and by ``stop``.
    """

    def __init__(self, client: KazooClient, layout: Layout, namespace: str) -> None:
        self.client = client
        self.namespace = namespace
        self.layout = layout
        self.path = layout.namespace(namespace)
        self.news = threading.Condition()
        self.changed: set[str] = set()
        self.deleted: set[str] = set()
        self.listing = False
        self.there = True
        """Whether the namespace was there when it was last read: only then it can be watched for names."""
        self.broken = self.stopped = False
        self._paths: set[str] = set()
        self._cut = len(self.path) + 1

    def arm(self, names: Iterable[str], *, since: int = ALWAYS, listing: bool = False) -> list[Pending]:
        """Arm the watches of these names, and of the ``listing``; those that changed after ``since`` fire at once."""
        pending = [self._send(since, data=chunk) for chunk in _chunks(f"{self.path}/{name}" for name in names)]
        if listing:
            here = [self.path]
            pending.append(self._send(since, children=here) if self.there else self._send(since, absent=here))
        return pending

    def take(self, *, but: Iterable[str] = ()) -> tuple[set[str], set[str], bool]:
        """Return what has fired, changed and deleted names and the listing, and note it no more, ``but`` for these."""
        with self.news:
            kept = frozenset(but)
            fired = self.changed - kept, self.deleted - kept, self.listing
            self.changed &= kept
            self.deleted &= kept
            self.listing = False
            return fired

    def has_fired(self) -> bool:
        """Tell whether there is anything to do; hold ``news``."""
        return bool(self.changed or self.deleted or self.listing or self.broken or self.stopped)

    def wait(self, seconds: float) -> bool:
        """Wait until there is something to do; tell whether there is."""
        with self.news:
            return self.news.wait_for(self.has_fired, seconds)

    def stop(self) -> None:
        """Wake who waits."""
        with self.news:
            self.stopped = True
            self.news.notify_all()

    def close(self) -> None:
        """Hear no more."""
        forget(self.client, self._fired, list(self._paths))

    def _send(self, since: int, **paths: Sequence[str]) -> Pending:
        self._paths.update(*paths.values())
        return submit(self.client, SetWatches(self.client, self._fired, since, **paths))

    def _fired(self, event: WatchedEvent) -> None:
        """Note an event; called by the thread that reads the connection."""
        with self.news:
            if event.type == EventType.NONE:
                self.broken = True
            elif event.path == self.path:
                self.listing = True
            else:
                (self.deleted if event.type == EventType.DELETED else self.changed).add(event.path[self._cut :])
            self.news.notify_all()


def _chunks(paths: Iterable[str]) -> Iterator[list[str]]:
    chunk: list[str] = []
    size = 0
    for path in paths:
        size += len(path.encode()) + 4
        if size > CHUNK_BYTES and chunk:
            yield chunk
            chunk, size = [], len(path) + 4
        chunk.append(path)
    if chunk:
        yield chunk
