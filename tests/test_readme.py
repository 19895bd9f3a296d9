"""README.md says nothing that does not work."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from confo import Confo
from tests.servers import EtcdServer, etcd_binary

README = Path(__file__).parent.parent / "README.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
SEED = """\
from confo.Confo import Confo
from confo import Backends as BE
from confo.Backends.EtcdBackend import EtcdBackend
config = Confo()
cred = {"host":"127.0.0.1",
        "port":2379}
config.load_backend(credentials=cred,name="ETCD_backend",backend_type=BE.ETCD_BACKEND)
"""


@pytest.fixture(params=["etcd-3.5", "etcd-3.4"])
def server(request):
    """Give a real etcd."""
    with EtcdServer(etcd_binary(request.param)) as server:
        yield server


def test_the_seed_is_in_it():
    """The example of 2021 stands in the README word for word, as its first block."""
    assert BLOCKS[0] == SEED


def test_the_blocks_run(server, capsys, monkeypatch, tmp_path):
    """Every block of the README runs, in order, against a real etcd; only the port is the test's own."""
    names = {}
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for block in BLOCKS[:-1]:
        exec(compile(block.replace("2379", str(server.port)), str(README), "exec"), names)
        if block == BLOCKS[1]:
            config = names["config"]
            assert config.get_all() == {
                "database": {"host": "127.0.0.1"},
                "forecasting": {"url": "http://127.0.0.1:8080/v1", "timeout": 2.5},
            }
    assert names["snapshot"]["database"] == {"host": "10.0.0.7"}
    with Confo("again") as again:
        again.load_backend({"host": "127.0.0.1", "port": server.port}, "e", "etcd")
        again.activate_backend("e")
        again.use_namespace("sales")
        assert again.get("database", "host") == "127.0.0.1"
        assert [commit.author for commit in again.namespace("sales").history(limit=2)][1] == "kabelo"


def test_the_memory_block_runs():
    """The block for tests runs without any server."""
    exec(compile(BLOCKS[-1], str(README), "exec"), {})
