"""Faults on command: each does what its name says, and the core on top of it survives."""

from __future__ import annotations

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from confo import (
    ANY,
    BackendUnavailable,
    Batch,
    Conflict,
    Entry,
    Namespace,
    OutcomeUnknown,
    ResyncNeeded,
    State,
    Write,
)
from confo_memory import MemoryBackend
from confo_testkit.contract import BackendContract, CompactionContract, ConnectionContract, DriverContract, Reader
from confo_testkit.faults import BatchFault, CommitFault, FaultyBackend

SECONDS = 10.0


@pytest.fixture
def store():
    """Return a backend with an empty namespace "sales", by which to reach the store around the faults."""
    backend = MemoryBackend.open({"store": uuid.uuid4().hex})
    backend.create_namespace("sales")
    yield backend
    backend.close()


@pytest.fixture
def faults(store):
    """Return a faulty backend on the same store."""
    backend = FaultyBackend(MemoryBackend(store.store))
    yield backend
    backend.close()


@pytest.fixture
def read(faults):
    """Return a function that reads a new watch of the faulty backend."""
    readers = []

    def begin() -> Reader:
        readers.append(Reader(faults.watch("sales", faults.load("sales").revision)))
        return readers[-1]

    yield begin
    for reader in readers:
        reader.close()


@pytest.fixture
def pool():
    """Return a thread to do in it what will be held."""
    with ThreadPoolExecutor(1) as pool:
        yield pool


def put(store, name="n", data=b"{}"):
    """Write around the faults, whatever is there; return the batch that a watch tells of it."""
    revision = store.commit([Write("sales", name, data, ANY)])
    return Batch(revision, {name: None if data is None else Entry(data, revision)})


class TestPassesOn(BackendContract, ConnectionContract, CompactionContract, DriverContract):
    """Without faults announced, a faulty backend around a backend that keeps the contract keeps it."""

    @pytest.fixture
    def made(self):
        """Return the backends that a test has opened so far."""
        return []

    @pytest.fixture
    def open_backend(self, made):
        """Open a store that only this test knows the name of."""
        name = uuid.uuid4().hex

        def once_more() -> FaultyBackend:
            one = FaultyBackend(MemoryBackend.open({"store": name}))
            made.append(one)
            return one

        return once_more

    @pytest.fixture
    def cut(self, made):
        """Take every backend down, and give what brings them back."""

        def cut():
            for backend in made:
                backend.go_down()
            return lambda: [backend.come_back() for backend in made]

        return cut

    @pytest.fixture
    def failing(self, made):
        """Lose the next commit, or its answer."""
        faults = {"before": CommitFault.UNAVAILABLE, "after": CommitFault.LOST_AFTER}
        return lambda moment: made[0].next_commits(faults[moment])

    @pytest.fixture
    def compact(self, made):
        """Let the store inside forget its past."""
        return lambda: made[0].inner.store.compact()


# --- each fault by itself ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "error", "applied"),
    [
        (CommitFault.UNAVAILABLE, BackendUnavailable, False),
        (CommitFault.LOST_BEFORE, OutcomeUnknown, False),
        (CommitFault.LOST_AFTER, OutcomeUnknown, True),
    ],
)
def test_a_commit_is_lost(faults, store, fault, error, applied):
    """A commit's fault happens to one commit, which is applied or not as the fault's name says."""
    faults.next_commits(fault)
    with pytest.raises(error, match="on command"):
        faults.commit([Write("sales", "n", b"{}", 0)])
    assert ("n" in store.load("sales").entries) is applied
    assert faults.commit([Write("sales", "m", b"{}", 0)]) == store.load("sales").revision


def test_faults_of_commits_come_in_order(faults, store):
    """Each commit takes one fault of those announced; None lets one pass."""
    faults.next_commits(None, CommitFault.LOST_AFTER)
    faults.next_commits(CommitFault.LOST_BEFORE)
    faults.commit([Write("sales", "a", b"{}", 0)])
    for name in ("b", "c"):
        with pytest.raises(OutcomeUnknown):
            faults.commit([Write("sales", name, b"{}", 0)])
    assert set(store.load("sales").entries) == {"a", "b"}
    assert faults.pending == ()


