"""Confo's seam over a stand-in store. It passes the contract as it is: replace what is marked, a piece at a time."""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Self

from confo import (
    ANY,
    HEARTBEAT_SECONDS,
    Backend,
    BackendUnavailable,
    Batch,
    Capabilities,
    Closed,
    Conflict,
    ConfoError,
    CredentialsError,
    Entry,
    InvalidCommit,
    NamespaceExists,
    NamespaceNotFound,
    OutcomeUnknown,
    ResyncNeeded,
    Snapshot,
    TooLarge,
    Watch,
    Write,
)

CHANGED = threading.Condition()
"""Whoever holds it sees whole commits; a commit and a close wake who waits for it."""


class Store:
    """REPLACE: your driver's client. This stand-in is a dict, a counter, and the last 1,000 commits."""

    def __init__(self) -> None:
        self.namespaces: dict[str, dict[str, Entry]] = {}
        self.revision = 1
        self.commits: deque[dict[tuple[str, str], Entry | None]] = deque(maxlen=1000)  # one for each revision

    def apply(self, writes: Mapping[tuple[str, str], bytes | None]) -> int:
        """Write all of it at a new revision."""
        self.revision += 1
        changes = {key: None if data is None else Entry(data, self.revision) for key, data in writes.items()}
        for (namespace, name), entry in changes.items():
            entries = self.namespaces.setdefault(namespace, {})
            if entry is None:
                entries.pop(name, None)
            else:
                entries[name] = entry
        self.commits.append(changes)
        CHANGED.notify_all()
        return self.revision


STORES: dict[str, Store] = {}


class ShelfBackend(Backend):
    """A store by name, in this process's memory."""

    capabilities = Capabilities(  # REPLACE: what your store can do; the contract holds you to it
        atomic_writes=128,
        max_value_bytes=1024 * 1024,
        durable=False,
        push=True,
        resumable=True,
        every_commit=True,
        shared=False,
    )

    def __init__(self, store: Store) -> None:
        self.store = store
        self.closed = False

    @classmethod
    def open(cls, credentials: Mapping[str, object]) -> Self:
        """Open the store called ``store``."""
        for unknown in sorted(set(credentials) - {"store"}):  # REPLACE: host, port, user, timeout ...
            raise CredentialsError(f"the shelf backend knows no credential {unknown!r}; it takes 'store'")
        name = credentials.get("store", "default")
        if not isinstance(name, str):
            raise CredentialsError(f"the shelf backend's 'store' is a text, not {type(name).__name__}")
        with CHANGED:
            return cls(STORES.setdefault(name, Store()))  # REPLACE: connect, within the timeout

    @classmethod
    def url_credentials(cls, location: str, folder: str) -> dict[str, object]:
        """Return the store's name: ``shelf://store/namespace``. DELETE this if yours has a host and a port."""
        if folder:
            raise CredentialsError("the URL of a shelf is shelf://store/namespace")
        return {"store": location} if location else {}

    def namespaces(self) -> list[str]:
        """Return the names of the users' namespaces, sorted."""
        with self.asking() as store:
            return sorted(name for name in store.namespaces if not name.startswith("."))

    def create_namespace(self, namespace: str) -> None:
        """Create an empty namespace."""
        with self.asking(OutcomeUnknown) as store:
            if namespace in store.namespaces:
                raise NamespaceExists(f"namespace {namespace!r} exists already", namespace=namespace)
            store.namespaces[namespace] = {}
            store.apply({})

    def delete_namespace(self, namespace: str) -> None:
        """Delete a namespace and all in it, as one commit."""
        with self.asking(OutcomeUnknown) as store:
            store.apply(dict.fromkeys((namespace, name) for name in self.entries(namespace)))
            del store.namespaces[namespace]

    def load(self, namespace: str) -> Snapshot:
        """Return the namespace as it is at one revision."""
        with self.asking() as store:
            return Snapshot(namespace, store.revision, dict(self.entries(namespace)))

    def read(self, namespace: str, names: Sequence[str]) -> dict[str, Entry]:
        """Return those of these names that exist."""
        with self.asking():
            entries = self.entries(namespace)
            return {name: entries[name] for name in names if name in entries}

    def scan(
        self, namespace: str, *, start: str = "", limit: int = 100, reverse: bool = False
    ) -> list[tuple[str, Entry]]:
        """Return up to ``limit`` entries in order of name, from ``start`` on."""
        with self.asking():
            found = sorted(self.entries(namespace).items(), reverse=reverse)
        return [pair for pair in found if not start or (pair[0] <= start if reverse else pair[0] >= start)][:limit]

    def commit(self, writes: Sequence[Write]) -> int:
        """Write all or nothing, if every guard holds."""
        self.check_size(writes)
        with self.asking(OutcomeUnknown) as store:
            now = {write[:2]: self.entries(write.namespace).get(write.name) for write in writes}
            held = {key: entry.revision if entry else 0 for key, entry in now.items()}
            moved = [write[:2] for write in writes if write.expected not in (ANY, held[write[:2]])]
            if moved:
                raise Conflict(f"changed meanwhile: {', '.join(map('/'.join, moved))}; nothing was written", keys=moved)
            return store.apply({write[:2]: write.data for write in writes})

    def watch(self, namespace: str, after: int) -> Watch:
        """Tell what is committed to the namespace after this revision."""
        with self.asking():
            return ShelfWatch(self, namespace, after)

    def close(self) -> None:
        """Let go of the store and wake every watch."""
        with CHANGED:
            self.closed = True
            CHANGED.notify_all()

    # --- inside ----------------------------------------------------------------------------------

    @contextlib.contextmanager
    def asking(self, failure: type[ConfoError] = BackendUnavailable) -> Iterator[Store]:
        """Hand over the store. The one place where the driver's errors become Confo's."""
        try:
            with CHANGED:
                if self.closed:
                    raise Closed("this shelf backend was closed; load it again")
                yield self.store
        except ConfoError:
            raise
        except OSError as error:  # REPLACE: your driver's errors, each as what it means
            told = failure(f"the shelf store does not answer: {type(error).__name__}")
            raise told.instead_of(error) from None

    def entries(self, namespace: str) -> dict[str, Entry]:
        """Return a namespace's entries. The core's own, which begin with a dot, need not be created."""
        if namespace.startswith("."):
            return self.store.namespaces.setdefault(namespace, {})
        if namespace not in self.store.namespaces:
            there = ", ".join(sorted(name for name in self.store.namespaces if name[0] != ".")) or "none"
            raise NamespaceNotFound(f"no namespace {namespace!r}; there are: {there}", namespace=namespace)
        return self.store.namespaces[namespace]

    def check_size(self, writes: Sequence[Write]) -> None:
        """Refuse, before anything is sent, what makes no sense and what is too much."""
        if not writes or len({write[:2] for write in writes}) < len(writes):
            raise InvalidCommit("a commit is one or more writes, each of a name of its own")
        if len(writes) > (most := self.capabilities.atomic_writes):
            raise TooLarge(f"{len(writes):,} writes in one commit, shelf takes {most:,}; nothing was written")
        for namespace, name, data, _ in writes:
            if len(data or b"") > (most := self.capabilities.max_value_bytes):
                size = f"{namespace}/{name} is {len(data or b''):,} bytes, shelf takes {most:,}; nothing was written"
                raise TooLarge(size, namespace=namespace, configuration=name)


