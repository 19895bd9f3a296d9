"""Pushing: from a commit in one process to the callback in another, beside the same by raw gRPC.

How: every writer and every reader is a process of its own. A writer takes the time just before its commit (after the
value was staged), a reader as the first thing in its callback; CLOCK_MONOTONIC is one clock for all processes of a
machine. The writers take turns, commit by commit, and the next begins when the reader has told of the last:

    persist      ``Namespace.persist`` -> ``on_change``: what programs call. It writes the document, guarded, and its
                 record of history. The headline.
    commit       ``Backend.commit`` of one guarded write -> ``on_change``
    raw put      a transaction with one put, by a grpcio stub -> a grpcio watch stream. The floor.
    raw as ours  the transaction that persist sends (guard, document, record) by the same stub -> the same stream, in a
                 thread that hands the event over to a callback's thread, decoded: what persist and on_change ask of
                 the store and of the scheduler, and nothing more

The durations of the writers' calls are printed as well: persist waits until its own process has the change too.

    python benchmarks/push.py [--quick]
"""

from __future__ import annotations

import itertools
import json
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import Any, Final

import grpc
from measure import Helper, compare, etcd, interleave, options, report, spread
from raw import Raw

from confo import Backends, Confo, Event, Write
from confo_etcd import EtcdBackend
from confo_etcd.schema import Message

COMMITS = 800
WARMING = 30
DOCUMENT = {"host": "127.0.0.1", "port": 5432, "user": "sales", "timeout": 2.5, "hosts": ["10.0.0.1", "10.0.0.2"]}
RAW, RAW_AS_OURS, RAW_RECORDS = b"/raw/put/", b"/raw/as-ours/", b"/raw/records/"
READY: Final = ("ready", 0.0)


def now() -> float:
    """Return microseconds on the clock that all processes share."""
    return time.clock_gettime(time.CLOCK_MONOTONIC) * 1e6


def document(number: int) -> dict[str, Any]:
    """Return a document of some 150 bytes that no other commit has."""
    return {**DOCUMENT, "number": number, "comment": "the number tells the commits apart"}


def encoded(number: int) -> bytes:
    """Return its JSON."""
    return json.dumps(document(number), separators=(",", ":")).encode()


# --- readers: each answers (number of the commit, time) for every commit -----------------------------


def read_by_confo(pipe: Connection, port: int) -> None:
    """Follow two namespaces, one for each of Confo's writers."""

    def tell(event: Event) -> None:
        seen = now()
        if event.kind == "changed" and event.new is not None:
            pipe.send((event.new["number"], seen))

    with Confo("reader") as config:
        config.load_backend({"host": "127.0.0.1", "port": port}, "etcd", Backends.ETCD_BACKEND)
        config.activate_backend("etcd")
        with config.namespace("persisted").on_change(tell), config.namespace("committed").on_change(tell):
            pipe.send(READY)
            pipe.recv()


def read_by_raw(pipe: Connection, port: int) -> None:
    """Iterate a watch stream."""

    def tell(event: Message) -> None:
        seen = now()
        pipe.send((json.loads(event.kv.value)["number"], seen))

    _read_raw(pipe, port, RAW, tell)


def read_as_ours(pipe: Connection, port: int) -> None:
    """Iterate a watch stream, and call back in another thread."""
    events: queue.SimpleQueue[Message] = queue.SimpleQueue()

    def call_back() -> None:
        while (event := events.get()) is not None:
            document = json.loads(event.kv.value)
            seen = now()
            pipe.send((document["number"], seen))

    thread = threading.Thread(target=call_back)
    thread.start()
    _read_raw(pipe, port, RAW_AS_OURS, events.put)
    events.put(None)
    thread.join()


def _read_raw(pipe: Connection, port: int, prefix: bytes, tell: Callable[[Message], None]) -> None:
    raw, ended = Raw(port), threading.Event()

    def keep_open() -> Iterator[Message]:
        ended.wait()
        yield from ()

    def follow() -> None:
        for answer in raw.watch(prefix, keep_open()):
            for event in answer.events:
                tell(event)
            if answer.created:
                pipe.send(READY)

    thread = threading.Thread(target=_until_cancelled, args=(follow,))
    thread.start()
    pipe.recv()
    ended.set()
    raw.close()
    thread.join()


def _until_cancelled(function: Callable[[], None]) -> None:
    try:
        function()
    except grpc.RpcError as error:
        if error.code() is not grpc.StatusCode.CANCELLED:
            raise


# --- writers: asked for a number, each answers (number, time before, time after) ----------------------


def serve(pipe: Connection, prepare: Callable[[int], Callable[[], object]]) -> None:
    """Commit what is asked for, until it is None."""
    pipe.send(READY)
    while (number := pipe.recv()) is not None:
        commit = prepare(number)
        before = now()
        commit()
        pipe.send((number, before, now()))


