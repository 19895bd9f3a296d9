"""What every backend must do, as tests: subclass ``BackendContract`` and give it the fixture ``open_backend``."""

from __future__ import annotations

import os
import select
import signal
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from confo import (
    ANY,
    Backend,
    Batch,
    Capabilities,
    Closed,
    Conflict,
    CredentialsError,
    Entry,
    InvalidCommit,
    NamespaceExists,
    NamespaceNotFound,
    ResyncNeeded,
    TooLarge,
    Watch,
    Write,
)

SECONDS = 10.0
"""How long a test waits for what must come."""


class Reader:
    """Reads a watch in a thread of its own and lets a test wait for what it wants."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.batches: list[Batch] = []
        self.revisions: list[int] = []
        self.error: BaseException | None = None
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._read, name="contract-reader")
        self._thread.start()

    def _read(self) -> None:
        try:
            for batch in self.watch:
                with self._news:
                    self.revisions.append(batch.revision)
                    if batch.entries:  # bookmarks are allowed anywhere
                        self.batches.append(batch)
                    self._news.notify_all()
        except Exception as error:
            self.error = error

    def wait_for(self, count: int) -> list[Batch]:
        """Return the batches once there are so many."""
        with self._news:
            assert self._news.wait_for(lambda: len(self.batches) >= count, SECONDS), (
                f"{count} batches expected, these came: {self.batches}"
            )
        return self.batches

    def join(self) -> BaseException | None:
        """Wait until the watch has ended; return its error."""
        self._thread.join(SECONDS)
        assert not self._thread.is_alive(), "the watch did not end"
        return self.error

    def close(self) -> None:
        """Close the watch and wait for the thread."""
        self.watch.close()
        self.join()


class BackendContract:
    """The seam, promise by promise."""

    @pytest.fixture
    def open_backend(self) -> Callable[[], Backend]:
        """Return a function that opens the test's own, empty store once more."""
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
            backend.close()

    @pytest.fixture
    def backend(self, opened: Callable[[], Backend]) -> Backend:
        """Return a backend with an empty namespace "sales"."""
        backend = opened()
        backend.create_namespace("sales")
        return backend

    @pytest.fixture
    def follow(self) -> Iterator[Callable[[Backend, str, int], Reader]]:
        """Read watches that are closed after the test."""
        readers: list[Reader] = []

        def begin(backend: Backend, namespace: str, after: int) -> Reader:
            readers.append(Reader(backend.watch(namespace, after)))
            return readers[-1]

        yield begin
        for reader in readers:
            reader.close()

    # --- opening ---------------------------------------------------------------------------------

    def test_declares_capabilities(self, backend: Backend) -> None:
        """A backend says what it can do, in full and in sensible numbers."""
        assert isinstance(backend.capabilities, Capabilities)
        assert backend.capabilities.atomic_writes >= 2
        assert backend.capabilities.max_value_bytes >= 64 * 1024

    def test_unknown_credentials_are_refused(self, backend: Backend) -> None:
        """A credential that the backend does not know is refused by name, as it may be a typing error."""
        with pytest.raises(CredentialsError, match="hots"):
            type(backend).open({"hots": "127.0.0.1"})

    # --- namespaces ------------------------------------------------------------------------------

    def test_namespaces_are_listed_sorted(self, backend: Backend) -> None:
        """Namespaces are listed by name, from every handle, and the core's own are not among them."""
        backend.create_namespace("analytics")
        backend.commit([Write(".history.sales", "1", b"{}", 0)])
        assert backend.namespaces() == ["analytics", "sales"]

    def test_similar_names_do_not_mix(self, backend: Backend) -> None:
        """A namespace whose name begins like another's shares nothing with it."""
        for name in ("sales2", "sale", "sales.eu", "sales-eu"):
            backend.create_namespace(name)
            backend.commit([Write(name, "database", name.encode(), 0)])
        assert dict(backend.load("sales").entries) == {}
        backend.delete_namespace("sales")
        assert backend.namespaces() == ["sale", "sales-eu", "sales.eu", "sales2"]
        assert backend.read("sales2", ["database"])["database"].data == b"sales2"

    def test_create_twice(self, backend: Backend) -> None:
        """Creating a namespace that is there is an error, not a reset."""
        backend.commit([Write("sales", "database", b"{}", 0)])
        with pytest.raises(NamespaceExists, match="sales"):
            backend.create_namespace("sales")
        assert "database" in backend.load("sales").entries

    def test_delete_namespace(self, backend: Backend) -> None:
        """Deleting a namespace deletes all in it; what is not there cannot be deleted."""
        backend.commit([Write("sales", "a", b"{}", 0), Write("sales", "b", b"{}", 0)])
        backend.delete_namespace("sales")
        assert backend.namespaces() == []
        with pytest.raises(NamespaceNotFound, match="sales"):
            backend.delete_namespace("sales")

    def test_unknown_namespace(self, backend: Backend) -> None:
        """Loading what is not there names it and lists what is."""
        with pytest.raises(NamespaceNotFound, match=r"nowhere.*sales"):
            backend.load("nowhere")

    def test_core_namespaces_need_no_creation(self, backend: Backend) -> None:
        """The core's own namespaces are there when first written, and empty before."""
        assert dict(backend.load(".history.sales").entries) == {}
        assert backend.scan(".history.sales") == []
        revision = backend.commit([Write(".history.sales", "1", b"{}", 0)])
        assert backend.load(".history.sales").entries == {"1": Entry(b"{}", revision)}

    # --- reading ---------------------------------------------------------------------------------

    def test_load_is_what_was_committed(self, backend: Backend) -> None:
        """A load gives every entry with the revision that wrote it, at a revision not before any of them."""
        first = backend.commit([Write("sales", "a", b'{"x": 1}', 0), Write("sales", "b", b"{}", 0)])
        second = backend.commit([Write("sales", "b", b'{"y": 2}', first)])
        snapshot = backend.load("sales")
        assert snapshot.entries == {"a": Entry(b'{"x": 1}', first), "b": Entry(b'{"y": 2}', second)}
        assert snapshot.revision >= second > first > 0

    def test_bytes_are_kept(self, backend: Backend) -> None:
        """Any bytes come back as they were: the backend knows nothing of JSON."""
        data = bytes(range(256)) * 200
        backend.commit([Write("sales", "raw", data, 0), Write("sales", "empty", b"", 0)])
        assert backend.load("sales").entries["raw"].data == data
        assert backend.read("sales", ["empty"])["empty"].data == b""

    def test_read_gives_those_that_exist(self, backend: Backend) -> None:
        """Reading a few names gives those that exist, as another handle left them a moment ago."""
        revision = backend.commit([Write("sales", "a", b"1", 0), Write("sales", "b", b"2", 0)])
        assert backend.read("sales", ["a", "nope"]) == {"a": Entry(b"1", revision)}
        assert backend.read("sales", []) == {}
        many = backend.read("sales", ["a", "b", *(f"x{n}" for n in range(500))])
        assert set(many) == {"a", "b"}

    def test_scan_is_in_order_and_paged(self, backend: Backend) -> None:
        """A scan goes by name, forwards and backwards, from a name on, and never gives more than asked for."""
        names = [f"{n:03d}" for n in range(25)]
        backend.commit([Write("sales", name, name.encode(), 0) for name in reversed(names)])
        assert [name for name, _ in backend.scan("sales")] == names
        assert [name for name, _ in backend.scan("sales", start="010", limit=3)] == ["010", "011", "012"]
        assert [name for name, _ in backend.scan("sales", limit=2, reverse=True)] == ["024", "023"]
        assert [name for name, _ in backend.scan("sales", start="002", reverse=True)] == ["002", "001", "000"]
        assert [name for name, _ in backend.scan("sales", start="0105", limit=1)] == ["011"]

    # --- committing ------------------------------------------------------------------------------

    def test_revisions_grow(self, backend: Backend) -> None:
        """Every commit has a greater revision than all before, whichever namespace it is in."""
        backend.create_namespace("analytics")
        revisions = [backend.commit([Write(ns, "x", b"{}", ANY)]) for ns in ("sales", "analytics") * 5]
        assert revisions == sorted(set(revisions))

    def test_guard_of_absence(self, backend: Backend) -> None:
        """``expected=0`` writes only what is not there."""
        backend.commit([Write("sales", "a", b"1", 0)])
        with pytest.raises(Conflict) as caught:
            backend.commit([Write("sales", "a", b"2", 0)])
        assert caught.value.keys == (("sales", "a"),)
        assert backend.read("sales", ["a"])["a"].data == b"1"

    def test_guard_of_revision(self, backend: Backend) -> None:
        """``expected=N`` writes and deletes only what revision N wrote."""
        first = backend.commit([Write("sales", "a", b"1", 0)])
        second = backend.commit([Write("sales", "a", b"2", first)])
        for data in (b"3", None):
            with pytest.raises(Conflict):
                backend.commit([Write("sales", "a", data, first)])
        backend.commit([Write("sales", "a", None, second)])
        assert backend.read("sales", ["a"]) == {}
        with pytest.raises(Conflict):
            backend.commit([Write("sales", "a", b"4", second)])

    def test_no_guard(self, backend: Backend) -> None:
        """``ANY`` writes and deletes whatever is there, nothing included."""
        backend.commit([Write("sales", "a", b"1", ANY)])
        backend.commit([Write("sales", "a", b"2", ANY), Write("sales", "b", None, ANY)])
        assert backend.read("sales", ["a", "b"])["a"].data == b"2"

    def test_all_or_nothing(self, backend: Backend) -> None:
        """One failed guard and nothing is written; the error names each key that moved and no other."""
        backend.create_namespace("analytics")
        moved = backend.commit([Write("sales", "a", b"1", 0), Write("analytics", "c", b"1", 0)])
        before = backend.load("sales").entries, backend.load("analytics").entries
        with pytest.raises(Conflict, match="sales/a") as caught:
            backend.commit(
                [
                    Write("sales", "b", b"2", 0),
                    Write("sales", "a", b"2", moved + 100),
                    Write("analytics", "c", b"2", 0),
                    Write("analytics", "d", b"2", ANY),
                ]
            )
        assert set(caught.value.keys) == {("sales", "a"), ("analytics", "c")}
        assert (backend.load("sales").entries, backend.load("analytics").entries) == before

    def test_one_commit_over_namespaces(self, backend: Backend) -> None:
        """A commit over several namespaces has one revision."""
        backend.create_namespace("analytics")
        revision = backend.commit([Write("sales", "a", b"1", 0), Write("analytics", "b", b"2", 0)])
        assert backend.read("sales", ["a"])["a"].revision == revision
        assert backend.read("analytics", ["b"])["b"].revision == revision

    @pytest.mark.parametrize("expected", [0, ANY], ids=["guarded", "unguarded"])
    def test_unknown_namespace_cannot_be_written(self, backend: Backend, expected: int) -> None:
        """A commit into a namespace that is not there fails as a whole and makes none."""
        with pytest.raises(NamespaceNotFound, match="nowhere"):
            backend.commit([Write("sales", "a", b"1", 0), Write("nowhere", "a", b"1", expected)])
        assert backend.namespaces() == ["sales"]
        assert dict(backend.load("sales").entries) == {}

    def test_more_than_it_takes(self, backend: Backend) -> None:
        """As many writes as declared are one commit; one more is refused with both numbers, and nothing is written."""
        most = backend.capabilities.atomic_writes
        writes = [Write("sales", f"n{number}", b"{}", 0) for number in range(most + 1)]
        with pytest.raises(TooLarge, match=rf"{most + 1:,}(.|\n)*{most:,}"):
            backend.commit(writes)
        assert dict(backend.load("sales").entries) == {}
        backend.commit(writes[:-1])
        assert len(backend.load("sales").entries) == most

    def test_larger_than_it_takes(self, backend: Backend) -> None:
        """A value larger than declared is refused with both numbers, and nothing is written."""
        most = backend.capabilities.max_value_bytes
        with pytest.raises(TooLarge, match=rf"sales/big(.|\n)*{most:,}"):
            backend.commit([Write("sales", "small", b"{}", 0), Write("sales", "big", b"x" * (most + 1), 0)])
        assert dict(backend.load("sales").entries) == {}

    def test_senseless_commits(self, backend: Backend) -> None:
        """A commit of nothing, or of one name twice, is a mistake and said to be one."""
        with pytest.raises(InvalidCommit):
            backend.commit([])
        with pytest.raises(InvalidCommit):
            backend.commit([Write("sales", "a", b"1", 0), Write("sales", "a", b"2", ANY)])

    def test_concurrent_increments(self, opened: Callable[[], Backend], backend: Backend) -> None:
        """Guarded increments of one entry by several threads and handles lose nothing."""
        backend.commit([Write("sales", "n", b"0", 0)])

        def increment(mine: Backend) -> None:
            for _ in range(25):
                while True:
                    entry = mine.read("sales", ["n"])["n"]
                    try:
                        mine.commit([Write("sales", "n", str(int(entry.data) + 1).encode(), entry.revision)])
                        break
                    except Conflict:
                        continue

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(increment, [backend, backend, opened(), opened()]))
        assert backend.read("sales", ["n"])["n"].data == b"100"

    # --- watching --------------------------------------------------------------------------------

    def test_watch_tells_in_order(self, backend: Backend, follow: Callable[..., Reader]) -> None:
        """A watch tells every commit after the revision, in order, whole, each once."""
        start = backend.load("sales").revision
        reader = follow(backend, "sales", start)
        first = backend.commit([Write("sales", "a", b"1", 0), Write("sales", "b", b"1", 0)])
        second = backend.commit([Write("sales", "a", b"2", first), Write("sales", "b", None, first)])
        assert reader.wait_for(2) == [
            Batch(first, {"a": Entry(b"1", first), "b": Entry(b"1", first)}),
            Batch(second, {"a": Entry(b"2", second), "b": None}),
        ]

    def test_watch_tells_only_its_namespace(self, backend: Backend, follow: Callable[..., Reader]) -> None:
        """Commits in other namespaces, the history's included, are not told."""
        backend.create_namespace("sales2")
        reader = follow(backend, "sales", backend.load("sales").revision)
        backend.commit([Write("sales2", "a", b"1", 0), Write(".history.sales", "1", b"{}", 0)])
        revision = backend.commit([Write("sales", "a", b"1", 0), Write("sales2", "b", b"1", 0)])
        assert reader.wait_for(1) == [Batch(revision, {"a": Entry(b"1", revision)})]

    def test_watch_resumes(self, backend: Backend, follow: Callable[..., Reader]) -> None:
        """A watch from an older revision tells what came since, and only that."""
        revisions = [backend.commit([Write("sales", f"n{n}", b"{}", 0)]) for n in range(10)]
        reader = follow(backend, "sales", revisions[3])
        assert [batch.revision for batch in reader.wait_for(6)] == revisions[4:]

    def test_watch_by_another_handle(
        self, opened: Callable[[], Backend], backend: Backend, follow: Callable[..., Reader]
    ) -> None:
        """What one handle commits, another's watch tells."""
        other = opened()
        reader = follow(other, "sales", other.load("sales").revision)
        revision = backend.commit([Write("sales", "a", b"1", 0)])
        assert reader.wait_for(1)[0].revision == revision

    def test_deleted_namespace_is_told(self, backend: Backend, follow: Callable[..., Reader]) -> None:
        """When a namespace is deleted, its watch tells the end of every entry, in one batch."""
        revision = backend.commit([Write("sales", "a", b"1", 0), Write("sales", "b", b"1", 0)])
        reader = follow(backend, "sales", revision)
        backend.delete_namespace("sales")
        assert dict(reader.wait_for(1)[0].entries) == {"a": None, "b": None}

    def test_watch_closes_from_another_thread(self, backend: Backend, follow: Callable[..., Reader]) -> None:
        """Closing a watch ends the iteration of who waits in it, without an error, and again changes nothing."""
        reader = follow(backend, "sales", backend.load("sales").revision)
        backend.commit([Write("sales", "a", b"1", 0)])
        reader.wait_for(1)
        reader.watch.close()
        assert reader.join() is None
        reader.watch.close()

    def test_load_then_watch_misses_nothing(
        self, opened: Callable[[], Backend], backend: Backend, follow: Callable[..., Reader]
    ) -> None:
        """A watch from a load's revision, with writers at work, ends in the state of the store."""
        writer = opened()

        def write() -> None:
            for n in range(100):
                writer.commit([Write("sales", f"n{n % 7}", str(n).encode(), ANY)])

        thread = threading.Thread(target=write)
        thread.start()
        snapshot = backend.load("sales")
        reader = follow(backend, "sales", snapshot.revision)
        thread.join()
        last = backend.commit([Write("sales", "last", b"", 0)])
        while reader.wait_for(1)[-1].revision < last:
            reader.wait_for(len(reader.batches) + 1)
        state = dict(snapshot.entries)
        revision = snapshot.revision
        for batch in reader.batches:
            assert batch.revision > revision
            revision = batch.revision
            state.update({name: entry for name, entry in batch.entries.items() if entry})
        assert state == backend.load("sales").entries

    def test_revisions_of_a_watch_never_go_back(
        self, opened: Callable[[], Backend], backend: Backend, follow: Callable[..., Reader]
    ) -> None:
        """With several writers at work here and elsewhere, revisions in a watch grow, and no bookmark goes back."""
        backend.create_namespace("analytics")
        reader = follow(opened(), "sales", backend.load("sales").revision)

        def write(number: int) -> None:
            mine = opened()
            for n in range(20):
                namespace = "analytics" if n % 3 == 2 else "sales"
                mine.commit([Write(namespace, f"n{number}-{n}", b"{}", 0)])

        with ThreadPoolExecutor(3) as pool:
            list(pool.map(write, range(3)))
        told = [batch.revision for batch in reader.wait_for(3 * 14)]
        assert told == sorted(set(told))
        assert reader.revisions == sorted(reader.revisions)

    def test_watch_from_the_future(self, backend: Backend, follow: Callable[..., Reader]) -> None:
        """A revision that the store has not reached means a store that was set back: the watch says load anew."""
        beyond = backend.load("sales").revision + 1000

        def iterate() -> None:
            error = follow(backend, "sales", beyond).join()
            if error is not None:
                raise error

        with pytest.raises(ResyncNeeded):
            iterate()

    # --- forking ---------------------------------------------------------------------------------

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
    def test_a_forked_child_works(self, backend: Backend, follow: Callable[..., Reader]) -> None:
        """A forked child reads, commits and watches by the handle that it inherited; the parent's watch goes on.

        The parent hears of the child's commit where the store is shared; else the child has a copy of its own.
        """
        start = backend.commit([Write("sales", "before", b"1", 0)])
        reader = follow(backend, "sales", start)

        def child() -> None:
            assert set(backend.load("sales").entries) == {"before"}
            revision = backend.commit([Write("sales", "child", b"2", 0)])
            watch = backend.watch("sales", start)
            batch = next(batch for batch in watch if batch.entries)
            watch.close()
            assert batch == Batch(revision, {"child": Entry(b"2", revision)})
            backend.close()

        _run_in_fork(child)
        backend.commit([Write("sales", "parent", b"3", 0)])
        expected = ["child", "parent"] if backend.capabilities.shared else ["parent"]
        assert [name for batch in reader.wait_for(len(expected)) for name in batch.entries] == expected

    # --- closing ---------------------------------------------------------------------------------

    def test_close(self, opened: Callable[[], Backend], follow: Callable[..., Reader]) -> None:
        """Closing ends every watch without an error, twice is once, and whoever calls later is told."""
        backend = opened()
        backend.create_namespace("sales")
        reader = follow(backend, "sales", backend.load("sales").revision)
        backend.close()
        backend.close()
        assert reader.join() is None
        for call in (
            backend.namespaces,
            lambda: backend.load("sales"),
            lambda: backend.commit([Write("sales", "a", b"1", 0)]),
            lambda: backend.watch("sales", 1),
        ):
            with pytest.raises(Closed):
                call()


def _run_in_fork(work: Callable[[], None]) -> None:
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
        ended = bool(select.select([hear], [], [], SECONDS)[0])
        if not ended:
            os.kill(pid, signal.SIGKILL)
        told = b"".join(iter(lambda: os.read(hear, 4096), b"")).decode()
    finally:
        os.waitpid(pid, 0)
        os.close(hear)
    assert ended, f"the forked child did not end within {SECONDS} s"
    assert not told, f"in the forked child: {told}"
