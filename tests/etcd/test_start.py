"""Starting while etcd is away: refused, swallowed, hung, refusing the user, set back, and another cluster."""

from __future__ import annotations

import contextlib
import logging
import socket
import sys
import uuid

import pytest

from confo import ANY, AuthenticationFailed, Confo, State, Write
from tests.core.test_live import Heard
from tests.core.test_start import ready
from tests.proxy import Proxy
from tests.reliability import cold_start
from tests.servers import EtcdServer, etcd_binary


@pytest.fixture
def start(own_server, tmp_path):
    """Return a function that starts a program on the test's own server: its Confo, with the store loaded and active."""
    with contextlib.ExitStack() as programs:

        def begin(**options) -> Confo:
            config = programs.enter_context(Confo(uuid.uuid4().hex))
            credentials = {"host": "127.0.0.1", "port": own_server.port, "timeout": 2}
            policy = {"start": "last-known-good", "cache": tmp_path / "cache", "timeout": 0.5, **options}
            config.load_backend(credentials, "store", "etcd", **policy)
            config.activate_backend("store")
            return config

        yield begin


@pytest.fixture
def known(start, opening, own_server):
    """Have a program have run before on the server, which has one configuration."""
    backend = opening(host="127.0.0.1", port=own_server.port)
    backend.create_namespace("sales")
    backend.commit([Write("sales", "database", b'{"host": "secret-1"}', ANY)])
    with start(timeout=5.0) as config:
        config.use_namespace("sales")
    return backend


@pytest.mark.parametrize("way", [cold_start.refused, cold_start.paused, cold_start.dropped])
@pytest.mark.slow
def test_a_program_starts_without_its_server(start, known, own_server, way):
    """With the server dead, hung or cut off the first value is the last known; when it returns, one ready tells."""
    if way is cold_start.dropped and sys.platform != "linux":
        pytest.skip("a full queue drops connections on Linux")
    heard = Heard()
    with way(own_server):
        config = start()
        config.use_namespace("sales")
        assert config.get("database", "host") == "secret-1"
        sales = config.namespace("sales")
        assert (sales.status().state, sales.status().source) == (State.STALE, "cache")
        sales.on_change(heard, kinds="all")
    if not own_server.is_running:
        own_server.start()
    ready(sales)
    assert sales.status().source == "server"
    assert [event.kind for event in heard.wait_for(1)] == ["ready"]


def test_a_store_that_was_set_back(start, known, own_server, opening, caplog):
    """A server that comes back with less than was known is an alarm, though its cluster has the old id."""
    own_server.kill()
    sales = start().namespace("sales")
    heard = Heard()
    with sales.on_change(heard, kinds="all"), caplog.at_level(logging.WARNING, "confo"):
        own_server.restart(erase=True)
        backend = opening(host="127.0.0.1", port=own_server.port)
        backend.create_namespace("sales")
        kinds = [event.kind for event in heard.wait_for(3)]
    assert kinds == ["alarm", "resync", "ready"]
    assert len(sales) == 0
    assert "sales: the store was set back to revision 2, and was at 3 before" in caplog.text


def test_clusters_have_identities(label, own_server, opening):
    """The identity is the cluster's id: the same for every handle, and another for another cluster."""
    first, again = (opening(host="127.0.0.1", port=own_server.port) for _ in range(2))
    with EtcdServer(etcd_binary(label)) as other:
        found = opening(host="127.0.0.1", port=other.port).identity
    assert first.identity == again.identity != found
    assert int(first.identity, 16) > 0


def test_another_cluster_in_its_place(label, own_server, opening, tmp_path):
    """Another cluster under the same address is an alarm, also where it has more revisions than were known."""
    with contextlib.ExitStack() as stack:
        proxy = stack.enter_context(Proxy(own_server.port))
        there = stack.enter_context(EtcdServer(etcd_binary(label)))
        for server in (own_server, there):
            backend = opening(host="127.0.0.1", port=server.port)
            backend.create_namespace("sales")
            for n in range(3 if server is there else 1):
                backend.commit([Write("sales", "database", b'{"n": %d}' % n, ANY)])
        config = stack.enter_context(Confo(uuid.uuid4().hex))
        credentials = {"host": "127.0.0.1", "port": proxy.port, "timeout": 2}
        config.load_backend(credentials, "store", "etcd", cache=tmp_path / "cache")
        sales = config.namespace("sales", backend="store")
        ready(sales)
        heard = Heard()
        with sales.on_change(heard, kinds="all"):
            proxy.target = there.port
            proxy.cut_once()
            heard.wait_for_all("alarm", "resync")
        assert sales.get("database", "n") == 2


@pytest.mark.slow
def test_wrong_credentials_are_no_outage(start, known, own_server):
    """A server that refuses the user is not stood in for: load_backend raises."""
    own_server.ctl("user", "add", "root:right")
    own_server.ctl("user", "grant-role", "root", "root")
    own_server.ctl("auth", "enable")
    config = Confo(uuid.uuid4().hex)
    credentials = {"host": "127.0.0.1", "port": own_server.port, "user": "root", "password": "wrong", "insecure": True}
    with pytest.raises(AuthenticationFailed):
        config.load_backend(credentials, "store", "etcd", start="last-known-good", timeout=5.0)
    assert config.get_backends()["all_backends"] == []


def test_a_socket_that_drops(own_server):
    """What "dropped" does is what it says: connecting takes for ever."""
    if sys.platform != "linux":
        pytest.skip("a full queue drops connections on Linux")
    with cold_start.dropped(own_server), socket.socket() as probe:
        probe.settimeout(0.2)
        with pytest.raises(TimeoutError):
            probe.connect(("127.0.0.1", own_server.port))
