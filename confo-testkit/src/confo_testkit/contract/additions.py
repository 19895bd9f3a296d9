"""What is tried only with more than ``open_backend``: each class asks for one fixture more; add those that you can."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import pytest

from confo import Backend, Conflict, ConfoError, CredentialsError, Entry, ResyncNeeded, Write
from confo_testkit.contract.base import Contract, Follow, apply, error_of_watch, pushed, put, resumed, soon


class Outside(Protocol):
    """Reaches the test's store without the backend under test: by another tool, driver or file name."""

    def put(self, namespace: str, name: str, data: bytes) -> None:
        """Write these bytes."""

    def delete(self, namespace: str, name: str) -> None:
        """Delete what is there."""

    def get(self, namespace: str, name: str) -> bytes | None:
        """Return the bytes that are there, or None."""


class OutOfBandContract(Contract):
    """What other tools write is seen, and what the backend writes is really there."""

    @pytest.fixture
    def outside(self) -> Outside:
        """Return what reaches the store by another way."""
        raise NotImplementedError("give your subclass a fixture outside")

    def test_commits_are_in_the_store(self, backend: Backend, outside: Outside) -> None:
        """A commit is in the store when it returns, in full, byte for byte; and a deletion too."""
        data = bytes(range(256))
        backend.commit([Write("sales", "a", data, 0), Write("sales", "b", b"", 0)])
        assert outside.get("sales", "a") == data
        assert outside.get("sales", "b") == b""
        put(backend, None)
        assert outside.get("sales", "a") is None, "deleted, and yet in the store"

    def test_a_refused_commit_is_not_in_the_store(self, backend: Backend, outside: Outside) -> None:
        """A commit that is refused leaves no trace in the store."""
        put(backend)
        with pytest.raises(Conflict):
            backend.commit([Write("sales", "b", b"2", 0), Write("sales", "a", b"2", 0)])
        assert (outside.get("sales", "a"), outside.get("sales", "b")) == (b"{}", None)

    def test_others_writes_are_read(self, backend: Backend, outside: Outside) -> None:
        """What another tool wrote is read at once, as it wrote it, with a revision of its own."""
        before = put(backend, b"1").revision
        outside.put("sales", "a", b'{ "x" : 1 }\n')
        entry = backend.read("sales", ["a"])["a"]
        assert (entry.data, entry.revision > before) == (b'{ "x" : 1 }\n', True)
        assert backend.load("sales").entries == dict(backend.scan("sales")) == {"a": entry}
        outside.delete("sales", "a")
        assert backend.read("sales", ["a"]) == {}
        assert dict(backend.load("sales").entries) == {}

    def test_guards_see_others_writes(self, backend: Backend, outside: Outside) -> None:
        """What another tool wrote is not overwritten by who did not see it; who saw it may."""
        revision = put(backend, b"1").revision
        outside.put("sales", "a", b"2")
        outside.put("sales", "b", b"2")
        for write in (Write("sales", "a", b"3", revision), Write("sales", "a", None, revision)):
            with pytest.raises(Conflict):
                backend.commit([write])
        with pytest.raises(Conflict):
            backend.commit([Write("sales", "b", b"3", 0)])
        seen = backend.load("sales").entries
        backend.commit([Write("sales", name, b"3", seen[name].revision) for name in "ab"])
        assert (outside.get("sales", "a"), outside.get("sales", "b")) == (b"3", b"3")

    @pushed
    def test_others_writes_are_told(self, backend: Backend, outside: Outside, follow: Follow) -> None:
        """What another tool writes and deletes is told, in order with the backend's own commits."""
        start = backend.load("sales").revision
        reader = follow(backend, "sales", start)
        told: list[tuple[str, bytes | None]] = []
        for number in range(1, 4):
            outside.put("sales", "a", b"theirs %d" % number)
            put(backend, b"ours %d" % number, "b")
            outside.delete("sales", "a")
            told += [("a", b"theirs %d" % number), ("b", b"ours %d" % number), ("a", None)]
            reader.wait_until(put(backend, b"%d" % number, "mark").revision)
        reader.check_order(start)
        heard = [(n, e.data if e else None) for batch in reader.batches for n, e in batch.entries.items()]
        heard = [one for one in heard if one[0] != "mark"]
        if backend.capabilities.every_commit:
            assert heard == told
        else:  # what came and went within one batch is not told
            assert [one for one in heard if one[0] == "b"] == [one for one in told if one[0] == "b"]

    @pushed
    @pytest.mark.parametrize("name", ["a b", "Ä", "a.b~", "a+b"])
    def test_others_odd_names_cost_themselves(
        self, backend: Backend, outside: Outside, follow: Follow, name: str
    ) -> None:
        """What another tool wrote under a name that is no configuration's takes nothing from the others."""
        good = put(backend, b'{"x": 1}', "good")
        reader = follow(backend, "sales", good.revision)
        outside.put("sales", name, b"{}")
        assert backend.load("sales").entries["good"].revision == good.revision
        assert "sales" in backend.namespaces()
        last = put(backend, b'{"x": 2}', "good")
        reader.wait_until(last.revision)
        assert backend.read("sales", ["good"])["good"].data == b'{"x": 2}'
        assert {one for batch in reader.batches for one in batch.entries} <= {"good", name}
        outside.delete("sales", name)
        reader.wait_until(put(backend, b'{"x": 3}', "good").revision)

    @pushed
    @pytest.mark.parametrize("garbage", [b"", b"{", b"\xff\xfe\x00", b"[1, 2]", b'{"x": NaN}', b"\n"])
    def test_others_garbage_costs_itself(
        self, backend: Backend, outside: Outside, follow: Follow, garbage: bytes
    ) -> None:
        """What another tool wrote and no document is: it is handed over as it is, and all else goes on as before."""
        good = put(backend, b'{"x": 1}', "good")
        start = backend.load("sales").revision
        reader = follow(backend, "sales", start)
        reader.wait_for_sign()
        outside.put("sales", "bad", garbage)
        after = put(backend, b'{"x": 2}', "later")
        state: dict[str, Entry] = {}
        for batch in reader.wait_until(after.revision):
            apply(state, batch.entries)
        assert state["later"].data == b'{"x": 2}', "the watch does not go on beside it"
        entries = backend.load("sales").entries
        assert {name: entries[name].data for name in ("good", "later")} == {"good": b'{"x": 1}', "later": b'{"x": 2}'}
        assert entries["good"].revision == good.revision
        assert backend.read("sales", ["good", "bad"])["good"] == entries["good"]
        assert dict(backend.scan("sales"))["later"] == entries["later"]
        seen = [found["bad"] for found in (entries, backend.read("sales", ["bad"])) if "bad" in found]
        assert all(one.data == garbage or one.problem for one in seen), "it is another document than what is there"
        if seen:
            backend.commit([Write("sales", "bad", b'{"x": 3}', seen[0].revision)])
            assert outside.get("sales", "bad") == b'{"x": 3}', "it cannot be mended"


