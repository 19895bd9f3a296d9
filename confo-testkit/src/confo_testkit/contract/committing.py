"""Committing: guards, all or nothing, revisions that grow, limits that hold, many writers."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from confo import ANY, Backend, Conflict, Entry, InvalidCommit, NamespaceNotFound, TooLarge, Write
from confo_testkit.contract.base import Contract, put

SECRET = b"hunter2"


class CommittingContract(Contract):
    """A commit happens as a whole, at one revision, if all its guards hold; else nothing happens."""

    def test_revisions_grow(self, opened: Callable[[], Backend], backend: Backend) -> None:
        """Every commit has a greater revision than all before, whichever namespace it is in and whoever made it."""
        backend.create_namespace("analytics")
        other, last = opened(), backend.load("sales").revision
        for number in range(10):
            handle, namespace = (backend, other)[number % 2], ("sales", "analytics")[number % 3 % 2]
            revision = put(handle, name="x", namespace=namespace).revision
            assert type(revision) is int, "a revision is an int"
            assert revision > last, f"revision {revision} came after {last}"
            last = revision

    def test_guard_of_absence(self, backend: Backend) -> None:
        """``expected=0`` writes only what is not there, also after it was deleted."""
        backend.commit([Write("sales", "a", b"1", 0)])
        with pytest.raises(Conflict) as caught:
            backend.commit([Write("sales", "a", b"2", 0)])
        assert caught.value.keys == (("sales", "a"),)
        assert backend.read("sales", ["a"])["a"].data == b"1", "a write was taken although its guard failed"
        put(backend, None)
        backend.commit([Write("sales", "a", b"3", 0)])

    def test_guard_of_revision(self, backend: Backend) -> None:
        """``expected=N`` writes and deletes only what revision N wrote."""
        first = backend.commit([Write("sales", "a", b"1", 0)])
        second = backend.commit([Write("sales", "a", b"2", first)])
        for data in (b"3", None):
            with pytest.raises(Conflict):
                backend.commit([Write("sales", "a", data, first)])
            assert backend.read("sales", ["a"]) == {"a": Entry(b"2", second)}, "an update was lost"
        backend.commit([Write("sales", "a", None, second)])
        assert backend.read("sales", ["a"]) == {}
        with pytest.raises(Conflict):
            backend.commit([Write("sales", "a", b"4", second)])

    def test_a_guard_is_of_one_name(self, backend: Backend) -> None:
        """A guard looks at its own name's revision: commits to others do not matter, nor do those it did not see."""
        revision = put(backend).revision
        later = put(backend, name="b").revision
        with pytest.raises(Conflict):
            backend.commit([Write("sales", "a", b"2", later)])
        backend.commit([Write("sales", "a", b"2", revision)])

    def test_no_guard(self, backend: Backend) -> None:
        """``ANY`` writes and deletes whatever is there, nothing included."""
        backend.commit([Write("sales", "a", b"1", ANY)])
        backend.commit([Write("sales", "a", b"2", ANY), Write("sales", "b", None, ANY)])
        assert backend.read("sales", ["a", "b"])["a"].data == b"2"

    def test_the_same_bytes_are_a_commit(self, backend: Backend) -> None:
        """Writing what is there already is a commit like any other: it moves the entry to its revision."""
        first = put(backend, b"same").revision
        second = put(backend, b"same").revision
        assert backend.read("sales", ["a"]) == {"a": Entry(b"same", second)}
        with pytest.raises(Conflict):
            backend.commit([Write("sales", "a", b"2", first)])

    def test_all_or_nothing(self, backend: Backend) -> None:
        """One failed guard and nothing is written, in no namespace."""
        backend.create_namespace("analytics")
        moved = backend.commit([Write("sales", "b", b"1", 0), Write("analytics", "c", b"1", 0)])
        before = backend.load("sales").entries, backend.load("analytics").entries
        with pytest.raises(Conflict):
            backend.commit(
                [
                    Write("sales", "a", b"2", 0),
                    Write("sales", "b", None, moved),
                    Write("analytics", "c", b"2", 0),
                    Write("analytics", "d", b"2", ANY),
                ]
            )
        after = backend.load("sales").entries, backend.load("analytics").entries
        assert after == before, "a part of a commit was written whose guard failed"

    def test_a_conflict_names_its_keys(self, backend: Backend) -> None:
        """A conflict names each key that moved, of every namespace, and no other."""
        backend.create_namespace("analytics")
        moved = backend.commit([Write("sales", "a", b"1", 0), Write("analytics", "c", b"1", 0)])
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

    def test_one_commit_over_namespaces(self, backend: Backend) -> None:
        """A commit over several namespaces, the core's own included, has one revision."""
        backend.create_namespace("analytics")
        places = [("sales", "a"), ("sales", "b"), ("analytics", "a"), (".history.sales", "1")]
        revision = backend.commit([Write(*place, b"1", 0) for place in places])
        for namespace, name in places:
            assert backend.read(namespace, [name]) == {name: Entry(b"1", revision)}

    @pytest.mark.parametrize("expected", [0, ANY], ids=["guarded", "unguarded"])
    def test_unknown_namespace_cannot_be_written(self, backend: Backend, expected: int) -> None:
        """A commit into a namespace that is not there fails as a whole and makes none."""
        with pytest.raises(NamespaceNotFound, match="nowhere"):
            backend.commit([Write("sales", "a", b"1", 0), Write("nowhere", "a", b"1", expected)])
        assert backend.namespaces() == ["sales"], "a commit made the namespace"
        assert dict(backend.load("sales").entries) == {}, "a part of a commit was written"

    def test_a_deleted_namespace_cannot_be_written(self, backend: Backend) -> None:
        """A commit that comes after the deletion of its namespace does not bring it back."""
        put(backend)
        backend.delete_namespace("sales")
        with pytest.raises(NamespaceNotFound, match="sales"):
            put(backend)
        assert backend.namespaces() == []

    def test_more_than_it_takes(self, backend: Backend) -> None:
        """As many writes as declared are one commit; one more is refused with both numbers, and nothing is written."""
        most = backend.capabilities.atomic_writes
        writes = [Write("sales", f"n{number}", b"{}", 0) for number in range(most + 1)]
        with pytest.raises(TooLarge, match=rf"{most + 1:,}(.|\n)*{most:,}"):
            backend.commit(writes)
        assert dict(backend.load("sales").entries) == {}, "refused as too large, and yet written"
        revision = backend.commit(writes[:-1])
        entries = backend.load("sales").entries
        assert len(entries) == most
        assert {entry.revision for entry in entries.values()} == {revision}, "one commit has several revisions"

    def test_larger_than_it_takes(self, backend: Backend) -> None:
        """A value larger than declared is refused with both numbers, and nothing is written."""
        most = backend.capabilities.max_value_bytes
        with pytest.raises(TooLarge, match=rf"sales/big(.|\n)*{most:,}"):
            backend.commit([Write("sales", "small", b"{}", 0), Write("sales", "big", b"x" * (most + 1), 0)])
        assert dict(backend.load("sales").entries) == {}, "refused as too large, and yet written"

    def test_as_large_as_it_takes(self, backend: Backend) -> None:
        """A value as large as declared is taken and comes back whole, under the longest name, and so do several."""
        most = backend.capabilities.max_value_bytes
        data = bytes(range(256)) * (most // 256) + b"x" * (most % 256)
        put(backend, data, "x" * 128)
        assert backend.read("sales", ["x" * 128])["x" * 128].data == data
        for name in "abc":
            put(backend, data[: 1536 * 1024], name)
        whole = {name: len(entry.data) for name, entry in backend.load("sales").entries.items()}
        assert whole == {"x" * 128: most, **dict.fromkeys("abc", min(most, 1536 * 1024))}
        assert {name: len(entry.data) for name, entry in backend.scan("sales")} == whole

    def test_large_values_at_once(self, backend: Backend) -> None:
        """Two values as large as declared are one commit, or refused as too large: never one of them alone."""
        writes = [Write("sales", name, b"x" * backend.capabilities.max_value_bytes, 0) for name in "ab"]
        expected = {"a", "b"}
        try:
            backend.commit(writes)
        except TooLarge:
            expected = set()
        assert set(backend.load("sales").entries) == expected

    def test_a_guard_alone(self, backend: Backend) -> None:
        """A write of the bytes that are there, and a deletion of what is not there, are guards as any other.

        So the core guards what a commit was computed from and does not change.
        """
        seen = put(backend, b"1", "a").revision
        seen = backend.commit(
            [Write("sales", "a", b"1", seen), Write("sales", "b", None, 0), Write("sales", "c", b"1", 0)]
        )
        assert {name: entry.data for name, entry in backend.load("sales").entries.items()} == {"a": b"1", "c": b"1"}
        put(backend, b"2", "a")
        put(backend, b"1", "a")  # the same bytes, and yet it moved
        put(backend, b"1", "b")
        for guard in (Write("sales", "a", b"1", seen), Write("sales", "b", None, 0)):
            with pytest.raises(Conflict) as caught:
                backend.commit([guard, Write("sales", "d", b"1", 0)])
            assert caught.value.keys == ((guard.namespace, guard.name),)
            assert backend.read("sales", ["d"]) == {}, "a guard was left out, as its write changes nothing"

    def test_senseless_commits(self, backend: Backend) -> None:
        """A commit of nothing, or of one name twice, is a mistake and said to be one."""
        with pytest.raises(InvalidCommit):
            backend.commit([])
        with pytest.raises(InvalidCommit):
            backend.commit([Write("sales", "a", b"1", 0), Write("sales", "a", b"2", ANY)])
        assert dict(backend.load("sales").entries) == {}

    def test_errors_hold_no_values(self, backend: Backend) -> None:
        """No error tells what was to be written, nor what is there: it may be a secret."""
        put(backend, SECRET)
        too_large = SECRET * (backend.capabilities.max_value_bytes // len(SECRET) + 1)
        for writes in (
            [Write("sales", "a", SECRET, 0)],
            [Write("nowhere", "a", SECRET, 0)],
            [Write("sales", "b", SECRET, 0), Write("sales", "b", SECRET, 0)],
            [Write("sales", "b", too_large, 0)],
        ):
            with pytest.raises((Conflict, NamespaceNotFound, InvalidCommit, TooLarge)) as caught:
                backend.commit(writes)
            assert SECRET.decode() not in str(caught.value) + repr(caught.value)

    def test_concurrent_increments(self, opened: Callable[[], Backend], backend: Backend) -> None:
        """Guarded increments of one entry by several threads and handles lose nothing."""
        put(backend, b"0", "n")

        def increment(mine: Backend) -> None:
            left = 25
            while left:
                entry = mine.read("sales", ["n"])["n"]
                try:
                    mine.commit([Write("sales", "n", b"%d" % (int(entry.data) + 1), entry.revision)])
                except Conflict:
                    continue
                left -= 1

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(increment, [backend, backend, opened(), opened()]))
        assert backend.read("sales", ["n"])["n"].data == b"100", "increments were lost"

    def test_concurrent_commits_have_revisions_of_their_own(
        self, opened: Callable[[], Backend], backend: Backend
    ) -> None:
        """No two commits share a revision, whoever makes them at the same time."""

        def write(number: int) -> list[int]:
            mine = opened()
            return [put(mine, name=f"n{number}").revision for _ in range(25)]

        with ThreadPoolExecutor(4) as pool:
            revisions = [revision for mine in pool.map(write, range(4)) for revision in mine]
        assert len(set(revisions)) == 100, "two commits have one revision"
        assert backend.load("sales").revision >= max(revisions)
