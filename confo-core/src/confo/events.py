"""Who wants to hear of what, and how it reaches them: in order, off the reader's thread, from bounded mailboxes.

The reader only drops notices into mailboxes; decoding, comparing and filtering happen where they are taken out. A
callback that blocks fills its own mailbox and delays nobody else.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Final, Literal, NamedTuple, Self, TypeAlias, get_args

from confo import callbacks, shield
from confo.changes import unchanged
from confo.codec import FrozenDict, decode
from confo.errors import Closed, InvalidOption, NotSupported, UnreadableDocument
from confo.hints import did_you_mean
from confo.model import Change, Entry, same
from confo.paths import Field, as_path, look

Kind: TypeAlias = Literal["changed", "resync", "stale", "ready", "alarm", "unreadable"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
DOCUMENTS: Final[tuple[Kind, ...]] = ("changed", "resync")
"""Kinds of events that tell of documents: what a callback hears that asks for no others."""
OF_THE_NAMESPACE: Final[tuple[Kind, ...]] = ("stale", "ready", "alarm")
"""Kinds of events that concern no single configuration."""
Origin: TypeAlias = Literal["own", "foreign"]
Entries: TypeAlias = Mapping[str, tuple[Entry | None, Entry | None]]

CAPACITY = 1000
"""Notices that wait in one mailbox; beyond, those of one configuration become one."""
CLOSE_SECONDS = 2.0
"""How long closing waits for a callback that is running."""


class Notice(NamedTuple):
    """What the reader saw: the entries before and after, nothing decoded."""

    kind: Kind
    namespace: str
    revision: int
    entries: Entries = {}  # noqa: RUF012 - a default of a named tuple, never written to
    origin: Origin | None = None
    commits: int = 1
    number: int = 0
    """Counts the notices of a namespace, so that a subscriber can be waited for."""


class Event:
    """Something that happened to a namespace.

    ``kind`` is "changed"; "resync" when changes may have been missed and the state was loaded anew; "stale" when the
    store was lost and "ready" when it is followed again; "alarm" when it is another store than before, or one that was
    set back; "unreadable" when a document came that cannot be read. ``configuration`` is None for what concerns the
    whole namespace, and ``configurations`` then names those that differ. ``coalesced`` is how many commits it stands
    for: more than one when they came faster than the callback took them. ``origin`` is "own" for what this process
    committed, else "foreign".
    """

    __slots__ = ("_entries", "coalesced", "configuration", "configurations", "kind", "namespace", "origin", "revision")

    def __init__(self, notice: Notice, configuration: str | None) -> None:
        self.kind = notice.kind
        self.namespace = notice.namespace
        self.configuration = configuration
        self.configurations = tuple(notice.entries)
        self.revision = notice.revision
        self.origin = notice.origin
        self.coalesced = notice.commits
        self._entries = notice.entries[configuration] if configuration else (None, None)

    @property
    def old(self) -> FrozenDict | None:
        """The document before, None if there was none; UnreadableDocument if it was none that can be read."""
        return self._decode(self._entries[0])

    @property
    def new(self) -> FrozenDict | None:
        """The document after, None if there is none; of kind "unreadable" the last good one, which is served on.

        UnreadableDocument if it is none that can be read.
        """
        return self.old if self.kind == "unreadable" else self._decode(self._entries[1])

    @property
    def problem(self) -> str | None:
        """Why the document cannot be read, for an event of kind "unreadable"; None for all others."""
        entry = self._entries[1]
        return entry.problem if self.kind == "unreadable" and entry is not None else None

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the fields that differ."""
        return Change(self.namespace, self.configuration or "", self.old, self.new).fields

    @property
    def paths(self) -> tuple[tuple[str, ...], ...]:
        """Where they differ, as deep as both sides are objects: ``(("host",), ("opts", "pool"))``."""
        return Change(self.namespace, self.configuration or "", self.old, self.new).paths

    def __repr__(self) -> str:
        """Show what happened where, never a value."""
        place = self.namespace if self.configuration is None else f"{self.namespace}/{self.configuration}"
        return f"<Event {self.kind} {place} at revision {self.revision}, {self.origin or 'of the replica'}>"

    def _decode(self, entry: Entry | None) -> FrozenDict | None:
        if entry is None or self.configuration is None:
            return None
        return FrozenDict(
            decode(entry.data, namespace=self.namespace, configuration=self.configuration, problem=entry.problem)
        )


