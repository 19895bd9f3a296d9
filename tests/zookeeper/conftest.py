"""Every test here runs against Debian's ZooKeeper, under a prefix of its own."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from confo_zookeeper import ZookeeperBackend, reading
from confo_zookeeper.wire import MultiRead
from tests.zookeeper.servers import UNKNOWN, ZooEnsemble, ZooServer


@pytest.fixture(scope="session")
def server() -> Iterator[ZooServer]:
    """Give the server that tests share."""
    with ZooServer() as server:
        yield server


@pytest.fixture
def own_server() -> Iterator[ZooServer]:
    """Give a server that the test may kill."""
    with ZooServer() as server:
        yield server


@pytest.fixture(scope="session")
def ensemble() -> Iterator[ZooEnsemble]:
    """Give three servers that tests share; who kills one starts it again."""
    with ZooEnsemble() as ensemble:
        yield ensemble


@pytest.fixture
def prefix() -> str:
    """Name a part of the shared server that only this test uses."""
    return f"/test-{uuid.uuid4().hex}"  # of one part: who makes a znode may own it


@pytest.fixture
def opening() -> Iterator[Callable[..., ZookeeperBackend]]:
    """Open backends that are closed after the test."""
    opened: list[ZookeeperBackend] = []

    def connect(**credentials: object) -> ZookeeperBackend:
        opened.append(ZookeeperBackend.open(credentials))
        return opened[-1]

    yield connect
    for backend in opened:
        backend.close()


@pytest.fixture
def backend(server: ZooServer, prefix: str, opening: Callable[..., ZookeeperBackend]) -> ZookeeperBackend:
    """Open the test's own part of the shared server, with a namespace "sales"."""
    backend = opening(hosts=[server.host], prefix=prefix)
    backend.create_namespace("sales")
    return backend


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    """Run something beside the test."""
    with ThreadPoolExecutor(4) as pool:
        yield pool


@pytest.fixture(params=["many at once", "in pages", "one by one"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Read in each of the ways: a small page makes several of a namespace, an unknown opcode an old server."""
    if request.param == "in pages":
        monkeypatch.setattr(reading, "PAGE", 7)
    if request.param == "one by one":
        monkeypatch.setattr(MultiRead, "type", UNKNOWN)
    return str(request.param)
