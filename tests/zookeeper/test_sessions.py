"""Connections and sessions that are lost: suspended is stale, lost is resync, and nothing is missed."""

from __future__ import annotations

import pytest
from kazoo.exceptions import SessionExpiredError, SessionMovedError

from confo import ANY, BackendUnavailable, Closed, ResyncNeeded, State, Write, replica
from confo_zookeeper import watch as watching
from confo_zookeeper.session import Session
from tests.proxy import Proxy
from tests.zookeeper.sessions import SECONDS, client_of, end_session, recoveries, wait_until

# Who takes a session over may make kazoo's thread fall over an answer that it does not wait for any more. A client that
# ends so is given up and another one made: what the tests see of it is told by what they assert.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception in thread .*zk_loop:pytest.PytestUnhandledThreadExceptionWarning"
)


def told(watch):
    """Return the entries of the next batch that has any."""
    return next(batch.entries for batch in watch if batch.entries)


def test_expired_sessions(ensemble, monkeypatch):
    """After each forced expiry of a session the value is right and changes are pushed, within 5 s of the new one.

    Without rest between them: no stream of the test lives for long, and yet none counts as the next failure in a row.
    """
    monkeypatch.setattr(replica, "ALIVE_AFTER", 0.0)
    monkeypatch.setattr(replica, "HERD_FAILURES", 0)  # the pause that keeps a herd apart is no part of this
    for recovery in recoveries(ensemble.hosts, 5):
        assert recovery.value < SECONDS
        assert recovery.watch < SECONDS


def test_a_lost_session_is_a_resync(server, prefix, opening, backend):
    """A watch from what was read in a session that has expired says load anew; after the load it goes on."""
    backend.commit([Write("sales", "a", b"1", 0)])
    revision = backend.load("sales").revision
    end_session(backend, [server.host])
    with pytest.raises(ResyncNeeded, match="session"):
        next(backend.watch("sales", revision))
    watch = backend.watch("sales", backend.load("sales").revision)
    backend.commit([Write("sales", "a", None, ANY)])
    assert dict(told(watch)) == {"a": None}


def test_an_expired_session_is_told_at_once(server, backend):
    """A watch whose session expires ends with the word to load anew, not as if no server were there to ask."""
    backend.commit([Write("sales", "a", b"1", 0)])
    watch = backend.watch("sales", backend.load("sales").revision)
    next(watch)
    end_session(backend, [server.host])
    with pytest.raises(ResyncNeeded, match="the session that it stood in has expired"):
        told(watch)


def test_a_short_blip_is_not_the_end(server, prefix, opening, monkeypatch):
    """A connection that is back at once ends no watch: it goes on in the same session, and misses nothing."""
    monkeypatch.setattr(watching, "RENEWAL_SECONDS", 0.0)  # how long it must have lived
    monkeypatch.setattr(Session, "standing", lambda self, _: plain(self, 10.0))
    with Proxy(server.port) as proxy:
        backend = opening(hosts=[proxy.endpoint], prefix=prefix)
        backend.create_namespace("sales")
        backend.commit([Write("sales", name, b"1", 0) for name in "abc"])
        session, watch = backend._session.id, backend.watch("sales", backend.load("sales").revision)
        writer = opening(hosts=[server.host], prefix=prefix)
        next(watch)
        for number in range(3):
            proxy.cut_once()
            writer.commit([Write("sales", "a", None if number % 2 else b"2", ANY), Write("sales", "b", b"2", ANY)])
            entries = told(watch)
            assert (entries["a"] is None) == bool(number % 2)
            assert entries["b"].data == b"2"
        assert backend._session.id == session
        watch.close()


def test_no_server_is_told_at_once(own_server, opening, monkeypatch):
    """A watch whose server has gone ends as unavailable once every host has refused, whatever it would wait at most."""
    monkeypatch.setattr(Session, "standing", lambda self, _: plain(self, 1e6))
    backend = opening(hosts=[own_server.host])
    backend.create_namespace("sales")
    watch = backend.watch("sales", backend.load("sales").revision)
    next(watch)
    own_server.kill()
    with pytest.raises(BackendUnavailable):
        told(watch)


plain = Session.standing


