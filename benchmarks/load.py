"""Loading: 100,000 configurations from etcd into a namespace, beside raw gRPC pages of the same keys; and its memory.

How: the same with documents of about 150 bytes and of about 1 KB. Time: ``Confo.namespace(...)``, until it is ready
and followed, beside a loop over pages by a grpcio stub into a dict of name to (value, revision), pages of the same
sizes. Each load happens in a fresh process, as a program loads once; connecting is not timed. The sides take turns.
"Pages, asked ahead" is the sharpest floor there is: the next page is under way while one is put into the dict, and
the garbage collector is off.

Memory: of the namespace, untouched (nothing decoded), in a fresh process each: by tracemalloc (Python's objects), and
by the growth of the resident set (all that the process keeps, the allocators' and gRPC's slack included). "Stored" are
the bytes of the keys and values as etcd has them. A plain dict of the same is measured as the peer. For small documents
the objects that any dict of Python needs are larger than the document: what one of each takes is printed. A
revision is shared by what one transaction of the filling wrote, yet not so in memory: each entry has its own.

    python benchmarks/load.py [--quick]
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
import tracemalloc
from collections import deque
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from measure import Row, compare, etcd, fresh, interleave, number, options, report, spread
from raw import Raw

from confo import Backends, Confo, Namespace, State
from confo_etcd.reading import FIRST_PAGE, next_limit

COUNT = 100_000
ROUNDS = 5
SIZES = {"small": 150, "large": 1024}
"""The bytes of one document, by the namespace that has them."""
PUTS = 128
"""Keys in one transaction while the store is filled; etcd takes no more."""
UNDER_WAY = 16


def key(namespace: str, name: str = "") -> bytes:
    """Return a key as Confo lays it out."""
    return f"/confo/{namespace}/{name}".encode()


def documents(size: int, count: int) -> Iterator[tuple[str, bytes]]:
    """Yield names and documents of this many bytes."""
    for n in range(count):
        known: dict[str, Any] = {"host": f"10.0.{n // 250 % 250}.{n % 250}", "port": 5432, "timeout": 2.5, "number": n}
        bare = len(json.dumps({**known, "comment": ""}, separators=(",", ":")))
        document = {**known, "comment": "x" * (size - bare)}
        yield f"service-{n:06d}", json.dumps(document, separators=(",", ":")).encode()


def fill(port: int, namespace: str, size: int, count: int) -> int:
    """Put the documents into etcd, and the namespace's marker; return the bytes of all keys and values."""
    raw, stored = Raw(port), 0
    for _ in range(256):  # smaller numbers cost CPython no memory: no revision is to be one of them
        raw.txn(raw.puts([(b"/begin", b"")]))
    sent: deque[Any] = deque()
    pairs = [(key(namespace), b"")]
    for name, data in documents(size, count):
        pairs.append((key(namespace, name), data))
        stored += len(pairs[-1][0]) + len(data)
        if len(pairs) == PUTS:
            sent.append(raw.txn.future(raw.puts(pairs)))
            pairs = []
            if len(sent) > UNDER_WAY:
                sent.popleft().result()
    if pairs:
        sent.append(raw.txn.future(raw.puts(pairs)))
    for one in sent:
        one.result()
    raw.close()
    return stored


# --- the sides, each in a process of its own -----------------------------------------------------------


def connected(config: Confo, port: int) -> Confo:
    """Load the backend and ask it something, so that it is connected."""
    config.load_backend({"host": "127.0.0.1", "port": port}, "etcd", Backends.ETCD_BACKEND)
    config.activate_backend("etcd")
    config.get_namespaces()
    return config


def check(namespace: Namespace, count: int) -> None:
    """See that all of it is there."""
    assert len(namespace) == count
    assert namespace.status().state is State.READY


def by_confo(port: int, namespace: str, count: int) -> float:
    """Return the milliseconds until the namespace is loaded and followed."""
    with Confo("load") as config:
        connected(config, port)
        gc.collect()
        began = time.perf_counter()
        loaded = config.namespace(namespace)
        took = time.perf_counter() - began
        check(loaded, count)
    return took * 1e3


def pages(raw: Raw, namespace: str) -> dict[str, tuple[bytes, int]]:
    """Read page after page, all at the first one's revision."""
    marker, found = key(namespace), {}
    request = raw.wire.RangeRequest(key=marker, range_end=marker[:-1] + b"0", limit=FIRST_PAGE)
    while True:
        answer = raw.range(request)
        for kv in answer.kvs:
            found[kv.key[len(marker) :].decode()] = (kv.value, kv.mod_revision)
        if not answer.more:
            return found
        request.revision = request.revision or answer.header.revision
        request.limit = next_limit(len(answer.kvs), answer.ByteSize())
        request.key = answer.kvs[-1].key + b"\0"


def pages_ahead(raw: Raw, namespace: str) -> dict[str, tuple[bytes, int]]:
    """Read the same, the next page asked for before this one is put away, the collector off."""
    marker, found = key(namespace), {}
    cut = len(marker)
    request = raw.wire.RangeRequest(key=marker, range_end=marker[:-1] + b"0", limit=FIRST_PAGE)
    gc.disable()
    sent = raw.range.future(request)
    while True:
        answer = sent.result()
        kvs = answer.kvs
        if answer.more:
            request.revision = request.revision or answer.header.revision
            request.limit = next_limit(len(kvs), answer.ByteSize())
            request.key = kvs[-1].key + b"\0"
            sent = raw.range.future(request)
        found.update({kv.key[cut:].decode(): (kv.value, kv.mod_revision) for kv in kvs})
        if not answer.more:
            gc.enable()
            return found


