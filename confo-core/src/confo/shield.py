"""Calls that no interrupt may cut run in a thread of their own, and their caller waits for them.

Ctrl-C, a signal handler that raises and ``PyThreadState_SetAsyncExc`` may raise at any instruction of the calling
thread: inside a lock of ours, of a driver's or of gRPC's, which then stays locked for ever. Here they find a thread
that only waits, on a lock made in C; what was begun goes on to its end where no such exception comes.
"""

from __future__ import annotations

import _thread
import contextlib
import contextvars
import functools
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Generic, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

IDLE_SECONDS = 0.2
"""How long a thread waits for another call: a program that commits in a loop needs one, and none is left behind."""
NOTE_SECONDS = 0.25
"""How long an interrupt waits for the end of what it interrupted, to be able to say what became of it."""
LOST_SECONDS = 0.05
"""How long a call waits to be begun before another thread is started for it."""

_here = threading.local()


class Job(Generic[T]):
    """A call in another thread, and what became of it."""

    def __init__(self, call: Callable[[], T], undo: Callable[[T], object] | None) -> None:
        self._context, self._call = contextvars.copy_context(), call
        self._undo = undo
        self._begun = threading.Lock()
        """Taken by who comes first: the worker that runs it, or the caller that does not want it any more."""
        self._wanted = threading.Lock()
        """Likewise: the worker that has the result, or the caller that does not want it any more."""
        self.done = threading.Lock()
        self.done.acquire()
        self.result: T | None = None
        self.error: BaseException | None = None

    def run(self) -> None:
        """Do it, and undo it if nobody waits for it any more."""
        if not self._begun.acquire(blocking=False):
            return
        try:
            self.result = self._context.run(self._call)
        except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
            self.error = error
        unwanted = not self._wanted.acquire(blocking=False)
        self.done.release()
        if unwanted:
            self._take_back()

    @property
    def has_begun(self) -> bool:
        """Tell whether a worker runs it, or has run it."""
        return self._begun.locked()

    def cancel(self) -> bool:
        """Tell whether it has not begun, and then never will."""
        return self._begun.acquire(blocking=False)

    def abandon(self) -> None:
        """Say that nobody waits for the result: what it made is undone, now or when it ends."""
        if not self._wanted.acquire(blocking=False):
            self._take_back()

    def has_ended(self, seconds: float) -> bool:
        """Tell whether it ends within so many seconds."""
        if self.done.acquire(timeout=seconds):
            self.done.release()
            return True
        return False

    def _take_back(self) -> None:
        if self.error is None and self._undo is not None:
            self._undo(self.result)  # type: ignore[arg-type] # there was no error, so it is the result


# Each step on these is one step of the interpreter's: no interrupt leaves one half done. A caller puts its job, then
# wakes an idle worker or starts one. Whatever is cut in between, a worker that was taken out of the idle ones and never
# woken looks for a job by itself when its time is over. (SimpleQueue.get may outwait its timeout in CPython 3.11.)
_jobs: deque[Job[Any]] = deque()
_idle: list[threading.Lock] = []
"""A lock for each worker that waits; releasing it wakes the worker."""


def _work() -> None:
    """Run one job after another, and end when there is none for a moment."""
    here()
    if hasattr(signal, "pthread_sigmask"):  # a signal goes to the thread that handles it
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    mine = threading.Lock()
    mine.acquire()
    while True:
        while (job := _next()) is not None:
            job.run()
            del job
        _idle.append(mine)
        if not mine.acquire(timeout=IDLE_SECONDS):
            with contextlib.suppress(ValueError):  # else a caller has just taken it
                _idle.remove(mine)
            if not _jobs:
                return


def _next() -> Job[Any] | None:
    try:
        return _jobs.popleft()
    except IndexError:
        return None


def _start_worker() -> None:
    """Start a worker, in a thread made in C: ``Thread.start`` waits for the thread, and an interrupt would lame it."""
    threading.Thread(target=_work, name="confo-call", daemon=True).start()


def run(
    call: Callable[[], T],
    *,
    undo: Callable[[T], object] | None = None,
    note: Callable[[Job[T] | None], str] | None = None,
    locks: Iterable[Any] = (),
) -> T:
    """Return or raise what a call does in a thread that no interrupt reaches; the wait for it can be interrupted.

    After an interrupt the call goes on to its end; ``undo`` then takes back what it made, or ``note`` says what became
    of it, in a note of the interrupt (None: it has not ended yet). A thread that holds one of these ``locks`` calls
    in itself: the other one would wait for it. So does one that is such a thread already.
    """
    if getattr(_here, "is_worker", False) or any(lock._is_owned() for lock in locks):  # noqa: SLF001 - of RLock, in C
        return call()
    job = Job(call, undo)
    try:
        _jobs.append(job)
        try:
            _idle.pop().release()
        except IndexError:
            _thread.start_new_thread(_start_worker, ())
        while not job.done.acquire(timeout=LOST_SECONDS):
            if not job.has_begun:  # an exception meant for this thread may hit the one that it is just starting
                _thread.start_new_thread(_start_worker, ())
    except BaseException as interrupt:
        _end(job, interrupt, note)
        raise
    if job.error is not None:
        try:
            raise job.error
        finally:
            del job  # else the error would hold its own traceback, which holds this
    return job.result  # type: ignore[return-value] # there was no error


def _end(job: Job[T], interrupt: BaseException, note: Callable[[Job[T] | None], str] | None) -> None:
    """Let a call that was interrupted end, and put a note to the interrupt that says what became of it."""
    if job.cancel():
        if note is not None:
            interrupt.add_note("Confo: it had not begun; nothing was committed")
    elif note is None:
        job.abandon()
    else:
        interrupt.add_note(note(job if job.has_ended(NOTE_SECONDS) else None))


def here() -> None:
    """Let what is called in this thread run in it: a thread of Confo's own, such as that of a callback."""
    _here.is_worker = True


def shielded(method: Callable[P, T]) -> Callable[P, T]:
    """Return a method that runs in a thread that no interrupt reaches; its object says which ``_locks`` it may hold."""

    @functools.wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        return run(functools.partial(method, *args, **kwargs), locks=args[0]._locks())  # type: ignore[attr-defined] # noqa: SLF001

    return call


def _begin_anew() -> None:
    """Know, in a forked child, that no thread of the parent's is there, and none of its jobs is wanted."""
    _jobs.clear()
    _idle.clear()
    _here.is_worker = False


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_begin_anew)
