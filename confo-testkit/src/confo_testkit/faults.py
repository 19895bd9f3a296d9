"""A backend around a backend, which fails exactly as a test says: no chance, no clock.

Every fault is one that a real store or network shows: an answer that is lost, a stream that ends, a server that tells
a change twice, late or never, a history that is gone. A fault is announced first and happens to the next call, batch
or stream; what is not announced passes.
"""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from types import TracebackType
from typing import Literal, NoReturn, Self, TypeAlias

from confo import (
    Backend,
    BackendUnavailable,
    Batch,
    Capabilities,
    CredentialsError,
    Entry,
    OutcomeUnknown,
    ResyncNeeded,
    Snapshot,
    Watch,
    Write,
)

SECONDS = 10.0
"""How long a test waits for what must come, and a delayed call for its test."""

Call: TypeAlias = Literal["load", "read", "scan", "commit", "watch"]


class CommitFault(Enum):
    """What happens to a commit."""

    UNAVAILABLE = "it is not sent, and its writer is told so: BackendUnavailable"
    LOST_BEFORE = "it is lost on its way there, and nobody knows: OutcomeUnknown, not applied"
    LOST_AFTER = "the answer is lost on its way back, and nobody knows: OutcomeUnknown, though applied"


class BatchFault(Enum):
    """What happens to a batch of a watch; empty batches pass and do not count."""

    DUPLICATE = "it is told twice"
    REORDER = "it is told after the one that follows it"
    SWALLOW = "it is never told"
    CUT = "the stream breaks before it: BackendUnavailable"
    COMPACT = "the stream ends before it, as the store forgot it: ResyncNeeded"


