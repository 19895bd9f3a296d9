"""The requests that kazoo has no call for: what a real server makes of them."""

from __future__ import annotations

import pytest
from kazoo.exceptions import BadVersionError, NoNodeError
from kazoo.protocol.serialization import CheckVersion, Create, GetChildren, GetData, SetData
from kazoo.protocol.states import ZnodeStat
from kazoo.security import OPEN_ACL_UNSAFE

from confo import Write
from confo_zookeeper.tripwire import ALWAYS, CHUNK_BYTES, _chunks
from confo_zookeeper.wire import Multi, MultiRead, Probe, SetWatches, Znode, size_of
from tests.zookeeper.sessions import client_of

STAT = ZnodeStat(*range(11))


@pytest.fixture
def call(backend):
    """Return a function that sends a request."""
    return lambda request: backend._session.call(request, "try")


def test_a_transaction_has_its_zxid(call, prefix):
    """The zxid of a transaction's answer is the one that its znodes carry, created and set."""
    path = f"{prefix}/sales/a"
    for operation in (Create(path, b"1", OPEN_ACL_UNSAFE, 0), SetData(path, b"2", -1)):
        zxid = call(Multi([operation])).zxid
        (znode,) = call(MultiRead([GetData(path, False)])).results
        assert znode.stat.mzxid == zxid


def test_a_refused_transaction(call, prefix):
    """What was wrong is among the results, and the zxid moves on: it is never one that wrote something."""
    answer = call(Multi([CheckVersion(prefix, 7), SetData(f"{prefix}/sales", b"", -1)]))
    assert isinstance(answer.results[0], BadVersionError)


def test_a_check_alone_has_a_zxid_of_its_own(call, prefix):
    """A commit that changes nothing has a new revision like any other."""
    zxids = [call(Multi([CheckVersion(prefix, -1)])).zxid for _ in range(3)]
    assert zxids == sorted(set(zxids))


def test_many_reads(call, prefix):
    """Reads of one request give what is there, and an error for what is not, each in its place."""
    answer = call(MultiRead([GetChildren(prefix, False), GetData(f"{prefix}/nope", False), GetData(prefix, False)]))
    assert answer.results[0] == ["sales"]
    assert isinstance(answer.results[1], NoNodeError)
    assert isinstance(answer.results[2], Znode)
    assert answer.zxid == call(Probe()).zxid


def test_watches_since(backend, call, prefix):
    """What changed since a zxid fires before the answer, the rest is armed, and fires once, for later changes."""
    before = backend.commit([Write("sales", name, b"1", 0) for name in "abc"])
    after = backend.commit([Write("sales", "a", b"2", before)])
    fired = []
    client, paths = client_of(backend), [f"{prefix}/sales/{name}" for name in "ab"]

    def watch(event):
        if event.path is not None:  # None: the connection ends
            fired.append((event.path[-1], event.type))

    call(SetWatches(client, watch, before, data=paths, children=[f"{prefix}/sales"]))
    assert fired == [("a", "CHANGED")]
    backend.commit([Write("sales", "b", None, before), Write("sales", "a", b"3", after)])
    assert sorted(fired[1:]) == [("b", "DELETED"), ("s", "CHILD")]
    fired.clear()
    call(SetWatches(client, watch, ALWAYS, data=paths, absent=[f"{prefix}/none"]))
    assert fired == [("b", "DELETED")]


def test_sizes(call):
    """A request is as large as it is said to be."""
    assert size_of(Multi([])) == 4 + 4 + 9
    assert size_of(Multi([CheckVersion("/x", 1)])) == size_of(Multi([])) + 9 + 4 + 2 + 4


def test_nothing_is_shown():
    """No repr has data: kazoo logs requests and answers."""
    shown = repr(Multi([SetData("/a", b"hunter2", 1)])) + repr(Znode(b"hunter2", STAT))
    assert "hunter2" not in shown


def test_chunks():
    """However many paths there are, each request has some, all of them are asked for, and none is too large."""
    paths = [f"/confo/sales/{number:06d}{'x' * 100}" for number in range(5000)]
    chunks = list(_chunks(paths))
    assert [path for chunk in chunks for path in chunk] == paths
    assert len(chunks) > 1
    assert all(sum(len(path) + 4 for path in chunk) <= CHUNK_BYTES for chunk in chunks)
