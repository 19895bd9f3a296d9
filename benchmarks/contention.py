"""Contention: two processes persist to one document as fast as they can; nothing may be lost, every loser is told.

How: two processes start together on one real etcd, each with 1,000 attempts.

    different fields   each persist sets a new field, ``<process>-<n>``. Afterwards the document must have all 2,000,
                       each with its value, and the history exactly one record of each.
    the same field     each attempt adds one to a counter in ``edit()``. ConflictError is a loser who was told, and goes
                       on. The counter must be the number of *calls* that returned without an error, whatever they
                       returned, and in the history each commit's old value the new value of the one before: an
                       overwrite that nobody was told of would break that chain.
    control            the same with edits whose guards are left out, so that equal values agree: increments that were
                       acknowledged are lost, and the count of calls must show it.

    python benchmarks/contention.py [--quick]
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from multiprocessing.connection import Connection
from typing import Any

from measure import Helper, Row, etcd, options, report

from confo import Backends, ConflictError, Confo, Editor, Namespace, Retention
from confo_etcd import EtcdBackend

PROCESSES = ("left", "right")
PERSISTS = 1000


def opened(config: Confo, port: int) -> Namespace:
    """Load the backend and return the namespace."""
    everything = Retention(count=None)  # records are counted at the end
    config.load_backend({"host": "127.0.0.1", "port": port}, "etcd", Backends.ETCD_BACKEND, history=everything)
    config.activate_backend("etcd")
    return config.namespace("shared")


def set_fields(pipe: Connection, port: int, me: str, count: int) -> None:
    """Persist new fields, one at a time."""
    with Confo("writer") as config:
        shared = opened(config, port)
        pipe.send("ready")
        pipe.recv()
        for n in range(count):
            shared.set("fields", f"{me}-{n}", n)
            shared.persist()
        pipe.send(Counter(committed=count))
        pipe.recv()


def count_up(pipe: Connection, port: int, me: str, count: int, name: str, planted: bool) -> None:
    """Add one to a counter again and again, and count what becomes of it."""
    told: Counter[str] = Counter()
    if planted:
        end = Editor.end
        Editor.end = lambda self: {n: d._replace(guards=frozenset()) for n, d in end(self).items()}  # type: ignore[method-assign]
    with Confo("writer") as config:
        shared = opened(config, port)
        pipe.send("ready")
        pipe.recv()
        for _ in range(count):
            try:
                with shared.edit(author=me) as draft:
                    draft[name]["counter"] += 1
            except ConflictError:
                told["conflict"] += 1
                continue
            told["acknowledged"] += 1
            told["committed"] += draft.commit is not None and not draft.commit.already_so
        pipe.send(told)
        pipe.recv()


def race(function: Callable[..., None], *arguments: object) -> tuple[list[Counter[str]], float]:
    """Run the processes side by side; return what each counted, and the seconds."""
    port, *rest = arguments
    with Helper(function, port, PROCESSES[0], *rest) as left, Helper(function, port, PROCESSES[1], *rest) as right:
        began = time.monotonic()
        for one in (left, right):
            one.send("go")
        told = [one.receive(300.0) for one in (left, right)]
        return told, time.monotonic() - began


def records(backend: EtcdBackend, name: str) -> Iterator[dict[str, Any]]:
    """Yield what the history holds of a configuration's fields, in the order of the commits."""
    found, start = [], ""
    while page := backend.scan(".history.shared", start=start, limit=500):
        found += page
        start = f"{page[-1][0]}~"  # sorts right after it
    for _, entry in sorted(found, key=lambda one: one[1].revision):
        changes = json.loads(entry.data)["changes"]
        if name in changes:
            yield changes[name]["fields"]


def fields(backend: EtcdBackend, port: int, count: int) -> list[Row]:
    """Measure different fields."""
    told, seconds = race(set_fields, port, count)
    total = sum(one["committed"] for one in told)
    document = json.loads(backend.read("shared", ["fields"])["fields"].data)
    kept = sum(document.get(f"{me}-{n}") == n for me in PROCESSES for n in range(count))
    recorded = Counter(field for changed in records(backend, "fields") for field in changed)
    once = sum(recorded[f"{me}-{n}"] == 1 for me in PROCESSES for n in range(count))
    print(f"different fields: {total:,} persists in {seconds:.1f} s, {total / seconds:,.0f} a second")
    return [
        Row(
            "different fields of one document: kept",
            f"{kept:,} of {total:,}",
            "none lost" if kept == total else f"{total - kept:,} LOST",
            f"{total:,}",
            missed=kept != total,
        ),
        Row(
            "recorded in the history, exactly once",
            f"{once:,} of {total:,}",
            f"{len(recorded):,} fields, {recorded.total():,} records",
            f"{total:,}",
            missed=once != total or recorded.total() != total,
        ),
    ]


def counted(backend: EtcdBackend, port: int, count: int, name: str, *, planted: bool) -> tuple[Counter[str], int]:
    """Have the processes count; return what they were told together, and what the counter says."""
    told, seconds = race(count_up, port, count, name, planted)
    total: Counter[str] = sum(told, Counter())
    final = json.loads(backend.read("shared", [name])[name].data)["counter"]
    print(
        f"{'control' if planted else 'the same field'}: {2 * count:,} attempts in {seconds:.1f} s: "
        f"{total['acknowledged']:,} acknowledged, {total['conflict']:,} ConflictError; the counter says {final:,}"
    )
    return total, final


def counter(backend: EtcdBackend, port: int, count: int) -> list[Row]:
    """Measure the same field."""
    total, final = counted(backend, port, count, "same", planted=False)
    chain = [change["counter"] for change in records(backend, "same")]
    links = list(pairwise(chain))
    whole = sum(later["old"] == earlier["new"] and later["new"] == earlier["new"] + 1 for earlier, later in links)
    planted, found = counted(backend, port, max(count // 4, 100), "control", planted=True)
    lost = planted["acknowledged"] - found
    return [
        Row(
            "the same field: counter, and calls that were acknowledged",
            f"{final:,} and {total['acknowledged']:,}",
            f"{total['conflict']:,} losers, each told",
            "equal",
            missed=final != total["acknowledged"],
        ),
        Row(
            "its history: old value = new value of the one before",
            f"{whole:,} of {len(links):,}",
            "none overwritten unseen" if whole == len(links) else f"{len(links) - whole:,} OVERWRITTEN",
            "all",
            missed=whole != len(links) or len(chain) != total["committed"] + 1,
        ),
        Row(
            "control: edits without guards, found out",
            f"{found:,} and {planted['acknowledged']:,}",
            f"{lost:,} lost, as it must be",
            "not equal",
            missed=lost <= 0,
        ),
    ]


def main() -> None:
    """Measure and print."""
    count = PERSISTS // 10 if options(__doc__).quick else PERSISTS
    with etcd() as server:
        with Confo("setup") as config:
            config.load_backend({"host": "127.0.0.1", "port": server.port}, "etcd", Backends.ETCD_BACKEND)
            config.activate_backend("etcd")
            config.create_namespace("shared")
            shared = config.namespace("shared")
            for name in ("same", "control"):
                shared.set(name, {"counter": 0})
            shared.persist()
        backend = EtcdBackend.open({"host": "127.0.0.1", "port": server.port})
        try:
            rows = [*fields(backend, server.port, count), *counter(backend, server.port, count)]
        finally:
            backend.close()
    report(f"Contention ({len(PROCESSES)} processes, {count:,} attempts each)", rows)


if __name__ == "__main__":
    main()