def write_by_persist(pipe: Connection, port: int) -> None:
    """Set one field, then persist."""
    with Confo("writer") as config:
        config.load_backend({"host": "127.0.0.1", "port": port}, "etcd", Backends.ETCD_BACKEND)
        config.activate_backend("etcd")
        namespace = config.namespace("persisted")
        namespace.set("database", document(-1), None)
        namespace.persist()

        def prepare(number: int) -> Callable[[], object]:
            namespace.set("database", "number", number)
            return namespace.persist

        serve(pipe, prepare)


def write_by_commit(pipe: Connection, port: int) -> None:
    """Commit through the seam, guarded by the revision of the commit before."""
    backend = EtcdBackend.open({"host": "127.0.0.1", "port": port})
    revision = 0

    def prepare(number: int) -> Callable[[], object]:
        data = encoded(number)

        def commit() -> None:
            nonlocal revision
            revision = backend.commit([Write("committed", "database", data, revision)])

        return commit

    serve(pipe, prepare)
    backend.close()


def write_by_put(pipe: Connection, port: int) -> None:
    """Put one key."""
    raw = Raw(port)

    def prepare(number: int) -> Callable[[], object]:
        request = raw.puts([(RAW + b"document", encoded(number))])
        return lambda: raw.txn(request)

    serve(pipe, prepare)
    raw.close()


def write_as_ours(pipe: Connection, port: int) -> None:
    """Send what persist sends: a guard, the document, and a record of about the same size."""
    raw, key = Raw(port), RAW_AS_OURS + b"document"
    revision = 0

    def prepare(number: int) -> Callable[[], object]:
        record = os.urandom(100).hex().encode()
        request = raw.puts([(key, encoded(number)), (RAW_RECORDS + b"%020d" % number, record)])
        compare = raw.wire.Compare
        request.compare.add(key=key, target=compare.MOD, result=compare.EQUAL, mod_revision=revision)
        request.failure.add().request_range.CopyFrom(raw.wire.RangeRequest(key=key, keys_only=True))

        def commit() -> None:
            nonlocal revision
            answer = raw.txn(request)
            assert answer.succeeded
            revision = answer.header.revision

        return commit

    serve(pipe, prepare)
    raw.close()


# --- turn and turn about ------------------------------------------------------------------------------


def turn(writer: Helper, reader: Helper, numbers: Iterator[int]) -> Callable[[], tuple[float, float]]:
    """Return what makes one commit and measures two times: until it was seen, and until the call came back."""

    def commit() -> tuple[float, float]:
        number = next(numbers)
        writer.send(number)
        seen_number, seen = reader.receive()
        while seen_number != number:  # what the writer prepared itself with
            seen_number, seen = reader.receive()
        _, before, after = writer.receive()
        return seen - before, after - before

    return commit


def main() -> None:
    """Measure and print."""
    quick = options(__doc__).quick
    with etcd() as server:
        port = server.port
        with Confo("setup") as config:
            config.load_backend({"host": "127.0.0.1", "port": port}, "etcd", Backends.ETCD_BACKEND)
            config.activate_backend("etcd")
            config.create_namespace("persisted")
            config.create_namespace("committed")
        with (
            Helper(read_by_confo, port) as confo_reader,
            Helper(read_by_raw, port) as raw_reader,
            Helper(read_as_ours, port) as our_raw_reader,
            Helper(write_by_persist, port) as persist,
            Helper(write_by_commit, port) as commit,
            Helper(write_by_put, port) as put,
            Helper(write_as_ours, port) as as_ours,
        ):
            numbers = itertools.count()  # no two commits have the same
            sides = {
                "raw put": turn(put, raw_reader, numbers),
                "persist": turn(persist, confo_reader, numbers),
                "commit": turn(commit, confo_reader, numbers),
                "raw as ours": turn(as_ours, our_raw_reader, numbers),
            }
            interleave(WARMING, *sides.values())
            found = dict(zip(sides, interleave(COMMITS // 10 if quick else COMMITS, *sides.values()), strict=True))

    seen = {name: [times[0] for times in samples] for name, samples in found.items()}
    done = {name: [times[1] for times in samples] for name, samples in found.items()}
    print("Microseconds from just before the commit to the first line of the other process's callback:")
    for name, samples in seen.items():
        spread(name, samples, "us")
    print("Microseconds of the writer's call:")
    for name, samples in done.items():
        spread(name, samples, "us")
    floor = "a raw put and watch"
    report(
        "Pushing (ours / floor)",
        [
            compare("persist -> callback", seen["persist"], seen["raw put"], unit="us", of=floor, target=1.3),
            compare("Backend.commit -> callback", seen["commit"], seen["raw put"], unit="us", of=floor, target=1.3),
            compare("raw as ours", seen["raw as ours"], seen["raw put"], unit="us", of=floor),
            compare("persist -> callback", seen["persist"], seen["raw as ours"], unit="us", of="raw as ours"),
            compare("persist(), until it returns", done["persist"], done["raw put"], unit="us", of="a raw put"),
            compare("Backend.commit(), until it returns", done["commit"], done["raw put"], unit="us", of="a raw put"),
        ],
    )


if __name__ == "__main__":
    main()
