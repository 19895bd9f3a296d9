"""Behind etcd's own gRPC proxy, which answers no requests for progress and does not always say which cluster it is."""

from __future__ import annotations

import threading
import time

import pytest

import confo
from confo import State
from tests.servers import EtcdGrpcProxy

SECONDS = 20.0


@pytest.fixture
def proxy(own_server):
    """Give a proxy before a server that the test may kill."""
    with EtcdGrpcProxy(own_server) as proxy:
        yield proxy


@pytest.fixture
def behind(own_server, proxy):
    """Return a function that follows the namespace "sales" through the proxy, and what closes all that it gave."""
    opened = []

    def follow():
        opened.append(confo.connect(f"etcd://{proxy.endpoint}/sales", create=True))
        return opened[-1]

    yield follow
    for namespace in opened:
        namespace.close()


def until(is_so, seconds=SECONDS):
    """Wait until something is so; return how long it took."""
    began, tick = time.monotonic(), threading.Event()
    while not is_so():
        assert time.monotonic() < began + seconds, "it did not become so"
        tick.wait(0.01)
    return time.monotonic() - began


def signs_of_life(namespace, count):
    """Wait until the store has been heard so many times."""
    heard = set()

    def is_heard():
        heard.add(namespace._replica.view.since)
        return len(heard) > count

    until(is_heard)


def test_idle_followers_stay_ready(own_server, behind, monkeypatch, caplog):
    """Followers that nothing happens to stay READY without a line in the log, and hear of the next change."""
    monkeypatch.setattr("confo_etcd.watch.PROGRESS_PERIOD", 0.2)
    followers = [behind(), behind()]
    told = []
    for follower in followers:
        follower.on_change(lambda event: told.append(event.kind), kinds=["stale", "resync", "alarm"])
    caplog.clear()
    for follower in followers:
        signs_of_life(follower, 12)
        assert follower.status().state is State.READY
    assert not told
    assert [record.message for record in caplog.records if record.name == "confo"] == []
    own_server.ctl("put", "/confo/sales/database", '{"host": "b"}')
    for follower in followers:
        until(lambda follower=follower: "database" in follower and follower.get("database", "host") == "b")
    assert [follower.status().state for follower in followers] == [State.READY] * 2


@pytest.mark.parametrize("fault", ["pause", "kill"])
def test_the_server_behind_it_fails(own_server, behind, fault, monkeypatch):
    """That the server behind the proxy hangs or is gone is noticed in some seconds, and the follower goes on later."""
    monkeypatch.setattr("confo_etcd.watch.PROGRESS_PERIOD", 1.0)
    follower = behind()
    signs_of_life(follower, 3)  # by now it is known that the proxy answers no requests for progress
    getattr(own_server, fault)()
    assert until(lambda: follower.status().state is State.STALE) < 8
    if fault == "pause":
        own_server.resume()
    else:
        own_server.start()
    own_server.ctl("put", "/confo/sales/database", '{"host": "c"}')
    until(lambda: "database" in follower and follower.get("database", "host") == "c")
    assert follower.status().state is State.READY