def test_a_refused_commit_is_not_lost(faults):
    """An answer can be lost only of a commit that was taken: a conflict is told."""
    faults.next_commits(CommitFault.LOST_AFTER)
    with pytest.raises(Conflict):
        faults.commit([Write("sales", "n", b"{}", 77)])


@pytest.mark.parametrize("after", [False, True])
def test_a_commit_is_delayed(faults, store, pool, after):
    """A delayed commit is held before it happens, or before its answer, until the test lets go."""
    with faults.delay("commit", after=after) as delay:
        answer = pool.submit(faults.commit, [Write("sales", "n", b"{}", 0)])
        delay.wait_until_reached()
        assert ("n" in store.load("sales").entries) is after
        assert not answer.done()
        assert "holding" in repr(delay)
    assert answer.result(SECONDS) == store.read("sales", ["n"])["n"].revision


@pytest.mark.parametrize("call", ["load", "read", "scan", "watch"])
def test_a_call_is_delayed(faults, pool, call):
    """Every call that asks the store can be held, once."""
    arguments = {"load": (), "read": (["n"],), "scan": (), "watch": (1,)}[call]
    with faults.delay(call) as delay:
        answer = pool.submit(getattr(faults, call), "sales", *arguments)
        delay.wait_until_reached()
        assert not answer.done()
        getattr(faults, call)("sales", *arguments)
    answer.result(SECONDS)


def test_a_delay_that_nobody_meets_is_said(faults):
    """Waiting for a call that never comes ends in an assertion that names it."""
    with faults.delay("scan") as delay, pytest.raises(AssertionError, match="no scan"):
        delay.wait_until_reached(0.01)


def test_closing_releases_who_is_held(store, pool):
    """A test that fails in the middle does not leave a thread behind."""
    faults = FaultyBackend(MemoryBackend(store.store))
    delay = faults.delay("load")
    answer = pool.submit(faults.load, "sales")
    delay.wait_until_reached()
    delay.release()
    assert answer.result(SECONDS).namespace == "sales"
    faults.close()


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (None, [0, 1, 2]),
        (BatchFault.DUPLICATE, [0, 0, 1, 2]),
        (BatchFault.REORDER, [1, 0, 2]),
        (BatchFault.SWALLOW, [1, 2]),
    ],
)
def test_a_batch_is_told_otherwise(faults, store, read, fault, told):
    """A batch's fault happens to one batch: told twice, after the next, or never."""
    faults.next_batches(fault)
    reader = read()
    batches = [put(store, name) for name in "abc"]
    assert reader.wait_for(len(told)) == [batches[number] for number in told]


@pytest.mark.parametrize(("fault", "error"), [(BatchFault.CUT, BackendUnavailable), (BatchFault.COMPACT, ResyncNeeded)])
def test_a_stream_ends_at_a_batch(faults, store, read, fault, error):
    """A stream tells the batches before the fault, and ends with the error in place of the one at hand."""
    faults.next_batches(None, fault)
    reader = read()
    batches = [put(store, name) for name in "ab"]
    assert isinstance(reader.join(), error)
    assert reader.batches == batches[:1]


def test_open_streams_are_ended(faults, store, read):
    """Every stream that is open ends at once, whoever waits in it; one opened later does not."""
    first, second = read(), read()
    batch = put(store)
    first.wait_for(1)
    second.wait_for(1)
    assert faults.cut_watches() == 2
    assert isinstance(first.join(), BackendUnavailable)
    assert isinstance(second.join(), BackendUnavailable)
    third = read()
    assert faults.compact_watches() == 1
    assert isinstance(third.join(), ResyncNeeded)
    assert first.batches == [batch]


