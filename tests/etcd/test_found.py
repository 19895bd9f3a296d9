"""What failures of real servers showed, each as the smallest test that fails."""

from __future__ import annotations

from collections import deque

import pytest

from confo import ANY, BackendUnavailable, ConflictError, Entry, Namespace, Write
from confo.events import Notice, coalesce
from confo_testkit.faults import CommitFault, FaultyBackend

SECONDS = 10.0


@pytest.fixture
def faults(backend, opening, server, prefix):
    """Return a backend of its own on the store, which fails on command."""
    return FaultyBackend(opening(host="127.0.0.1", port=server.port, prefix=prefix))


@pytest.fixture
def sales(faults):
    """Return a followed namespace on that."""
    namespace = Namespace("store", faults, "sales")
    yield namespace
    namespace._replica.close()


def put(backend, data, name="n"):
    """Write a configuration around Confo and return the revision."""
    return backend.commit([Write("sales", name, data, ANY)])


def test_a_creation_is_not_repeated_after_somebody_deleted_it(backend, faults, sales):
    """A creation whose answer was lost, and that somebody else deleted since, is not done a second time."""
    faults.next_commits(CommitFault.LOST_AFTER)
    sales.set("n", "x", 1)
    deleted = []
    faults.meanwhile(lambda: None)  # the first sending passes; the second comes after the deletion
    faults.meanwhile(lambda: deleted.append(put(backend, None)))
    commit = sales.persist()
    assert deleted
    assert "n" not in backend.load("sales").entries
    assert commit.revision < deleted[0]


def test_a_counter_in_an_edit_block_is_not_set_back(backend, sales):
    """What is written in an edit block is based on what was read there: a commit between the two is a conflict."""
    put(backend, b'{"n": 1}', "counter")
    sales.reload()

    def count_with_two_others_meanwhile():
        with sales.edit() as draft:
            seen = draft["counter"]["n"]
            assert sales.wait_for(put(backend, b'{"n": 3}', "counter"), SECONDS)
            draft["counter"]["n"] = seen + 1

    with pytest.raises(ConflictError):
        count_with_two_others_meanwhile()
    assert backend.read("sales", ["counter"])["counter"].data == b'{"n": 3}'


def test_a_commit_to_a_store_that_was_set_back_ends(own_server, opening, monkeypatch):
    """A commit over a store that was restored, and wrote on past what was seen, does not re-read for ever."""
    backend = opening(host="127.0.0.1", port=own_server.port)
    faults = FaultyBackend(opening(host="127.0.0.1", port=own_server.port))
    backend.create_namespace("sales")
    for number in range(5):
        seen = put(backend, b'{"x": %d}' % number)
    sales = Namespace("store", faults, "sales")
    following = faults.delay("watch")
    own_server.restart(erase=True)
    backend.create_namespace("sales")
    put(backend, b'{"x": 0}')
    while put(backend, b"{}", "other") <= seen:
        continue
    following.release()
    assert sales.wait_for(put(backend, b"{}", "last"), SECONDS)
    sales.set("n", "y", 1)
    rounds, refresh = [], type(sales._replica).refresh

    def count(replica, names):
        rounds.append(names)
        assert len(rounds) < 20, "it re-reads for ever"
        refresh(replica, names)

    monkeypatch.setattr(type(sales._replica), "refresh", count)
    try:
        sales.persist()
    finally:
        sales._replica.close()
    assert backend.read("sales", ["n"])["n"].data == b'{"x":0,"y":1}'


def test_what_two_resyncs_found_is_told_when_the_mailbox_runs_over():
    """Folding notices forgets no configuration that changed, whichever notices said so."""
    one, two = Entry(b"{}", 7), Entry(b"{}", 8)
    waiting = deque(
        [
            Notice("resync", "sales", 7, {"first": (None, one)}),
            Notice("resync", "sales", 8, {"second": (None, two)}),
            Notice("changed", "sales", 9, {"third": (None, one)}, "foreign"),
        ]
    )
    assert {name for notice in coalesce(waiting, 2) for name in notice.entries} == {"first", "second", "third"}


def test_a_resync_does_not_take_an_own_commit_back(backend, faults, sales):
    """What persist() returned is read from then on, also while the namespace is being loaded anew."""
    with faults.delay("load", after=True) as loading:
        faults.compact_watches()
        loading.wait_until_reached()
        sales.set("n", "x", 1)
        sales.persist()  # gives up waiting for the watch after two seconds, and takes it over by hand
        with faults.delay("watch") as following:
            loading.release()
            following.wait_until_reached()
            assert sales.get("n", "x", "gone") == 1


def test_a_record_that_cannot_be_read_at_once(faults, sales, monkeypatch):
    """A commit whose record can be found is found, though the store cannot be read at the first attempt."""
    read, asked = faults.inner.read, []

    def read_later(namespace, names):
        asked.append(names)
        if len(asked) == 1:
            raise BackendUnavailable("the leader is being elected")
        return read(namespace, names)

    monkeypatch.setattr(faults.inner, "read", read_later)
    faults.next_commits(CommitFault.LOST_AFTER)
    sales.set("n", "x", 1)
    assert sales.persist().revision == faults.load("sales").entries["n"].revision
