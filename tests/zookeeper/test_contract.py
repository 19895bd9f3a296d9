"""The ZooKeeper backend keeps the contract of the seam."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import pytest
from kazoo.client import KazooClient

from confo import Backend
from confo_testkit.contract import (
    BackendContract,
    ConnectionContract,
    CredentialsContract,
    HeartbeatContract,
    OutOfBandContract,
    RestartContract,
)
from confo_zookeeper import ZookeeperBackend
from tests.proxy import Proxy
from tests.zookeeper.servers import ZooServer


class Plain:
    """Reaches a store by a plain client of its own, through kazoo's public calls: nothing of ours takes part."""

    def __init__(self, client: KazooClient, prefix: str) -> None:
        self._client = client
        self._prefix = prefix

    def put(self, namespace: str, name: str, data: bytes) -> None:
        """Write these bytes."""
        path = f"{self._prefix}/{namespace}/{name}"
        if self._client.exists(path):
            self._client.set(path, data)
        else:
            self._client.create(path, data)

    def delete(self, namespace: str, name: str) -> None:
        """Delete what is there."""
        self._client.delete(f"{self._prefix}/{namespace}/{name}")

    def get(self, namespace: str, name: str) -> bytes | None:
        """Return the bytes that are there, or None."""
        path = f"{self._prefix}/{namespace}/{name}"
        return self._client.get(path)[0] if self._client.exists(path) else None


class TestZookeeperContract(
    BackendContract, OutOfBandContract, ConnectionContract, CredentialsContract, HeartbeatContract
):
    """Every promise of the seam, by a connection that can be cut."""

    @pytest.fixture
    def heartbeat(self, monkeypatch: pytest.MonkeyPatch) -> float:
        """Give signs of life more often."""
        monkeypatch.setattr("confo_zookeeper.watch.QUIET_SECONDS", 0.1)
        return 0.1

    @pytest.fixture
    def proxy(self, server: ZooServer) -> Iterator[Proxy]:
        """Stand between the backend and the server that tests share."""
        with Proxy(server.port) as proxy:
            yield proxy

    @pytest.fixture
    def credentials(self, proxy: Proxy, prefix: str) -> Mapping[str, object]:
        """Name the test's own part of the server."""
        return {"zookeeper_host": "127.0.0.1", "zookeeper_port": proxy.port, "prefix": prefix, "timeout": 1}

    @pytest.fixture
    def open_backend(self, credentials: Mapping[str, object]) -> Callable[[], Backend]:
        """Open that part once more."""
        return lambda: ZookeeperBackend.open(credentials)

    @pytest.fixture
    def outside(self, server: ZooServer, prefix: str) -> Iterator[Plain]:
        """Reach it around the backend."""
        client = KazooClient(server.host)
        client.start()
        yield Plain(client, prefix)
        client.stop()
        client.close()

    @pytest.fixture
    def cut(self, proxy: Proxy) -> Callable[[], Callable[[], None]]:
        """Reset every connection."""

        def cut() -> Callable[[], None]:
            proxy.cut()
            return proxy.reopen

        return cut


class TestZookeeperRestart(RestartContract):
    """What ZooKeeper acknowledged outlives its process."""

    # A connection that a server takes while it starts, and never answers, is given up after most of a session's time.
    seconds = 30.0

    @pytest.fixture
    def open_backend(self, own_server: ZooServer) -> Callable[[], Backend]:
        """Connect once more to a server that only this test uses."""
        return lambda: ZookeeperBackend.open({"hosts": own_server.host})

    @pytest.fixture
    def restart(self, own_server: ZooServer) -> Callable[[], None]:
        """Kill it and start it again."""

        def restart() -> None:
            own_server.kill()
            own_server.start()

        return restart
