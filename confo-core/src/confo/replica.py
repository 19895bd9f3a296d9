"""The local copy of a namespace: load, follow, resume, resync, back off.

One thread a followed namespace iterates the backend's watch and applies what it tells. When the stream breaks it goes
on after the last revision that was applied, with full-jitter back-off; when it cannot, it loads the whole namespace
anew and tells of one resync. A backend is not trusted to be quiet: what is older than what is here is dropped. What
came out of a cache file is served until the store is there, and then compared with the whole of it.
"""

from __future__ import annotations

import contextlib
import logging
import math
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from confo import forks
from confo.backend import Backend, Batch, Watch, Write
from confo.errors import (
    AuthenticationFailed,
    BackendUnavailable,
    Closed,
    ConfoError,
    NamespaceNotFound,
    NotSupported,
    PermissionDenied,
    PluginError,
    ResyncNeeded,
)
from confo.events import Hub, Kind, Notice, Origin
from confo.first import First, time_travel
from confo.model import Entry, Snapshot, State, Status
from confo.readable import CHECKED_AT_ONCE
from confo.view import Ahead, Applied, Sent, View

log = logging.getLogger("confo")

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
"""Seconds of back-off: the bound of the first pause, doubled each time up to the last."""
HERD_SECONDS = 2.2
"""The bound of the first pause when a stream ends that had lived: all other clients have lost theirs at this moment
too, and a server that restarts is back before the short pauses could tell them apart. Of 300 that come back at random
moments of 2.2 seconds at most 10 % come within any 0.1 seconds (in 199 of 200 drawings), and half of them in 1.1."""
HERD_FAILURES = math.log2(HERD_SECONDS / FIRST_PAUSE)
"""Where on the way from the first bound to the last that is."""
LONGEST_REFUSED_PAUSE = 30.0
"""Seconds, after the store refused the user: it will not change its mind soon, yet it may."""
ALIVE_AFTER = 5.0
"""Seconds that a stream must live before the next failure counts as the first."""
AUDIT_SECONDS = 300.0
"""Seconds between two comparisons with the whole store (shortened by up to a half, at random): the safety net for
events that a server lost."""
OWN_COMMIT_SECONDS = 2.0
"""How long an own commit waits to come back by the watch, so that reads and events keep the order of revisions."""
CLOSE_SECONDS = 2.0


class Failure(NamedTuple):
    """What to do after a stream ended with an error."""

    resync: bool
    pause: float
    state: State


def pause(failures: float, jitter: float, longest: float = LONGEST_PAUSE) -> float:
    """Return the seconds to wait after the n-th failure in a row (0 the first); ``jitter`` is a random 0 to 1.

    Full jitter: clients that lost one server together do not come back together.
    """
    return jitter * min(longest, FIRST_PAUSE * math.exp2(min(failures, 20.0)))


def failures_before(error: BaseException, failures: float, seconds: float, *, followed: bool) -> float:
    """Return how many failures in a row this one counts as coming after, by how long it took until it came.

    A stream that had lived begins anew, and its loss as one of many. So does an attempt that took long: it is a pause.
    """
    if seconds <= ALIVE_AFTER:
        return failures
    return HERD_FAILURES if followed and isinstance(error, BackendUnavailable) else 0


def after_failure(error: BaseException, failures: float, jitter: float) -> Failure:
    """Decide what to do after the n-th failure in a row (0 the first); ``jitter`` is a random number of 0 to 1.

    The first pause is anywhere from nothing to its bound, the later ones are half of theirs at least. Who lost one
    server together is spread by the first; short later pauses would add those who are refused again to those whose
    first pause ends. Of 300 clients of a server that is away for 1.7 seconds more than 10 % came within 0.1 seconds in
    a quarter of all drawings with full jitter throughout, and in none with this (``tests/core/test_replica.py``).
    """
    if failures not in {0.0, HERD_FAILURES}:
        jitter = (1.0 + jitter) / 2
    if isinstance(error, ResyncNeeded):
        return Failure(resync=True, pause=0.0 if failures == 0 else pause(failures, jitter), state=State.READY)
    refused = isinstance(error, (PermissionDenied, AuthenticationFailed))
    longest = LONGEST_REFUSED_PAUSE if refused else LONGEST_PAUSE
    lost = (
        refused
        or isinstance(error, (NamespaceNotFound, NotSupported, PluginError))
        or not isinstance(error, ConfoError)
    )
    return Failure(resync=False, pause=pause(failures, jitter, longest), state=State.ERROR if lost else State.STALE)


