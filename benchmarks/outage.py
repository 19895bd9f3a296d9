"""An outage: a million reads while the store is away, when it is noticed, and when the copy is followed again.

How: a real etcd is filled with 1,000 configurations, which this process follows. Four threads read one field after
another, a million in all, in bursts of 1,000 spread over the time, and measure each; first with the store healthy (a
third of the time), then while it is away for 60 seconds: killed ("refused"), stopped by SIGSTOP ("paused"), or behind a
proxy that swallows every byte ("dropped"). The 99th percentiles are compared, exceptions and wrong values counted.
Noticed: from the beginning of the outage until the status is STALE. Healed: from the moment when the store takes
requests again (for a paused one: when it was resumed) until the status is READY.

    python benchmarks/outage.py [--quick]
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from measure import ROOT, Row, etcd, number, options, report

from confo import Backends, Confo, Namespace, State

sys.path.append(str(ROOT))
from tests.proxy import Proxy

if TYPE_CHECKING:
    from tests.servers import EtcdServer

CONFIGURATIONS = 1000
THREADS, BURST = 4, 1000
READS = 1_000_000
OUTAGE_SECONDS = 60.0
NOTICED_SECONDS, HEALED_SECONDS, SLOWER = 10.0, 6.0, 2.0
_TICK = threading.Event()  # never set: an interruptible wait


class Reads(NamedTuple):
    """What the readers of one phase saw."""

    nanoseconds: list[int]
    failures: list[str]

    @property
    def p99(self) -> float:
        """The 99th percentile, in nanoseconds."""
        return sorted(self.nanoseconds)[len(self.nanoseconds) * 99 // 100]


class Readers:
    """Threads that read a number of times, spread over so many seconds."""

    def __init__(self, config: Confo, reads: int, seconds: float) -> None:
        self._config = config
        self._bursts = reads // THREADS // BURST
        self._pause = seconds / self._bursts
        self._found = [Reads([], []) for _ in range(THREADS)]
        self._threads = [threading.Thread(target=self._read, args=(found,)) for found in self._found]
        for thread in self._threads:
            thread.start()

    def join(self) -> Reads:
        """Wait for the end and return what all saw."""
        for thread in self._threads:
            thread.join()
        return Reads(
            [n for one in self._found for n in one.nanoseconds], [f for one in self._found for f in one.failures]
        )

    def _read(self, found: Reads) -> None:
        get, clock = self._config.get, time.perf_counter_ns
        names = [f"service-{n}" for n in range(CONFIGURATIONS)] * (BURST // CONFIGURATIONS)
        due = time.monotonic()
        for _ in range(self._bursts):
            due += self._pause
            for name in names:
                began = clock()
                try:
                    value = get(name, "name")
                except BaseException as error:  # noqa: BLE001 - whatever it is, it counts
                    found.failures.append(type(error).__name__)
                    continue
                found.nanoseconds.append(clock() - began)
                if value != name:
                    found.failures.append("a wrong value")
            _TICK.wait(max(0.0, due - time.monotonic()))


@contextlib.contextmanager
def refused(server: EtcdServer, _: Proxy) -> Iterator[Callable[[], None]]:
    """Kill the server; it returns by a start on the same data."""
    server.kill()
    yield server.start


@contextlib.contextmanager
def paused(server: EtcdServer, _: Proxy) -> Iterator[Callable[[], None]]:
    """Stop the server in the middle of whatever it does."""
    server.pause()
    yield server.resume


@contextlib.contextmanager
def dropped(_: EtcdServer, proxy: Proxy) -> Iterator[Callable[[], None]]:
    """Let the network swallow everything."""
    proxy.stall()
    yield proxy.go_on


def seconds_until(sales: Namespace, state: State, most: float) -> float:
    """Wait until the namespace has this state and return how long that took."""
    began = time.monotonic()
    while sales.status().state is not state and time.monotonic() - began < most:
        _TICK.wait(0.01)
    return time.monotonic() - began


def run(
    server: EtcdServer, way: Callable[..., contextlib.AbstractContextManager[Callable[[], None]]], scale: float
) -> list[Row]:
    """Go through one outage and return its lines."""
    reads, seconds = int(READS * scale), OUTAGE_SECONDS * max(scale, 0.25)
    with Proxy(server.port) as proxy, Confo("outage") as config:
        port = proxy.port if way is dropped else server.port
        config.load_backend({"host": "127.0.0.1", "port": port}, "etcd", Backends.ETCD_BACKEND)
        config.activate_backend("etcd")
        config.use_namespace("sales")
        sales = config.namespace("sales")
        seconds_until(sales, State.READY, 10.0)
        healthy = Readers(config, reads, seconds / 3).join()
        with way(server, proxy) as bring_back:
            readers = Readers(config, reads, seconds)
            noticed = seconds_until(sales, State.STALE, seconds)
            away = readers.join()
            still = sales.status().state is State.STALE
            bring_back()
        healed = seconds_until(sales, State.READY, 60.0)
    ratio, failures = away.p99 / healthy.p99, healthy.failures + away.failures
    name = way.__name__
    return [
        Row(f"{name}: reads", f"{len(away.nanoseconds):,}", f"{len(failures)} failed", "0", missed=bool(failures)),
        Row(
            f"{name}: 99th percentile", f"{number(away.p99)} / {number(healthy.p99)} ns", f"{ratio:.2f}x of healthy",
            f"{SLOWER:g}x", missed=ratio > SLOWER,
        ),
        Row(
            f"{name}: noticed", f"{noticed:.2f} s", "STALE to the end" if still else "not STALE at the end",
            f"{NOTICED_SECONDS:g} s", missed=noticed > NOTICED_SECONDS or not still,
        ),
        Row(f"{name}: healed", f"{healed:.2f} s", "READY", f"{HEALED_SECONDS:g} s", missed=healed > HEALED_SECONDS),
    ]  # fmt: skip


def fill(server: EtcdServer) -> None:
    """Write the configurations."""
    with Confo("filler") as config:
        config.load_backend({"host": "127.0.0.1", "port": server.port}, "etcd", Backends.ETCD_BACKEND, history=False)
        config.activate_backend("etcd")
        config.create_namespace("sales")
        config.use_namespace("sales")
        for n in range(CONFIGURATIONS):
            config.set(f"service-{n}", {"name": f"service-{n}", "port": n})
        config.namespace("sales").persist(split=True)


def main() -> None:
    """Measure and print."""
    scale = 0.1 if options(__doc__).quick else 1.0
    rows = []
    with etcd() as server:
        fill(server)
        for way in (refused, paused, dropped):
            rows += run(server, way, scale)
    report(f"An outage of {OUTAGE_SECONDS * max(scale, 0.25):g} seconds (away / healthy)", rows)


if __name__ == "__main__":
    main()
