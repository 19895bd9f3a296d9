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


MEMORY = next(block for block in BLOCKS if "memory:///" in block)


def run(port, names):
    """Run every block but the one for tests, in order; only the port is the test's own."""
    for block in BLOCKS:
        if block is not MEMORY:
            exec(compile(block.replace("2379", str(port)), str(README), "exec"), names)


def test_the_seed_is_in_it():
    """The example of 2021 stands in the README word for word."""
    assert SEED in BLOCKS


def test_the_blocks_run(server, capsys, monkeypatch, tmp_path):
    """Every block of the README runs, in order and twice, against a real etcd."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for times in (1, 2):
        names = {}
        run(server.port, names)
        assert names["move"].message == "move to the new host"
        assert names["before"].author == "kabelo" or times == 2  # when it is so already, nothing is committed
        assert "move to the new host [sales/database (host)]" in capsys.readouterr().out
        assert names["snapshot"]["database"] == {"host": "127.0.0.1", "opts": {"pool": 5}}
        assert names["snapshot"]["visits"] == {"n": times}
        with Confo("again") as again:
            again.load_backend({"host": "127.0.0.1", "port": server.port}, "e", "etcd")
            assert again.namespace("analytics").get_all() == {
                "database": {"host": "127.0.0.1"},
                "forecasting": {"url": "http://127.0.0.1:8080/v1", "timeout": 2.5},
            }


def test_the_memory_block_runs():
    """The block for tests runs without any server."""
    exec(compile(MEMORY, str(README), "exec"), {})