class Delay:
    """Holds one call until it is released: a race that a test can step through.

    As a context manager it is released at the end of the block, whatever happened in it.
    """

    def __init__(self, call: Call, *, after: bool) -> None:
        self.call = call
        self.after = after
        self._reached = threading.Event()
        self._released = threading.Event()

    def wait_until_reached(self, seconds: float = SECONDS) -> None:
        """Wait until somebody is held; AssertionError when nobody came in time."""
        if not self._reached.wait(seconds):
            raise AssertionError(f"no {self.call}() came within {seconds} s")

    def release(self) -> None:
        """Let the call go on; idempotent."""
        self._released.set()

    def hold(self) -> None:
        """Say that somebody is here, and wait for the release; AssertionError if the test forgot it."""
        self._reached.set()
        if not self._released.wait(SECONDS):
            raise AssertionError(f"a delayed {self.call}() was not released within {SECONDS} s")

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Release the call."""
        self.release()

    def __repr__(self) -> str:
        """Show the call and how far it is."""
        state = "released" if self._released.is_set() else "holding" if self._reached.is_set() else "waiting"
        return f"<Delay of {self.call}, {'after' if self.after else 'before'} it happens: {state}>"


class Interruption:
    """Does something in the middle of one call, in the thread that called: a race without threads."""

    def __init__(self, call: Call, action: Callable[[], object], *, after: bool) -> None:
        self.call = call
        self.after = after
        self.happened = False
        self._action = action

    def hold(self) -> None:
        """Do it."""
        self.happened = True
        self._action()

    def release(self) -> None:
        """Nothing: nobody waits."""

    def __repr__(self) -> str:
        """Show the call and whether it came."""
        state = "happened" if self.happened else "waiting"
        return f"<Interruption of {self.call}, {'after' if self.after else 'before'} it happens: {state}>"


class FaultyBackend(Backend):
    """A backend around a backend: everything is passed on, but for the faults that were announced.

    Announce them from any thread. Closing it closes what is inside; close the inner one yourself if this one shares
    it with others.
    """

    def __init__(self, inner: Backend) -> None:
        self.inner = inner
        self._lock = threading.Lock()
        self._commits: deque[CommitFault | None] = deque()
        self._batches: deque[BatchFault | None] = deque()
        self._delays: list[Delay | Interruption] = []
        self._watches: weakref.WeakSet[FaultyWatch] = weakref.WeakSet()
        self._endings: list[BackendUnavailable | ResyncNeeded] = []
        self._down = False

    # --- what a test announces -------------------------------------------------------------------

    def next_commits(self, *faults: CommitFault | None) -> None:
        """Let the coming commits fail so, one fault each, in this order; None lets one pass."""
        with self._lock:
            self._commits.extend(faults)

    def next_batches(self, *faults: BatchFault | None) -> None:
        """Let the coming batches fail so, one fault each, in order, of whichever watch; None lets one pass."""
        with self._lock:
            self._batches.extend(faults)

    def delay(self, call: Call, *, after: bool = False) -> Delay:
        """Hold the next such call, before it happens or with ``after`` before its answer is given.

        "watch" is the opening of a watch. An announced fault of a commit that is delayed comes after the release.
        """
        delay = Delay(call, after=after)
        with self._lock:
            self._delays.append(delay)
        return delay

    def meanwhile(self, action: Callable[[], object], *, call: Call = "commit", after: bool = False) -> Interruption:
        """Do this in the middle of the next such call: before it happens, or with ``after`` before its answer is given.

        The answer's ``happened`` says whether such a call came.
        """
        interruption = Interruption(call, action, after=after)
        with self._lock:
            self._delays.append(interruption)
        return interruption

    def cut_watches(self) -> int:
        """Break every open stream now (BackendUnavailable); return how many."""
        return self._end_watches(BackendUnavailable("the connection broke (on command)"))

    def compact_watches(self) -> int:
        """End every open stream now as one that cannot be resumed (ResyncNeeded); return how many."""
        return self._end_watches(ResyncNeeded("the store forgot what came next (on command)"))

    def go_down(self) -> None:
        """Break every stream, and refuse every call with BackendUnavailable, until ``come_back``."""
        self._down = True
        self.cut_watches()

    def come_back(self) -> None:
        """Answer again."""
        self._down = False

    @property
    def pending(self) -> tuple[CommitFault | BatchFault | Delay | Interruption, ...]:
        """What was announced and has not happened yet."""
        with self._lock:
            return (*filter(None, self._commits), *filter(None, self._batches), *self._delays)

    def clear_commits(self) -> None:
        """Forget what was announced for commits and has not happened, and release who is to be held in one."""
        with self._lock:
            self._commits.clear()
            delays = [delay for delay in self._delays if delay.call == "commit"]
            self._delays = [delay for delay in self._delays if delay.call != "commit"]
        for delay in delays:
            delay.release()

    def clear(self) -> None:
        """Forget what was announced and has not happened, release who is held, and answer again."""
        with self._lock:
            self._commits.clear()
            self._batches.clear()
            delays, self._delays = self._delays, []
        for delay in delays:
            delay.release()
        self.come_back()

    # --- the seam --------------------------------------------------------------------------------

    @classmethod
    def open(cls, credentials: Mapping[str, object]) -> NoReturn:
        """Refuse: it is made around a backend that is open, ``FaultyBackend(inner)``."""
        given = ", ".join(map(repr, credentials)) or "none"
        raise CredentialsError(
            f"a FaultyBackend has no credentials (given: {given}): make it around an opened one, FaultyBackend(inner)"
        )

    @property
    def capabilities(self) -> Capabilities:  # type: ignore[override] # an attribute there, and read only here
        """The inner one's."""
        return self.inner.capabilities

    @property
    def identity(self) -> str:
        """The inner one's."""
        return self.inner.identity

    def namespaces(self) -> list[str]:
        """Pass on."""
        self._check_up()
        return self.inner.namespaces()

    def create_namespace(self, namespace: str) -> None:
        """Pass on."""
        self._check_up()
        self.inner.create_namespace(namespace)

    def delete_namespace(self, namespace: str) -> None:
        """Pass on."""
        self._check_up()
        self.inner.delete_namespace(namespace)

    def load(self, namespace: str) -> Snapshot:
        """Pass on, perhaps later."""
        with self._delayed("load"):
            return self.inner.load(namespace)

    def read(self, namespace: str, names: Sequence[str]) -> dict[str, Entry]:
        """Pass on, perhaps later."""
        with self._delayed("read"):
            return self.inner.read(namespace, names)

    def scan(
        self, namespace: str, *, start: str = "", limit: int = 100, reverse: bool = False
    ) -> list[tuple[str, Entry]]:
        """Pass on, perhaps later."""
        with self._delayed("scan"):
            return self.inner.scan(namespace, start=start, limit=limit, reverse=reverse)

    def left_out(self, namespace: str) -> Mapping[str, str]:
        """Pass on."""
        return self.inner.left_out(namespace)

    def read_at(self, namespace: str, names: Sequence[str], revision: int) -> dict[str, Entry]:
        """Pass on, perhaps later."""
        with self._delayed("read"):
            return self.inner.read_at(namespace, names, revision)

    def commit(self, writes: Sequence[Write]) -> int:
        """Pass on, or not; and give the answer, or not."""
        with self._lock:
            fault = self._commits.popleft() if self._commits else None
        with self._delayed("commit"):
            if fault is CommitFault.UNAVAILABLE:
                raise BackendUnavailable("the store could not be reached (on command)")
            if fault is CommitFault.LOST_BEFORE:
                raise OutcomeUnknown("the commit was lost on its way there (on command)")
            revision = self.inner.commit(writes)
        if fault is CommitFault.LOST_AFTER:
            raise OutcomeUnknown("the answer was lost on its way back (on command)")
        return revision

    def watch(self, namespace: str, after: int) -> Watch:
        """Pass on, with the faults that come."""
        with self._delayed("watch"):
            endings = len(self._endings)
            watch = FaultyWatch(self, self.inner.watch(namespace, after))
        with self._lock:
            self._watches.add(watch)
            missed = self._endings[endings:]
        if missed:  # it was being opened when every stream was ended
            watch.end(missed[-1])
        return watch

    def close(self) -> None:
        """Release who is held, and close the inner one."""
        self.clear()
        self.inner.close()

    def __repr__(self) -> str:
        """Show what is announced."""
        return f"<FaultyBackend around {type(self.inner).__name__}, {len(self.pending)} faults to come>"

    # --- inside ----------------------------------------------------------------------------------

    def next_batch_fault(self) -> BatchFault | None:
        """Take the fault of the batch at hand; for its watches."""
        with self._lock:
            return self._batches.popleft() if self._batches else None

    def _delayed(self, call: Call) -> _Delayed:
        self._check_up()
        with self._lock:
            delay = next((one for one in self._delays if one.call == call), None)
            if delay is not None:
                self._delays.remove(delay)
        return _Delayed(delay)

    def _check_up(self) -> None:
        if self._down:
            raise BackendUnavailable("the store is down (on command)")

    def _end_watches(self, error: BackendUnavailable | ResyncNeeded) -> int:
        with self._lock:
            self._endings.append(error)
            watches = [watch for watch in self._watches if not watch.ended]
        for watch in watches:
            watch.end(error)
        return len(watches)