class Replica:
    """A namespace's view, kept up to date by a thread of its own unless ``follow`` is False.

    ``on_news`` is called, with the view's lock held, when there is something new to keep.
    """

    def __init__(
        self,
        backend: Backend,
        namespace: str,
        *,
        follow: bool = True,
        first: First | None = None,
        on_news: Callable[[], None] = lambda: None,
        serve_last_good: bool = True,
    ) -> None:
        self.backend = backend
        self.namespace = namespace
        first = first or First(backend.load(namespace), backend.identity)
        self.view = View(first.snapshot, serve_last_good=serve_last_good)
        self.hub = Hub(namespace)
        self.view.on_unreadable = self._tell_unreadable
        self.identity = first.identity
        self.edition = 0
        """Counts what changed here, so that others know whether there is something to keep."""
        self.travels = 0
        """Counts how often the store was set back or replaced."""
        self._on_news = on_news
        self._alarmed = ""
        self.persisting = threading.RLock()
        self.follows = follow and backend.capabilities.push
        self._progress = threading.Condition(self.view.lock)
        self._closing = threading.Event()
        self._state = State.READY if self.view.source == "server" else State.STALE
        self._error = first.error
        self._watch: Watch | None = None
        self._thread: threading.Thread | None = None
        self._audit_at = 0.0
        forks.add(self)
        for name in self.view.readable.known:
            self._log_unreadable(name)
        if first.alarm:
            self._alarm(first.alarm)
        if self.follows:
            self._start()

    # --- what the core asks of it ----------------------------------------------------------------

    def status(self) -> Status:
        """Return how fresh the copy is, and the last error by kind and message (neither has values)."""
        with self.view.lock:
            state = State.CLOSED if self._closing.is_set() else self._state
            age = time.monotonic() - self.view.since
            if len(self.view.entries) <= CHECKED_AT_ONCE and not self._closing.is_set():
                self.view.check_all()
            unreadable = self.view.unreadable()
            return Status(state, self.view.revision, age, self.view.source, self._error, unreadable)

    def serves(self) -> bool:
        """Tell whether reads are answered: it is not closed, and not older than the program allows."""
        limit, age = self.view.limit, time.monotonic() - self.view.since
        return not self._closing.is_set() and not (limit and limit.refuses(age))

    @property
    def is_fresh(self) -> bool:
        """Tell whether the watch keeps the copy's revision near the store's."""
        return self.follows and self._state is State.READY

    def reload(self) -> None:
        """Load the whole state anew; drafts stay, laid over it."""
        self._load("changed")

    def see_store(self) -> None:
        """Load anew what came out of a cache file: before a commit, as the guards would be of a store not seen yet."""
        if self.view.source != "server":
            self.reload()

    def refresh(self, names: Sequence[str]) -> None:
        """Take over these names as the store has them now."""
        if not names:
            return
        before = {name: self.view.newest(name) for name in names}
        found = self.backend.read(self.namespace, names)
        if self.follows:
            if not self._wait_until(lambda: all(self._is_past(name, before[name], found.get(name)) for name in names)):
                self._look_ahead(names, found)
            return
        with self.view.lock:
            self._publish("changed", self.view.refresh(names, found))

    def _look_ahead(self, names: Sequence[str], found: Mapping[str, Entry]) -> None:
        """Know these as a read found them before the watch brings them.

        What was deleted has no revision to keep it by, and what cannot be read takes its place in the order of events:
        then all is loaded anew.
        """
        view = self.view
        if not any(view.readable.problem(name, entry) for name, entry in found.items()):
            view.look_ahead({name: Ahead(entry, entry.revision) for name, entry in found.items()})
        if any(view.newest(name) != found.get(name) for name in names):
            self.reload()

    @contextlib.contextmanager
    def sending(self, sent: Mapping[str, Sent]) -> Iterator[None]:
        """Know these writes as this process's own while they are under way."""
        self.view.sent = dict(sent)
        try:
            yield
        finally:
            self.view.sent = {}

    def take_own(self, revision: int, writes: Sequence[Write]) -> None:
        """Take over what this process committed at this revision: by the watch, or when it does not come, before it."""
        self._wait_until(lambda: self.view.revision >= revision)
        entries = {w.name: None if w.data is None else Entry(w.data, revision) for w in writes}
        with self.view.lock:
            if revision > self.view.revision and self.follows:
                self.view.land(entries, revision)
            elif revision > self.view.revision:
                self._publish("changed", self.view.advance(entries, revision), revision)
            self.view.settle_sent()

    def stop(self) -> None:
        """Begin to stop following and to end every subscription; idempotent, at once, from any thread."""
        self._closing.set()
        with self._progress:
            self._progress.notify_all()
        watch = self._watch
        if watch is not None:
            watch.close()
        self.hub.stop()

    def join(self, until: float) -> None:
        """Wait for what ``stop`` ends, to this time of the monotonic clock at most; not for the thread that asks."""
        self.hub.join(until)
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(max(0.0, until - time.monotonic()))

    def close(self) -> None:
        """Stop following and end every subscription, within 2 seconds."""
        self.stop()
        self.join(time.monotonic() + CLOSE_SECONDS)

    def before_fork(self) -> None:
        """Nothing: the view is what must be whole, and sees to that itself."""

    def after_fork_in_parent(self) -> None:
        """Nothing."""

    def after_fork_in_child(self) -> None:
        """Follow anew in a forked child: the parent's thread and connections are not there."""
        self.persisting = threading.RLock()
        self._progress = threading.Condition(self.view.lock)
        self._watch = None
        self.view.sent = {}
        if self.follows and not self._closing.is_set():
            self.hub.restart_in_child()
            self._state = State.STALE
            self._start()

    # --- following -------------------------------------------------------------------------------

    def _start(self) -> None:
        self._schedule_audit()
        self._thread = threading.Thread(target=self._follow, name=f"confo-follow-{self.namespace}", daemon=True)
        self._thread.start()

    def _follow(self) -> None:
        failures, resync = 0.0, self.view.source != "server"
        while not self._closing.is_set():
            began = time.monotonic()
            try:
                if resync:
                    self._load("resync")  # whatever differs was missed
                    resync = False
                    self._schedule_audit()
                    if not self.backend.capabilities.push:  # as is known now that it could be opened
                        self._stop_following()
                        return
                self._read()
                resync = True  # the watch ended to let the audit compare, or the backend was closed
            except Closed:
                if not self._closing.is_set():
                    log.warning("the backend of %s was closed: it is not followed any more", self.namespace)
                    self.stop()
                return
            except Exception as error:  # noqa: BLE001 - a plugin's defect must not end the thread in silence
                followed, seconds = self._state is State.READY, time.monotonic() - began
                failures = failures_before(error, failures, seconds, followed=followed)
                plan = after_failure(error, failures, random.random())  # noqa: S311 - spreading, not hiding
                failures += 1
                resync = resync or plan.resync
                if plan.resync:
                    log.info("loading %s anew: %s", self.namespace, error)
                else:
                    self._lost(plan.state, error)
                    self._look_for_another()
                self._closing.wait(plan.pause)

    def _stop_following(self) -> None:
        """Be a copy that ``reload()`` brings up to date: the backend does not tell of changes."""
        with self.view.lock:
            self.follows = False
            self._found()

    def _read(self) -> None:
        """Apply what a watch tells, until it ends."""
        watch = self._watch = self.backend.watch(self.namespace, self.view.revision)
        if self._closing.is_set():  # stop() may have come before there was a watch to close
            watch.close()
        try:
            for batch in watch:
                if self._closing.is_set():
                    return
                self._apply(batch)
                if time.monotonic() > self._audit_at:
                    return
            if not self._closing.is_set():  # either the backend was closed, and says so next, or its watch just ended
                raise BackendUnavailable(f"the watch of {self.namespace} ended without an error")
        finally:
            self._watch = None
            watch.close()

    def _apply(self, batch: Batch) -> None:
        with self.view.lock:
            self.view.since = time.monotonic()
            if batch.revision <= self.view.revision:
                # Servers repeat themselves. What came late instead is missing here.
                if not self.view.knows(batch.entries, batch.revision):
                    raise ResyncNeeded(f"the watch of {self.namespace} went back to revision {batch.revision}")
            else:
                applied = self.view.advance(batch.entries, batch.revision)
                self._publish("changed", applied, batch.revision)
                foreign = any(not one.own for one in applied)
                if foreign and not self.view.entries:  # the namespace itself may be gone: loading it tells
                    raise ResyncNeeded(f"everything in {self.namespace} was deleted")
            self._progress.notify_all()
            self._found()

    def _load(self, kind: Kind) -> None:
        """Load the whole state and take it over, unless something newer came while it was under way.

        A state older than all that is here, though nothing came meanwhile, is a store that was set back.
        """
        while True:
            before = self.view.newest_revision()
            snapshot = self.backend.load(self.namespace)
            with self.view.lock:
                newest = self.view.newest_revision()
                if snapshot.revision >= newest or newest == before:
                    self._take_whole(snapshot, kind)
                    return
                if self.view.revision > snapshot.revision:
                    return  # another load or the watch was quicker

    def _take_whole(self, snapshot: Snapshot, kind: Kind) -> None:
        identity = self.backend.identity
        reason = time_travel((self.identity, self.view.newest_revision()), (identity, snapshot.revision))
        if reason and not (identity and identity == self._alarmed):
            self._alarm(reason)
        self.identity, self._alarmed = identity or self.identity, ""
        if self.view.source != "server":
            kind = "resync"
        applied = self.view.replace(snapshot)
        if applied:
            self._publish(kind, applied)
        self._on_news()
        if not self.follows:
            self._found()
        self._progress.notify_all()

    def _look_for_another(self) -> None:
        """Notice another store also where it has no such namespace, or does not let this user in."""
        with contextlib.suppress(Exception), self.view.lock:  # a plugin's defect has been told already
            identity = self.backend.identity
            if identity != self._alarmed and (reason := time_travel((self.identity, 0), (identity, 0))):
                self._alarmed = identity
                self._alarm(reason)

    def _alarm(self, reason: str) -> None:
        log.warning("%s: %s; it is loaded anew", self.namespace, reason)
        self.travels += 1
        self._publish("alarm")

    def _found(self) -> None:
        if self._state is not State.READY:
            self._state, self._error = State.READY, None
            self._publish("ready")

    def _lost(self, state: State, error: Exception) -> None:
        with self.view.lock:
            # Only Confo's own texts are known to hold no value of a document.
            text = f": {error}" if isinstance(error, ConfoError) else ""
            self._error = f"{type(error).__name__}{text}"
            if self._closing.is_set():
                return
            was, self._state = self._state, state
            self._progress.notify_all()
            if was is State.READY:
                log.warning("lost %s: %s; serving revision %d", self.namespace, self._error, self.view.revision)
                self._publish("stale")

    def locks(self) -> tuple[threading.RLock, ...]:
        """Return the locks that a thread may hold when a signal handler or a finalizer calls in it."""
        return self.view.lock, self.persisting, self.hub.lock

    def wait_for(self, revision: int, seconds: float) -> bool:
        """Wait until the copy has reached this revision; False after so many seconds, or when closed."""
        with self._progress:
            self._progress.wait_for(lambda: self.view.revision >= revision or self._closing.is_set(), seconds)
            return self.view.revision >= revision

    def _wait_until(self, brought: Callable[[], bool]) -> bool:
        """Wait until the watch has brought something, if it can; tell whether it has."""
        with self._progress:
            self._progress.wait_for(
                lambda: brought() or self._state is not State.READY or self._closing.is_set(),
                OWN_COMMIT_SECONDS if self.follows else 0.0,
            )
            return brought()

    def _is_past(self, name: str, before: Entry | None, found: Entry | None) -> bool:
        """Tell whether the view has what a read found, or something newer; ``before`` is what it had before that."""
        entry = self.view.newest(name)
        if entry == found or entry != before:
            return entry is None or found is None or entry.revision >= found.revision
        return False

    def _publish(self, kind: Kind, applied: Sequence[Applied] = (), revision: int | None = None) -> None:
        """Tell the subscribers, under the view's lock, so that all hear it in one order."""
        if applied:
            self.edition += 1
            self._on_news()
        at = revision or self.view.revision
        changed = [one for one in applied if one.news == "changed"]
        if kind != "changed":
            self.hub.publish(Notice(kind, self.namespace, at, _told(changed)))
        elif changed:
            origin: Origin = "own" if all(one.own for one in changed) else "foreign"
            self.hub.publish(Notice(kind, self.namespace, at, _told(changed), origin))
        for one in applied:
            if one.news == "unreadable":
                self._tell_unreadable(one.name, one.old, at)

    def _tell_unreadable(self, name: str, served: Entry | None = None, revision: int | None = None) -> None:
        """Tell once of a document that cannot be read, under the view's lock."""
        self._log_unreadable(name)
        trouble = self.view.readable.known[name]
        new = Entry(b"", trouble.revision, trouble.reason)
        at = revision or self.view.revision
        self.hub.publish(Notice("unreadable", self.namespace, at, {name: (served, new)}))

    def _log_unreadable(self, name: str) -> None:
        trouble = self.view.readable.known[name]
        instead = "no earlier one is known" if trouble.serving is None else f"revision {trouble.serving} is served"
        log.warning("%s/%s cannot be read, and %s: %s", self.namespace, name, instead, trouble.reason)

    def _schedule_audit(self) -> None:
        self._audit_at = time.monotonic() + AUDIT_SECONDS * random.uniform(0.5, 1.0)  # noqa: S311 - spreading


def _told(applied: Sequence[Applied]) -> dict[str, tuple[Entry | None, Entry | None]]:
    return {one.name: (one.old, one.new) for one in applied}
