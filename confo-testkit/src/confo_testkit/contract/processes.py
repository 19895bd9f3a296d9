"""Several processes: a fork, and a store that others see, or do not."""

from __future__ import annotations

import os
import select
import signal
import traceback
import warnings
from collections.abc import Callable

from confo import Backend, Batch, Entry, Write
from confo_testkit.contract.base import Contract, Follow, pushed, put


class ProcessesContract(Contract):
    """A forked child works, and the parent goes on; on a system without fork there is nothing to try."""

    if hasattr(os, "fork"):

        def test_another_process(
            self, open_backend: Callable[[], Backend], opened: Callable[[], Backend], backend: Backend
        ) -> None:
            """What another process commits is there if the store is ``shared``, and only then."""
            put(backend, b"ours", "ours")

            def child() -> None:
                mine = open_backend()
                assert set(mine.load("sales").entries) == {"ours"}
                put(mine, b"theirs", "theirs")
                mine.close()

            run_in_fork(child, self.seconds)
            expected = {"ours", "theirs"} if backend.capabilities.shared else {"ours"}
            for handle in (backend, opened()):
                assert set(handle.load("sales").entries) == expected, "the capability shared is not declared truly"

        def test_a_forked_child_reads_and_writes(self, backend: Backend) -> None:
            """A forked child works by the handle that it inherited, and the parent goes on working by it."""
            put(backend, b"1", "before")

            def child() -> None:
                assert set(backend.load("sales").entries) == {"before"}
                revision = backend.commit([Write("sales", "child", b"2", 0)])
                assert backend.read("sales", ["child"]) == {"child": Entry(b"2", revision)}
                backend.close()

            for _ in range(2):
                run_in_fork(child, self.seconds)
                put(backend, None, "child")
            backend.commit([Write("sales", "parent", b"3", 0)])
            assert set(backend.load("sales").entries) == {"before", "parent"}

        @pushed
        def test_a_forked_child_watches(self, backend: Backend, follow: Follow) -> None:
            """A forked child watches by the handle that it inherited; the parent's watch goes on.

            The parent hears of the child's commit where the store is shared; else the child has a copy of its own.
            """
            start = put(backend, b"1", "before").revision
            reader = follow(backend, "sales", start)
            resumable = backend.capabilities.resumable

            def child() -> None:
                from_here = start if resumable else backend.load("sales").revision
                watch = backend.watch("sales", from_here)
                first = None if resumable else next(watch)  # it stands
                revision = backend.commit([Write("sales", "child", b"2", 0)])
                batch = first if first and first.entries else next(batch for batch in watch if batch.entries)
                watch.close()
                assert batch == Batch(revision, {"child": Entry(b"2", revision)})
                backend.close()

            run_in_fork(child, self.seconds)
            last = backend.commit([Write("sales", "parent", b"3", 0)])
            told = [name for batch in reader.wait_until(last) for name in batch.entries]
            assert told == (["child", "parent"] if backend.capabilities.shared else ["parent"])


def run_in_fork(work: Callable[[], None], seconds: float) -> None:
    """Do this work in a forked child; AssertionError with the child's traceback if it fails there, or hangs."""
    hear, tell = os.pipe()
    with warnings.catch_warnings():
        # Python warns of forking a process with threads: that is just what is tried.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        said = b"it ended early"
        try:
            work()
            said = b""
        except BaseException:
            said = traceback.format_exc().encode()
        finally:
            os.write(tell, said[-4096:])
            os._exit(0)  # nothing of pytest's may run twice
    os.close(tell)
    try:
        ended = bool(select.select([hear], [], [], seconds)[0])
        if not ended:
            os.kill(pid, signal.SIGKILL)
        told = b"".join(iter(lambda: os.read(hear, 4096), b"")).decode()
    finally:
        os.waitpid(pid, 0)
        os.close(hear)
    assert ended, f"the forked child did not end within {seconds} s"
    assert not told, f"in the forked child: {told}"