class FaultyWatch(Watch):
    """A watch around a watch; ``FaultyBackend.watch`` makes them."""

    def __init__(self, backend: FaultyBackend, inner: Watch) -> None:
        self._backend = backend
        self._inner = inner
        self._error: BackendUnavailable | ResyncNeeded | None = None
        self._ready: deque[Batch] = deque()
        self._held: Batch | None = None
        self.ended = False

    def __next__(self) -> Batch:
        """Return the next batch, or one before it, or raise what was announced."""
        while self._error is None:
            if self._ready:
                return self._ready.popleft()
            try:
                batch = next(self._inner)
            except BaseException:
                self.ended = True
                if self._error is None:  # else it ended because it was ended
                    raise
                break
            self._take(batch)
        raise self._error

    def close(self) -> None:
        """End the stream."""
        self.ended = True
        self._inner.close()

    def end(self, error: BackendUnavailable | ResyncNeeded) -> None:
        """End the stream with this error, whoever waits in it, from any thread."""
        self._error = error
        self.close()

    def _take(self, batch: Batch) -> None:
        """Make of one batch those that are told."""
        fault = self._backend.next_batch_fault() if batch.entries else None
        if fault is BatchFault.CUT:
            self.end(BackendUnavailable("the connection broke (on command)"))
        elif fault is BatchFault.COMPACT:
            self.end(ResyncNeeded("the store forgot what came next (on command)"))
        elif fault is BatchFault.REORDER and self._held is None:
            self._held = batch
        elif fault is not BatchFault.SWALLOW:
            self._ready.extend([batch] * (2 if fault is BatchFault.DUPLICATE else 1))
            if batch.entries and self._held is not None:
                self._ready.append(self._held)
                self._held = None


class _Delayed:
    """Holds a call at its beginning or at its end; an error of the call is not held."""

    def __init__(self, delay: Delay | Interruption | None) -> None:
        self._delay = delay

    def __enter__(self) -> None:
        if self._delay is not None and not self._delay.after:
            self._delay.hold()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._delay is not None and self._delay.after and kind is None:
            self._delay.hold()
