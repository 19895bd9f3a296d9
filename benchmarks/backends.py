"""All backends side by side: what each declares, whether it holds, and what it costs beside memory.

How: the same program on each store, in turns within one run. ``persist`` commits one field of one document with its
record, and waits for its own copy; ``push`` is from a persist in one registry to the callback in another one, in one
process; ``load`` is the first use of a namespace of 1,000 configurations. Ratios are to the memory backend's medians.

    python benchmarks/backends.py [--quick]
"""

from __future__ import annotations

import contextlib
import dataclasses
import queue
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping

from measure import ROOT, Row, etcd, median, number, options, report

from confo import Capabilities, Confo, Namespace

ROUNDS = 300
COUNT = 1000
DOCUMENT = {"host": "127.0.0.1", "port": 5432, "user": "sales", "comment": "x" * 80}


@contextlib.contextmanager
def stores() -> Iterator[dict[str, tuple[str, Mapping[str, object]]]]:
    """Start what can be had; give each store's kind and credentials by the name of its row."""
    sys.path.append(str(ROOT))  # a script's own folder is on the path, the tests' is not
    from tests.zookeeper.servers import ZooServer, class_path

    with contextlib.ExitStack() as opened:
        folder = opened.enter_context(tempfile.TemporaryDirectory(dir=ROOT))
        server = opened.enter_context(etcd())
        found: dict[str, tuple[str, Mapping[str, object]]] = {
            "memory": ("memory", {"store": uuid.uuid4().hex}),
            "file": ("file", {"config_path": f"{folder}/durable", "create": True}),
            "file, durable=False": ("file", {"config_path": f"{folder}/quick", "create": True, "durable": False}),
            "etcd": ("etcd", {"host": "127.0.0.1", "port": server.port}),
        }
        if class_path() is None:
            print("ZooKeeper is not here: it needs Java, and `nox -s servers`")
        else:
            zookeeper = opened.enter_context(ZooServer())
            found["zookeeper"] = ("zookeeper", {"hosts": zookeeper.host})
        yield found


def main() -> None:
    """Measure every store and print the table."""
    scale = 10 if options(__doc__).quick else 1
    with stores() as found:
        declared = {name: capabilities(*store) for name, store in found.items()}
        times = {name: measure(name, *store, ROUNDS // scale) for name, store in found.items()}
    for name, can in declared.items():
        print(f"  {name:<20} {can}")
    report(
        "Backends (ratios to memory)",
        [
            Row(
                f"{name}: {what}",
                f"{number(each[what])} / {number(times['memory'][what])} us",
                f"{each[what] / times['memory'][what]:.1f}x of memory",
            )
            for what in ("persist", "push", "load")
            for name, each in times.items()
        ],
    )


def capabilities(kind: str, credentials: Mapping[str, object]) -> str:
    """Return what a backend declares, in one line."""
    with Confo(uuid.uuid4().hex) as config:
        config.load_backend(credentials, "store", kind)
        config.activate_backend("store")
        config.create_namespace("declared")
        can: Capabilities = config.namespace("declared")._replica.backend.capabilities
        return ", ".join(f"{name}={value}" for name, value in dataclasses.asdict(can).items())


def measure(name: str, kind: str, credentials: Mapping[str, object], rounds: int) -> dict[str, float]:
    """Return the medians of one store in microseconds."""
    print(f"  {name} ...", flush=True)
    with Confo("ours") as ours, Confo("theirs") as theirs:
        for config in (ours, theirs):
            config.load_backend(credentials, "store", kind)
            config.activate_backend("store")
        ours.create_namespace("sales")
        sales = ours.namespace("sales")
        sales.set("database", DOCUMENT)
        sales.persist()
        persisting, pushing = commits(sales, theirs.namespace("sales"), rounds)
        ours.create_namespace("many")
        many = ours.namespace("many")
        for index in range(COUNT):
            many.set(f"c{index:04d}", DOCUMENT)
        many.persist(split=True)
    return {"persist": median(persisting), "push": median(pushing), "load": loading(kind, credentials)}


def commits(sales: Namespace, theirs: Namespace, rounds: int) -> tuple[list[float], list[float]]:
    """Return the microseconds of persists, and from each to the callback in the other registry."""
    seen: queue.SimpleQueue[tuple[object, float]] = queue.SimpleQueue()
    persisting, pushing = [], []
    with theirs.on_change(lambda event: seen.put((event.new, time.perf_counter())), config="database"):
        for index in range(rounds):
            sales.set("database", "number", index)
            began = time.perf_counter()
            sales.persist()
            persisting.append((time.perf_counter() - began) * 1e6)
            document, told = seen.get(timeout=30)
            while not isinstance(document, dict) or document.get("number") != index:
                document, told = seen.get(timeout=30)
            pushing.append((told - began) * 1e6)
    return persisting, pushing


def loading(kind: str, credentials: Mapping[str, object]) -> float:
    """Return the median microseconds of the first use of the large namespace."""

    def once() -> float:
        with Confo(uuid.uuid4().hex) as config:
            config.load_backend(credentials, "store", kind, follow=False)
            config.activate_backend("store")
            began = time.perf_counter()
            assert len(config.namespace("many")) == COUNT
            return (time.perf_counter() - began) * 1e6

    take: Callable[[], float] = once
    return median([take() for _ in range(7)])


if __name__ == "__main__":
    main()
