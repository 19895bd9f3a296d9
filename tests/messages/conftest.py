"""What the pages' lines may name. A fixture is made only when a mistake names it."""

from __future__ import annotations

import contextlib
import re
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from kazoo.client import KazooClient
from kazoo.security import make_digest_acl

import confo
from confo import Confo, Namespace
from tests.etcd.certificates import Authority
from tests.messages.pages import Mistake
from tests.servers import EtcdServer, etcd_binary
from tests.zookeeper.servers import ZooServer


@pytest.fixture
def config() -> Iterator[Confo]:
    """Give a Confo with a store in memory, active, and its namespace "sales" in use, which has "database"."""
    with Confo(uuid.uuid4().hex) as config:
        config.load_backend({}, "store", "memory")
        config.activate_backend("store")
        config.create_namespace("sales")
        config.use_namespace("sales")
        config.set("database", {"host": "127.0.0.1", "port": 5432})
        config.persist()
        yield config


@pytest.fixture
def sales(config: Confo) -> Namespace:
    """Give the handle of that namespace."""
    return config.namespace("sales")


@pytest.fixture
def empty() -> Iterator[Confo]:
    """Give a Confo that has loaded nothing."""
    with Confo(uuid.uuid4().hex) as config:
        yield config


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a folder of files, with a namespace "sales"."""
    with confo.open(f"file://{tmp_path}/sales", create=True):
        pass
    return tmp_path


@pytest.fixture
def closed_port() -> Iterator[int]:
    """Give a port where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.fixture(scope="module", autouse=True)
def _grpc() -> Iterator[None]:
    """Keep a channel of gRPC: its threads and pollers are made with the first, and end with the last."""
    with grpc.insecure_channel("127.0.0.1:1") as channel:
        with contextlib.suppress(grpc.RpcError):
            channel.unary_unary("/nobody/there")(b"", timeout=0.5)
        yield


# --- servers, of which those are started that a page names -------------------------------------------

SERVERS = [
    "silent_port",
    "ca",
    "strangers_ca",
    "etcd_port",
    "etcd_tls_port",
    "etcd_with_users",
    "zookeeper_port",
    "zookeeper_tls_port",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have servers set up before what looks for leaks, as fixtures of a session are that a test names itself."""
    for item in items:
        if isinstance(item, pytest.Function) and "mistake" in item.fixturenames and hasattr(item, "callspec"):
            mistake = item.callspec.params["mistake"]
            if isinstance(mistake, Mistake):
                named = re.findall(r"\w+", mistake.code)
                item.fixturenames[:0] = [name for name in SERVERS if name in named]


@pytest.fixture(scope="session")
def silent_port() -> Iterator[int]:
    """Give a port where connections are taken, and nothing is ever said."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Give the authority that vouches for the servers."""
    return Authority(tmp_path_factory.mktemp("authority"), "authority")


@pytest.fixture(scope="session")
def ca(authority: Authority) -> Path:
    """Give its certificate."""
    return authority.certificate


@pytest.fixture(scope="session")
def strangers_ca(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the certificate of an authority that vouches for nobody here."""
    return Authority(tmp_path_factory.mktemp("stranger"), "stranger").certificate


@pytest.fixture(scope="session")
def etcd_port() -> Iterator[int]:
    """Give the port of an etcd without users and TLS."""
    with EtcdServer(etcd_binary("etcd-3.5")) as server:
        yield server.port


@pytest.fixture(scope="session")
def etcd_tls_port(authority: Authority) -> Iterator[int]:
    """Give the port of an etcd that speaks TLS only."""
    with EtcdServer(etcd_binary("etcd-3.5"), tls=(*authority.sign("etcd"), authority.certificate)) as server:
        yield server.port


@pytest.fixture(scope="session")
def etcd_with_users() -> Iterator[int]:
    """Give the port of an etcd with the user "clerk", whose role is readwrite on /confo/sales/ and nothing else."""
    with EtcdServer(etcd_binary("etcd-3.5")) as server:
        server.ctl("user", "add", "root:hunter2")
        server.ctl("user", "grant-role", "root", "root")
        server.ctl("user", "add", "clerk:hunter2")
        server.ctl("role", "add", "sales")
        server.ctl("role", "grant-permission", "sales", "--prefix=true", "readwrite", "/confo/sales/")
        server.ctl("user", "grant-role", "clerk", "sales")
        server.ctl("put", "/confo/sales/database", "{}")
        server.ctl("auth", "enable")
        yield server.port


@pytest.fixture(scope="session")
def zookeeper(authority: Authority) -> Iterator[ZooServer]:
    """Give a ZooKeeper with a port for TLS, where other tools put a secret and a znode below a configuration."""
    with ZooServer(tls=(*authority.sign("zookeeper"), authority.certificate)) as server:
        client = KazooClient(server.host)
        client.start()
        owner = make_digest_acl("owner", "hunter2", all=True)
        client.create("/confo/sales/parent", b"{}", makepath=True)
        client.create("/confo/sales/secret", b"{}", acl=[owner])
        client.create("/confo/sales/parent/child")
        client.stop()
        client.close()
        yield server


@pytest.fixture(scope="session")
def zookeeper_port(zookeeper: ZooServer) -> int:
    """Give its port without TLS."""
    return zookeeper.port


@pytest.fixture(scope="session")
def zookeeper_tls_port(zookeeper: ZooServer) -> int:
    """Give its port with TLS."""
    return zookeeper.secure_port


@pytest.fixture
def zookeeper_user() -> dict[str, object]:
    """Give a user whom the ACL of the secret does not name."""
    return {"user": "shop", "password": "right"}
