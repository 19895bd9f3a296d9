"""Watching real servers: what they tell, and what becomes of a watch when they fail."""

from __future__ import annotations

import itertools
import threading
import time

import pytest

from confo import ANY, BackendUnavailable, Closed, PermissionDenied, ResyncNeeded, Write
from confo_etcd.position import Position
from tests.etcd.told import news
from tests.proxy import Proxy
from tests.servers import EtcdServer, etcd_binary, free_ports

SECONDS = 15.0


class Waiting:
    """Waits for a watch's next batch in a thread, as whoever follows a namespace does."""

    def __init__(self, watch):
        self.result = None
        self._thread = threading.Thread(target=self._wait, args=(watch,), name="waiting")
        self._thread.start()

    def _wait(self, watch):
        try:
            self.result = news(watch)
        except (Exception, StopIteration) as error:
            self.result = error

    def join(self):
        """Return the batch or the error that ended the waiting."""
        self._thread.join(SECONDS)
        assert not self._thread.is_alive(), "the watch neither tells nor ends"
        return self.result


def caught_up(backend, after=None):
    """Return a watch of "sales" that has told its first commit, so that its stream is open."""
    revision = backend.commit([Write("sales", "first", b"1", ANY)])
    watch = backend.watch("sales", revision - 1 if after is None else after)
    assert news(watch).revision == revision
    return watch


# --- what it tells -------------------------------------------------------------------------------


def test_a_catch_up_in_fragments(backend, monkeypatch):
    """Six MiB that were missed come in fragments, and every commit is told whole, once and in order."""
    start = backend.load("sales").revision
    expected = [
        (
            backend.commit([Write("sales", f"{half}{number}", bytes(300_000), 0) for half in "ab"]),
            {f"a{number}", f"b{number}"},
        )
        for number in range(10)
    ]
    fragments = []
    take = Position.take

    def spy(position, answer):
        fragments.append(answer.fragment)
        return take(position, answer)

    monkeypatch.setattr(Position, "take", spy)
    watch = backend.watch("sales", start)
    told = (batch for batch in watch if batch.entries)
    assert [(batch.revision, set(batch.entries)) for _, batch in zip(expected, told, strict=False)] == expected
    assert any(fragments)


def test_a_catch_up_that_is_cut_again_and_again(server, prefix, backend, opening):
    """A catch-up over connections that each carry a part of it gets to its end, each commit told once and in order."""
    start = backend.load("sales").revision
    expected = [backend.commit([Write("sales", "big", bytes(600_000), ANY)]) for _ in range(12)]
    told, cuts = [], 0
    with Proxy(server.port, cuts=itertools.chain([None], itertools.repeat(2_600_000))) as proxy:
        behind = opening(host="127.0.0.1", port=proxy.port, prefix=prefix)
        while told != expected:
            watch = behind.watch("sales", told[-1] if told else start)
            try:
                while told != expected:
                    told.append(news(watch).revision)
            except BackendUnavailable:
                cuts += 1
                assert cuts < 12, told
            finally:
                watch.close()
    assert cuts


def test_one_commit_in_fragments(backend):
    """A namespace of 20,000 configurations that is deleted at once is one batch, though no one answer holds it."""
    for start in range(0, 20_000, 128):
        names = [f"{number:0100d}" for number in range(start, min(start + 128, 20_000))]
        revision = backend.commit([Write("sales", name, b"1", ANY) for name in names])
    backend.delete_namespace("sales")
    batch = news(backend.watch("sales", revision))
    assert batch.revision == revision + 1
    assert len(batch.entries) == 20_000
    assert set(batch.entries.values()) == {None}


def test_resuming_anywhere_in_a_catch_up(backend):
    """A watch that is closed and opened again after each batch misses nothing and repeats nothing."""
    position = backend.load("sales").revision
    revisions = [backend.commit([Write("sales", f"n{number % 3}", b"1", ANY)]) for number in range(20)]
    told = []
    while len(told) < len(revisions):
        watch = backend.watch("sales", position)
        position = news(watch).revision
        told.append(position)
        watch.close()
    assert told == revisions


