"""Who wants to hear of what, and how it reaches them: in order, off the reader's thread, from bounded mailboxes.

The reader only drops notices into mailboxes; decoding, comparing and filtering happen where they are taken out. A
callback that blocks fills its own mailbox and delays nobody else.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Literal, NamedTuple, Self, TypeAlias

from confo.changes import unchanged
from confo.codec import FrozenDict, decode
from confo.errors import Closed, UnreadableDocument
from confo.model import MISSING, Change, Entry, same

log = logging.getLogger("confo")

Kind: TypeAlias = Literal["changed", "resync", "stale", "ready", "alarm"]
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


class Event:
    """Something that happened to a namespace.

    ``kind`` is "changed"; "resync" when changes may have been missed and the state was loaded anew; "stale" when the
    store was lost and "ready" when it is followed again; "alarm" when it is another store than before, or one that was
    set back. ``configuration`` is None for what concerns the whole namespace, and ``configurations`` then names those
    that differ; who listens to one configuration does not hear of "stale", "ready" and "alarm". ``coalesced`` is how
    many commits it stands for: more than one when they came faster than the callback took them. ``origin`` is "own"
    for what this process committed, else "foreign".
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
        """The document after, None if there is none; UnreadableDocument if it is none that can be read."""
        return self._decode(self._entries[1])

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the fields that differ."""
        return Change(self.namespace, self.configuration or "", self.old, self.new).fields

    def __repr__(self) -> str:
        """Show what happened where, never a value."""
        place = self.namespace if self.configuration is None else f"{self.namespace}/{self.configuration}"
        return f"<Event {self.kind} {place} at revision {self.revision}, {self.origin or 'of the replica'}>"

    def _decode(self, entry: Entry | None) -> FrozenDict | None:
        if entry is None or self.configuration is None:
            return None
        return FrozenDict(decode(entry.data, namespace=self.namespace, configuration=self.configuration))


class Interest(NamedTuple):
    """What a subscriber wants to hear: all of a namespace, one configuration, or one of its fields."""

    configuration: str | None
    field: str | None

    def events(self, notice: Notice) -> list[Event]:
        """Return the events that a notice means to this subscriber."""
        if notice.kind != "changed" and self.configuration is None:
            return [Event(notice, None)]
        names = notice.entries if self.configuration is None else [self.configuration]
        events = [Event(notice, name) for name in names if name in notice.entries]
        return [event for event in events if self._concerns(event)]

    def _concerns(self, event: Event) -> bool:
        """Tell whether the document differs, or the field: another tool may write what was there before."""
        try:
            old, new = event.old, event.new
        except UnreadableDocument:
            return True
        if self.field is None:
            return not unchanged(old, new)
        before, after = (MISSING if side is None else side.get(self.field, MISSING) for side in (old, new))
        return not same(before, after)


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
        self, hub: Hub, interest: Interest, callback: Callable[[Event], object], *, capacity: int = CAPACITY
    ) -> None:
        self.interest = interest
        self.mailbox = Mailbox(capacity=capacity)
        self._hub = hub
        self._callback = callback
        self.start()

    def start(self) -> None:
        """Begin to deliver; again, in a forked child."""
        name = f"confo-callback-{self._hub.namespace}"
        self._thread = threading.Thread(target=self._deliver, name=name, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the subscription; what waits is dropped. Waits for a running callback, but for its own, 2 s at most."""
        self._hub.remove(self)
        self.mailbox.close()
        self.join(CLOSE_SECONDS)

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
        place = "/".join(part for part in (self._hub.namespace, *self.interest) if part is not None)
        return f"<Subscription to {place}{', closed' if self.mailbox.closed else ''}>"

    def _deliver(self) -> None:
        while (notice := self.mailbox.take(wait=True)) is not None:
            for event in self.interest.events(notice):
                if self.mailbox.closed:
                    return
                try:
                    self._callback(event)
                except Exception as error:  # noqa: BLE001 - a callback may raise anything
                    # The error's text is the callback's own and may quote a document: its type and place are enough.
                    log.error("a callback raised %s on %r", _where(error), event)  # noqa: TRY400


class Changes:
    """The events as an asynchronous iterator: ``async for event in ns.changes()``; no thread of its own."""

    def __init__(self, hub: Hub, interest: Interest) -> None:
        import asyncio  # here, as few programs want it and importing it takes long

        self.interest = interest
        self._hub = hub
        self._loop = asyncio.get_running_loop()
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
        self._lock = threading.RLock()

    def add(self, subscriber: Subscription | Changes) -> None:
        """Tell this subscriber of what comes."""
        with self._lock:
            if self._stopped:
                subscriber.mailbox.close()
                raise Closed(
                    f"{self.namespace} is not followed any more: its backend was closed", namespace=self.namespace
                )
            self._subscribers = (*self._subscribers, subscriber)
            if subscriber.interest.configuration is None:
                unheard, self._unheard = self._unheard, []
                for notice in unheard:
                    subscriber.mailbox.put(notice)

    def remove(self, subscriber: Subscription | Changes) -> None:
        """Tell it no more."""
        with self._lock:
            self._subscribers = tuple(one for one in self._subscribers if one is not subscriber)

    def publish(self, notice: Notice) -> None:
        """Drop a notice into every mailbox; never blocks. An alarm that nobody can hear waits for the first who can."""
        if notice.kind == "alarm" and all(one.interest.configuration is not None for one in self._subscribers):
            self._unheard.append(notice)
        for subscriber in self._subscribers:
            subscriber.mailbox.put(notice)

    def stop(self) -> None:
        """Begin to end every subscription."""
        with self._lock:
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
        self._lock = threading.RLock()
        for subscriber in self._subscribers:
            subscriber.mailbox = Mailbox(capacity=CAPACITY)
            subscriber.start()


def _where(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    line = f" at {trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else ""
    return type(error).__name__ + line
