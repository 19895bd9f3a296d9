"""Closing: from any thread, in time, twice, and with nothing left behind; and what is there when it is opened again."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from confo import Backend, Closed, ConfoError, Write
from confo_testkit.contract.base import Contract, Follow, Reader, pushed, put, within

_DESCRIPTORS = Path("/proc/self/fd")  # Linux; elsewhere only threads are counted


class LifecycleContract(Contract):
    """A backend lets go of everything, whoever closes it and whatever is under way."""

    def test_the_store_has_one_identity(self, opened: Callable[[], Backend], backend: Backend) -> None:
        """Whoever opens the same store sees the same identity, which no commit changes; one that has none says ""."""
        backend.load("sales")
        identity = backend.identity
        assert isinstance(identity, str), "identity is a text"
        put(backend)
        other = opened()
        other.load("sales")
        assert other.identity == identity, "another handle on the same store would be taken for another store"
        backend.load("sales")
        assert backend.identity == identity, "the store would be taken for another one after a commit"

    def test_close(self, opened: Callable[[], Backend]) -> None:
        """Closing comes back in time, twice is once, also when two do it at the same time."""
        backend = opened()
        backend.create_namespace("sales")
        within(self.seconds, "close()", backend.close)
        within(self.seconds, "the second close()", backend.close)
        other = opened()
        threads = [threading.Thread(target=other.close, daemon=True) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(self.seconds)
            assert not thread.is_alive(), "close() does not come back when two call it"

    @pytest.mark.parametrize("call", ["namespaces", "create", "delete", "load", "read", "scan", "commit", "watch"])
    def test_a_closed_backend_says_so(self, backend: Backend, call: str) -> None:
        """Whoever calls a closed backend is told that it is closed, by every call."""
        backend.close()
        calls: dict[str, Callable[[], object]] = {
            "namespaces": backend.namespaces,
            "create": lambda: backend.create_namespace("analytics"),
            "delete": lambda: backend.delete_namespace("sales"),
            "load": lambda: backend.load("sales"),
            "read": lambda: backend.read("sales", ["a"]),
            "scan": lambda: backend.scan("sales"),
            "commit": lambda: backend.commit([Write("sales", "a", b"1", 0)]),
            "watch": lambda: backend.watch("sales", 1),
        }
        if call == "watch" and not backend.capabilities.push:
            with pytest.raises(ConfoError):  # NotSupported is as true
                calls[call]()
            return
        with pytest.raises(Closed):
            calls[call]()

    @pushed
    def test_close_ends_watches(self, opened: Callable[[], Backend], backend: Backend, follow: Follow) -> None:
        """Closing a backend ends every watch of it, without an error, and none of another handle."""
        mine, start = opened(), backend.load("sales").revision
        readers = [follow(mine, "sales", start), follow(mine, "sales", start)]
        theirs = follow(backend, "sales", start)
        readers[0].wait_for_sign()
        within(self.seconds, "close() with watches", mine.close)
        assert [reader.join() for reader in readers] == [None, None]
        put(backend)
        theirs.wait_for(1)

    def test_close_with_calls_under_way(self, opened: Callable[[], Backend], backend: Backend) -> None:
        """Whoever is in a call when the backend is closed gets an answer or one of Confo's errors, in time."""
        mine, ends = opened(), list[BaseException]()

        def work(call: Callable[[], object]) -> None:
            try:
                while True:
                    call()
            except BaseException as error:
                ends.append(error)

        calls = (lambda: mine.load("sales"), lambda: put(mine), lambda: mine.read("sales", ["a"]), mine.namespaces)
        threads = [threading.Thread(target=work, args=(call,), daemon=True) for call in calls]
        for thread in threads:
            thread.start()
        within(self.seconds, "close() with calls under way", mine.close)
        for thread in threads:
            thread.join(self.seconds)
            assert not thread.is_alive(), "a call goes on, or works, after the backend was closed"
        assert all(isinstance(error, ConfoError) for error in ends), f"only ConfoErrors leave the seam: {ends}"

    def test_close_leaves_nothing_behind(self, opened: Callable[[], Backend], backend: Backend) -> None:
        """A backend that was opened, used, watched and closed leaves no thread and no descriptor."""

        def live() -> None:
            mine = opened()
            put(mine)
            revision = mine.load("sales").revision
            if mine.capabilities.push:
                reader = Reader(mine.watch("sales", revision), self.seconds)
                reader.wait_for_sign()
                within(self.seconds, "close()", mine.close)
                reader.join()
            mine.close()

        check_leaks(live, self.seconds)

    @pushed
    def test_closed_watches_leave_nothing_behind(self, backend: Backend) -> None:
        """A watch that was read and closed leaves no thread and no descriptor, while its backend goes on."""

        def live() -> None:
            reader = Reader(backend.watch("sales", put(backend).revision), self.seconds)
            reader.wait_for_sign()
            reader.close()

        check_leaks(live, self.seconds)

    def test_opened_again(self, open_backend: Callable[[], Backend], opened: Callable[[], Backend]) -> None:
        """A durable store has all that was committed when every handle was closed; another has it all, or is empty."""
        first = open_backend()
        try:
            first.create_namespace("sales")
            before = [put(first, b"1"), put(first, b"2", "b"), put(first, b"record", "1", ".history.sales")]
            revision = first.load("sales").revision
        finally:
            first.close()
        second = opened()
        if not second.capabilities.durable and not second.namespaces():
            return
        assert second.namespaces() == ["sales"], "durable is declared: the namespace is gone"
        assert dict(second.load("sales").entries) == {**before[0].entries, **before[1].entries}
        assert dict(second.load(".history.sales").entries) == before[2].entries
        assert second.load("sales").revision >= revision, "revisions went back"
        assert put(second).revision > revision, "revisions went back"


def check_leaks(live: Callable[[], None], seconds: float) -> None:
    """See that living again leaves no more than living once: what a library keeps for good, it has then."""
    live()
    threads, descriptors = set(threading.enumerate()), _count_descriptors()
    for _ in range(3):
        live()
    deadline, tick = time.monotonic() + seconds, threading.Event()
    while (_running(threads) or _count_descriptors() > descriptors) and time.monotonic() < deadline:
        gc.collect()  # what is in a cycle is closed at any moment
        tick.wait(0.02)
    assert _running(threads) == [], "threads are left behind"
    assert _count_descriptors() <= descriptors, "descriptors are left open"


def _running(before: set[threading.Thread]) -> list[str]:
    """Return the threads that were started since; a dummy stands for one of C code, and stays when that is gone."""
    started = [thread for thread in threading.enumerate() if thread not in before]
    ours = [thread for thread in started if not thread.name.startswith("contract-")]
    return [thread.name for thread in ours if not thread.name.startswith("Dummy-")]


def _count_descriptors() -> int:
    return len(list(_DESCRIPTORS.iterdir())) if _DESCRIPTORS.is_dir() else 0
