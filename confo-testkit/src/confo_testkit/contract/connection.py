"""A connection that is cut: every call has an end, and what it says about a commit is true."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import TypeAlias

import pytest

from confo import Backend, BackendUnavailable, ConfoError, OutcomeUnknown, Write
from confo_testkit.contract.base import Contract, Follow, pushed, put, resumed, soon, within

Cut: TypeAlias = Callable[[], Callable[[], None]]


class ConnectionContract(Contract):
    """A store that cannot be reached is said to be so, within ``seconds``, and works again when it can."""

    @pytest.fixture
    def cut(self) -> Cut:
        """Return a function that cuts the connections of every handle, and returns one that mends them."""
        raise NotImplementedError("give your subclass a fixture cut")

    @pytest.fixture
    def severed(self, cut: Cut) -> Iterator[Cut]:
        """Cut, and mend after the test at the latest."""
        mending: list[Callable[[], None]] = []

        def sever() -> Callable[[], None]:
            mending.append(cut())
            return mending[-1]

        yield sever
        for mend in mending:
            mend()

    @pytest.mark.parametrize("call", ["namespaces", "load", "read", "scan"])
    def test_reads_without_a_connection(self, backend: Backend, severed: Cut, call: str) -> None:
        """A read that cannot reach the store raises BackendUnavailable in time, and answers again afterwards."""
        put(backend)
        calls: dict[str, Callable[[], object]] = {
            "namespaces": backend.namespaces,
            "load": lambda: backend.load("sales").entries,
            "read": lambda: backend.read("sales", ["a"]),
            "scan": lambda: backend.scan("sales"),
        }
        before = calls[call]()
        mend = severed()
        with pytest.raises(BackendUnavailable):
            within(self.seconds, call, calls[call])
        mend()
        assert soon(self.seconds, calls[call]) == before

    @pytest.mark.parametrize("call", ["create_namespace", "delete_namespace"])
    def test_namespaces_without_a_connection(self, backend: Backend, severed: Cut, call: str) -> None:
        """What cannot reach the store raises in time, and has done nothing if it says so."""
        name = "new" if call == "create_namespace" else "sales"
        before = backend.namespaces()
        mend = severed()
        with pytest.raises((BackendUnavailable, OutcomeUnknown)) as caught:
            within(self.seconds, call, lambda: getattr(backend, call)(name))
        mend()
        after = soon(self.seconds, backend.namespaces)
        assert after == before or isinstance(caught.value, OutcomeUnknown), "it is said that it did not happen"

    def test_a_commit_without_a_connection(self, backend: Backend, severed: Cut) -> None:
        """A commit that cannot be sent raises in time, and what it says of its fate is true."""
        revision = put(backend).revision
        mend = severed()
        with pytest.raises((BackendUnavailable, OutcomeUnknown)) as caught:
            within(self.seconds, "commit()", lambda: backend.commit([Write("sales", "a", b"lost", revision)]))
        mend()
        data = soon(self.seconds, lambda: backend.read("sales", ["a"]))["a"].data
        assert data == b"{}" or isinstance(caught.value, OutcomeUnknown), "it is said that it did not happen"

    def test_fates_are_told_truly(self, backend: Backend, severed: Cut) -> None:
        """Whenever the connection is cut: what was acknowledged is there, and what surely did not happen is not."""
        fates: dict[str, ConfoError | None] = {}
        running, stop = threading.Event(), threading.Event()

        def write() -> None:
            number = 0
            while not stop.is_set() and number < 2000:
                name, number = f"n{number}", number + 1
                try:
                    put(backend, b"{}", name)
                    fates[name] = None
                except ConfoError as error:
                    fates[name] = error
                if number == 10:
                    running.set()

        thread = threading.Thread(target=write, name="contract-writer", daemon=True)
        thread.start()
        assert running.wait(self.seconds), "ten commits take too long"
        mend = severed()
        stop.set()
        thread.join(self.seconds)
        assert not thread.is_alive(), "a commit does not come to an end"
        mend()
        there = set(soon(self.seconds, lambda: backend.load("sales")).entries)
        lost = [name for name, error in fates.items() if error is None and name not in there]
        assert not lost, f"acknowledged, and not there: {lost}"
        denied = [name for name, error in fates.items() if isinstance(error, BackendUnavailable) and name in there]
        assert not denied, f"BackendUnavailable, which means that it did not happen, and yet there: {denied}"
        strange = [e for e in fates.values() if not isinstance(e, (type(None), BackendUnavailable, OutcomeUnknown))]
        assert not strange, strange

    @pushed
    def test_a_watch_that_loses_its_connection(self, backend: Backend, follow: Follow, severed: Cut) -> None:
        """A watch whose connection breaks ends with BackendUnavailable, in time: it is neither silent nor over."""
        start = backend.load("sales").revision
        reader = follow(backend, "sales", start)
        reader.wait_until(put(backend).revision)
        severed()
        error = reader.join()
        assert isinstance(error, BackendUnavailable), f"BackendUnavailable expected, not {error!r}"

    @resumed
    def test_a_watch_goes_on_where_it_broke(self, backend: Backend, follow: Follow, severed: Cut) -> None:
        """After a break another watch from the last revision that was told misses nothing."""
        start = backend.load("sales")
        first = follow(backend, "sales", start.revision)
        commits = [put(backend, b"1"), put(backend, b"2", "b")]
        first.wait_until(commits[-1].revision)
        severed()()
        first.join()
        soon(self.seconds, backend.namespaces)
        commits.append(put(backend, b"3", "c"))
        second = follow(backend, "sales", commits[0].revision)
        entries = {name: entry for name, entry in commits[0].entries.items() if entry}
        second.check_tells(entries, commits[0].revision, commits[1:], each=backend.capabilities.every_commit)

    def test_close_without_a_connection(self, backend: Backend, severed: Cut) -> None:
        """A backend whose store is gone is closed in time."""
        severed()
        within(self.seconds, "close() without a connection", backend.close)


class DriverContract(Contract):
    """What an error says of a commit is true, at whichever moment the driver failed."""

    @pytest.fixture
    def failing(self) -> Callable[[str], object]:
        """Return a function that makes the driver's next commit fail, once.

        Before it is sent ("before"), or when the store has made it and the answer is on its way ("after").
        """
        raise NotImplementedError("give your subclass a fixture failing")

    @pytest.mark.parametrize("moment", ["before", "after"])
    def test_a_failing_driver_is_told_truly(
        self, backend: Backend, failing: Callable[[str], object], moment: str
    ) -> None:
        """BackendUnavailable means that a commit did not happen; what may have happened is OutcomeUnknown."""
        revision = put(backend, b"before").revision
        failing(moment)
        error: ConfoError | None = None
        try:
            backend.commit([Write("sales", "a", b"mine", revision)])
        except ConfoError as raised:
            error = raised
        there = soon(self.seconds, lambda: backend.read("sales", ["a"]))["a"].data == b"mine"
        assert there or error is not None, "acknowledged, and not there"
        assert not there or error is None or isinstance(error, OutcomeUnknown), f"it happened, and told was {error!r}"
        assert error is None or isinstance(error, (BackendUnavailable, OutcomeUnknown)), f"told was {error!r}"
