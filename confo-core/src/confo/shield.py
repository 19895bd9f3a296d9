"""Calls that no interrupt may cut run in a thread of their own, and their caller waits for them.

Ctrl-C, a signal handler that raises and ``PyThreadState_SetAsyncExc`` may raise at any instruction of the calling
thread: inside a lock of ours, of a driver's or of gRPC's, which then stays locked for ever. Here they find a thread
that only waits, on a lock made in C; what was begun goes on to its end where no such exception comes.

What is the program's own (a policy) still runs in the thread that called: the worker asks it to, while it waits.
"""

from __future__ import annotations

import _thread
import contextlib
import contextvars
import functools
import os
import threading
import time
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
"""How long a side waits before it looks by itself: for a call that nobody began, for a caller who left."""
END_SECONDS = 1.0
"""How long the last call waits for the threads to end."""


class _Here(threading.local):
    """What the thread that asks is, at this moment."""

    is_worker = False
    job: Job[Any] | None = None
    """The call that a worker runs."""
    asks: Job[Any] | None = None
    """What a worker asked this thread to do, and waits for."""


class NoThread(RuntimeError):
    """No thread is started any more, as the interpreter ends."""


class Job(Generic[T]):
    """A call in another thread, and what became of it.

    ``wake`` is held while there is nothing new for the one who waits: a lock of C, as the exception that an interrupt
    raises leaves nothing of it half done.
    """

    def __init__(
        self, call: Callable[[], T], undo: Callable[[T], object] | None = None, *, final: bool = False
    ) -> None:
        self._call, self._undo = call, undo
        self.final = final
        """The worker ends after it."""
        self.worker: Worker | None = None
        self.over = False
        self.is_left = False
        """Nobody waits for it any more."""
        self.asked: deque[Job[Any]] = deque()
        """What the side that waits shall do: questions for the caller, or calls for the worker that asked."""
        self.wake = threading.Lock()
        self.wake.acquire()
        self._begun = threading.Lock()
        """Taken by who comes first: the worker that runs it, or the caller that does not want it any more."""
        self._cancelled = False
        self._wanted = threading.Lock()
        """Likewise: the worker that has the result, or the caller that does not want it any more."""
        self.result: T | None = None
        self.error: BaseException | None = None

    def run(self) -> None:
        """Do it, and undo it if nobody waits for it any more."""
        if not self._begun.acquire(blocking=False):
            return
        outer, _here.job = _here.job, self if _here.is_worker else None
        unwanted = False
        try:
            try:
                self.result = self._call()
            except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
                self.error = error
                self.final = self.final or self._undo is not None  # nothing was opened that would be closed later
            unwanted = not self._wanted.acquire(blocking=False)
        finally:
            _here.job = outer
            self.over = True
            self.tell()
        if unwanted:
            self._take_back()

    def tell(self) -> None:
        """Wake who waits; who was awake already looks again by itself."""
        if self.wake.locked():
            with contextlib.suppress(RuntimeError):  # it woke between these two lines
                self.wake.release()

    @property
    def has_begun(self) -> bool:
        """Tell whether a worker runs it, or has run it."""
        return self._begun.locked()

    def cancel(self) -> bool:
        """Tell whether it has not begun, and then never will."""
        self._cancelled = self._cancelled or self._begun.acquire(blocking=False)
        return self._cancelled

    def abandon(self) -> None:
        """Say that nobody waits for the result: what it made is undone, now or when it ends."""
        if not self._wanted.acquire(blocking=False) and self._undo is not None:
            undoing = Job(self._take_back)
            try:
                _submit(undoing)
                undoing.has_ended(NOTE_SECONDS)
            except NoThread:
                undoing.run()

    def has_ended(self, seconds: float) -> bool:
        """Tell whether it ends within so many seconds."""
        until = time.monotonic() + seconds
        while not self.over and (left := until - time.monotonic()) > 0:
            self.wake.acquire(timeout=left)  # a question wakes as well
        return self.over

    def answer(self) -> None:
        """Do, in the thread that waits for this, what the other one asks of it."""
        while (question := _next(self.asked)) is not None:
            outer, _here.asks = _here.asks, question
            try:
                question.run()
            finally:
                _here.asks = outer

    def lend(self) -> None:
        """Do, in the worker that waits for this, what its caller calls meanwhile."""
        while (call := _next(self.asked)) is not None:
            call.run()

    def outcome(self) -> T:
        """Return its result or raise its error."""
        if self.error is not None:
            raise self.error
        return self.result  # type: ignore[return-value] # there was no error

    def _take_back(self) -> None:
        undo, self._undo = self._undo, None
        if self.error is None and undo is not None:
            undo(self.result)  # type: ignore[arg-type] # there was no error, so it is the result


