"""The seam over a store in memory: what every backend does, with the least around it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Self

from confo import (
    HEARTBEAT_SECONDS,
    Backend,
    Batch,
    Capabilities,
    Closed,
    CredentialsError,
    CredentialsReader,
    Entry,
    InvalidCommit,
    Snapshot,
    TooLarge,
    Watch,
    Write,
)
from confo_memory.store import Store, open_store

MAX_WRITES = 1024
"""Writes in one commit: a bound, so that a program which works here is not surprised by a server."""
MAX_VALUE_BYTES = 1536 * 1024
"""Bytes of one entry: as much as etcd takes by default."""


class MemoryBackend(Backend):
    """A store in this process: private, or shared by name with whoever opens the same name."""

    capabilities = Capabilities(
        atomic_writes=MAX_WRITES,
        max_value_bytes=MAX_VALUE_BYTES,
        durable=False,
        push=True,
        resumable=True,
        every_commit=True,
        shared=False,
    )

    credential_names = ("store", "history")

    def __init__(self, store: Store) -> None:
        self.store = store
        self._closed = False

    @classmethod
    def open(cls, credentials: Mapping[str, object]) -> Self:
        """Open the store called ``store``, or a private one; ``history`` (1,000) bounds what watches can resume."""
        reader = CredentialsReader(credentials, "the memory backend", cls.credential_names)
        return cls(open_store(reader.text("store"), reader.count("history", 1000, "a number of commits")))

    @classmethod
    def url_credentials(cls, location: str, folder: str) -> dict[str, object]:
        """Return the store's name: ``memory://shop/sales``; ``memory:///sales`` is a private store."""
        if folder:
            raise CredentialsError("a memory store's URL is memory://store/namespace")
        return {"store": location} if location else {}

    @property
    def identity(self) -> str:
        """Return what tells this store from every other one, of other processes too."""
        return self.store.identity

    def namespaces(self) -> list[str]:
        """Return the names, sorted."""
        with self._open().changed:
            return self.store.names()

    def create_namespace(self, namespace: str) -> None:
        """Create an empty namespace."""
        self._open().create(namespace)

    def delete_namespace(self, namespace: str) -> None:
        """Delete the namespace and all in it."""
        self._open().delete(namespace)

    def load(self, namespace: str) -> Snapshot:
        """Return a copy of the namespace as it is."""
        with self._open().changed:
            return Snapshot(namespace, self.store.revision, dict(self.store.entries(namespace)))

    def read(self, namespace: str, names: Sequence[str]) -> dict[str, Entry]:
        """Return those of these names that exist."""
        with self._open().changed:
            entries = self.store.entries(namespace)
            return {name: entries[name] for name in names if name in entries}

    def scan(
        self, namespace: str, *, start: str = "", limit: int = 100, reverse: bool = False
    ) -> list[tuple[str, Entry]]:
        """Return up to ``limit`` entries in order of name."""
        with self._open().changed:
            ordered = sorted(self.store.entries(namespace).items(), reverse=reverse)
        within = (
            (name, entry) for name, entry in ordered if not start or (name <= start if reverse else name >= start)
        )
        return list(islice(within, limit))

    def commit(self, writes: Sequence[Write]) -> int:
        """Write all or nothing; what is too much is refused before anything is looked at."""
        _check_size(writes)
        return self._open().commit(writes)

    def watch(self, namespace: str, after: int) -> Watch:
        """Tell what is committed after this revision."""
        self._open()
        return MemoryWatch(self, namespace, after)

    def close(self) -> None:
        """Close this backend and its watches; a shared store stays for the others."""
        with self.store.changed:
            self._closed = True
            self.store.changed.notify_all()

    @property
    def is_closed(self) -> bool:
        """Tell whether ``close`` was called."""
        return self._closed

    def _open(self) -> Store:
        if self._closed:
            raise Closed("this memory backend was closed; load it again")
        return self.store


class MemoryWatch(Watch):
    """Waits at the store for commits of one namespace."""

    def __init__(self, backend: MemoryBackend, namespace: str, after: int) -> None:
        self._backend, self._store = backend, backend.store
        self._namespace, self._after = namespace, after
        self._ready: deque[Batch] = deque()
        self._begun = False
        self._closed = False

    def __next__(self) -> Batch:
        """Wait for the next commit of the namespace."""
        sign_of_life = time.monotonic() + (HEARTBEAT_SECONDS if self._begun else 0.0)
        self._begun = True
        with self._store.changed:
            while not (self._closed or self._backend.is_closed):
                if not self._ready:
                    self._ready.extend(self._store.after(self._namespace, self._after))
                    # What was looked through need not be kept for this watch, though nothing of it was ours.
                    self._after = self._store.revision
                if self._ready:
                    return self._ready.popleft()
                left = sign_of_life - time.monotonic()
                if left <= 0:
                    return Batch(self._after, {})
                self._store.changed.wait(left)
        raise StopIteration

    def close(self) -> None:
        """End the watch and wake who waits in it."""
        with self._store.changed:
            self._closed = True
            self._store.changed.notify_all()


def _check_size(writes: Sequence[Write]) -> None:
    if not writes or len({write[:2] for write in writes}) != len(writes):
        raise InvalidCommit("a commit is one or more writes, each of a name of its own")
    if len(writes) > MAX_WRITES:
        raise TooLarge(
            f"{len(writes):,} writes in one commit, the memory backend takes {MAX_WRITES:,}; nothing was written"
        )
    for write in writes:
        if write.data is not None and len(write.data) > MAX_VALUE_BYTES:
            raise TooLarge(
                f"{write.namespace}/{write.name} is {len(write.data):,} bytes, the memory backend takes "
                f"{MAX_VALUE_BYTES:,}; nothing was written",
                namespace=write.namespace,
                configuration=write.name,
            )
