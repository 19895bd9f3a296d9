"""Every test here runs against each etcd that is found, under a prefix of its own."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

import pytest

from confo_etcd import EtcdBackend
from tests.servers import EtcdServer, etcd_binary

LABELS = ("etcd-3.5", "etcd-3.4")


@pytest.fixture(scope="session", params=LABELS)
def label(request: pytest.FixtureRequest) -> str:
    """Name the version of etcd."""
    return str(request.param)


@pytest.fixture(scope="session")
def server(label: str) -> Iterator[EtcdServer]:
    """Give the server of this version that tests share."""
    with EtcdServer(etcd_binary(label)) as server:
        yield server


@pytest.fixture
def own_server(label: str) -> Iterator[EtcdServer]:
    """Give a server that the test may kill."""
    with EtcdServer(etcd_binary(label)) as server:
        yield server


@pytest.fixture
def prefix() -> str:
    """Name a part of the shared server that only this test uses."""
    return f"/test/{uuid.uuid4().hex}/"


@pytest.fixture
def opening() -> Iterator[Callable[..., EtcdBackend]]:
    """Open backends that are closed after the test."""
    opened: list[EtcdBackend] = []

    def connect(**credentials: object) -> EtcdBackend:
        opened.append(EtcdBackend.open(credentials))
        return opened[-1]

    yield connect
    for backend in opened:
        backend.close()


@pytest.fixture
def backend(server: EtcdServer, prefix: str, opening: Callable[..., EtcdBackend]) -> EtcdBackend:
    """Open the test's own part of the shared server, with a namespace "sales"."""
    backend = opening(host="127.0.0.1", port=server.port, prefix=prefix)
    backend.create_namespace("sales")
    return backend