class ShelfWatch(Watch):
    """REPLACE: your store's subscription. This one waits for the next commit and tells it."""

    def __init__(self, backend: ShelfBackend, namespace: str, after: int) -> None:
        self.backend, self.namespace, self.after = backend, namespace, after
        self.patience = 0.0  # the first batch comes at once: a sign of life
        self.closed = False

    def __next__(self) -> Batch:
        """Return the next commit, or after ten quiet seconds an empty batch."""
        store = self.backend.store
        with CHANGED:
            CHANGED.wait_for(lambda: self.has_ended() or store.revision != self.after, self.patience)
            self.patience = HEARTBEAT_SECONDS
            if self.has_ended():
                raise StopIteration
            if self.after == store.revision:
                return Batch(self.after, {})
            behind = store.revision - self.after
            if not 0 < behind <= len(store.commits):
                raise ResyncNeeded(f"{behind} commits behind, {len(store.commits)} are kept: load anew")
            self.after += 1
            told = store.commits[-behind].items()
            return Batch(self.after, {name: entry for (where, name), entry in told if where == self.namespace})

    def has_ended(self) -> bool:
        """Tell whether the watch or its backend was closed."""
        return self.closed or self.backend.closed

    def close(self) -> None:
        """End the watch and wake who waits in it."""
        with CHANGED:
            self.closed = True
            CHANGED.notify_all()


# REPLACE: in a forked child, drop the parent's connections without closing them, and connect anew. Here it is enough
# that no other thread holds the lock, or is half through a commit, at the moment of the fork.
if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(before=CHANGED.acquire, after_in_parent=CHANGED.release, after_in_child=CHANGED.release)
