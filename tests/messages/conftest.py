"""What the pages' lines may name. A fixture is made only when a mistake names it."""

from __future__ import annotations

import contextlib
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

import confo
from confo import Confo, Namespace


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
