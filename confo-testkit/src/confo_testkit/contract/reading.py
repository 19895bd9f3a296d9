"""Reading: one consistent state, the bytes as they were, a few names, pages in order."""

from __future__ import annotations

import operator
import threading
from collections.abc import Callable

import pytest

from confo import (
    ANY,
    Backend,
    Capabilities,
    CredentialsError,
    Entry,
    NotSupported,
    RevisionNotFound,
    Snapshot,
    Write,
)
from confo_testkit import corpus
from confo_testkit.contract.base import Contract, fill, put, same_document


class ReadingContract(Contract):
    """What was committed is what is read, with the revision that wrote it."""

    def test_declares_capabilities(self, backend: Backend) -> None:
        """A backend says what it can do, in full and in sensible numbers."""
        can = backend.capabilities
        assert isinstance(can, Capabilities)
        assert can.atomic_writes >= 2, "one write and its record in the history are one commit"
        assert can.max_value_bytes >= 64 * 1024
        assert can.push or not can.resumable, "what does not tell of changes cannot resume"

    @pytest.mark.parametrize("value", ["127.0.0.1", None, 7, object()], ids=["text", "None", "number", "object"])
    def test_unknown_credentials_are_refused(self, backend: Backend, value: object) -> None:
        """A credential that the backend does not know is refused by name, as it may be a typing error."""
        with pytest.raises(CredentialsError, match="hots"):
            type(backend).open({"hots": value})

    def test_load_is_what_was_committed(self, backend: Backend) -> None:
        """A load gives every entry with the revision that wrote it, at a revision not before any of them."""
        first = backend.commit([Write("sales", "a", b'{"x": 1}', 0), Write("sales", "b", b"{}", 0)])
        second = backend.commit([Write("sales", "b", b'{"y": 2}', first)])
        snapshot = backend.load("sales")
        assert snapshot.entries == {"a": Entry(b'{"x": 1}', first), "b": Entry(b'{"y": 2}', second)}
        assert snapshot.revision >= second > first > 0
        assert isinstance(snapshot, Snapshot)
        assert (snapshot.namespace, snapshot.source) == ("sales", "server")

    def test_load_stays_as_it_is(self, backend: Backend) -> None:
        """What was loaded does not change with the store."""
        put(backend, b"1")
        snapshot = backend.load("sales")
        put(backend, b"2")
        put(backend, b"2", "b")
        assert {name: entry.data for name, entry in snapshot.entries.items()} == {"a": b"1"}

    def test_load_of_many(self, backend: Backend) -> None:
        """However many entries there are, a load has each, and a scan gives them in pages without gap or repetition."""
        written = fill(backend, {f"n{number:04d}": b"%d" % number for number in range(1200)})
        assert backend.load("sales").entries == written
        found: list[tuple[str, Entry]] = []
        while page := backend.scan("sales", start=found[-1][0] + "-" if found else "", limit=500):
            found += page
        assert found == sorted(written.items())

    def test_load_is_one_state(self, opened: Callable[[], Backend], backend: Backend) -> None:
        """A load while others commit has all of a commit or nothing of it, at both ends of the namespace."""
        fill(backend, {f"m{number:03d}": b"{}" for number in range(600)})
        ends = ("a-first", "z-last")
        backend.commit([Write("sales", name, b"0", 0) for name in ends])
        writer, stop = opened(), threading.Event()

        def write() -> None:
            number = 0
            while not stop.is_set():
                number += 1
                writer.commit([Write("sales", name, b"%d" % number, ANY) for name in ends])

        thread = threading.Thread(target=write, daemon=True)
        thread.start()
        try:
            for _ in range(15):
                snapshot = backend.load("sales")
                first, last = (snapshot.entries[name] for name in ends)
                assert first == last, "two entries that are always committed together differ: half a commit was loaded"
                assert snapshot.revision >= first.revision
        finally:
            stop.set()
            thread.join(self.seconds)

    def test_bytes_are_kept(self, backend: Backend) -> None:
        """Any bytes come back as they were: the backend knows nothing of JSON."""
        written = fill(backend, {"raw": bytes(range(256)) * 200, "empty": b"", "lines": b"\r\n\n\r", "nul": b"\0"})
        assert backend.load("sales").entries == written
        assert backend.read("sales", list(written)) == written
        assert dict(backend.scan("sales")) == written
        found = [*backend.load("sales").entries.values(), *(entry for _, entry in backend.scan("sales"))]
        assert {(type(entry), type(entry.data)) for entry in found} == {(Entry, bytes)}

    def test_documents_are_kept(self, backend: Backend) -> None:
        """Documents come back, byte for byte if ``keeps_bytes``, and bytes that are none as they were."""
        documents = [*corpus.valid(), *corpus.invalid()]
        fitting = [one for one in documents if len(one.data) <= backend.capabilities.max_value_bytes]
        for number, one in enumerate(fitting):
            put(backend, one.data, f"n{number}")
        found = backend.load("sales").entries
        same = operator.eq if backend.capabilities.keeps_bytes else same_document
        changed = [one.what for number, one in enumerate(fitting) if not same(found[f"n{number}"].data, one.data)]
        assert not changed, f"these came back otherwise: {changed}"

    def test_read_gives_those_that_exist(self, backend: Backend) -> None:
        """Reading a few names gives those that exist, and of those each."""
        revision = backend.commit([Write("sales", "a", b"1", 0), Write("sales", "b", b"2", 0)])
        assert backend.read("sales", ["a", "nope"]) == {"a": Entry(b"1", revision)}
        assert backend.read("sales", []) == {}
        many = backend.read("sales", ["a", "b", *(f"x{number}" for number in range(500))])
        assert set(many) == {"a", "b"}

    def test_read_is_never_stale(self, opened: Callable[[], Backend], backend: Backend) -> None:
        """What one handle committed, another reads at once, however long it has been open."""
        other = opened()
        put(backend, b"before")
        other.load("sales")
        for number in range(20):
            revision = put(backend, b"%d" % number).revision
            assert other.read("sales", ["a"]) == {"a": Entry(b"%d" % number, revision)}, "read from a stale copy"
            assert other.scan("sales") == [("a", Entry(b"%d" % number, revision))], "scanned in a stale copy"
        put(backend, None)
        assert other.read("sales", ["a"]) == {}, "what was deleted is read from a stale copy"

    def test_load_has_own_commits(self, backend: Backend) -> None:
        """A load after a commit has it, at its revision or a later one."""
        for number in range(20):
            commit = put(backend, b"%d" % number)
            snapshot = backend.load("sales")
            assert snapshot.entries == commit.entries
            assert snapshot.revision >= commit.revision, "the state has a revision from before its own entries"

    def test_scan_is_in_order_and_paged(self, backend: Backend) -> None:
        """A scan goes by name, forwards and backwards, from a name on, and never gives more than asked for."""
        names = [f"{number:03d}" for number in range(25)]
        written = sorted(fill(backend, {name: name.encode() for name in reversed(names)}).items())
        assert backend.scan("sales") == written
        assert backend.scan("sales", reverse=True) == written[::-1]
        assert backend.scan("sales", start="010", limit=3) == written[10:13], "start is included, limit is a limit"
        assert backend.scan("sales", limit=2, reverse=True) == [written[24], written[23]]
        assert backend.scan("sales", start="002", reverse=True) == written[2::-1], "reverse goes down from start"
        assert backend.scan("sales", start="0105", limit=1) == [written[11]], "start need not be there"
        assert backend.scan("sales", start="0105", limit=1, reverse=True) == [written[10]]
        assert backend.scan("sales", start="999") == []
        assert backend.scan("sales", start="0", reverse=True) == []
        assert backend.scan("sales", limit=0) == []

    def test_scan_gives_a_hundred(self, backend: Backend) -> None:
        """Without a limit a scan gives a hundred entries."""
        written = sorted(fill(backend, {f"{number:03d}": b"" for number in range(130)}).items())
        assert backend.scan("sales") == written[:100]
        assert backend.scan("sales", reverse=True) == written[:29:-1]

    def test_older_states(self, backend: Backend) -> None:
        """What it reads of an older revision is what was there then; a store that keeps none says NotSupported."""
        first = put(backend, b"1").revision
        put(backend, b"2")
        put(backend, b"x", "b")
        if not backend.capabilities.reads_past:
            with pytest.raises(NotSupported):
                backend.read_at("sales", ["a"], first)
            return
        assert backend.read_at("sales", ["a", "b"], first) == {"a": Entry(b"1", first)}
        put(backend, None)
        assert backend.read_at("sales", ["a"], first) == {"a": Entry(b"1", first)}
        with pytest.raises(RevisionNotFound):
            backend.read_at("sales", ["a"], backend.load("sales").revision + 1000)