class Worker:
    """A thread that runs one job after another, and ends when there is none for a moment."""

    def __init__(self) -> None:
        self._wake = threading.Lock()
        self._wake.acquire()
        self._ends = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start its thread; where no more are started, at the interpreter's end, run in this one."""
        try:
            self._thread = threading.Thread(target=self.work, name="confo-call", daemon=True)
            self._thread.start()
        except RuntimeError:
            self._thread = None
            self.work()

    def work(self) -> None:
        """Run what there is to run."""
        here()
        while not self._ends:
            while (job := _next(_jobs)) is not None:
                job.worker = self
                try:
                    job.run()
                except BaseException:  # noqa: BLE001, S112 - meant for another thread; the job's own are in the job
                    continue
                self._ends = self._ends or job.final
                del job
            if self._ends:
                return
            _idle.append(self)
            if not self._wake.acquire(timeout=IDLE_SECONDS):
                with contextlib.suppress(ValueError):  # else a caller has just taken it
                    _idle.remove(self)
                if not _jobs:
                    return

    def wake(self) -> None:
        """Have it look for a job; one that was awake already looks by itself."""
        with contextlib.suppress(RuntimeError):
            self._wake.release()

    def end(self) -> None:
        """Have it end, when it idles."""
        self._ends = True
        self.wake()

    def join(self) -> None:
        """Wait for its end."""
        if self._thread is not None:
            self._thread.join(END_SECONDS)


_here = _Here()
# Each step on these is one step of the interpreter's: no interrupt leaves one half done. A caller puts its job, then
# wakes an idle worker or starts one. Whatever is cut in between, a worker that was taken out of the idle ones and never
# woken looks for a job by itself when its time is over. (SimpleQueue.get may outwait its timeout in CPython 3.11.)
_jobs: deque[Job[Any]] = deque()
_idle: list[Worker] = []


def _next(jobs: deque[Job[Any]]) -> Job[Any] | None:
    try:
        return jobs.popleft()
    except IndexError:
        return None


def _submit(job: Job[Any]) -> None:
    """Give a job to an idle worker, or to a new one; NoThread where there can be none."""
    _jobs.append(job)
    try:
        _idle.pop().wake()
    except IndexError:
        _start_worker()


def _start_worker() -> None:
    """Start a worker, from a thread made in C: an interrupt of ``Thread.start``, which waits, would lame the new."""
    try:
        _thread.start_new_thread(Worker().start, ())
    except RuntimeError as error:
        raise NoThread(*error.args) from None


