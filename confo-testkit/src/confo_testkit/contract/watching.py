"""Watching: every commit, whole, once, in order; resuming; what cannot be resumed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from confo import ANY, Backend, Batch, Entry, ResyncNeeded, Write
from confo_testkit.contract.base import (
    Contract,
    Follow,
    Reader,
    apply,
    error_of_watch,
    fill,
    news,
    pushed,
    put,
    resumed,
)


def commit(backend: Backend, **entries: bytes | None) -> Batch:
    """Commit these to "sales" and return them as a watch is to tell them."""
    revision = backend.commit([Write("sales", name, data, ANY) for name, data in entries.items()])
    return Batch(revision, {name: None if data is None else Entry(data, revision) for name, data in entries.items()})


class WatchingContract(Contract):
    """A watch tells what is committed after a revision, without gap or repetition."""

    @pushed
    def test_watch_tells_in_order(self, backend: Backend, follow: Follow) -> None:
        """A watch tells every commit after the revision, in order, whole, each once."""
        start = backend.load("sales")
        reader = follow(backend, "sales", start.revision)
        commits = [commit(backend, a=b"1", b=b"1"), commit(backend, a=b"2", b=None), commit(backend, c=b"3")]
        commits.append(commit(backend, a=b"2"))
        reader.check_tells(start.entries, start.revision, commits, each=backend.capabilities.every_commit)

    @pushed
    def test_watch_tells_deletions(self, backend: Backend, follow: Follow) -> None:
        """A deletion is told like a write, and what is made again after it too."""
        put(backend)
        start = backend.load("sales")
        reader = follow(backend, "sales", start.revision)
        commits = [commit(backend, a=None), commit(backend, b=b"mark")]
        reader.wait_until(commits[1].revision)
        commits += [commit(backend, a=b"again"), commit(backend, b=None), commit(backend, c=b"mark")]
        reader.check_tells(start.entries, start.revision, commits, each=backend.capabilities.every_commit)

    @pushed
    def test_watch_tells_whole_commits(self, opened: Callable[[], Backend], backend: Backend, follow: Follow) -> None:
        """However large a commit and however many at once, a batch has all of it."""
        width = min(100, backend.capabilities.atomic_writes)
        start = backend.load("sales")
        reader = follow(opened(), "sales", start.revision)
        commits = [commit(backend, **{f"n{name}": b"%d" % number for name in range(width)}) for number in range(20)]
        reader.check_tells(start.entries, start.revision, commits, each=backend.capabilities.every_commit)

    @pushed
    def test_watch_tells_large_values(self, backend: Backend, follow: Follow) -> None:
        """Values as large as declared are told, several in a row too."""
        start = backend.load("sales")
        reader = follow(backend, "sales", start.revision)
        size = min(backend.capabilities.max_value_bytes, 4 * 1024 * 1024)
        commits = [put(backend, bytes([number]) * size, f"n{number}") for number in range(4)]
        reader.check_tells(start.entries, start.revision, commits, each=backend.capabilities.every_commit)

    @pushed
    def test_watch_tells_only_its_namespace(self, backend: Backend, follow: Follow) -> None:
        """Commits in other namespaces, the history's included, are not told."""
        for name in ("sales2", "sale", "sales.eu"):
            backend.create_namespace(name)
        start = backend.load("sales")
        reader = follow(backend, "sales", start.revision)
        backend.commit([Write(name, "a", b"1", 0) for name in ("sales2", "sale")])
        backend.commit([Write("sales.eu", "a", b"1", 0), Write(".history.sales", "1", b"{}", 0)])
        revision = backend.commit([Write("sales", "a", b"1", 0), Write("sales2", "b", b"1", 0)])
        told = reader.wait_until(revision)
        assert [dict(batch.entries) for batch in told] == [{"a": Entry(b"1", revision)}]

    @pushed
    def test_watch_of_the_history(self, backend: Backend, follow: Follow) -> None:
        """The core's own namespaces can be watched like any other, before they are written."""
        start = backend.load(".history.sales")
        reader = follow(backend, ".history.sales", start.revision)
        commits = [put(backend, b"record", "1", ".history.sales"), put(backend, b"record", "2", ".history.sales")]
        reader.check_tells(start.entries, start.revision, commits, each=backend.capabilities.every_commit)

    @pushed
    def test_watch_gives_a_sign_of_life(self, backend: Backend, follow: Follow) -> None:
        """A watch gives a batch at once, an empty one if there is nothing, so that whoever reads knows it stands."""
        revision = put(backend).revision
        reader = follow(backend, "sales", backend.load("sales").revision)
        reader.wait_for_sign()
        reader.check_order(revision)

    @resumed
    def test_watch_resumes(self, backend: Backend, follow: Follow) -> None:
        """A watch from an older revision tells what came since, and only that."""
        commits = [put(backend, b"%d" % number, f"n{number % 4}") for number in range(10)]
        state = {name: entry for batch in commits[:4] for name, entry in batch.entries.items() if entry}
        reader = follow(backend, "sales", commits[3].revision)
        commits.append(put(backend, b"live"))
        reader.check_tells(state, commits[3].revision, commits[4:], each=backend.capabilities.every_commit)

    @resumed
    def test_watch_tells_what_came_after_the_load(self, backend: Backend, follow: Follow) -> None:
        """What is committed between a load and the watch from its revision is told."""
        for _ in range(3):
            start = backend.load("sales")
            commits = [commit(backend, a=b"between", b=b"between")]
            reader = follow(backend, "sales", start.revision)
            reader.check_tells(start.entries, start.revision, commits, each=backend.capabilities.every_commit)

    @resumed
    def test_watch_waits_for_its_reader(self, backend: Backend) -> None:
        """Who opens a watch and reads it late misses nothing."""
        start = backend.load("sales")
        watch = backend.watch("sales", start.revision)
        commits = [put(backend, b"%d" % number, f"n{number % 7}") for number in range(200)]
        reader = Reader(watch, self.seconds)
        try:
            reader.check_tells(start.entries, start.revision, commits, each=backend.capabilities.every_commit)
        finally:
            reader.close()

    @pushed
    def test_watch_by_several(self, opened: Callable[[], Backend], backend: Backend, follow: Follow) -> None:
        """What one handle commits, every watch of every handle tells; one that is closed takes nothing from others."""
        start = backend.load("sales")
        readers = [follow(handle, "sales", start.revision) for handle in (backend, backend, opened())]
        commits = [put(backend, b"1")]
        follow(backend, "sales", backend.load("sales").revision).close()
        commits.append(put(backend, b"2"))
        for reader in readers:
            reader.check_tells(start.entries, start.revision, commits, each=backend.capabilities.every_commit)

    @pushed
    def test_deleted_namespace_is_told(self, backend: Backend, follow: Follow) -> None:
        """When a namespace is deleted, its watch tells the end of every entry, in one batch."""
        revision = backend.commit([Write("sales", "a", b"1", 0), Write("sales", "b", b"1", 0)])
        reader = follow(backend, "sales", revision)
        backend.delete_namespace("sales")
        assert dict(reader.wait_for(1)[0].entries) == {"a": None, "b": None}

    @resumed
    def test_load_then_watch_misses_nothing(
        self, opened: Callable[[], Backend], backend: Backend, follow: Follow
    ) -> None:
        """A watch from a load's revision, with writers at work, ends in the state of the store."""
        writer = opened()

        def write() -> None:
            for number in range(100):
                put(writer, b"%d" % number if number % 5 else None, f"n{number % 7}")

        thread = threading.Thread(target=write, daemon=True)
        thread.start()
        snapshot = backend.load("sales")
        reader = follow(backend, "sales", snapshot.revision)
        thread.join(self.seconds)
        batches = reader.wait_until(put(backend, b"", "last").revision)
        reader.check_order(snapshot.revision)
        state = dict(snapshot.entries)
        for batch in batches:
            apply(state, batch.entries)
        assert state == backend.load("sales").entries, "what was loaded and what was told do not make up the store"

    @pushed
    def test_watch_keeps_order_under_load(
        self, opened: Callable[[], Backend], backend: Backend, follow: Follow
    ) -> None:
        """With several writers at work here and elsewhere, each commit is told once, in order of revision."""
        backend.create_namespace("analytics")
        start = backend.load("sales")
        reader = follow(opened(), "sales", start.revision)

        def write(number: int) -> list[Batch]:
            mine, places = opened(), ("sales", "sales", "analytics")
            return [put(mine, b"%d" % n, f"n{number}-{n % 4}", places[n % 3]) for n in range(20)]

        with ThreadPoolExecutor(3) as pool:
            made = [batch for mine in pool.map(write, range(3)) for n, batch in enumerate(mine) if n % 3 != 2]
        made.append(put(backend, b"", "last"))
        made.sort(key=lambda batch: batch.revision)
        reader.check_tells(start.entries, start.revision, made, each=backend.capabilities.every_commit)

    @pushed
    def test_watch_tells_a_long_stream(self, opened: Callable[[], Backend], backend: Backend, follow: Follow) -> None:
        """Of some hundred commits, read while they are made, each is told once: not one is told again."""
        start = backend.load("sales")
        reader = follow(opened(), "sales", start.revision)
        made = [put(backend, b"%d" % number, f"n{number % 7}") for number in range(300)]
        reader.check_tells(start.entries, start.revision, made, each=backend.capabilities.every_commit)

    @pushed
    def test_watch_misses_nothing_that_is_made_again(
        self, opened: Callable[[], Backend], backend: Backend, follow: Follow
    ) -> None:
        """What several writers write, delete and make again at once comes to the state that a load finds."""
        reader = follow(opened(), "sales", backend.load("sales").revision)

        def write(number: int) -> None:
            mine = opened()
            for n in range(20):
                data = None if n % 3 == 2 else b"%d" % n
                names = {f"n{number % 2}-{n % 5}": data, f"own{number}": b"%d" % n}
                mine.commit([Write("sales", name, value, ANY) for name, value in names.items()])

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(write, range(4)))
        state: dict[str, Entry] = {}
        for batch in reader.wait_until(put(backend, b"", "last").revision):
            apply(state, batch.entries)
        assert state == backend.load("sales").entries, "the watch does not end in the state of the store"

    @pushed
    def test_watch_from_the_future(self, backend: Backend) -> None:
        """A revision that the store has not reached means a store that was set back: the watch says load anew."""
        error = error_of_watch(backend, backend.load("sales").revision + 1000, self.seconds)
        assert isinstance(error, ResyncNeeded), f"ResyncNeeded expected, not {error!r}"

    @pushed
    def test_watch_closes_from_another_thread(self, backend: Backend, follow: Follow) -> None:
        """Closing a watch ends the iteration of who waits in it, without an error, and again changes nothing."""
        reader = follow(backend, "sales", backend.load("sales").revision)
        put(backend)
        reader.wait_for(1)
        reader.watch.close()
        assert reader.join() is None, "close() is the one end of a watch that is no error"
        reader.watch.close()
        assert next(reader.watch, None) is None, "a closed watch told something"

    @pushed
    def test_watch_closes_before_it_begins(self, backend: Backend, follow: Follow) -> None:
        """A watch that is closed before it is read tells nothing and ends."""
        watch = backend.watch("sales", backend.load("sales").revision)
        watch.close()
        put(backend)
        assert [batch for batch in watch if batch.entries] == []

    @pushed
    def test_watch_brings_a_namespace_to_its_state(self, backend: Backend, follow: Follow) -> None:
        """Writes, deletions and writes of the same again come to the state that a load finds."""
        start = backend.load("sales")
        reader = follow(backend, "sales", start.revision)
        fill(backend, {f"n{number}": b"%d" % number for number in range(40)})
        for number in range(0, 40, 3):
            put(backend, None, f"n{number}")
        state: dict[str, Entry] = {}
        for batch in reader.wait_until(put(backend, b"", "last").revision):
            assert news(batch.entries, state), "a batch that changes nothing is no news"
            apply(state, batch.entries)
        assert state == backend.load("sales").entries