def test_a_store_goes_down_and_comes_back(faults, read):
    """Down means that streams break and every call is refused, until it comes back."""
    reader = read()
    faults.go_down()
    assert isinstance(reader.join(), BackendUnavailable)
    for call in (
        faults.namespaces,
        lambda: faults.create_namespace("x"),
        lambda: faults.delete_namespace("sales"),
        lambda: faults.load("sales"),
        lambda: faults.read("sales", ["n"]),
        lambda: faults.scan("sales"),
        lambda: faults.commit([Write("sales", "n", b"{}", ANY)]),
        lambda: faults.watch("sales", 1),
    ):
        with pytest.raises(BackendUnavailable, match="down"):
            call()
    faults.come_back()
    assert faults.namespaces() == ["sales"]


def test_what_is_announced_can_be_taken_back(faults, store):
    """Cleared faults do not happen."""
    faults.next_commits(CommitFault.LOST_BEFORE)
    faults.next_batches(BatchFault.SWALLOW)
    faults.delay("load")
    assert len(faults.pending) == 3
    assert "3 faults" in repr(faults)
    faults.clear()
    assert faults.pending == ()
    faults.commit([Write("sales", "n", b"{}", 0)])
    assert "n" in faults.load("sales").entries


# --- the core on top ---------------------------------------------------------------------------------


class Heard:
    """What a subscriber was told, in order."""

    def __init__(self):
        self.events = []
        self._news = threading.Condition()

    def __call__(self, event):
        with self._news:
            self.events.append((event.kind, event.configuration, event.new and event.new["x"]))
            self._news.notify_all()

    def wait_for(self, event):
        """Return all, once this one is the last."""
        with self._news:
            assert self._news.wait_for(lambda: event in self.events[-1:], SECONDS), self.events
        return self.events


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """Back off by milliseconds."""
    monkeypatch.setattr("confo.replica.FIRST_PAUSE", 0.001)


@pytest.fixture
def sales(faults):
    """Return a followed namespace over the faulty backend."""
    namespace = Namespace("store", faults, "sales")
    yield namespace
    namespace._replica.close()


@pytest.fixture
def heard(sales):
    """Return what a subscriber to everything is told."""
    heard = Heard()
    with sales.on_change(heard, kinds="all"):
        yield heard


def number(store, x):
    """Write the document {"x": x} around the faults; return its revision."""
    return put(store, "n", b'{"x": %d}' % x).revision


@pytest.mark.parametrize(
    "faults_of_it",
    [
        [CommitFault.LOST_BEFORE],
        [CommitFault.LOST_AFTER],
        [CommitFault.LOST_AFTER, CommitFault.UNAVAILABLE],
        [CommitFault.LOST_BEFORE, CommitFault.LOST_BEFORE, CommitFault.LOST_AFTER, CommitFault.LOST_AFTER],
    ],
    ids=lambda them: "-".join(one.name for one in them),
)
def test_a_lost_commit_happens_once(faults, store, sales, heard, faults_of_it):
    """However often a commit or its answer is lost, it happens once, is reported truly and told once."""
    faults.next_commits(*faults_of_it)
    sales.set("n", "x", 1)
    commit = sales.persist()
    assert commit.revision == store.read("sales", ["n"])["n"].revision
    assert len(store.scan(".history.sales")) == 1
    assert sales.staged == []
    assert heard.wait_for(("changed", "n", 1)) == [("changed", "n", 1)]


def test_a_commit_that_was_not_sent_is_told(faults, store, sales):
    """A commit that surely did not happen raises, and its draft is there to be tried again."""
    faults.next_commits(CommitFault.UNAVAILABLE)
    sales.set("n", "x", 1)
    with pytest.raises(BackendUnavailable):
        sales.persist()
    assert sales.staged == ["n"]
    assert sales.persist().revision == store.read("sales", ["n"])["n"].revision