def run(
    call: Callable[[], T],
    *,
    undo: Callable[[T], object] | None = None,
    note: Callable[[Job[T] | None], str] | None = None,
    locks: Iterable[Any] = (),
    final: bool = False,
) -> T:
    """Return or raise what a call does in a thread that no interrupt reaches; the wait for it can be interrupted.

    After an interrupt the call goes on to its end; ``undo`` then takes back what it made, or ``note`` says what became
    of it, in a note of the interrupt (None: it has not ended yet). A thread that holds one of these ``locks`` calls
    in itself: the other one would wait for it. So does one that is such a thread already. A ``final`` call ends the
    threads that idle, and waits for that.
    """
    if _here.is_worker or any(lock._is_owned() for lock in locks):  # noqa: SLF001 - of RLock, in C
        return call()
    job = Job(functools.partial(contextvars.copy_context().run, call), undo, final=final)
    try:
        _hand_over(job)
        while not job.over:
            if job.wake.acquire(timeout=LOST_SECONDS):
                job.answer()
            elif not job.has_begun:  # an exception meant for this thread may hit the one that it is just starting
                _start_worker()
        if job.final:
            _end_workers(job)
        return job.outcome()
    except BaseException as interrupt:
        if interrupt is job.error:
            job = None  # type: ignore[assignment] # else the error would hold its own traceback, which holds this
            raise
        if isinstance(interrupt, NoThread) and job.cancel():
            return call()
        _end_surely(job, interrupt, note)
        raise


def _hand_over(job: Job[Any]) -> None:
    """Give a job to a worker: to the one that asked this thread for something and waits for it, if there is one."""
    asks = _here.asks
    if asks is None:
        _submit(job)
    else:
        asks.asked.append(job)
        asks.tell()


def _end_surely(job: Job[T], interrupt: BaseException, note: Callable[[Job[T] | None], str] | None) -> None:
    """End it whatever else comes meanwhile: the first interrupt is the one that is raised."""
    job.is_left = True
    while True:
        try:
            return _end(job, interrupt, note)
        except BaseException:  # noqa: BLE001, S112 - a second Ctrl-C
            continue


def _end(job: Job[T], interrupt: BaseException, note: Callable[[Job[T] | None], str] | None) -> None:
    """Let a call that was interrupted end, and put a note to the interrupt that says what became of it."""
    if note is None:
        if not job.cancel():
            job.abandon()
        return
    if job.cancel():
        text = "Confo: it had not begun; nothing was committed"
    else:
        text = note(job if job.has_ended(NOTE_SECONDS) else None)
    if text not in getattr(interrupt, "__notes__", ()):
        interrupt.add_note(text)


def _end_workers(job: Job[Any]) -> None:
    """End the threads that have nothing to do, and the one that did this."""
    ending = [job.worker] if job.worker is not None else []
    while _idle:
        with contextlib.suppress(IndexError):  # another thread has just taken it
            worker = _idle.pop()
            worker.end()
            ending.append(worker)
    for worker in ending:
        worker.join()


def in_caller(call: Callable[[], T]) -> T:
    """Return or raise what a call does in the thread that waits for this one, or here where none does.

    What that thread calls of Confo meanwhile is done in this one, which holds the locks.
    """
    job = _here.job
    if job is None or job.is_left:
        return call()
    question = Job(call)
    job.asked.append(question)
    job.tell()
    while not question.over:
        if question.wake.acquire(timeout=LOST_SECONDS):
            question.lend()
        elif job.is_left and question.cancel():
            return call()
    return question.outcome()


def here() -> None:
    """Let what is called in this thread run in it: a thread of Confo's own, such as that of a callback."""
    _here.is_worker = True


def shielded(method: Callable[P, T]) -> Callable[P, T]:
    """Return a method that runs in a thread that no interrupt reaches; its object says which ``_locks`` it may hold."""
    return _shielded(method, final=False)


def shielded_end(method: Callable[P, T]) -> Callable[P, T]:
    """Return the same of a method that closes: it leaves no thread that waits for another call."""
    return _shielded(method, final=True)


def _shielded(method: Callable[P, T], *, final: bool) -> Callable[P, T]:
    @functools.wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        return run(functools.partial(method, *args, **kwargs), locks=args[0]._locks(), final=final)  # type: ignore[attr-defined] # noqa: SLF001

    return call


def _begin_anew() -> None:
    """Know, in a forked child, that no thread of the parent's is there, and none of its jobs is wanted."""
    _jobs.clear()
    _idle.clear()
    _here.is_worker, _here.job, _here.asks = False, None, None


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_begin_anew)