class Interest(NamedTuple):
    """What a subscriber wants to hear: all of a namespace, one configuration, one field or path; and which kinds."""

    configuration: str | None
    field: Field | None
    kinds: tuple[Kind, ...] = DOCUMENTS

    def hears_alarms(self) -> bool:
        """Tell whether an alarm reaches this subscriber."""
        return "alarm" in self.kinds

    def events(self, notice: Notice) -> list[Event]:
        """Return the events that a notice means to this subscriber."""
        if notice.kind not in self.kinds:
            return []
        if notice.kind in OF_THE_NAMESPACE or (notice.kind == "resync" and self.configuration is None):
            return [Event(notice, None)]
        names = notice.entries if self.configuration is None else [self.configuration]
        events = [Event(notice, name) for name in names if name in notice.entries]
        return events if notice.kind == "unreadable" else [event for event in events if self._concerns(event)]

    def _concerns(self, event: Event) -> bool:
        """Tell whether the document differs, or the field: another tool may write what was there before."""
        try:
            old, new = event.old, event.new
        except UnreadableDocument:
            return True
        if self.field is None:
            return not unchanged(old, new)
        path = as_path(self.field)
        return not same(look(old, path), look(new, path))


Kinds: TypeAlias = Iterable[Kind] | Kind | Literal["all"] | None


def kinds_of(asked: Kinds) -> tuple[Kind, ...]:
    """Return the kinds of events that these words stand for; InvalidOption for a word that is none."""
    if asked is None:
        return DOCUMENTS
    if asked == "all":
        return KINDS
    words = [asked] if isinstance(asked, str) else list(asked)
    for word in words:
        if word not in KINDS:
            raise InvalidOption(
                f"there is no kind of event {word!r}{did_you_mean(word, KINDS)}; kinds: {', '.join(KINDS)}; or 'all'"
            )
    return tuple(kind for kind in KINDS if kind in words)


def check_wait(revision: object, timeout: object) -> None:
    """Raise InvalidOption for what cannot be waited for."""
    if not isinstance(revision, int) or isinstance(revision, bool) or revision < 0:
        got = revision if type(revision) is int else f"a {type(revision).__name__}"
        raise InvalidOption(f"wait_for() waits for a revision, such as persist().revision, not for {got}")
    if not isinstance(timeout, (int, float)) or isinstance(timeout, bool):
        raise InvalidOption(f"timeout is a number of seconds, not a {type(timeout).__name__}")


