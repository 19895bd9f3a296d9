"""What a state machine found: own commits that the watch brings late, or never as they were sent."""

from __future__ import annotations

import threading
import uuid

import pytest

from confo import ANY, Namespace, Write
from confo_memory import MemoryBackend
from confo_testkit.faults import BatchFault, FaultyBackend

SECONDS = 10.0


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """Back off by milliseconds."""
    monkeypatch.setattr("confo.replica.FIRST_PAUSE", 0.001)


@pytest.fixture
def store():
    """Return the store itself."""
    backend = MemoryBackend.open({"store": uuid.uuid4().hex})
    backend.create_namespace("sales")
    yield backend
    backend.close()


@pytest.fixture
def faults(store):
    """Return a backend on it that fails on command."""
    backend = FaultyBackend(MemoryBackend(store.store))
    yield backend
    backend.close()


@pytest.fixture
def sales(faults):
    """Return a followed namespace on that."""
    namespace = Namespace("store", faults, "sales")
    yield namespace
    namespace._replica.close()


def put(store, data):
    """Write sales/n around Confo."""
    return store.commit([Write("sales", "n", data, ANY)])


def test_what_was_deleted_here_does_not_come_back(faults, store, sales):
    """A document that this process made and deleted while its stream was broken is not told again, nor read again."""
    told, news = [], threading.Condition()

    def hear(event):
        with news:
            told.append((event.configuration, event.new))
            news.notify_all()

    with sales.on_change(hear, kinds="all"):
        with faults.delay("watch") as reconnecting:
            faults.cut_watches()
            reconnecting.wait_until_reached()
            sales.set("n", "x", 1)
            sales.persist()
            sales.delete("n")
            sales.persist()
        store.commit([Write("sales", "end", b"{}", ANY)])
        with news:
            assert news.wait_for(lambda: ("end", {}) in told, SECONDS)
    assert [event for event in told if event[0] == "n"] == [("n", {"x": 1}), ("n", None)]


def test_a_commit_that_was_overwritten_before_it_came_back_is_not_staged_any_more(faults, store, sales):
    """An own commit that was written over, and that the copy never saw, as it was loaded anew, leaves no draft."""
    sales.set("n", "x", 1)
    faults.next_batches(BatchFault.COMPACT)
    faults.meanwhile(lambda: put(store, b'{"x": 2}'), after=True)
    assert sales.persist() is not None
    assert sales["n"] == {"x": 2}
    assert sales.staged == []
    assert sales.persist() is None


def test_deleting_what_is_gone_already_leaves_nothing_staged(faults, store, sales):
    """A deletion that somebody else did first is no draft after persist(), and deletes nothing that is made later."""
    put(store, b'{"x": 1}')
    sales.reload()
    sales.set("n", "x", 2)
    assert sales.wait_for(put(store, None))
    sales.delete("n")
    assert sales.persist() is None
    assert sales.wait_for(put(store, b'{"x": 1}'))
    assert sales.staged == []
    assert sales.persist() is None
    assert sales["n"] == {"x": 1}


def test_taking_an_edit_back_does_not_take_somebody_elses_field(faults, store, sales):
    """Who deletes the field that he had set, and that somebody else set meanwhile, does not delete theirs unseen."""
    sales.set("n", {"x": 1, "y": 1})
    assert sales.wait_for(put(store, b'{"y": 2}'))
    sales.delete("n", "y")
    sales.persist()
    assert store.load("sales")["n"] == {"x": 1, "y": 2}


def test_own_commits_while_the_watch_is_down(faults, store, sales):
    """Reads and edits stand on own commits at once; snapshots and events keep the order of the store's revisions."""
    told, news = [], threading.Condition()

    def hear(event):
        with news:
            told.append((event.revision, event.configuration, event.old, event.new, event.origin))
            news.notify_all()

    first = store.commit([Write("sales", "n", b'{"x": 1}', ANY)])
    assert sales.wait_for(first)
    with sales.on_change(hear):
        with faults.delay("watch") as reconnecting:
            faults.cut_watches()
            reconnecting.wait_until_reached()
            foreign = store.commit([Write("sales", "n", b'{"x": 2}', ANY)])
            another = store.commit([Write("sales", "other", b"{}", ANY)])
            own = sales.transaction(lambda draft: draft["n"].update(x=draft["n"]["x"] + 10))
            again = sales.transaction(lambda draft: draft["n"].update(x=draft["n"]["x"] + 10))
            with sales.edit() as draft:
                draft["made"] = {"y": 1}
            made = draft.commit
            assert sales["n"] == {"x": 22}
            assert (sorted(sales), len(sales), "made" in sales) == (["made", "n"], 2, True)
            assert sales.snapshot().revision == first
            assert dict(sales.snapshot()) == {"n": {"x": 1}}
            assert sales.at(own.revision)["n"] == {"x": 12}
            assert [one.revision for one in sales.history(limit=3)] == [made.revision, again.revision, own.revision]
            assert told == []
        with news:
            assert news.wait_for(lambda: len(told) == 5, SECONDS)
    assert told == [
        (foreign, "n", {"x": 1}, {"x": 2}, "foreign"),
        (another, "other", None, {}, "foreign"),
        (own.revision, "n", {"x": 2}, {"x": 12}, "own"),
        (again.revision, "n", {"x": 12}, {"x": 22}, "own"),
        (made.revision, "made", None, {"y": 1}, "own"),
    ]
    assert dict(sales.snapshot()) == {"n": {"x": 22}, "other": {}, "made": {"y": 1}}