class HeartbeatContract(Contract):
    """A watch to which nothing happens says now and then that it stands: else nobody knows how old a read is."""

    @pytest.fixture
    def heartbeat(self) -> float:
        """Shorten the time between two signs of life, before the backend is opened, and return it in seconds."""
        raise NotImplementedError("give your subclass a fixture heartbeat")

    @pushed
    def test_a_quiet_watch_gives_signs_of_life(self, heartbeat: float, backend: Backend, follow: Follow) -> None:
        """A quiet watch gives an empty batch again and again, not at its beginning only."""
        start = backend.load("sales").revision
        reader = follow(backend, "sales", start)
        reader.wait_for_signs(4)
        reader.check_order(start)
        assert reader.batches == []
        reader.wait_until(put(backend).revision)


class CompactionContract(Contract):
    """A store that forgets its past says so, and goes on."""

    @pytest.fixture
    def compact(self) -> Callable[[], None]:
        """Return a function that lets the store forget what its watches could resume from."""
        raise NotImplementedError("give your subclass a fixture compact")

    @resumed
    def test_a_watch_from_before_a_compaction(self, backend: Backend, compact: Callable[[], None]) -> None:
        """A watch from a revision that the store forgot says load anew, and tells nothing that has a gap."""
        revision = put(backend).revision
        for number in range(3):
            put(backend, b"%d" % number)
        compact()
        error = error_of_watch(backend, revision, self.seconds)
        assert isinstance(error, ResyncNeeded), f"ResyncNeeded expected, not {error!r}"

    @pushed
    def test_a_watch_after_a_compaction(self, backend: Backend, follow: Follow, compact: Callable[[], None]) -> None:
        """A load after a compaction has everything, and a watch from its revision works, as does one that stood."""
        put(backend, b"1")
        start = backend.load("sales")
        standing = follow(backend, "sales", start.revision)
        standing.wait_for_sign()
        compact()
        assert backend.load("sales").entries == start.entries
        after = backend.load("sales").revision
        readers = {after: follow(backend, "sales", after), start.revision: standing}
        commits = [put(backend, b"2"), put(backend, None)]
        for revision, reader in readers.items():
            reader.check_tells(start.entries, revision, commits, each=backend.capabilities.every_commit)


