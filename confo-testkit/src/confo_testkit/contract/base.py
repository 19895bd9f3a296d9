"""What the topics of the contract share: the fixtures, patience, and reading of watches."""

from __future__ import annotations

import functools
import json
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from typing import ClassVar, Final, ParamSpec, Protocol, TypeVar

import pytest

from confo import (
    ANY,
    Backend,
    BackendUnavailable,
    Batch,
    ConfoError,
    Entry,
    NotSupported,
    OutcomeUnknown,
    ResyncNeeded,
    Watch,
    Write,
)

CONTRACT_VERSION: Final = 1
"""Grows when a backend that passed may fail."""
SECONDS: Final = 10.0

T = TypeVar("T")
P = ParamSpec("P")


def within(seconds: float, what: str, call: Callable[[], T]) -> T:
    """Return or raise what a call does; AssertionError if it does neither in so many seconds."""
    answer: Future[T] = Future()

    def run() -> None:
        try:
            answer.set_result(call())
        except BaseException as error:
            answer.set_exception(error)

    threading.Thread(target=run, name=f"contract-{what}", daemon=True).start()
    wait([answer], seconds)
    assert answer.done(), f"{what} neither returned nor raised within {seconds} s"
    return answer.result()


def soon(seconds: float, call: Callable[[], T]) -> T:
    """Return what a call returns as soon as the store can be reached again."""
    stop, tick = threading.Event(), threading.Event()

    def again() -> T:
        while not stop.is_set():
            try:
                return call()
            except (BackendUnavailable, OutcomeUnknown):
                tick.wait(0.02)
        raise AssertionError("nobody waits any more")

    try:
        return within(seconds, "the first call after the store came back", again)
    finally:
        stop.set()


class Reader:
    """Reads a watch in a thread of its own and lets a test wait for what it wants.

    ``seen`` are all batches, ``batches`` those that have entries: bookmarks are allowed anywhere.
    """

    def __init__(self, watch: Watch, seconds: float = SECONDS) -> None:
        self.watch = watch
        self.seconds = seconds
        self.seen: list[Batch] = []
        self.batches: list[Batch] = []
        self.error: BaseException | None = None
        self.ended = False
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._read, name="contract-reader", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        try:
            for batch in self.watch:
                with self._news:
                    self.seen.append(batch)
                    if batch.entries:
                        self.batches.append(batch)
                    self._news.notify_all()
        except BaseException as error:
            self.error = error
        with self._news:
            self.ended = True
            self._news.notify_all()

    def _wait(self, came: Callable[[], bool], wanted: str) -> None:
        with self._news:
            self._news.wait_for(lambda: came() or self.ended, self.seconds)
            how = f"the watch ended with {self.error!r}" if self.ended else f"{self.seconds} s passed"
            assert came(), f"{wanted} expected; {how}, and told were {self.batches}"

    def wait_for(self, count: int) -> list[Batch]:
        """Return the batches that have entries, once there are so many."""
        self._wait(lambda: len(self.batches) >= count, f"{count} batches")
        return self.batches

    def wait_until(self, revision: int) -> list[Batch]:
        """Return the batches that have entries, once one of this revision or a later one was told."""
        self._wait(lambda: any(batch.revision >= revision for batch in self.batches), f"revision {revision}")
        return self.batches

    def wait_for_sign(self) -> None:
        """Wait until the watch gave anything, a bookmark included."""
        self._wait(lambda: bool(self.seen), "a batch at once, an empty one if there is nothing to tell,")

    def wait_for_signs(self, count: int) -> None:
        """Wait until the watch gave so many batches, bookmarks included."""
        self._wait(lambda: len(self.seen) >= count, f"{count} signs of life, of which {len(self.seen)} came,")

    def join(self) -> BaseException | None:
        """Wait until the watch has ended; return its error."""
        self._thread.join(self.seconds)
        assert not self._thread.is_alive(), f"the watch did not end within {self.seconds} s"
        return self.error

    def close(self) -> None:
        """Close the watch and wait for the thread."""
        within(self.seconds, "close() of a watch", self.watch.close)
        self.join()

    def check_order(self, after: int) -> None:
        """See that revisions grow from this one on: no repetition, nothing late, no bookmark that was not true."""
        last = after
        for batch in self.seen:
            said = f"revision {batch.revision} was told after {last}"
            if batch.entries:
                assert batch.revision > last, f"{said}: a repetition, or too late"
            else:
                assert batch.revision >= last, f"a bookmark went back: {said}"
            last = batch.revision

    def check_tells(self, state: Mapping[str, Entry], after: int, commits: Sequence[Batch], *, each: bool) -> None:
        """See that exactly these commits are told, in order, whole and once; ``each``: a batch is one of them.

        ``state`` is the namespace at the revision ``after``. The deletion of what was not there may be told.
        """
        batches = self.wait_until(commits[-1].revision)
        self.check_order(after)
        if each:
            assert [batch.revision for batch in batches] == [commit.revision for commit in commits], (
                "a batch is not one commit, or has not its revision, though every_commit is declared"
            )
        now, left = dict(state), deque(commits)
        for batch in batches:
            wanted: dict[str, Entry | None] = {}
            while left and left[0].revision <= batch.revision:
                wanted.update(left.popleft().entries)
            assert news(batch.entries, now) == news(wanted, now), (
                f"the batch of revision {batch.revision} is not what was committed up to there, whole"
            )
            apply(now, batch.entries)
        assert not left, f"never told: {list(left)}"