def test_an_answer_is_lost_and_the_document_changed_before_it_is_asked_for(faults, store, sales, pool):
    """A commit that happened, was overwritten, and only then found out about, is its first success, not a conflict."""
    faults.next_commits(CommitFault.LOST_AFTER)
    sales.set("n", "x", 1)
    with faults.delay("commit", after=True) as delay:
        answer = pool.submit(sales.persist)
        delay.wait_until_reached()
        first = store.read("sales", ["n"])["n"].revision
        second = number(store, 2)
    assert answer.result(SECONDS).revision == first < second
    assert sales.wait_for(second)
    assert sales["n"] == {"x": 2}
    assert sales.staged == []


def test_a_duplicate_is_told_once(faults, store, sales, heard):
    """A batch that the store tells twice is one event."""
    faults.next_batches(BatchFault.DUPLICATE, BatchFault.DUPLICATE)
    for x in (1, 2, 3):
        number(store, x)
    assert heard.wait_for(("changed", "n", 3)) == [("changed", "n", x) for x in (1, 2, 3)]
    assert sales["n"] == {"x": 3}


def test_a_late_batch_does_not_turn_time_back(faults, store, sales, heard):
    """A batch that comes after the next is no news: what is newer stays, and is not told again."""
    faults.next_batches(BatchFault.REORDER)
    for x in (1, 2, 3):
        number(store, x)
    assert heard.wait_for(("changed", "n", 3)) == [("changed", "n", 2), ("changed", "n", 3)]
    assert sales["n"] == {"x": 3}


def test_a_cut_stream_is_resumed(faults, store, sales, heard):
    """A stream that breaks between commits is resumed where it was: every commit is told, each once, in order."""
    faults.next_batches(None, BatchFault.CUT, None, BatchFault.CUT)
    for x in range(1, 6):
        number(store, x)
    told = [event for event in heard.wait_for(("changed", "n", 5)) if event[0] == "changed"]
    assert told == [("changed", "n", x) for x in range(1, 6)]
    assert sales.status().state is State.READY


def test_a_swallowed_batch_is_found_by_a_resync(faults, store, sales, heard):
    """What the store never told is found when the namespace is loaded anew, and told as one resync."""
    faults.next_batches(BatchFault.SWALLOW)
    number(store, 1)
    revision = put(store, "m", b'{"x": 2}').revision
    heard.wait_for(("changed", "m", 2))
    assert "n" not in sales
    faults.compact_watches()
    heard.wait_for(("resync", None, None))
    assert sales["n"] == {"x": 1}
    assert sales.wait_for(revision)


def test_a_swallowed_batch_is_found_by_a_reload(faults, store, sales, heard):
    """``reload()`` brings what the store never told."""
    faults.next_batches(BatchFault.SWALLOW)
    number(store, 1)
    put(store, "m", b'{"x": 2}')
    heard.wait_for(("changed", "m", 2))
    sales.reload()
    assert sales["n"] == {"x": 1}
    heard.wait_for(("changed", "n", 1))


def test_a_compacted_stream_is_loaded_anew(faults, store, sales, heard):
    """Where the store forgot what came next, the true state is there after one resync, and following goes on."""
    faults.next_batches(BatchFault.COMPACT)
    number(store, 1)
    heard.wait_for(("resync", None, None))
    assert sales["n"] == {"x": 1}
    number(store, 2)
    assert heard.wait_for(("changed", "n", 2)) == [("resync", None, None), ("changed", "n", 2)]


def test_a_draft_survives(faults, store, sales, heard):
    """What is staged outlives a broken stream, a compaction and a store that is down."""
    sales.set("mine", "x", 1)
    faults.cut_watches()
    number(store, 1)
    faults.compact_watches()
    faults.go_down()
    with pytest.raises(BackendUnavailable):
        sales.persist()
    assert sales["mine"] == {"x": 1}
    faults.come_back()
    assert sales.wait_for(sales.persist().revision)
    assert store.load("sales")["mine"] == {"x": 1}
    assert sales["n"] == {"x": 1}
