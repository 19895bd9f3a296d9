"""A watch: wait for a hint, look at what it is about, and tell what differs from before as one batch."""

from __future__ import annotations

import time
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from confo import HEARTBEAT_SECONDS, Batch, Closed, Entry, NamespaceNotFound, ResyncNeeded, Watch
from confo_file import reading
from confo_file.held import Held
from confo_file.notifier import CHANGED, Notifier
from confo_file.settling import LOOK_SECONDS
from confo_file.store import Store

POLL_SECONDS = 1.0
"""Between two looks without a hint: at all files where the system tells of none, else at Confo's own head only."""


class News(NamedTuple):
    """What changed since a revision; ``waiting`` names what is being edited just now."""

    revision: int
    entries: dict[str, Entry | None]
    waiting: AbstractSet[str] = frozenset()


class FileWatch(Watch):
    """Follows one namespace."""

    def __init__(self, store: Store, notifier: Notifier, namespace: str, after: int) -> None:
        self.namespace = namespace
        self._store, self._notifier = store, notifier
        self._after, self._identity = after, store.identity
        self._suspects: set[str] | None = None  # all
        self.follows_links = False
        self._closed = False
        self._tell_by = 0.0  # the first batch comes at once, a sign of life
        self._seen = (0, 0)
        self._waiting_since: float | None = None
        notifier.watches.add(self)

    def __next__(self) -> Batch:
        """Wait for the next change, ten seconds at most; what it tells is whole commits, several perhaps."""
        while not self._has_ended():
            try:
                news = self._look()
            except Closed:
                break
            if news.entries or time.monotonic() >= self._tell_by:
                self._tell_by = time.monotonic() + HEARTBEAT_SECONDS
                return Batch(self._after, news.entries)
            self._wait(news)
        raise StopIteration

    def hint(self, name: str | None) -> None:
        """Look at this configuration next; None: at all of them (hold ``CHANGED``)."""
        if name is None:
            self._suspects = None
        elif self._suspects is not None:
            self._suspects.add(name)

    def close(self) -> None:
        """End the watch and wake who waits in it."""
        self._closed = True
        with CHANGED:
            self._notifier.watches.discard(self)
            CHANGED.notify_all()

    def _has_ended(self) -> bool:
        return self._closed or self._store.closed

    def _wait(self, news: News) -> None:
        """Wait for a hint or a commit; without one, look again after a while."""
        seconds = min(POLL_SECONDS, self._tell_by - time.monotonic())
        with CHANGED:
            if news.waiting:
                CHANGED.wait(LOOK_SECONDS)
            elif not self._is_hinted():
                CHANGED.wait_for(self._is_hinted, max(0.0, seconds))
                if not self._notifier.is_told or time.monotonic() >= self._tell_by:
                    self._suspects = None

    def _is_hinted(self) -> bool:
        return self._has_ended() or self._suspects != set() or (self._store.commits, self._notifier.hints) != self._seen

    def _look(self) -> News:
        """Return what changed since the last look, and stand there."""
        self._notifier.start()
        with CHANGED:
            suspects, self._suspects = self._suspects, set()
            self._seen = self._store.commits, self._notifier.hints
        waited = 0.0 if self._waiting_since is None else time.monotonic() - self._waiting_since
        try:
            news = self._compare(suspects, waited)
        except BaseException:
            with CHANGED:
                self._suspects = None
            raise
        if news.waiting:
            self._waiting_since = self._waiting_since or time.monotonic()
            with CHANGED:
                if self._suspects is not None:
                    self._suspects.update(news.waiting)
        else:
            self._waiting_since = None
            self._after = news.revision
        return news

    def _compare(self, suspects: set[str] | None, waited: float) -> News:
        while True:
            with self._store.holding(f"watch {self.namespace!r}") as held:
                self._check(held)
                if suspects is None:
                    self.follows_links = held.has_links(self.namespace)
                strange = held.strangers(self.namespace, suspects)
                if not strange:
                    changed = held.index(self.namespace).since(self._after)
                    found = _entries(held, self.namespace, changed)
                    if found is not None:
                        return News(held.revision, found)
                    strange = changed
            waiting = self._take_in(strange, waited)
            if waiting:
                return News(self._after, {}, waiting)

    def _take_in(self, names: set[str], waited: float) -> AbstractSet[str]:
        asked = f"take in what was edited in {self.namespace!r}"
        return reading.take_in(self._store, self.namespace, lambda _: names, asked, waited, removed=True).waiting

    def _check(self, held: Held) -> None:
        """See that the store can tell what came after the revision."""
        index = held.index(self.namespace)
        if self._identity in ("", held.head.store):
            self._identity = held.head.store
            if index.forgotten <= self._after <= held.revision:
                return
        raise ResyncNeeded(
            f"{self._store.path} tells of changes from revision {index.forgotten} to {held.revision} of its own, not "
            f"of what came after {self._after}: load {self.namespace!r} anew",
            namespace=self.namespace,
            revision=held.revision,
        )


def _entries(held: Held, namespace: str, names: set[str]) -> dict[str, Entry | None] | None:
    """Return these as they are, None for what is gone; None if somebody edits them just now."""
    if not names:
        return {}
    try:
        collected = held.collect(namespace, names)
    except NamespaceNotFound:
        return dict.fromkeys(names)
    if collected.strange:
        return None
    return {name: collected.entries.get(name) for name in sorted(names)}