def test_a_lost_connection_keeps_the_session(server, prefix, opening):
    """A connection that breaks ends the watch as unavailable; the session stays, and the next watch misses nothing."""
    with Proxy(server.port) as proxy:
        backend = opening(hosts=[proxy.endpoint], prefix=prefix)
        backend.create_namespace("sales")
        backend.commit([Write("sales", name, b"1", 0) for name in "abc"])
        session, revision = backend._session.id, backend.load("sales").revision
        watch = backend.watch("sales", revision)
        next(watch)
        proxy.cut_once()
        with pytest.raises(BackendUnavailable):
            told(watch)
        backend.commit([Write("sales", "a", None, ANY), Write("sales", "b", b"2", ANY), Write("sales", "d", b"2", 0)])
        assert {name: entry and entry.data for name, entry in told(backend.watch("sales", revision)).items()} == {
            "a": None,
            "b": b"2",
            "d": b"2",
        }
        assert backend._session.id == session


def test_status_over_an_outage(own_server, prefix):
    """A namespace is stale while its server is away, serves what it knew, and is ready again with what came."""
    from confo import Confo

    with Confo("outage") as config:
        config.load_backend({"hosts": own_server.host, "prefix": prefix, "timeout": 1}, "store", "zookeeper")
        config.activate_backend("store")
        config.create_namespace("sales")
        sales = config.namespace("sales")
        sales.set("a", "x", 1)
        sales.persist()
        own_server.kill()
        wait_until(lambda: sales.status().state is State.STALE, 20.0)
        assert sales.get("a", "x") == 1
        own_server.start()
        wait_until(lambda: sales.status().state is State.READY, 20.0)
        sales.set("a", "x", 2)
        sales.persist()
        assert sales.get("a", "x") == 2


def test_a_member_dies(ensemble, prefix, opening):
    """When the member in use is killed, another one goes on with the session: reads, commits, and no false verdict."""
    backend = opening(hosts=ensemble.hosts, prefix=prefix, timeout=10)
    backend.create_namespace("sales")
    session = backend._session.id
    port = client_of(backend)._connection._socket.getpeername()[1]
    member = next(member for member in ensemble.members if member.port == port)
    member.kill()
    try:
        wait_until(lambda: backend._session.connect("go on").connected, 20.0)
        assert backend.namespaces() == ["sales"]
        revision = backend.commit([Write("sales", "a", b"1", 0)])
        assert backend.load("sales").entries["a"].revision == revision
        assert backend._session.id == session
    finally:
        member.start()


def test_members_read_what_others_wrote(ensemble, prefix, opening):
    """What was committed by one member is read at once by another, which may not have heard of it yet."""
    one, *others = (opening(hosts=[member.host], prefix=prefix) for member in ensemble.members)
    one.create_namespace("sales")
    for number in range(30):
        revision = one.commit([Write("sales", "a", b"%d" % number, ANY)])
        for other in others:
            assert other.read("sales", ["a"])["a"].revision == revision
            assert other.scan("sales")[0][1].revision == revision
            assert other.load("sales").revision >= revision


def test_close_while_the_server_hangs(own_server, prefix, opening):
    """Watches and backends are closed at once, whatever their server does; the leak fixtures see the threads end."""
    backend = opening(hosts=own_server.host, prefix=prefix)
    backend.create_namespace("sales")
    watch = backend.watch("sales", backend.load("sales").revision)
    next(watch)
    own_server.pause()
    watch.close()
    assert next(watch, None) is None
    backend.close()
    with pytest.raises(Closed):
        backend.namespaces()
    own_server.resume()


def test_closed_while_it_waits(own_server, prefix, opening, pool):
    """Who waits in a watch for a server that hangs is woken by its close, long before the timeout."""
    backend = opening(hosts=own_server.host, prefix=prefix, timeout=600)
    backend.create_namespace("sales")
    watch = backend.watch("sales", backend.load("sales").revision)
    own_server.pause()
    waiting = pool.submit(lambda: next(watch, "closed"))
    wait_until(lambda: watch._session._waited_for is not None, SECONDS)
    watch.close()
    assert waiting.result(SECONDS) == "closed"
    own_server.resume()


def test_forgotten_watches(backend):
    """A watch that was closed leaves no watcher behind in the client, which lives on."""
    backend.commit([Write("sales", f"n{number}", b"1", 0) for number in range(20)])
    for _ in range(3):
        watch = backend.watch("sales", backend.load("sales").revision)
        next(watch)
        watch.close()
    client = client_of(backend)
    assert not any(
        watchers for registry in (client._data_watchers, client._child_watchers) for watchers in registry.values()
    )


@pytest.mark.parametrize("error", [SessionExpiredError, SessionMovedError])
def test_a_session_that_the_server_does_not_know(backend, error):
    """A server that answers so on a living connection loses it: the next one tells what became of the session."""
    watch = backend.watch("sales", backend.load("sales").revision)
    next(watch)
    backend._session._heed(error())
    with pytest.raises(BackendUnavailable):
        told(watch)
    assert backend.namespaces() == ["sales"]