def by_raw(port: int, namespace: str, count: int, ahead: bool) -> float:
    """Return the milliseconds until the dict is complete."""
    raw = Raw(port)
    raw.range(raw.wire.RangeRequest(key=b"/", limit=1))  # connects
    gc.collect()
    began = time.perf_counter()
    found = (pages_ahead if ahead else pages)(raw, namespace)
    took = time.perf_counter() - began
    assert len(found) == count + 1  # and the marker
    raw.close()
    return took * 1e3


# --- memory --------------------------------------------------------------------------------------------


def resident() -> int:
    """Return the bytes of this process that lie in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def memory_of_confo(port: int, namespace: str, count: int, traced: bool) -> tuple[int, int, dict[str, float]]:
    """Return the bytes that the namespace keeps, the most while it was loaded, and one configuration's parts."""
    with Confo("load") as config:
        connected(config, port)
        gc.collect()
        if traced:
            tracemalloc.start()
        before = resident()
        loaded = config.namespace(namespace)
        gc.collect()
        kept, most = tracemalloc.get_traced_memory() if traced else (resident() - before, 0)
        tracemalloc.stop()
        check(loaded, count)
        return kept, most, parts(loaded)


def parts(namespace: Namespace) -> dict[str, float]:
    """Return the bytes of the objects of one configuration, on average, the garbage collector's header included."""
    entries = namespace.snapshot().entries
    header = 16  # before each object that may be in a cycle
    count = len(entries)
    return {
        "value's bytes": sum(sys.getsizeof(entry.data) for entry in entries.values()) / count,
        "name": sum(map(sys.getsizeof, entries)) / count,
        "entry (a tuple)": sum(sys.getsizeof(entry) + header for entry in entries.values()) / count,
        "revision": sum(sys.getsizeof(revision) for revision in _each(entries)) / count,
        "dict": sys.getsizeof(entries) / count,
    }


def _each(entries: Any) -> list[int]:
    """Return the objects that are revisions, one that several entries share once."""
    return list({id(entry.revision): entry.revision for entry in entries.values()}.values())


def memory_of_dict(port: int, namespace: str, traced: bool) -> int:
    """Return the bytes of a plain dict of the same."""
    raw = Raw(port)
    raw.range(raw.wire.RangeRequest(key=b"/", limit=1))
    gc.collect()
    if traced:
        tracemalloc.start()
    before = resident()
    found = pages(raw, namespace)
    gc.collect()
    kept = tracemalloc.get_traced_memory()[0] if traced else resident() - before
    tracemalloc.stop()
    assert found
    raw.close()
    return kept


def memory(port: int, namespace: str, size: int, stored: int, count: int) -> list[Row]:
    """Measure the memory of one namespace."""
    kept, most, objects = fresh(memory_of_confo, port, namespace, count, True)
    grown, _, _ = fresh(memory_of_confo, port, namespace, count, False)
    plain, plain_grown = (fresh(memory_of_dict, port, namespace, traced) for traced in (True, False))
    shown = ", ".join(f"{name} {number(part)}" for name, part in objects.items())
    print(
        f"documents of {size} bytes: {stored / count:,.0f} stored each; in memory {kept / count:,.0f} "
        f"(at most {most / count:,.0f} while loading). The objects of one: {shown}"
    )
    least = (objects["value's bytes"] + objects["name"]) / (stored / count)
    print(f"  value and name as two objects of Python, nothing to hold them: {least:.2f}x of the bytes stored")

    def row(what: str, took: float, target: float = 0.0) -> Row:
        ratio = took / stored
        return Row(
            f"{size} bytes each: {what}",
            f"{took / 1e6:.1f} / {stored / 1e6:.1f} MB",
            f"{ratio:.2f}x of the bytes stored",
            f"{target:g}x" if target else "",
            missed=bool(target) and ratio > target,
        )

    return [
        row("memory, by tracemalloc", kept, 1.4),
        row("memory, by resident set", grown, 1.4),
        row("a plain dict, by tracemalloc", plain),
        row("a plain dict, by resident set", plain_grown),
        row("at most while loading, by tracemalloc", most),
    ]


def main() -> None:
    """Measure and print."""
    quick = options(__doc__).quick
    count, rounds = (COUNT // 10, 3) if quick else (COUNT, ROUNDS)
    rows, memories = [], []
    with etcd() as server:
        for namespace, size in SIZES.items():
            port = server.port
            stored = fill(port, namespace, size, count)
            ours, floor, sharp = interleave(
                rounds,
                partial(fresh, by_confo, port, namespace, count),
                partial(fresh, by_raw, port, namespace, count, False),
                partial(fresh, by_raw, port, namespace, count, True),
            )
            what = f"{size} bytes each"
            print(f"Milliseconds to load {count:,} configurations of {size} bytes:")
            for name, samples in (("Confo", ours), ("raw pages", floor), ("raw pages, asked ahead", sharp)):
                spread(name, samples, "ms")
            rows += [
                compare(f"{what}: load", ours, floor, unit="ms", of="raw pages", target=1.2),
                compare(f"{what}: load, best", [min(ours)], [min(floor)], unit="ms", of="raw pages", target=1.2),
                compare(f"{what}: load", ours, sharp, unit="ms", of="raw pages, asked ahead"),
            ]
            memories += memory(port, namespace, size, stored, count)
    report(f"Loading {count:,} configurations (ours / floor)", rows + memories)


if __name__ == "__main__":
    main()
