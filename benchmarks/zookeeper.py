"""ZooKeeper: loading a namespace beside one request by kazoo's own connection, and beside reading znode after znode.

How: a real ZooKeeper on this machine, one namespace of 1,000 configurations of about 150 bytes, loaded again and
again by four sides in turn, connected before:

    confo        ``Backend.load``: names, then all znodes in one request
    floor        the same two requests, and nothing made of the answers
    pipelined    ``get_async`` for each znode, then the answers: what Confo does on a server older than 3.6
    one by one   ``get`` for each znode: what the Confo of 2021 did

And a guarded commit of one configuration with its record, beside the same transaction without the look before it.

    python benchmarks/zookeeper.py [--quick]
"""

from __future__ import annotations

import sys
import time
import uuid
from collections.abc import Callable
from typing import Any

from kazoo.client import KazooClient
from kazoo.protocol.serialization import GetChildren, GetData
from measure import ROOT, compare, interleave, median, number, options, report, spread

from confo import Write
from confo_zookeeper import ZookeeperBackend
from confo_zookeeper.wire import MultiRead, submit

COUNT = 1000
ROUNDS = 40
DATA = b'{"host":"10.0.0.1","port":5432,"comment":"' + b"x" * 105 + b'"}'


def timed(call: Callable[[], Any]) -> Callable[[], float]:
    """Return a call that returns its milliseconds."""

    def run() -> float:
        began = time.perf_counter()
        call()
        return (time.perf_counter() - began) * 1e3

    return run


def main() -> None:
    """Measure and print."""
    rounds = ROUNDS // 10 if options(__doc__).quick else ROUNDS
    sys.path.append(str(ROOT))  # a script's own folder is on the path, the tests' is not
    from tests.zookeeper.servers import ZooServer, class_path

    if class_path() is None:
        print("ZooKeeper is not here: it needs Java, and `nox -s servers`")
        return
    with ZooServer() as server:
        print("ZooKeeper of the system's packages, one member, forceSync=no: its disk is not what is measured")
        backend = ZookeeperBackend.open({"hosts": server.host})
        client = KazooClient(server.host)
        client.start()
        backend.create_namespace("sales")
        revision = backend.commit([Write("sales", f"service-{n:04d}", DATA, 0) for n in range(COUNT)])
        path = "/confo/sales"

        def floor() -> None:
            (names,) = submit(client, MultiRead([GetChildren(path, False)])).get().results
            submit(client, MultiRead([GetData(f"{path}/{name}", False) for name in names])).get()

        def pipelined() -> None:
            for one in [client.get_async(f"{path}/{name}") for name in client.get_children(path)]:
                one.get()

        def one_by_one() -> None:
            for name in client.get_children(path):
                client.get(f"{path}/{name}")

        loads = {
            "confo": lambda: backend.load("sales"),
            "floor": floor,
            "pipelined": pipelined,
            "one by one": one_by_one,
        }
        found = dict(zip(loads, interleave(rounds, *map(timed, loads.values())), strict=True))

        def commit() -> None:
            nonlocal revision
            record = Write(".history.sales", uuid.uuid4().hex, DATA, 0)
            revision = backend.commit([Write("sales", "service-0000", DATA, revision), record])

        def raw_commit() -> None:
            transaction = client.transaction()
            transaction.check(path, -1)
            transaction.set_data(f"{path}/service-0001", DATA)
            transaction.create(f"/confo/.history.sales/{uuid.uuid4().hex}", DATA)
            transaction.commit()

        commit()
        commits, raw = interleave(rounds * 10, timed(commit), timed(raw_commit))
        client.stop()
        client.close()
        backend.close()
    for side, samples in found.items():
        spread(f"load of {COUNT:,}, {side}", samples, "ms")
    spread("commit, confo", commits, "ms")
    spread("commit, transaction alone", raw, "ms")
    print(f"  one by one takes {number(median(found['one by one']) / median(found['confo']))} times as long as confo")
    rows = [
        compare(f"load of {COUNT:,}", found["confo"], found["floor"], unit="ms", of="two requests"),
        compare("the same", found["confo"], found["pipelined"], unit="ms", of="pipelined reads"),
        compare("the same", found["confo"], found["one by one"], unit="ms", of="the way of 2021"),
        compare("guarded commit with its record", commits, raw, unit="ms", of="the transaction alone"),
    ]
    report("ZooKeeper", rows)


if __name__ == "__main__":
    main()
