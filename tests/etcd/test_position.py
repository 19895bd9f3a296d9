"""What an answer of a watch means, in the order in which the questions are asked."""

from __future__ import annotations

import pytest

from confo import BackendUnavailable, Batch, Entry, PermissionDenied, ResyncNeeded
from confo_etcd.position import Position, trusts_progress
from confo_etcd.schema import Message, schema
from confo_etcd.session import parse_version

PUT, DELETE = 0, 1
MARKER = b"/confo/sales/"


@pytest.fixture
def position() -> Position:
    """Give a position after revision 10 of cluster 1, at a server that can be trusted."""
    position = Position("sales", MARKER, 10, 1)
    position.version = (3, 5, 8)
    return position


def answer(*events: tuple[int, int, str], revision: int = 0, cluster: int = 1, **fields: object) -> Message:
    """Return an answer with events of (type, revision, name)."""
    wire = schema()
    response = wire.WatchResponse(**fields)
    response.header.revision, response.header.cluster_id = revision, cluster
    for kind, at, name in events:
        event = response.events.add(type=kind)
        event.kv.key, event.kv.mod_revision = MARKER + name.encode(), at
        if kind == PUT:
            event.kv.value = b"{}"
    return response


def test_one_batch_for_each_revision(position):
    """The events of one answer become one batch for each revision, in order; a deletion is None."""
    batches = position.take(answer((PUT, 11, "a"), (DELETE, 11, "b"), (PUT, 13, "a"), revision=13))
    assert batches == [
        Batch(11, {"a": Entry(b"{}", 11), "b": None}),
        Batch(13, {"a": Entry(b"{}", 13)}),
    ]
    assert position.revision == 13


def test_events_that_were_told_already(position):
    """What is not after the position is dropped: some servers tell events twice."""
    assert position.take(answer((PUT, 9, "a"), (PUT, 10, "a"), revision=20)) == []
    assert [batch.revision for batch in position.take(answer((PUT, 10, "a"), (PUT, 11, "a"), revision=20))] == [11]
    assert position.take(answer((PUT, 11, "a"), revision=20)) == []


def test_fragments_are_put_together(position):
    """An answer in fragments is one: a revision that is spread over them is one batch, once it is whole."""
    batches = position.take(answer((PUT, 11, "a"), (PUT, 12, "a"), revision=12, fragment=True))
    assert [(batch.revision, sorted(batch.entries)) for batch in batches] == [(11, ["a"])]
    assert position.take(answer((PUT, 12, "b"), revision=12, fragment=True)) == []
    assert position.revision == 11
    batches = position.take(answer((PUT, 12, "c"), revision=12))
    assert [(batch.revision, sorted(batch.entries)) for batch in batches] == [(12, ["a", "b", "c"])]


def test_a_catch_up_that_is_cut_again_and_again(position):
    """What came before a cut is not asked for again: each stream gets one fragment further."""
    for cut in range(5):
        events = [(PUT, position.revision + n, "a") for n in range(1, 4)]
        told = position.take(answer(*events, revision=100, fragment=True))
        assert [batch.revision for batch in told] == [11 + 2 * cut, 12 + 2 * cut]
        position = Position("sales", MARKER, position.revision, 1)
    assert position.revision == 20


def test_the_last_fragment_may_be_empty(position):
    """What was gathered is handed over by whatever ends the fragments."""
    position.take(answer((PUT, 11, "a"), revision=12, fragment=True))
    assert [batch.revision for batch in position.take(answer(revision=12))] == [11]


def test_created_says_nothing_of_the_position(position):
    """A ``created`` answer is a sign of life; its revision is the server's, and events before it are still to come."""
    assert position.take(answer(revision=100, created=True)) == [Batch(10, {})]
    assert position.revision == 10


def test_progress_of_a_server_that_can_be_trusted(position):
    """A progress notification is a bookmark: an empty batch, and the same again a sign of life."""
    assert position.take(answer(revision=15)) == [Batch(15, {})]
    assert position.take(answer(revision=15)) == [Batch(15, {})]
    assert position.revision == 15


def test_progress_of_a_server_that_cannot_be_trusted(position):
    """Where progress may overtake events it moves nothing, and is a sign of life."""
    position.version = (3, 4, 23)
    assert position.take(answer(revision=15)) == [Batch(10, {})]
    assert position.revision == 10


@pytest.mark.parametrize(
    ("version", "trusted"),
    [("3.4.24", False), ("3.4.25", True), ("3.4.40", True), ("3.5.0", False), ("3.5.7", False), ("3.5.8", True),
     ("3.5.8-rc.1", True), ("3.6.0", True), ("4.0.0", True), ("", False), ("dev", False)],
)  # fmt: skip
def test_which_servers_can_be_trusted(version, trusted):
    """Progress is trusted from 3.4.25 and 3.5.8 on."""
    assert trusts_progress(parse_version(version)) is trusted


def test_the_marker_and_deeper_keys_are_not_told(position):
    """A commit that touches nothing of the namespace's own is no batch, and is passed all the same."""
    assert position.take(answer((PUT, 11, ""), (PUT, 11, "a/b"), revision=11)) == []
    assert position.revision == 11


def test_compaction_comes_first(position):
    """A watch that was compacted away needs a resync, whatever else the answer says."""
    with pytest.raises(ResyncNeeded, match="keeps nothing older than revision 50, and revision 11 is next") as caught:
        position.check_alive(answer(revision=3, cluster=9, created=True, canceled=True, compact_revision=50))
    assert (caught.value.namespace, caught.value.revision) == ("sales", 10)


@pytest.mark.parametrize(
    ("reason", "error"),
    [
        ("etcdserver: permission denied", PermissionDenied),
        ("etcdserver: invalid auth token", PermissionDenied),
        ("etcdserver: user name is empty", PermissionDenied),
        ("etcdserver: mvcc: watcher closed", BackendUnavailable),
        ("", BackendUnavailable),
    ],
)
def test_cancelled(position, reason, error):
    """A watch that the server ended says why, and created with it means nothing."""
    with pytest.raises(error, match=f"'sales': {reason or 'no reason given'}"):
        position.check_alive(answer(created=True, canceled=True, cancel_reason=reason))


def test_alive(position):
    """Any other answer keeps the watch alive."""
    position.check_alive(answer(revision=3))


def test_another_cluster(position):
    """Revisions of another cluster mean something else."""
    position.check_cluster(answer(cluster=1).header)
    with pytest.raises(ResyncNeeded, match="another cluster"):
        position.check_cluster(answer(cluster=2).header)


def test_the_first_cluster_counts():
    """Where no cluster was known before, the first that answers is the one."""
    position = Position("sales", MARKER, 10, None)
    position.check_cluster(answer(cluster=5).header)
    with pytest.raises(ResyncNeeded, match="another cluster"):
        position.check_cluster(answer(cluster=1).header)


def test_a_store_that_was_set_back(position):
    """A quorum that is behind the position has lost it: restored from a backup."""
    position.check_present(answer(revision=10).header)
    with pytest.raises(ResyncNeeded, match="set back to revision 9"):
        position.check_present(answer(revision=9).header)