def test_what_others_do(server, prefix, backend):
    """What other tools write and delete is told like any commit; the marker and deeper keys are not."""
    watch = caught_up(backend)
    server.ctl("put", f"{prefix}sales/deep/er", "{}")
    server.ctl("put", f"{prefix}sales/", "")
    server.ctl("put", f"{prefix}sales/database", "{}")
    server.ctl("del", f"{prefix}sales/database")
    assert news(watch).entries["database"].data == b"{}"
    assert news(watch).entries == {"database": None}


def test_repr_tells_the_state(backend, server):
    """A watch shows its namespace, where it listens, how far it came and whether it is open."""
    watch = caught_up(backend)
    place = f"<EtcdWatch of sales at {server.endpoint}: "
    assert repr(watch).startswith(f"{place}open, revision ")
    watch.close()
    assert repr(watch).startswith(f"{place}closed, revision ")


# --- how it ends ---------------------------------------------------------------------------------


@pytest.mark.parametrize("at_work", [True, False], ids=["waiting", "not yet begun"])
def test_closing_it_from_another_thread(backend, at_work):
    """Closing ends who waits in it at once, before the stream is open as well; nothing is told afterwards."""
    watch = caught_up(backend) if at_work else backend.watch("sales", backend.load("sales").revision)
    waiting = Waiting(watch)
    watch.close()
    watch.close()
    assert isinstance(waiting.join(), StopIteration)
    assert list(watch) == []


def test_closing_it_while_it_connects(own_server, opening):
    """Closing does not wait for a server that hangs while the watch connects to it."""
    backend = opening(host="127.0.0.1", port=own_server.port, timeout=30)
    own_server.pause()
    watch = backend.watch("sales", 0)
    waiting = Waiting(watch)
    began = time.monotonic()
    watch.close()
    assert isinstance(waiting.join(), StopIteration)
    assert time.monotonic() - began < 5
    own_server.resume()


def test_closing_the_backend(backend):
    """Closing the backend ends its watches without an error, and it gives no new ones."""
    watches = [caught_up(backend)]
    watches += [backend.watch("sales", watches[0]._position.revision) for _ in range(2)]
    waiting = [Waiting(watch) for watch in watches]
    backend.close()
    assert all(isinstance(each.join(), StopIteration) for each in waiting)
    with pytest.raises(Closed):
        backend.watch("sales", 1)


def test_no_thread_is_left(backend):
    """Threads that gRPC needs for a watch end with it."""
    before = set(threading.enumerate())
    watches = [caught_up(backend) for _ in range(5)]
    assert set(threading.enumerate()) - before
    for watch in watches:
        watch.close()
    for thread in set(threading.enumerate()) - before:
        thread.join(5)
        assert not thread.is_alive(), thread.name


def test_compaction(server, backend):
    """A watch from a revision that the store no longer keeps needs a resync, and says from which it does."""
    start = backend.load("sales").revision
    for _ in range(3):
        revision = backend.commit([Write("sales", "a", b"1", ANY)])
    server.ctl("compaction", str(revision))
    watch = backend.watch("sales", start)
    with pytest.raises(ResyncNeeded, match=f"keeps nothing older than revision {revision}"):
        news(watch)
    with pytest.raises(ResyncNeeded):  # and it stays so
        news(watch)


def test_a_killed_server(own_server, opening):
    """When the server dies its watch ends as unavailable, naming the endpoint."""
    backend = opening(host="127.0.0.1", port=own_server.port)
    backend.create_namespace("sales")
    waiting = Waiting(caught_up(backend))
    own_server.kill()
    error = waiting.join()
    assert type(error) is BackendUnavailable
    assert own_server.endpoint in str(error)


def test_a_server_that_is_gone(own_server, opening):
    """A watch of a server that is not there ends as unavailable at once."""
    backend = opening(host="127.0.0.1", port=own_server.port)
    own_server.kill()
    with pytest.raises(BackendUnavailable, match=own_server.endpoint):
        news(backend.watch("sales", 0))


def test_a_hung_server(own_server, opening):
    """A server that hangs, with its connections open, is noticed within ten seconds."""
    backend = opening(host="127.0.0.1", port=own_server.port)
    backend.create_namespace("sales")
    waiting = Waiting(caught_up(backend))
    own_server.pause()
    began = time.monotonic()
    error = waiting.join()
    assert type(error) is BackendUnavailable
    assert own_server.endpoint in str(error)
    assert time.monotonic() - began < 10
    own_server.resume()


