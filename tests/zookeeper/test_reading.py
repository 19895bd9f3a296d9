"""Reading: one state of the store, in one request where that is to be had, and otherwise by what watches tell."""

from __future__ import annotations

import threading

import pytest

from confo import ANY, BackendUnavailable, Write
from confo_zookeeper import reading
from confo_zookeeper.wire import MultiRead
from tests.zookeeper.servers import UNKNOWN
from tests.zookeeper.sessions import client_of


def test_a_load_is_one_state(way, backend, opening, server, prefix):
    """Names that are always written together are loaded together, while a writer never rests, in each way."""
    names = [f"n{number:02d}" for number in range(40)]
    writer, stop = opening(hosts=server.host, prefix=prefix), threading.Event()
    writer.commit([Write("sales", name, b"0", 0) for name in names])

    def write():
        number = 0
        while not stop.is_set():
            number += 1
            extra = Write("sales", f"x{number % 3}", None if number % 2 else b"1", ANY)
            writer.commit([*(Write("sales", name, b"%d" % number, ANY) for name in names), extra])

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for _ in range(10):
            snapshot = backend.load("sales")
            revisions = {snapshot.entries[name].revision for name in names}
            assert len(revisions) == 1, f"half a commit was loaded, {way}"
            assert snapshot.revision >= max(revisions)
    finally:
        stop.set()
        thread.join()


def test_a_torn_read_would_be_seen(backend, opening, server, prefix):
    """The control of the test above: reads one after another, without the watches, do see half a commit."""
    names = [f"n{number:02d}" for number in range(40)]
    writer, stop = opening(hosts=server.host, prefix=prefix), threading.Event()
    writer.commit([Write("sales", name, b"0", 0) for name in names])

    def write():
        while not stop.is_set():
            writer.commit([Write("sales", name, b"1", ANY) for name in names])

    thread = threading.Thread(target=write)
    thread.start()
    try:
        torn = any(len({backend.read("sales", [name])[name].revision for name in names}) > 1 for _ in range(20))
    finally:
        stop.set()
        thread.join()
    assert torn


def test_every_way_finds_the_same(way, backend):
    """However it is read, a namespace is the same: entries, revisions, what is not there, and what a watch tells."""
    revision = backend.commit([Write("sales", f"n{number:02d}", b"%d" % number, 0) for number in range(30)])
    snapshot = backend.load("sales")
    assert {entry.revision for entry in snapshot.entries.values()} == {revision}
    assert sorted(entry.data for entry in snapshot.entries.values()) == sorted(b"%d" % n for n in range(30))
    assert backend.read("sales", ["n01", "nope"]) == {"n01": snapshot.entries["n01"]}
    assert dict(backend.scan("sales", start="n05", limit=9)) == {
        f"n{n:02d}": snapshot.entries[f"n{n:02d}"] for n in range(5, 14)
    }
    watch = backend.watch("sales", snapshot.revision)
    backend.commit([Write("sales", f"n{number:02d}", None, ANY) for number in range(0, 30, 2)])
    (batch,) = [next(batch for batch in watch if batch.entries)]
    assert batch.entries == {f"n{number:02d}": None for number in range(0, 30, 2)}
    watch.close()


def test_an_old_server_is_asked_one_by_one(server, prefix, opening, monkeypatch):
    """A server that does not know the request for many is found out as it is opened, and asked as it can be."""
    assert opening(hosts=server.host, prefix=prefix)._session.reads_many
    monkeypatch.setattr(MultiRead, "type", UNKNOWN)
    backend = opening(hosts=server.host, prefix=prefix)
    assert not backend._session.reads_many
    backend.create_namespace("sales")
    backend.commit([Write("sales", "a", b"1", 0)])
    assert set(backend.load("sales").entries) == {"a"}


def test_no_watch_is_left_by_a_load(backend, monkeypatch):
    """What a load of several pages watched meanwhile is forgotten."""
    monkeypatch.setattr(reading, "PAGE", 7)
    backend.commit([Write("sales", f"n{number}", b"1", 0) for number in range(30)])
    assert len(backend.load("sales").entries) == 30
    client = client_of(backend)
    assert not any(watchers for watchers in client._data_watchers.values())


def test_a_load_that_loses_its_connection(backend, monkeypatch):
    """A load of several pages whose connection was lost on the way is not put together from before and after."""
    monkeypatch.setattr(reading, "PAGE", 7)
    backend.commit([Write("sales", f"n{number}", b"1", 0) for number in range(30)])
    plain = reading._look_at

    def lose(session, page, asked, *, fresh):
        answer = plain(session, page, asked, fresh=fresh)
        if not fresh and client_of(backend)._data_watchers:
            client_of(backend)._connection._socket.shutdown(2)
        return answer

    monkeypatch.setattr(reading, "_look_at", lose)
    with pytest.raises(BackendUnavailable, match="connection to ZooKeeper was lost|ConnectionLoss"):
        backend.load("sales")
