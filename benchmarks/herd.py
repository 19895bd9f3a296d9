"""A herd: 300 clients whose server restarts, and how many of them come back at the same moment.

How: a real etcd, and 300 followed namespaces in several processes, each with a backend, channels and a stream of its
own. The server is killed and started again after a while, and the kernel's table of connections (/proc/net, Linux)
is read every few milliseconds: a connection to the server's port that was not there before is a client that came back.
Counted is the fullest 100 milliseconds, wherever they begin. The floor is the same without jitter: everybody waits as
long as the others. A server takes connections before it serves, as its kernel does that: who came in between is served
at one moment, with whatever jitter, so when clients follow again (the second line) is the server's doing.

    python benchmarks/herd.py [--quick]
"""

from __future__ import annotations

import contextlib
import random
import threading
import time
from bisect import bisect_right
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

from measure import Helper, Row, etcd, median, options, report

from confo import Backends, Confo, Event, State

if TYPE_CHECKING:
    from tests.servers import EtcdServer

CLIENTS, PROCESSES = 300, 6
WINDOW_SECONDS = 0.1
MOST = 0.10
ROUNDS = 3
AWAY_SECONDS = (0.0, 5.0, 15.0)
"""How long the server is gone, besides the time that it takes to start."""
_TICK = threading.Event()  # never set: an interruptible wait


def follow(pipe: Connection, port: int, count: int, jitter: bool) -> None:
    """Follow as so many clients; send the times at which they were ready again, whenever asked for."""
    if not jitter:
        random.random = lambda: 1.0
    news, times = threading.Condition(), list[float]()

    def heard(event: Event) -> None:
        if event.kind == "ready":
            with news:
                times.append(time.monotonic())
                news.notify_all()

    with contextlib.ExitStack() as clients:
        for n in range(count):
            config = clients.enter_context(Confo(f"client-{n}"))
            config.load_backend({"host": "127.0.0.1", "port": port}, "etcd", Backends.ETCD_BACKEND, history=False)
            sales = config.namespace("sales", backend="etcd")
            while sales.status().state is not State.READY:
                _TICK.wait(0.01)
            sales.on_change(heard, kinds="all")
        pipe.send("ready")
        while pipe.recv() is not None:
            with news:
                news.wait_for(lambda: len(times) >= count, 60.0)
                pipe.send(times.copy())
                times.clear()


def fullest(times: list[float]) -> int:
    """Return how many of these times lie in the fullest window."""
    ordered = sorted(times)
    return max(bisect_right(ordered, began + WINDOW_SECONDS) - n for n, began in enumerate(ordered))


class Arrivals:
    """The times at which connections to a port were first seen, until it is stopped."""

    def __init__(self, port: int) -> None:
        self._remote = f"{port:04X}"
        self._seen = self._now()
        self._times: list[float] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def stop(self) -> list[float]:
        """Return them."""
        self._stop.set()
        self._thread.join()
        return self._times

    def _now(self) -> set[str]:
        tables = ("/proc/net/tcp", "/proc/net/tcp6")  # gRPC's sockets are of both families
        lines = (line.split() for table in tables for line in Path(table).read_text().splitlines()[1:])
        return {words[1] for words in lines if words[2].endswith(f":{self._remote}") and words[3] == "01"}

    def _look(self) -> None:
        while not self._stop.wait(0.01):
            fresh = self._now() - self._seen
            self._seen |= fresh
            self._times += [time.monotonic()] * len(fresh)


def restart(server: EtcdServer, herd: list[Helper], away: float) -> tuple[list[float], list[float], float]:
    """Restart the server; return when clients connected, when they followed again, and how long it did not serve."""
    began = time.monotonic()
    server.kill()
    arrivals = Arrivals(server.port)
    _TICK.wait(away)
    server.start()
    gone = time.monotonic() - began
    for helper in herd:
        helper.send("when?")
    followed = [seconds for helper in herd for seconds in helper.receive(90.0)]
    return arrivals.stop(), followed, gone


def measure(server: EtcdServer, count: int, rounds: int, away: float, *, jitter: bool) -> list[Row]:
    """Return the lines of one herd."""
    connected, followed, gone = [], [], []
    with contextlib.ExitStack() as stack:
        herd = [stack.enter_context(Helper(follow, server.port, count // PROCESSES, jitter)) for _ in range(PROCESSES)]
        for _ in range(rounds):
            _TICK.wait(6.0)  # a stream that lived for 5 seconds is one of a herd
            arrivals, times, seconds = restart(server, herd, away)
            if len(times) != count or len(arrivals) < count:
                raise RuntimeError(f"{len(times)} of {count} clients came back, by {len(arrivals)} connections")
            connected.append(fullest(arrivals) / count)
            followed.append(fullest(times) / count)
            gone.append(seconds)
    most, name = max(connected), "full jitter" if jitter else "no jitter"
    within = f"of {count} within {WINDOW_SECONDS * 1e3:g} ms"
    return [
        Row(
            f"{name}, away for {median(gone):.1f} s: connected", ", ".join(f"{share:.1%}" for share in connected),
            f"{most:.1%} {within}", f"{MOST:.0%}" if jitter else "", missed=jitter and most > MOST,
        ),
        Row(
            f"{name}, away for {median(gone):.1f} s: followed", ", ".join(f"{share:.1%}" for share in followed),
            f"{max(followed):.1%} {within}",
        ),
    ]  # fmt: skip


def main() -> None:
    """Measure and print."""
    quick = options(__doc__).quick
    count, rounds = (60, 1) if quick else (CLIENTS, ROUNDS)
    with etcd() as server:
        with Confo("creator") as config:
            config.load_backend({"host": "127.0.0.1", "port": server.port}, "etcd", Backends.ETCD_BACKEND)
            config.activate_backend("etcd")
            config.create_namespace("sales")
        rows: list[Row] = []
        for away in AWAY_SECONDS:
            for jitter in (True, False):
                rows += measure(server, count, rounds, away, jitter=jitter)
    report("Coming back after a restart", rows)


if __name__ == "__main__":
    main()
