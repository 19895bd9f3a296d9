"""Moving between real stores of all kinds: documents and history arrive, and can be rolled back there."""

from __future__ import annotations

import contextlib
import itertools
import uuid
from typing import Any

import pytest

from confo import Confo
from tests.core.test_history import STATES, story  # noqa: F401 - a fixture
from tests.servers import EtcdServer, etcd_binary
from tests.zookeeper.servers import ZooServer, jars

KINDS = ["memory", "file", "etcd", "zookeeper"]


@pytest.fixture(scope="module")
def servers():
    """Start the servers that are asked for, once; give what returns their credentials."""
    with contextlib.ExitStack() as stack:
        running: dict[str, Any] = {}

        def credentials(kind, folder):
            if kind == "memory":
                return {"store": uuid.uuid4().hex}
            if kind == "file":
                return {"config_path": str(folder), "create": True}
            if kind == "etcd":
                if kind not in running:
                    running[kind] = stack.enter_context(EtcdServer(etcd_binary("etcd-3.5")))
                return {"host": "127.0.0.1", "port": running[kind].port, "prefix": f"/{uuid.uuid4().hex}/"}
            if kind not in running:
                jars()
                running[kind] = stack.enter_context(ZooServer())
            return {"hosts": running[kind].host, "prefix": f"/{uuid.uuid4().hex}"}

        yield credentials


@pytest.fixture(params=list(itertools.permutations(KINDS, 2)), ids="-to-".join)
def config(request, servers, tmp_path):
    """Load two stores of different kinds, "store" and "target"; the first is active."""
    source, target = request.param
    with Confo(uuid.uuid4().hex) as config:
        config.load_backend(servers(source, tmp_path / "source"), "store", source)
        config.load_backend(servers(target, tmp_path / "target"), "target", target)
        config.activate_backend("store")
        config.create_namespace("sales")
        yield config


@pytest.fixture
def sales(config):
    """Return the handle of the source's namespace."""
    return config.namespace("sales")


def test_between_all_kinds(config, sales, story):  # noqa: F811 - the fixture
    """A namespace arrives whole: documents, commits, former states; twice is once; and a rollback works there."""
    sales.set("a.b-c", {"text": "ü\n", "number": 1e10, "list": [{"x": None}], "empty": {}})
    sales.persist(message="last", author="ada")
    assert config.copy("store", "target")["sales"].commits == 5
    assert config.copy("store", "target")["sales"][1:3] == (0, 0)
    there = config.namespace("sales", backend="target")
    assert dict(there) == dict(sales)
    told = [[(c.op_id, c.author, c.message, c.time, c.changes) for c in one.history()] for one in (sales, there)]
    assert told[0] == told[1]
    revisions = [commit.revision for commit in there.history()][:0:-1]
    assert [dict(there.at(revision)) for revision in revisions] == STATES
    there.rollback(revisions[0])
    assert dict(there) == STATES[0]
