"""The etcd backend keeps the contract of the seam."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Mapping
from http.client import HTTPConnection
from typing import Any

import grpc
import pytest

from confo import Backend
from confo_etcd import EtcdBackend
from confo_etcd.connection import Connection
from confo_testkit.contract import (
    BackendContract,
    CompactionContract,
    ConnectionContract,
    CredentialsContract,
    DriverContract,
    HeartbeatContract,
    OutOfBandContract,
    RestartContract,
)
from tests.proxy import Proxy
from tests.servers import EtcdServer


class Gateway:
    """Reaches an etcd by its JSON gateway: neither gRPC nor any of our messages take part."""

    def __init__(self, server: EtcdServer, prefix: str) -> None:
        self._server = server
        self._prefix = prefix

    def put(self, namespace: str, name: str, data: bytes) -> None:
        """Write these bytes."""
        self._call("put", key=self._key(namespace, name), value=_coded(data))

    def delete(self, namespace: str, name: str) -> None:
        """Delete what is there."""
        self._call("deleterange", key=self._key(namespace, name))

    def get(self, namespace: str, name: str) -> bytes | None:
        """Return the bytes that are there, or None."""
        found = self._call("range", key=self._key(namespace, name)).get("kvs")
        return b64decode(found[0].get("value", "")) if found else None

    def _key(self, namespace: str, name: str) -> str:
        return _coded(f"{self._prefix}{namespace}/{name}".encode())

    def _call(self, what: str, **fields: str) -> dict[str, Any]:
        connection = HTTPConnection("127.0.0.1", self._server.port, timeout=10)
        try:
            connection.request("POST", f"/v3/kv/{what}", json.dumps(fields))
            answer = connection.getresponse()
            text = answer.read()
            assert answer.status == 200, text
            return dict(json.loads(text))
        finally:
            connection.close()


def _coded(data: bytes) -> str:
    return b64encode(data).decode()


class Reset(grpc.RpcError):
    """What gRPC raises when a connection is reset under a call."""

    def code(self) -> grpc.StatusCode:
        """Return that nobody knows what became of it."""
        return grpc.StatusCode.UNAVAILABLE

    def details(self) -> str:
        """Return gRPC's words."""
        return "Stream removed"


class TestEtcdContract(
    BackendContract,
    OutOfBandContract,
    ConnectionContract,
    CompactionContract,
    CredentialsContract,
    HeartbeatContract,
    DriverContract,
):
    """Every promise of the seam, on each version of etcd, by a connection that can be cut."""

    @pytest.fixture
    def heartbeat(self, monkeypatch: pytest.MonkeyPatch) -> float:
        """Give signs of life more often."""
        monkeypatch.setattr("confo_etcd.watch.PROGRESS_PERIOD", 0.1)
        return 0.1

    @pytest.fixture
    def proxy(self, server: EtcdServer) -> Iterator[Proxy]:
        """Stand between the backend and the server that tests share."""
        with Proxy(server.port) as proxy:
            yield proxy

    @pytest.fixture
    def credentials(self, proxy: Proxy, prefix: str) -> Mapping[str, object]:
        """Name the test's own part of the server."""
        return {"host": "127.0.0.1", "port": proxy.port, "prefix": prefix, "timeout": 4}

    @pytest.fixture
    def open_backend(self, credentials: Mapping[str, object]) -> Callable[[], Backend]:
        """Open that part once more."""
        return lambda: EtcdBackend.open(credentials)

    @pytest.fixture
    def outside(self, server: EtcdServer, prefix: str) -> Gateway:
        """Reach it around the backend."""
        return Gateway(server, prefix)

    @pytest.fixture
    def cut(self, proxy: Proxy) -> Callable[[], Callable[[], None]]:
        """Reset every connection."""

        def cut() -> Callable[[], None]:
            proxy.cut()
            return proxy.reopen

        return cut

    @pytest.fixture
    def failing(self, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
        """Have gRPC's next transaction end with an error, before or after the server was asked."""
        call = Connection.call

        def fail(moment: str) -> None:
            def once(self: Connection, method: str, *rest: Any) -> Any:
                if method != "Txn":
                    return call(self, method, *rest)
                monkeypatch.setattr(Connection, "call", call)
                if moment == "after":
                    call(self, method, *rest)
                raise Reset

            monkeypatch.setattr(Connection, "call", once)

        return fail

    @pytest.fixture
    def compact(self, server: EtcdServer, backend: Backend) -> Callable[[], None]:
        """Let the server forget everything up to now."""

        def forget() -> None:
            server.ctl("compact", str(backend.load("sales").revision))

        return forget


class TestEtcdRestart(RestartContract):
    """What etcd acknowledged outlives its process."""

    @pytest.fixture
    def open_backend(self, own_server: EtcdServer) -> Callable[[], Backend]:
        """Connect once more to a server that only this test uses."""
        return lambda: EtcdBackend.open({"host": "127.0.0.1", "port": own_server.port})

    @pytest.fixture
    def restart(self, own_server: EtcdServer) -> Callable[[], None]:
        """Kill it and start it again."""

        def restart() -> None:
            own_server.kill()
            own_server.restart()

        return restart