class Mailbox:
    """A bounded queue of notices; beyond its capacity it keeps one a configuration, and says so in their count.

    Any thread may put, one takes. ``_news`` is held while there is nothing new: a lock by itself wakes a thread in half
    the time of a Condition.
    """

    def __init__(self, wake: Callable[[], None] | None = None, capacity: int = CAPACITY) -> None:
        self._lock = threading.RLock()
        self._news = threading.Lock()
        self._news.acquire()
        self._notices: deque[Notice] = deque()
        self._capacity = capacity
        self._wake = wake
        self.closed = False

    def put(self, notice: Notice) -> None:
        """Add a notice; never blocks."""
        with self._lock:
            if self.closed:
                return
            self._notices.append(notice)
            if len(self._notices) > self._capacity:
                # To half, so that folding is not done again for every notice that comes.
                self._notices = deque(coalesce(self._notices, self._capacity // 2))
            self._tell()
        if self._wake:
            self._wake()

    def take(self, *, wait: bool) -> Notice | None:
        """Return the oldest notice; None when there is none, or with ``wait`` when it was closed."""
        while True:
            with self._lock:
                if self.closed or self._notices or not wait:
                    return self._notices.popleft() if self._notices and not self.closed else None
            self._news.acquire()

    def close(self) -> None:
        """Drop what waits and wake who waits."""
        with self._lock:
            self.closed = True
            self._notices.clear()
            self._tell()
        if self._wake:
            self._wake()

    def _tell(self) -> None:
        if self._news.locked():
            self._news.release()


def coalesce(notices: deque[Notice], capacity: int) -> list[Notice]:
    """Return these notices with those of one configuration folded into its last; one resync if that is not enough."""
    folded: dict[str, Notice] = {}
    for notice in notices:
        whole = notice.kind != "changed"  # a blank begins no configuration's name
        for key, entries in [(f" {notice.kind}", notice.entries)] if whole else _one_by_one(notice):
            before = folded.pop(key, None)  # popped, so that the order is that of the last
            folded[key] = notice._replace(entries=entries) if before is None else _fold(before, notice, entries)
    if len(folded) <= capacity:
        return list(folded.values())
    entries = {}
    for notice in notices:
        entries = _joined(entries, notice.entries)
    commits = sum(notice.commits for notice in notices)
    resync = notices[-1]._replace(kind="resync", entries=entries, origin=None, commits=commits)
    last = list(folded.values())[-1]
    alarms = [notice for notice in folded.values() if notice.kind == "alarm" and notice is not last]
    return [*alarms, resync, *([last] if last.kind in ("stale", "ready", "alarm") else [])]


def _one_by_one(notice: Notice) -> list[tuple[str, Entries]]:
    return [(name, {name: change}) for name, change in notice.entries.items()]


def _fold(before: Notice, after: Notice, entries: Entries) -> Notice:
    origin = after.origin if before.origin == after.origin else "foreign"
    commits = before.commits + after.commits
    return after._replace(entries=_joined(before.entries, entries), origin=origin, commits=commits)


def _joined(before: Entries, after: Entries) -> Entries:
    """Return what differs over both: from the first old to the last new."""
    return {**before, **{name: (before[name][0] if name in before else old, new) for name, (old, new) in after.items()}}


class Subscription:
    """A callback with a thread of its own; close it, or use it in a ``with`` block."""

    def __init__(
        self,
        hub: Hub,
        interest: Interest,
        callback: Callable[[Event], object],
        *,
        reached: Callable[[int, float], bool] = lambda _, __: True,
        capacity: int = CAPACITY,
    ) -> None:
        """Begin to listen; ``reached`` waits until the local copy is at a revision, for so many seconds."""
        callbacks.check(callback, "event")
        self.interest = interest
        self.mailbox = Mailbox(capacity=capacity)
        self._hub = hub
        self._callback = callback
        self._reached = reached
        self._handled = hub.number
        self._waiters: list[tuple[int, threading.Lock]] = []
        self._lock = threading.Lock()
        self.start()

    def start(self) -> None:
        """Begin to deliver; again, in a forked child."""
        name = f"confo-callback-{self._hub.namespace}"
        self._lock, self._waiters = threading.Lock(), []
        self._thread = threading.Thread(target=self._deliver, name=name, daemon=True)
        self._thread.start()

    def wait_for(self, revision: int, timeout: float = 5.0) -> bool:
        """Wait until the callback has run for every event up to this revision; False after ``timeout`` seconds.

        NotSupported in the callback itself, which would wait for its own end; InvalidOption for what is no revision.
        """
        check_wait(revision, timeout)
        until = time.monotonic() + timeout
        self._refuse_itself("wait_for")
        return self._reached(revision, timeout) and self.drain(max(0.0, until - time.monotonic()))

    def drain(self, timeout: float = 5.0) -> bool:
        """Wait until the callback has run for every event that was told so far; False after ``timeout`` seconds."""
        self._refuse_itself("drain")
        wanted, done = self._hub.number, threading.Lock()
        with self._lock:
            if self._handled >= wanted:
                return True
            if self.mailbox.closed:
                return False
            done.acquire()  # released by the thread that delivers; an interrupt leaves nothing half done in a lock
            self._waiters.append((wanted, done))
        done.acquire(timeout=max(0.0, timeout))
        return self._handled >= wanted

    def close(self, *, drain: bool = False, timeout: float = CLOSE_SECONDS) -> None:
        """End the subscription; what waits is dropped, or with ``drain`` delivered first.

        Waits for a running callback, unless it is called in it, for ``timeout`` seconds at most.
        """
        if self._thread is threading.current_thread():
            self._close(drain, timeout)
        else:  # cut in the middle, it would leave a thread that nobody knows
            shield.run(lambda: self._close(drain, timeout), locks=(self._hub.lock,))

    def _close(self, drain: bool, timeout: float) -> None:
        until = time.monotonic() + timeout
        self._hub.remove(self)
        if drain:
            self.drain(timeout)
        self.mailbox.close()
        self.join(until - time.monotonic())

    def join(self, seconds: float) -> None:
        """Wait for the callback that is running, unless this is it."""
        if self._thread is not threading.current_thread():
            self._thread.join(max(0.0, seconds))

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the subscription."""
        self.close()

    def __repr__(self) -> str:
        """Show what it listens to."""
        parts = (self._hub.namespace, self.interest.configuration, self.interest.field)
        place = "/".join(str(part) for part in parts if part is not None)
        return f"<Subscription to {place}{', closed' if self.mailbox.closed else ''}>"

    def _deliver(self) -> None:
        shield.here()
        while (notice := self.mailbox.take(wait=True)) is not None:
            for event in self.interest.events(notice):
                if self.mailbox.closed:
                    break
                callbacks.call(self._callback, event)
            else:
                self._handled = notice.number
                self._wake(notice.number)
        self._wake(sys.maxsize)

    def _wake(self, handled: int) -> None:
        """Let go on who waits for what has been handled; at the end, everybody."""
        with self._lock:
            ready = [lock for wanted, lock in self._waiters if wanted <= handled]
            self._waiters = [waiter for waiter in self._waiters if waiter[0] > handled]
        for lock in ready:
            lock.release()

    def _refuse_itself(self, what: str) -> None:
        if self._thread is threading.current_thread():
            raise NotSupported(
                f"{what}() in the callback itself would wait for its own end", namespace=self._hub.namespace
            )


class Changes:
    """The events as an asynchronous iterator: ``async for event in ns.changes()``; no thread of its own."""

    def __init__(self, hub: Hub, interest: Interest) -> None:
        import asyncio  # here, as few programs want it and importing it takes long

        self.interest = interest
        self._hub = hub
        try:
            self._loop = asyncio.get_running_loop()
        except RuntimeError:
            raise NotSupported(
                "changes() hands its events to a running event loop: call it in a coroutine, or use on_change()",
                namespace=hub.namespace,
            ) from None
        self._news = asyncio.Event()
        self._ready: deque[Event] = deque()
        self.mailbox = Mailbox(self._wake)

    def __aiter__(self) -> Self:
        """Return itself."""
        return self

    async def __anext__(self) -> Event:
        """Wait for the next event; StopAsyncIteration once closed."""
        while not self._ready:
            self._news.clear()
            notice = self.mailbox.take(wait=False)
            if notice is not None:
                self._ready.extend(self.interest.events(notice))
            elif self.mailbox.closed:
                raise StopAsyncIteration
            else:
                await self._news.wait()
        return self._ready.popleft()

    async def aclose(self) -> None:
        """End the iteration."""
        self.close()

    def close(self) -> None:
        """End the iteration, from any thread."""
        self._hub.remove(self)
        self.mailbox.close()

    def start(self) -> None:
        """End, in a forked child: its parent's event loop does not run there."""
        self.mailbox.closed = True

    def join(self, seconds: float) -> None:
        """Nothing to wait for."""

    async def __aenter__(self) -> Self:
        """Return itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the iteration."""
        self.close()

    def _wake(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._news.set)
        except RuntimeError:  # the loop was closed without closing this
            self._hub.remove(self)


class Hub:
    """The subscribers of one namespace."""

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        self._subscribers: tuple[Subscription | Changes, ...] = ()
        self._ending: tuple[Subscription | Changes, ...] = ()
        self._unheard: list[Notice] = []
        self._stopped = False
        self.number = 0
        """Of the last notice that was published."""
        self.lock = threading.RLock()

    def add(self, subscriber: Subscription | Changes) -> None:
        """Tell this subscriber of what comes."""
        with self.lock:
            if self._stopped:
                subscriber.mailbox.close()
                raise Closed(
                    f"{self.namespace} is not followed any more: its backend was closed", namespace=self.namespace
                )
            self._subscribers = (*self._subscribers, subscriber)
            if subscriber.interest.hears_alarms():
                unheard, self._unheard = self._unheard, []
                for notice in unheard:
                    subscriber.mailbox.put(notice)

    def remove(self, subscriber: Subscription | Changes) -> None:
        """Tell it no more."""
        with self.lock:
            self._subscribers = tuple(one for one in self._subscribers if one is not subscriber)

    def publish(self, notice: Notice) -> None:
        """Drop a notice into every mailbox; never blocks. An alarm that nobody can hear waits for the first who can."""
        with self.lock:
            self.number += 1
            numbered = notice._replace(number=self.number)
            if notice.kind == "alarm" and not any(one.interest.hears_alarms() for one in self._subscribers):
                self._unheard.append(numbered)
            for subscriber in self._subscribers:
                subscriber.mailbox.put(numbered)

    def drain(self, until: float) -> bool:
        """Wait until every callback has run for what was published so far, to this time of the monotonic clock."""
        waiting = [one for one in self._subscribers if isinstance(one, Subscription)]
        return all(one.drain(until - time.monotonic()) for one in waiting)

    def stop(self) -> None:
        """Begin to end every subscription."""
        with self.lock:
            self._stopped = True
            self._ending, self._subscribers = (*self._ending, *self._subscribers), ()
        for subscriber in self._ending:
            subscriber.mailbox.close()

    def join(self, until: float) -> None:
        """Wait for the callbacks that are running, to this time of the monotonic clock at most."""
        for subscriber in self._ending:
            subscriber.join(until - time.monotonic())

    def restart_in_child(self) -> None:
        """Deliver again in a forked child, where no thread of the parent's runs."""
        self.lock = threading.RLock()
        for subscriber in self._subscribers:
            subscriber.mailbox = Mailbox(capacity=CAPACITY)
            subscriber.start()
