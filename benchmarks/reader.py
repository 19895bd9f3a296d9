"""The reader's CPU for one foreign change, among 100, 10,000 and 100,000 configurations.

How: what the thread that follows a namespace does for one batch of its watch, by that thread's own CPU clock, so that
neither waiting nor other threads count.

    applied     ``Replica._apply`` called with 500 batches in turn, each one changed configuration: nobody subscribed,
                then one subscriber, then with snapshots held (the next change copies the entries, once a snapshot:
                one held throughout, and a fresh one taken before every change, the worst that a program can do)
    followed    end to end: another backend commits to the same store in memory, and the replica's thread hears of it
                by its watch; its clock is read from outside

The floor is what a dict costs: an assignment under a lock, in the same loop. The figure that must stay flat is the
ratio of 100,000 configurations to 100.

    python benchmarks/reader.py [--quick]
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial

from measure import Row, compare, interleave, median, number, options, report, spread

from confo import Backends, Batch, Confo, Entry, Namespace, Snapshot, Write
from confo_memory import MemoryBackend

SIZES = (100, 10_000, 100_000)
BATCHES = 500
ROUNDS = 7
TARGET = 100.0
"""Microseconds of CPU."""
DATA = b'{"host":"127.0.0.1","port":5432,"user":"sales","timeout":2.5,"comment":"a document of the usual size"}'


def name(number: int) -> str:
    """Return a configuration's name."""
    return f"service-{number:06d}"


def filled(size: int) -> str:
    """Fill a store of this process with so many configurations; return its name."""
    store = uuid.uuid4().hex
    backend = MemoryBackend.open({"store": store})
    backend.create_namespace("sales")
    names = [name(n) for n in range(size)]
    for start in range(0, size, 1000):
        backend.commit([Write("sales", one, DATA, 0) for one in names[start : start + 1000]])
    backend.close()
    return store


def opened(store: str, *, follow: bool) -> tuple[Confo, Namespace]:
    """Return a Confo with the store loaded, and the namespace."""
    config = Confo(uuid.uuid4().hex)
    config.load_backend({"store": store}, "memory", Backends.MEMORY_BACKEND, follow=follow)
    config.activate_backend("memory")
    return config, config.namespace("sales")


def assigned(size: int, count: int) -> float:
    """Return the microseconds of an assignment to a dict under a lock: the floor."""
    entries = {name(n): Entry(DATA, 1) for n in range(size)}
    batches = _batches(size, count, 1)
    lock = threading.RLock()
    began = time.thread_time()
    for batch in batches:
        with lock:
            entries.update(batch.entries)  # type: ignore[arg-type] # nothing is deleted here
    return (time.thread_time() - began) / count * 1e6


def applied(store: str, size: int, count: int, *, subscribed: bool = False, snapshots: str = "none") -> float:
    """Return the microseconds of CPU that a batch costs this thread."""
    config, sales = opened(store, follow=False)
    replica = sales._replica
    replica.follows = subscribed  # so that on_change agrees, without a thread that follows
    batches = _batches(size, count, replica.view.revision)
    apply = replica._apply
    held: list[Snapshot] = []
    with config, sales.on_change(_ignore) if subscribed else nullcontext():
        if snapshots == "one":
            held.append(sales.snapshot())
        if snapshots == "each":
            spent = 0.0
            for batch in batches:
                held[:] = [sales.snapshot()]
                began = time.thread_time()
                apply(batch)
                spent += time.thread_time() - began
        else:
            began = time.thread_time()
            for batch in batches:
                apply(batch)
            spent = time.thread_time() - began
        assert replica.view.revision == batches[-1].revision
    return spent / count * 1e6


def followed(store: str, size: int, count: int, *, subscribed: bool = False) -> float:
    """Return the microseconds of CPU that a commit of somebody else costs the thread that follows."""
    config, sales = opened(store, follow=True)
    other = MemoryBackend.open({"store": store})
    thread = next(one for one in threading.enumerate() if one.name == "confo-follow-sales")
    clock = time.pthread_getcpuclockid(thread.ident or 0)
    with config, sales.on_change(_ignore) if subscribed else nullcontext():
        revision = other.commit([Write("sales", name(0), DATA, other.read("sales", [name(0)])[name(0)].revision)])
        assert sales.wait_for(revision)
        began = time.clock_gettime(clock)
        for n in range(count):
            one = name(n * 7919 % size)
            seen = other.read("sales", [one])[one].revision
            revision = other.commit([Write("sales", one, _data(n), seen)])
            assert sales.wait_for(revision)
        spent = time.clock_gettime(clock) - began
    other.close()
    return spent / count * 1e6


def _batches(size: int, count: int, revision: int) -> list[Batch]:
    numbers = range(1, count + 1)
    return [Batch(revision + n, {name(n * 7919 % size): Entry(_data(n), revision + n)}) for n in numbers]


def _data(number: int) -> bytes:
    return DATA[:-1] + b',"number":%d}' % number


def _ignore(_: object) -> None:
    """Do nothing: what the callback costs is its own thread's."""


def main() -> None:
    """Measure and print."""
    quick = options(__doc__).quick
    rounds, count = (3, BATCHES // 5) if quick else (ROUNDS, BATCHES)
    found: dict[str, dict[int, list[float]]] = {}
    for size in SIZES:
        store = filled(size)
        sides: dict[str, Callable[[], float]] = {
            "an assignment to a dict": partial(assigned, size, count),
            "applied": partial(applied, store, size, count),
            "applied, one subscriber": partial(applied, store, size, count, subscribed=True),
            "applied, one snapshot held": partial(applied, store, size, count, snapshots="one"),
            "applied, a new snapshot each time": partial(applied, store, size, 20, snapshots="each"),
            "followed": partial(followed, store, size, count),
            "followed, one subscriber": partial(followed, store, size, count, subscribed=True),
        }
        print(f"Microseconds of the reader's CPU for a change among {size:,} configurations:")
        for side, samples in zip(sides, interleave(rounds, *sides.values()), strict=True):
            found.setdefault(side, {})[size] = samples
            spread(side, samples, "us")

    least, most = SIZES[0], SIZES[-1]
    floors = found.pop("an assignment to a dict")
    rows = []
    for side, costs in found.items():
        targeted = "snapshot" not in side
        cost = median(costs[most])
        rows.append(
            Row(
                f"{side}: among {most:,}",
                f"{number(cost)} us",
                f"{cost / median(floors[most]):.1f}x of an assignment ({number(median(floors[most]))} us)",
                f"{TARGET:g} us" if targeted else "",
                missed=targeted and cost > TARGET,
            )
        )
    rows += [
        compare(f"{side}: {most:,} beside {least:,}", costs[most], costs[least], unit="us", of=f"among {least:,}")
        for side, costs in found.items()
    ]
    report("The reader's CPU for one foreign change", rows)


if __name__ == "__main__":
    main()