def same_document(one: bytes, other: bytes) -> bool:
    """Tell whether two entries' bytes are the same, or the same JSON laid out in another way."""
    if one == other:
        return True
    try:
        return json.dumps(json.loads(one)) == json.dumps(json.loads(other))
    except (ValueError, RecursionError):
        return False


def news(entries: Mapping[str, Entry | None], state: Mapping[str, Entry]) -> dict[str, Entry | None]:
    """Return what these entries change in a state: deletions of what is not there change nothing."""
    return {name: entry for name, entry in entries.items() if entry is not None or name in state}


def apply(state: dict[str, Entry], entries: Mapping[str, Entry | None]) -> None:
    """Bring a state up to date by a batch."""
    for name, entry in entries.items():
        if entry is None:
            state.pop(name, None)
        else:
            state[name] = entry


def put(backend: Backend, data: bytes | None = b"{}", name: str = "a", namespace: str = "sales") -> Batch:
    """Write one entry, whatever is there, and return the commit as a watch is to tell it."""
    revision = backend.commit([Write(namespace, name, data, ANY)])
    return Batch(revision, {name: None if data is None else Entry(data, revision)})


def fill(backend: Backend, entries: Mapping[str, bytes], namespace: str = "sales") -> dict[str, Entry]:
    """Write these entries in as few commits as the backend takes, and return them as they are to be read."""
    most, names, written = backend.capabilities.atomic_writes, list(entries), dict[str, Entry]()
    for start in range(0, len(names), most):
        part = names[start : start + most]
        revision = backend.commit([Write(namespace, name, entries[name], ANY) for name in part])
        written.update((name, Entry(entries[name], revision)) for name in part)
    return written


class Follow(Protocol):
    """Reads a watch until the end of the test."""

    def __call__(self, backend: Backend, namespace: str, after: int) -> Reader:
        """Begin to read what is committed to the namespace after a revision."""


class Contract:
    """Fixtures of every topic; a subclass gives ``open_backend``."""

    seconds: ClassVar[float] = SECONDS
    """How long a test waits for what must come: raise it for a slow store."""

    @pytest.fixture
    def open_backend(self) -> Callable[[], Backend]:
        """Return a function that opens the test's own store, empty at first; called again, by another handle."""
        raise NotImplementedError("give your subclass a fixture open_backend")

    @pytest.fixture
    def opened(self, open_backend: Callable[[], Backend]) -> Iterator[Callable[[], Backend]]:
        """Open backends that are closed after the test."""
        backends: list[Backend] = []

        def again() -> Backend:
            backends.append(open_backend())
            return backends[-1]

        yield again
        for backend in backends:
            within(self.seconds, "close()", backend.close)

    @pytest.fixture
    def backend(self, opened: Callable[[], Backend]) -> Backend:
        """Return a backend with an empty namespace "sales"."""
        backend = opened()
        backend.create_namespace("sales")
        return backend

    @pytest.fixture
    def follow(self) -> Iterator[Follow]:
        """Read watches that are closed after the test."""
        readers: list[Reader] = []

        def begin(backend: Backend, namespace: str, after: int) -> Reader:
            readers.append(Reader(backend.watch(namespace, after), self.seconds))
            if not backend.capabilities.resumable:  # it can tell only what comes after it stands
                readers[-1].wait_for_sign()
            return readers[-1]

        yield begin
        for reader in readers:
            reader.close()


def error_of_watch(backend: Backend, after: int, seconds: float) -> ConfoError | None:
    """Return the error with which a watch is refused or soon ends; None if it tells something instead."""
    try:
        watch = within(seconds, "watch()", lambda: backend.watch("sales", after))
    except ConfoError as error:
        return error
    try:  # a sign of life may come first, but no entry
        return within(seconds, "a watch that cannot be had", lambda: next((None for b in watch if b.entries), None))
    except ConfoError as error:
        return error
    finally:
        watch.close()


def _at_hand(kwargs: Mapping[str, object], self: object) -> tuple[Backend, float]:
    backend = kwargs["backend"]
    assert isinstance(backend, Backend)
    assert isinstance(self, Contract)
    return backend, self.seconds


def pushed(test: Callable[P, None]) -> Callable[P, None]:
    """Run a test of watches if ``push`` is declared; if not, see that a watch is refused."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        backend, seconds = _at_hand(kwargs, args[0])
        if backend.capabilities.push:
            test(*args, **kwargs)
            return
        error = error_of_watch(backend, backend.load("sales").revision, seconds)
        assert isinstance(error, NotSupported), f"push is not declared: watch() must raise NotSupported, not {error!r}"

    return run


def resumed(test: Callable[P, None]) -> Callable[P, None]:
    """Run a test of watches from older revisions if ``resumable`` is declared; if not, see that the core is told so."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        backend, seconds = _at_hand(kwargs, args[0])
        if backend.capabilities.resumable:
            test(*args, **kwargs)
            return
        revision = put(backend).revision
        put(backend)
        error = error_of_watch(backend, revision, seconds)
        assert isinstance(error, ResyncNeeded), (
            f"resumable is not declared: a watch from an older revision must raise ResyncNeeded, not {error!r}"
        )

    return pushed(run)
