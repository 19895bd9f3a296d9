"""History: what a record costs a commit, and what it takes to list commits of a long history.

How: persists of one field with history and without take turns, each side on a namespace of its own, the one with
history on one that has had as many commits as the retention keeps, so that each trims one record as well. Listing is
the last 20 commits of 10,000, beside the read that it needs: a scan of as many records, by the same backend.

    python benchmarks/history.py [--quick]
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from measure import Row, compare, etcd, interleave, median, number, options, report, spread

from confo import Backends, Confo, Namespace, Retention
from confo.history import Signature, record_write
from confo.model import Change
from confo.records import LATE

DOCUMENT = {"host": "127.0.0.1", "port": 5432, "user": "sales", "timeout": 2.5, "hosts": ["10.0.0.1", "10.0.0.2"]}
KEPT = 1000
LONG = 10_000
LISTED = 20


def main() -> None:
    """Measure on memory and on etcd."""
    scale = 10 if options(__doc__).quick else 1
    rows = measure("memory", Backends.MEMORY_BACKEND, {"store": "benchmark"}, 3000 // scale, LONG // scale, 1.2, 20)
    with etcd() as server:
        credentials = {"host": "127.0.0.1", "port": server.port}
        rows += measure("etcd", Backends.ETCD_BACKEND, credentials, 1000 // scale, LONG // scale, 1.3, 50)
    report("History", rows)


def measure(
    store: str, kind: str, credentials: Mapping[str, object], rounds: int, length: int, target: float, most: float
) -> list[Row]:
    """Return the rows of one store; ``most`` milliseconds for listing."""
    with Confo(store) as config:
        config.load_backend(credentials, "recorded", kind, history=Retention(count=KEPT))
        config.load_backend(credentials, "bare", kind, history=False)
        config.load_backend(credentials, "long", kind, history=Retention(count=None))
        recorded, bare = (prepared(config, name) for name in ("recorded", "bare"))
        with_history = persist(recorded)
        for _ in range(KEPT):
            with_history()
        ours, floor = interleave(rounds, with_history, persist(bare))
        spread(f"{store}: persist with history", ours, "us")
        spread(f"{store}: persist without", floor, "us")
        long = prepared(config, "long")
        fill(long, length)
        listing, scanning = interleave(50, timed(lambda: long.history(LISTED)), timed(lambda: scan(long)))
        spread(f"{store}: list {LISTED} of {length:,}", listing, "us")
        ms = median(listing) / 1000
        return [
            compare(f"{store}: persist, with / without", ours, floor, unit="us", of="without", target=target),
            Row(
                f"{store}: the last {LISTED} of {length:,}",
                f"{ms:.3g} / {number(median(scanning) / 1000)} ms",
                f"{median(listing) / median(scanning):.2f}x of the scan",
                f"{most:g} ms",
                missed=ms > most,
            ),
        ]


def prepared(config: Confo, name: str) -> Namespace:
    """Return a new namespace with a document in it."""
    config.activate_backend(name)
    config.create_namespace(name)
    namespace = config.namespace(name)
    namespace.set("database", DOCUMENT)
    namespace.persist()
    return namespace


def persist(namespace: Namespace) -> Callable[[], float]:
    """Return what commits one field and returns the microseconds that it took."""
    numbers = iter(range(10**9))

    def once() -> float:
        namespace.set("database", "number", next(numbers))
        return timed(namespace.persist)()

    return once


def timed(function: Callable[[], Any]) -> Callable[[], float]:
    """Return what calls a function and returns the microseconds that it took."""

    def once() -> float:
        before = time.perf_counter()
        function()
        return (time.perf_counter() - before) * 1e6

    return once


def fill(namespace: Namespace, length: int) -> None:
    """Write so many records, as commits write them, a hundred at a time."""
    backend = namespace._backend
    base = namespace.snapshot().revision
    change = Change(namespace.name, "database", DOCUMENT, {**DOCUMENT, "number": 1})
    for start in range(0, length, 100):
        backend.commit(
            [
                record_write(
                    namespace.name,
                    base + start + n,
                    Signature.new("somebody@somewhere", "a message"),
                    [(change, base)],
                )
                for n in range(100)
            ]
        )


def scan(namespace: Namespace) -> None:
    """Read as many records as listing does."""
    namespace._backend.scan(f".history.{namespace.name}", limit=LISTED + LATE + 1, reverse=True)


if __name__ == "__main__":
    main()