class RestartContract(Contract):
    """What is declared durable outlives the store's process."""

    @pytest.fixture
    def restart(self) -> Callable[[], None]:
        """Return a function that ends the store's process without a word and starts it again."""
        raise NotImplementedError("give your subclass a fixture restart")

    def test_a_restart(self, opened: Callable[[], Backend], backend: Backend, restart: Callable[[], None]) -> None:
        """A durable store has every commit after a restart, for old handles and new ones, and revisions go on."""
        commits = [put(backend, b"%d" % number, f"n{number}") for number in range(5)]
        put(backend, None, "n0")
        before = backend.load("sales")
        restart()
        fresh = opened()
        if not fresh.capabilities.durable and not fresh.namespaces():
            return
        for handle in (fresh, backend):
            after = soon(self.seconds, lambda handle=handle: handle.load("sales"))  # type: ignore[misc]
            assert after.entries == before.entries, "a commit that was acknowledged is gone"
            assert after.revision >= before.revision > commits[-1].revision, "revisions went back"
        for handle in (fresh, backend):
            assert put(handle).revision > before.revision, "revisions went back"


class CredentialsContract(Contract):
    """Credentials of every wrong shape are refused as such."""

    @pytest.fixture
    def credentials(self) -> Mapping[str, object]:
        """Return credentials that open the test's store, with as many keys as can be given."""
        raise NotImplementedError("give your subclass a fixture credentials")

    def test_good_credentials(self, backend: Backend, credentials: Mapping[str, object]) -> None:
        """The credentials open the store, and are left as they were."""
        given = dict(credentials)
        type(backend).open(given).close()
        assert given == dict(credentials)

    @pytest.mark.parametrize(
        "value",
        [object(), [], {}, b"bytes", -1, float("nan"), True, "", "\0"],
        ids=["object", "list", "dict", "bytes", "negative", "NaN", "True", "empty", "NUL"],
    )
    def test_bad_credentials(self, backend: Backend, credentials: Mapping[str, object], value: object) -> None:
        """A value of the wrong type or beyond sense is refused by one of Confo's errors, or is no harm."""
        for key in credentials:
            try:
                type(backend).open({**credentials, key: value}).close()
            except ConfoError:
                continue

    def test_one_key_too_many(self, backend: Backend, credentials: Mapping[str, object]) -> None:
        """A key with a typing error is refused by its name, also beside good ones."""
        for key in credentials:
            wrong = f"{key}x"
            with pytest.raises(CredentialsError, match=wrong):
                type(backend).open({**credentials, wrong: credentials[key]})