def test_a_silent_server(own_server, opening, monkeypatch):
    """A server that keeps its connection alive and answers no request for progress is given up too."""
    monkeypatch.setattr("confo_etcd.watch.PROGRESS_PERIOD", 0.2)
    monkeypatch.setattr("confo_etcd.watch.READ_SECONDS", 0.2)  # before the channel's own pings notice
    backend = opening(host="127.0.0.1", port=own_server.port)
    backend.create_namespace("sales")
    waiting = Waiting(caught_up(backend))
    own_server.pause()
    error = waiting.join()
    assert type(error) is BackendUnavailable
    assert "was silent for" in str(error)
    own_server.resume()


def test_an_idle_watch_stays(backend, monkeypatch):
    """A watch to which nothing happens stays open, as the server answers; so does one that nobody reads."""
    monkeypatch.setattr("confo_etcd.watch.PROGRESS_PERIOD", 0.02)
    unread = caught_up(backend)
    watch = caught_up(backend)
    waiting = Waiting(watch)
    deadline = time.monotonic() + SECONDS
    while watch._answers < 20:
        assert time.monotonic() < deadline
        backend.read("sales", ["first"])
    revision = backend.commit([Write("sales", "a", b"1", 0)])
    assert waiting.join().revision <= revision  # a bookmark comes before, from servers that can be trusted
    assert news(unread).revision <= revision


def test_the_next_watch_is_elsewhere(server, own_server, prefix, opening):
    """After a watch broke the next one starts at the next endpoint."""
    backend = opening(endpoints=[own_server.endpoint, server.endpoint], prefix=prefix)
    backend._clusters["sales"] = backend._first_cluster
    own_server.kill()
    with pytest.raises(BackendUnavailable, match=own_server.endpoint):
        news(backend.watch("sales", 0))
    # These two endpoints are two clusters, which is noticed as well.
    with pytest.raises(ResyncNeeded, match="another cluster"):
        news(backend.watch("sales", 0))
    backend.create_namespace("sales")
    assert caught_up_after_load(backend).revision > 0


def caught_up_after_load(backend):
    """Load "sales" and return the first batch of a watch from there."""
    revision = backend.load("sales").revision
    watch = backend.watch("sales", revision)
    backend.commit([Write("sales", "first", b"1", ANY)])
    return news(watch)


def test_another_cluster(own_server, opening):
    """A cluster that was set up anew at the same endpoint needs a resync, and after it all is well."""
    backend = opening(host="127.0.0.1", port=own_server.port)
    backend.create_namespace("sales")
    revision = backend.load("sales").revision
    own_server.peer_port = free_ports(1)[0]  # a cluster's id comes from its members' addresses
    own_server.restart(erase=True)
    with pytest.raises(ResyncNeeded, match="another cluster"):
        news(backend.watch("sales", revision))
    backend.create_namespace("sales")
    assert caught_up_after_load(backend).entries.keys() == {"first"}


def test_a_restored_store(own_server, opening):
    """A store that runs behind the revision that was seen was set back: a resync, not a silent wait."""
    backend = opening(host="127.0.0.1", port=own_server.port)
    backend.create_namespace("sales")
    for _ in range(10):
        revision = backend.commit([Write("sales", "a", b"1", ANY)])
    own_server.restart(erase=True)  # the same addresses, hence the same cluster's id
    with pytest.raises(ResyncNeeded, match="the store was set back to revision 1"):
        news(backend.watch("sales", revision))


def test_a_forbidden_watch(label, opening):
    """A watch that the user may not have is refused as such, when asked for and when the role is gone later."""
    with EtcdServer(etcd_binary(label)) as server:
        for words in (
            "user add root:hunter2", "user grant-role root root", "user add reader:letmein", "role add sales",
            "role grant-permission sales readwrite /confo/sales/ /confo/sales0", "user grant-role reader sales",
            "put /confo/sales/ _", "auth enable",
        ):  # fmt: skip
            server.ctl(*words.split())
        backend = opening(host="127.0.0.1", port=server.port, user="reader", password="letmein")
        watch = caught_up(backend)
        server.ctl("user", "revoke-role", "reader", "sales", user="root:hunter2")
        watch.close()
        with pytest.raises(PermissionDenied, match="watch namespace 'sales'"):
            news(backend.watch("sales", 0))
