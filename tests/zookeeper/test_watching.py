"""Watching: re-armed without a gap, whole commits, and what other tools do."""

from __future__ import annotations

import threading

import pytest

from confo import ANY, ResyncNeeded, Write


def put(backend, **documents):
    """Write these documents; None deletes."""
    return backend.commit([Write("sales", name, data, ANY) for name, data in documents.items()])


def test_no_gap(way, backend, opening, server, prefix):
    """With four writers that write, delete and make again at once, a watch ends in the state that a load finds.

    In each way of reading. Each write fires a watch, and comes while the one before is gathered: a watch that was
    armed too late would miss it.
    """
    writers = [opening(hosts=server.host, prefix=prefix) for _ in range(4)]
    start = backend.load("sales")
    watch = backend.watch("sales", start.revision)

    def write(number, writer):
        for n in range(60):
            put(writer, **{f"n{number % 2}-{n % 5}": None if n % 3 == 2 else b"%d" % n, f"own{number}": b"%d" % n})

    threads = [threading.Thread(target=write, args=pair) for pair in enumerate(writers)]
    state, revision = {}, start.revision
    for thread in threads:
        thread.start()

    def end():
        for thread in threads:
            thread.join()
        put(backend, end=b"")

    ender = threading.Thread(target=end)
    ender.start()
    while "end" not in state:
        batch = next(watch)
        assert batch.revision >= revision
        revision = batch.revision
        state.update(batch.entries)
    ender.join()
    watch.close()
    assert {name: entry for name, entry in state.items() if entry} == backend.load("sales").entries


def test_whole_commits(backend, opening, server, prefix):
    """A batch never has half a commit, though each of its znodes fires a watch of its own."""
    names = [f"n{number:02d}" for number in range(30)]
    put(backend, **dict.fromkeys(names, b"0"))
    writer = opening(hosts=server.host, prefix=prefix)
    watch = backend.watch("sales", backend.load("sales").revision)
    next(watch)
    thread = threading.Thread(
        target=lambda: [put(writer, **dict.fromkeys(names, b"%d" % number)) for number in range(1, 101)]
    )
    thread.start()
    state, told = {}, 0
    while state.get(names[0]) is None or state[names[0]].data != b"100":
        batch = next(watch)
        state.update(batch.entries)
        told += bool(batch.entries)
        if batch.entries:
            assert len({state[name].revision for name in names}) == 1
    thread.join()
    watch.close()
    assert told > 1, "the control: it was told in steps"


def test_zkcli(server, backend, prefix):
    """What ZooKeeper's own command line sets, creates and deletes is told, and guards see it."""
    revision = put(backend, a=b"1")
    watch = backend.watch("sales", revision)
    next(watch)
    server.cli("set", f"{prefix}/sales/a", '{"x":2}')
    entry = next(batch.entries["a"] for batch in watch if batch.entries)
    assert entry.data == b'{"x":2}'
    server.cli("create", f"{prefix}/sales/b")
    assert next(batch.entries["b"].data for batch in watch if batch.entries) == b""
    server.cli("deleteall", f"{prefix}/sales")
    assert next(dict(batch.entries) for batch in watch if batch.entries) == {"a": None, "b": None}
    watch.close()


def test_a_namespace_that_comes_and_goes(backend):
    """A watch stands over the deletion of its namespace and hears of the next one of that name."""
    watch = backend.watch("sales", put(backend, a=b"1"))
    next(watch)
    for number in range(3):
        backend.delete_namespace("sales")
        assert next(dict(batch.entries) for batch in watch if batch.entries) == {"a": None}
        backend.create_namespace("sales")
        revision = put(backend, a=b"%d" % number)
        assert next(batch.entries["a"].revision for batch in watch if batch.entries) == revision
    watch.close()


def test_going_on_from_an_older_revision(server, prefix, opening, backend):
    """Who never read a namespace goes on from a revision where nothing can have been deleted, and else is refused."""
    first = put(backend, a=b"1")
    put(backend, b=b"1")
    stranger = opening(hosts=server.host, prefix=prefix)
    watch = stranger.watch("sales", first)
    assert set(next(batch.entries for batch in watch if batch.entries)) == {"b"}
    watch.close()
    put(backend, a=None)
    with pytest.raises(ResyncNeeded, match="deleted"):
        next(opening(hosts=server.host, prefix=prefix).watch("sales", first))


def test_deletions_are_told_after_an_absence(backend):
    """What was deleted while no watch stood is told to the next one, as its names were told before."""
    put(backend, a=b"1", b=b"1", c=b"1")
    start = backend.load("sales").revision
    put(backend, a=None)
    first = backend.watch("sales", start)
    assert dict(next(batch.entries for batch in first if batch.entries)) == {"a": None}
    first.close()
    put(backend, b=None, d=b"1")
    again = backend.watch("sales", start)
    told = next(batch.entries for batch in again if batch.entries)
    assert (set(told), told["a"], told["b"]) == ({"a", "b", "d"}, None, None)
    again.close()


def test_many_watches_of_one_connection(backend):
    """Several watches of one client each hear everything, though the server fires once for all of them."""
    revision = put(backend, a=b"1")
    watches = [backend.watch("sales", revision) for _ in range(3)]
    for watch in watches:
        next(watch)
    for number in range(10):
        revision = put(backend, a=b"%d" % number)
        for watch in watches:
            assert next(batch.entries["a"].revision for batch in watch if batch.entries) == revision
    for watch in watches:
        watch.close()
