"""One store: namespaces of entries under one counter of revisions, and the last commits for those who watch.

Everything happens under one condition: whoever holds it sees a whole number of commits, and a commit wakes
every watch. A store outlives the backends that opened it, as a server outlives its clients.
"""

from __future__ import annotations

import os
import threading
import uuid
import weakref
from collections import deque
from collections.abc import Iterable, Sequence

from confo import ANY, Batch, Conflict, Entry, NamespaceExists, NamespaceNotFound, ResyncNeeded, Write

Changes = dict[str, dict[str, Entry | None]]
History = deque[tuple[int, Changes]]


class Store:
    """Namespaces of entries, each with the revision that wrote it.

    ``history`` is how many commits are kept for watches that resume; asking for an older one is ResyncNeeded.
    """

    def __init__(self, history: int) -> None:
        self.identity = uuid.uuid4().hex
        self.changed = threading.Condition()
        self.revision = 1
        self.namespaces: dict[str, dict[str, Entry]] = {}
        self._compacted = 1
        self._limit = history
        self._history: History = deque()

    def entries(self, namespace: str) -> dict[str, Entry]:
        """Return the namespace's entries (the real ones: hold ``changed``); NamespaceNotFound."""
        found = self.namespaces.get(namespace)
        if found is None:
            if namespace.startswith("."):  # the core's own need not be created
                return {}
            raise NamespaceNotFound(
                f"no namespace {namespace!r} in this store; there are: {', '.join(self.names()) or 'none'}",
                namespace=namespace,
            )
        return found

    def names(self) -> list[str]:
        """Return the names of the users' namespaces, sorted."""
        return sorted(name for name in self.namespaces if not name.startswith("."))

    def create(self, namespace: str) -> None:
        """Create an empty namespace."""
        with self.changed:
            if namespace in self.namespaces:
                raise NamespaceExists(f"namespace {namespace!r} exists already", namespace=namespace)
            self.revision += 1
            self.namespaces[namespace] = {}

    def delete(self, namespace: str) -> None:
        """Delete a namespace and all in it."""
        with self.changed:
            gone = self.entries(namespace)
            self.namespaces.pop(namespace, None)
            self.revision += 1
            self._remember({namespace: dict.fromkeys(gone)})

    def commit(self, writes: Sequence[Write]) -> int:
        """Check every guard, then write; either all of it or nothing."""
        with self.changed:
            moved = [write[:2] for write in writes if not self._holds(write)]
            if moved:
                shown = ", ".join("/".join(key) for key in moved)
                raise Conflict(f"changed since they were read: {shown}; nothing was written", keys=moved)
            self.revision += 1
            by_namespace: Changes = {}
            for namespace, name, data, _ in writes:
                entry = None if data is None else Entry(data, self.revision)
                by_namespace.setdefault(namespace, {})[name] = entry
            for namespace, changes in by_namespace.items():
                _apply(self.namespaces.setdefault(namespace, {}), changes)
            self._remember(by_namespace)
            return self.revision

    def after(self, namespace: str, revision: int) -> Iterable[Batch]:
        """Return the namespace's commits after this revision, oldest first (hold ``changed``)."""
        if revision > self.revision:
            raise ResyncNeeded(
                f"the store is at revision {self.revision}, not yet at {revision}: load {namespace!r} anew",
                namespace=namespace,
                revision=self.revision,
            )
        if revision < self._compacted:
            raise ResyncNeeded(
                f"the store remembers its commits after revision {self._compacted} only: load {namespace!r} anew",
                namespace=namespace,
                revision=self._compacted,
            )
        fresh = []
        for number, changes in reversed(self._history):
            if number <= revision:
                break
            if namespace in changes:
                fresh.append(Batch(number, changes[namespace]))
        return reversed(fresh)

    def compact(self) -> None:
        """Forget all commits up to now, as a server does from time to time."""
        with self.changed:
            self._history.clear()
            self._compacted = self.revision

    def _holds(self, write: Write) -> bool:
        entry = self.entries(write.namespace).get(write.name)
        return write.expected is ANY or write.expected == (entry.revision if entry else 0)

    def _remember(self, changes: Changes) -> None:
        self._history.append((self.revision, changes))
        while len(self._history) > self._limit:
            self._compacted = self._history.popleft()[0]
        self.changed.notify_all()


def _apply(entries: dict[str, Entry], changes: dict[str, Entry | None]) -> None:
    for name, entry in changes.items():
        if entry is None:
            entries.pop(name, None)
        else:
            entries[name] = entry


_shared: dict[str, Store] = {}
_shared_lock = threading.RLock()
_stores: weakref.WeakSet[Store] = weakref.WeakSet()


def open_store(name: str | None, history: int) -> Store:
    """Return this process's store of that name, made when first asked for; without a name, a private one."""
    with _shared_lock:
        store = Store(history) if name is None else _shared.setdefault(name, Store(history))
        _stores.add(store)
        return store


# A forked child has a copy of every store, and one thread. Were another thread in the middle of a commit at that
# moment, the child's copy would be half of it, behind a lock that nobody there can release.
_forking: list[Store] = []


def _before_fork() -> None:
    _shared_lock.acquire()
    _forking.extend(_stores)
    for store in _forking:
        store.changed.acquire()


def _after_fork() -> None:
    while _forking:
        _forking.pop().changed.release()
    _shared_lock.release()


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)
