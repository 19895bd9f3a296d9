"""Cold starts without the store: new processes while every server refuses, swallows packets, or hangs.

A real etcd is filled with 1,000 configurations of 1 KiB, and a program that keeps them runs once. Then the server is
killed (refused), its port taken by a socket that answers no SYN (dropped), or the server stopped by SIGSTOP (paused),
and new processes start one after another, with ``start="last-known-good"``. A start counts when its first value is the
right one, out of the cache and said to be stale. The library's share is the time from ``load_backend`` to that value,
less what was waited for the store: what its driver took to refuse, or the ``timeout``. The driver was imported before.

    python -m tests.reliability.cold_start [--starts 100] [--timeout 0.5]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from typing import Any

from confo import Confo
from confo_etcd import EtcdBackend
from tests.servers import EtcdServer, etcd_binary

CONFIGURATIONS, SIZE = 1000, 1024
MOST = 0.050
"""Seconds that the library may take."""


def start(port: int, folder: str, timeout: float, name: str) -> dict[str, Any]:
    """Start as a program does and return what it saw and how long it took."""
    waited: list[float] = []
    real = EtcdBackend.open

    def timed(credentials: Mapping[str, object]) -> EtcdBackend:
        began = time.perf_counter()
        try:
            return real(credentials)
        finally:
            waited.append(time.perf_counter() - began)

    EtcdBackend.open = timed  # type: ignore[method-assign] # to know what is not ours
    began = time.perf_counter()
    with Confo() as config:
        config.load_backend(
            {"host": "127.0.0.1", "port": port}, "store", "etcd", start="last-known-good", cache=folder, timeout=timeout
        )
        opening = [min(timeout, seconds) for seconds in waited[:1]] or [timeout]
        config.activate_backend("store")
        config.use_namespace("sales")
        value = config.get(name, "value")
        total = time.perf_counter() - began
        status = config.namespace("sales").status()
        count = config.get_count()
    return {
        "value": value, "count": count, "state": status.state.name, "source": status.source,
        "total": total, "share": total - opening[0],
    }  # fmt: skip


def fill(server: EtcdServer, folder: str) -> dict[str, str]:
    """Write the configurations, have them kept, and return their values."""
    values = {f"service-{number}": f"{number:04}" * (SIZE // 4 - 4) for number in range(CONFIGURATIONS)}
    with Confo() as config:
        credentials = {"host": "127.0.0.1", "port": server.port}
        config.load_backend(credentials, "store", "etcd", start="last-known-good", cache=folder, history=False)
        config.activate_backend("store")
        config.create_namespace("sales")
        config.use_namespace("sales")
        for name, value in values.items():
            config.set(name, "value", value)
        config.namespace("sales").persist(split=True)
    return values


@contextlib.contextmanager
def refused(server: EtcdServer) -> Iterator[None]:
    """Kill the server: nobody listens."""
    server.kill()
    yield


@contextlib.contextmanager
def dropped(server: EtcdServer) -> Iterator[None]:
    """Take its port with a socket whose queue is full: Linux drops every further SYN."""
    server.kill()
    with contextlib.ExitStack() as sockets:
        deaf = sockets.enter_context(socket.socket())
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        deaf.bind(("127.0.0.1", server.port))
        deaf.listen(0)
        for _ in range(8):
            one = sockets.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", server.port))
        probe = sockets.enter_context(socket.socket())
        probe.settimeout(0.3)
        with contextlib.suppress(TimeoutError):
            probe.connect(("127.0.0.1", server.port))
            raise RuntimeError("the port answers")
        yield


@contextlib.contextmanager
def paused(server: EtcdServer) -> Iterator[None]:
    """Stop the server: its kernel takes connections, and nothing answers."""
    if not server.is_running:
        server.start()
    server.pause()
    yield
    server.resume()


def run(way: Any, server: EtcdServer, folder: str, values: Mapping[str, str], starts: int, timeout: float) -> bool:
    """Start so many processes and print what came; tell whether all was right."""
    names, shares, totals, right = list(values), [], [], 0
    with way(server):
        for number in range(starts):
            name = names[number * 997 % len(names)]
            command = [sys.executable, "-m", "tests.reliability.cold_start", "--child", name]
            command += ["--port", str(server.port), "--folder", folder, "--timeout", str(timeout)]
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
            if done.returncode:
                sys.stdout.write(f"start {number}: {done.stderr[-2000:]}\n")
                continue
            seen = json.loads(done.stdout)
            shares.append(seen["share"])
            totals.append(seen["total"])
            right += (seen["value"], seen["count"], seen["source"], seen["state"] in ("STALE", "ERROR")) == (
                values[name], CONFIGURATIONS, "cache", True,
            )  # fmt: skip
    quick = sum(share <= MOST for share in shares)
    cuts = [share * 1e3 for share in (statistics.median(shares), statistics.quantiles(shares, n=20)[-1], max(shares))]
    sys.stdout.write(
        f"{way.__name__:8} right first value {right} of {starts}; the library's share median {cuts[0]:.1f}, p95 "
        f"{cuts[1]:.1f}, most {cuts[2]:.1f} ms, at most {MOST * 1e3:g} ms in {quick} of {starts}; "
        f"with waiting {statistics.median(totals) * 1e3:.0f} ms\n"
    )
    sys.stdout.flush()
    return right == starts and quick == starts


def main(starts: int, timeout: float) -> bool:
    """Run every way of being away."""
    with tempfile.TemporaryDirectory() as folder, EtcdServer(etcd_binary("etcd-3.5")) as server:
        cache = f"{folder}/cache"
        values = fill(server, cache)
        found = [run(way, server, cache, values, starts, timeout) for way in (refused, dropped, paused)]
        return all(found)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--starts", type=int, default=100)
    parser.add_argument("--timeout", type=float, default=0.5)
    for hidden in ("--child", "--port", "--folder"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        sys.stdout.write(json.dumps(start(int(given.port), given.folder, given.timeout, given.child)))
    else:
        sys.exit(not main(given.starts, given.timeout))
