"""A backend under its name in a registry, with the namespaces of it that are in use."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

from confo.backend import Backend
from confo.cache import Cache
from confo.copying import Copied, Copy
from confo.errors import BackendUnavailable, CacheError, ConfoError, InvalidOption, NamespaceNotFound, NotReadyError
from confo.first import First, time_travel
from confo.hints import did_you_mean, listed
from confo.keeper import Keeper
from confo.kept import Damaged, Kept
from confo.model import Snapshot, State, Status
from confo.names import check_namespace
from confo.namespace import Namespace, sign
from confo.opening import OpeningBackend
from confo.past import mark_end
from confo.replica import CLOSE_SECONDS, Replica
from confo.retention import Retention
from confo.staleness import OnStale, limit
from confo.start import Start, attempt, within

log = logging.getLogger("confo")

_REQUIRE = Start()


class Loaded:
    """A backend under its name, with the handles that were asked for."""

    def __init__(
        self,
        name: str,
        kind: str | type[Backend],
        backend: Backend,
        *,
        history: Retention | None,
        follow: bool,
        start: Start = _REQUIRE,
        cache: Cache | None = None,
        serve_last_good: bool = True,
    ) -> None:
        self.name, self.backend = name, backend
        self.kind = kind if isinstance(kind, str) else kind.__name__
        self._history, self._follow, self._start = history, follow, start
        self._serve_last_good = serve_last_good
        self._keeper = None if cache is None else Keeper(cache)
        self.current: Namespace | None = None
        self._closing: list[Replica] = []
        self._namespaces: dict[str, Namespace] = {}
        self._lock = threading.RLock()

    def namespace(
        self, name: str, *, max_staleness: float | None = None, on_stale: OnStale | None = None, waits: bool = True
    ) -> Namespace:
        """Return the one handle of this namespace, loaded when first asked for, and limit the age of what it reads.

        ``waits``: where the start policy waits, it waits also for a namespace that is not made yet.
        """
        check_namespace(name)
        limit(self.name, name, max_staleness, on_stale, follows=False)  # before anything is loaded for nothing
        with self._lock:
            if name not in self._namespaces:
                try:
                    replica = self._replica(name, waits=waits)
                except NamespaceNotFound as error:
                    raise self._hinted(name, error) from None
                self._namespaces[name] = Namespace(
                    self.name, self.backend, name, history=self._history, replica=replica
                )
                if self._keeper is not None:
                    self._keeper.add(replica)
            self._namespaces[name].limit_staleness(max_staleness, on_stale)
            return self._namespaces[name]

    def _hinted(self, name: str, error: NamespaceNotFound) -> NamespaceNotFound:
        """Return the error with the name that was probably meant, and how a namespace is made."""
        near = ""
        with contextlib.suppress(ConfoError):
            near = did_you_mean(name, self.backend.namespaces())
        return NamespaceNotFound(
            f"{error}{near or '.'} Make it with create_namespace({name!r}), or create=True in connect() or open()",
            backend=self.name,
            namespace=name,
        )

    def known(self, name: str) -> Namespace | None:
        """Return the handle of a namespace that was loaded already."""
        return self._namespaces.get(name) if type(name) is str else None

    def _replica(self, namespace: str, *, waits: bool) -> Replica:
        return Replica(
            self.backend,
            namespace,
            follow=self._follow,
            first=self._first(namespace, waits=waits),
            on_news=(lambda: None) if self._keeper is None else self._keeper.wake,
            serve_last_good=self._serve_last_good,
        )

    def _first(self, namespace: str, *, waits: bool) -> First:
        """Return the store's state, or what was kept of it if that is good enough and the store does not answer."""
        kept, damage = self._kept(namespace)
        try:
            snapshot = self._load(namespace, kept, waits=waits)
        except BackendUnavailable as error:
            if not self._start.falls_back:
                raise
            return self._fallen_back(namespace, kept or damage, error)
        self._tell_of_the_left_out(namespace)  # only of a store that has just answered: another one would be waited for
        identity = self.backend.identity
        alarm = time_travel((kept.identity, kept.revision), (identity, snapshot.revision)) if kept else None
        return First(snapshot, identity, alarm=alarm)

    def _fallen_back(self, namespace: str, kept: Kept | Exception | None, error: BackendUnavailable) -> First:
        try:
            if isinstance(kept, Kept):
                snapshot = _restored(kept)
                log.warning("%s on %s begins with what was kept of it: %s", namespace, self.name, error)
                return First(snapshot, kept.identity, f"{type(error).__name__}: {error}")
        except Damaged as damage:
            kept = damage
        why = f"what was kept of it cannot be used: {kept}" if kept else "nothing was kept of it before"
        raise NotReadyError(
            f"{namespace} on {self.name} is not ready: {error}; and {why}", backend=self.name, namespace=namespace
        ) from None

    def _load(self, namespace: str, kept: Kept | None, *, waits: bool) -> Snapshot:
        backend, seconds = self.backend, self._start.seconds
        start = self._start._replace(for_namespaces=waits)
        if kept and seconds and self._start.falls_back and isinstance(backend, OpeningBackend):
            failure = backend.failure(seconds)
            if failure is not None:  # who waited for the store once at this start does not wait for it twice
                raise failure
        asked = f"load {namespace} of {self.name}"
        return attempt(start, asked, lambda left: within(left, asked, lambda: backend.load(namespace)))

    def _kept(self, namespace: str) -> tuple[Kept | None, CacheError | None]:
        if self._keeper is None:
            return None, None
        try:
            return self._keeper.cache.file(namespace).read(), None
        except CacheError as damage:
            log.warning("%s", damage)
            return None, damage

    def _tell_of_the_left_out(self, namespace: str) -> None:
        """Name once what lies in a namespace and is no configuration: somebody may have meant it."""
        with contextlib.suppress(ConfoError):
            if left_out := self.backend.left_out(namespace):
                log.warning("%s on %s leaves out %s", namespace, self.name, listed(left_out))

    def opened(self) -> list[Namespace]:
        """Return the handles that exist."""
        return list(self._namespaces.values())

    def delete_namespace(self, namespace: str) -> None:
        """Delete a namespace and all in it; its history stays, and says so."""
        self.backend.delete_namespace(check_namespace(namespace))
        if self._history is not None:
            try:
                mark_end(self.backend, namespace, sign(f"delete namespace {namespace}"))
            except ConfoError as error:
                log.warning("deleted namespace %s, but its history could not be told: %s", namespace, error)
        self._forget(namespace)

    def copy_to(
        self,
        target: Loaded,
        namespaces: Sequence[str] | None,
        message: str,
        author: str | None,
        *,
        overwrite: bool,
        skip_unreadable: bool,
    ) -> dict[str, Copied]:
        """Copy namespaces, all if none is named, into another backend; refuse before anything is written."""
        if isinstance(namespaces, str):
            raise InvalidOption(f"namespaces is a list of names: [{namespaces!r}]")
        names = self.backend.namespaces() if namespaces is None else [check_namespace(name) for name in namespaces]
        signature, history = sign(message, author), target.keeps_history
        copies = {name: Copy(self.backend, target.backend, name, signature, history=history) for name in names}
        for copy in copies.values():
            if not skip_unreadable:
                copy.check_readable()
            if not overwrite:
                copy.check()
        copied = {name: copy.run() for name, copy in copies.items()}
        for namespace in target.opened():
            if namespace.name in copied:
                namespace.reload()
        return copied

    @property
    def keeps_history(self) -> bool:
        """Whether commits leave a record."""
        return self._history is not None

    def _forget(self, namespace: str) -> None:
        gone = self._namespaces.pop(namespace, None)
        if self.current is gone:
            self.current = None
        if gone is not None:
            gone._replica.close()
            gone._replica.view.close("it was deleted")
        if self._keeper is not None:
            self._keeper.forget(namespace)

    def health(self) -> dict[str, Any]:
        """Return the state of every namespace in use, as plain data."""
        found = {one.name: one.status() for one in self.opened()}
        namespaces = {name: _plain(status) for name, status in found.items()}
        ready = all(status.state is State.READY for status in found.values())
        serving = all(one._replica.serves() for one in self.opened())
        return {"kind": self.kind, "ready": ready, "serving": serving, "namespaces": namespaces}

    def locks(self) -> Iterator[threading.RLock]:
        """Yield the locks that a thread may hold when a signal handler or a finalizer calls in it."""
        yield self._lock
        for one in tuple(self._namespaces.values()):
            yield from one._replica.locks()

    def renew_lock(self) -> None:
        """Have a lock that no thread of a parent process holds."""
        self._lock = threading.RLock()

    def stop(self) -> None:
        """Begin to end the following of every namespace, all at once, and close the backend."""
        self._closing = [one._replica for one in self.opened()]
        self._namespaces.clear()
        self.current = None
        for replica in self._closing:
            _tell_of_drafts(replica)
            replica.stop()
            replica.view.close(f"the backend {self.name!r} was closed")
        self.backend.close()
        if self._keeper is not None:
            self._keeper.stop()

    def join(self, until: float) -> None:
        """Wait for what ``stop`` ends, to this time of the monotonic clock at most."""
        for replica in self._closing:
            replica.join(until)
        if self._keeper is not None:
            self._keeper.join(until)

    def close(self) -> None:
        """End everything, within 2 seconds."""
        self.stop()
        self.join(time.monotonic() + CLOSE_SECONDS)


def _plain(status: Status) -> dict[str, Any]:
    unreadable = {name: trouble.reason for name, trouble in status.unreadable.items()}
    return {
        "state": status.state.name,
        "revision": status.revision,
        "age": status.age,
        "source": status.source,
        "error": status.error,
        "unreadable": unreadable,
    }


def _tell_of_drafts(replica: Replica) -> None:
    """Say what is lost when a namespace is closed with something staged."""
    names = list(replica.view.drafts)
    if names:
        log.warning("closed %s with changes that were staged and not persisted: %s", replica.namespace, listed(names))


def _restored(kept: Kept) -> Snapshot:
    """Return the state that was kept, as old as the wall clock says; the one use of that clock, so never below zero."""
    age = max(0.0, time.time() - kept.known_at)
    since = time.monotonic() - age
    return Snapshot(kept.namespace, kept.revision, kept.entries(), source="cache", since=since)
