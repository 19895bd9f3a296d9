"""Real ZooKeeper servers: Debian's, run from its jars with the system's Java; one, or an ensemble."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

import pytest

from tests.servers import ROOT, SECONDS, Cluster, ServerProcess, free_ports, required_servers

LABEL = "zookeeper"
NETTY = (
    "buffer",
    "codec",
    "common",
    "handler",
    "resolver",
    "transport",
    "transport-native-epoll",
    "transport-native-unix-common",
)
JARS = ["zookeeper", "zookeeper-jute", "slf4j-api", "slf4j-simple", "metrics-core", "snappy-java"]
JARS += [f"netty-{name}" for name in NETTY]
"""What a server needs; netty is for TLS."""
UNKNOWN = 99
"""An opcode that no server knows: it answers as one does that is older than the request."""
TICK = 500
"""Milliseconds: a session lasts 2 to 20 of them, as it asks."""


def folders() -> Iterator[Path]:
    """Yield where the jars may lie: ``.servers/``, the system's own."""
    yield from sorted((ROOT / ".servers").glob("zookeeper-*/usr/share/java"))
    yield Path("/usr/share/java")


@cache
def class_path() -> str | None:
    """Return the jars of a server, None if they are not here, or no Java to run them."""
    if shutil.which("java") is None:
        return None
    for folder in folders():
        found = [folder / f"{name}.jar" for name in JARS]
        if all(path.exists() for path in found):
            return ":".join(map(str, found))
    return None


def jars() -> str:
    """Return the jars; without them the test is skipped, or fails if the server is required."""
    found = class_path()
    if found is not None:
        return found
    reason = (
        f"{LABEL} is not here: it needs a `java` (default-jre-headless), and the jars that `nox -s servers` unpacks"
    )
    if LABEL in required_servers():
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


class ZooServer(ServerProcess):
    """One server with a data folder of its own, started when made; ``options`` are added to its zoo.cfg.

    ``java`` are options of the virtual machine.

    ``tls`` is (certificate, key, CA) for a second port, ``secure_port``, which asks clients for certificates if
    ``client_certificate``. As one of several it has a ``number``, and in ``members`` all servers' ports for each other
    by their numbers; it is not waited for then, as it serves nobody before the others are there.
    """

    def __init__(
        self,
        *,
        options: Mapping[str, object] | None = None,
        tls: tuple[Path, Path, Path] | None = None,
        client_certificate: bool = False,
        number: int = 1,
        members: Mapping[int, tuple[int, int]] | None = None,
        java: Sequence[str] = (),
    ) -> None:
        super().__init__(LABEL)
        self._java = java
        self.jars = jars()
        self.number = number
        self.port, self.secure_port = free_ports(2)
        self._settings = self._configuration(options or {}, members)
        if tls is not None:
            self._settings |= self._encrypted(tls, client_certificate=client_certificate)
        try:
            (self.folder / "data").mkdir()
            (self.folder / "data" / "myid").write_text(str(number))
            (self.folder / "zoo.cfg").write_text("".join(f"{key}={value}\n" for key, value in self._settings.items()))
            self.start(wait=members is None)
        except BaseException:
            self.close()
            raise

    def __repr__(self) -> str:
        return f"<ZooServer {self.number} at {self.host}>"

    @property
    def host(self) -> str:
        """Return host and port as credentials take them."""
        return f"127.0.0.1:{self.port}"

    def _configuration(
        self, options: Mapping[str, object], members: Mapping[int, tuple[int, int]] | None
    ) -> dict[str, object]:
        settings: dict[str, object] = {
            "dataDir": self.folder / "data",
            "clientPort": self.port,
            "clientPortAddress": "127.0.0.1",
            "tickTime": TICK,
            "maxClientCnxns": 0,
            "admin.enableServer": "false",
            "4lw.commands.whitelist": "*",
            "forceSync": "no",  # no test here cuts the power
            "preAllocSize": 1024,
            **options,
        }
        if members is not None:
            settings |= {"initLimit": 40, "syncLimit": 10}
            settings |= {f"server.{n}": f"127.0.0.1:{peer}:{vote}" for n, (peer, vote) in members.items()}
        return settings

    def _encrypted(self, tls: tuple[Path, Path, Path], *, client_certificate: bool) -> dict[str, object]:
        """Return the settings of the second port; a PEM key store is the key and its certificates in one file."""
        certificate, key, authority = tls
        store = self.folder / "server.pem"
        store.write_bytes(key.read_bytes() + certificate.read_bytes())
        return {
            "secureClientPort": self.secure_port,
            "secureClientPortAddress": "127.0.0.1",
            "serverCnxnFactory": "org.apache.zookeeper.server.NettyServerCnxnFactory",
            "ssl.keyStore.location": store,
            "ssl.keyStore.type": "PEM",
            "ssl.trustStore.location": authority,
            "ssl.trustStore.type": "PEM",
            "ssl.clientAuth": "need" if client_certificate else "none",
            "authProvider.x509": "org.apache.zookeeper.server.auth.X509AuthenticationProvider",
        }

    def _command(self) -> list[str]:
        return [
            "java", *self._java, "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", self.jars,
            "org.apache.zookeeper.server.quorum.QuorumPeerMain", str(self.folder / "zoo.cfg"),
        ]  # fmt: skip

    def _is_healthy(self) -> bool:
        return self.mode() is not None

    def mode(self) -> str | None:
        """Return "standalone", "leader" or "follower"; None while it serves nobody."""
        lines = [line for line in self.ask("srvr").splitlines() if line.startswith("Mode: ")]
        return lines[0].removeprefix("Mode: ") if lines else None

    def ask(self, word: str) -> str:
        """Return what it answers to one of its four-letter words; nothing if it does not."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as connection:
                connection.sendall(word.encode())
                return b"".join(iter(lambda: connection.recv(65536), b"")).decode()
        except OSError:
            return ""

    def cli(self, *words: str) -> str:
        """Run ZooKeeper's own command line, the way by which others write, and return what it prints."""
        command = ["java", "-Xmx64m", "-XX:TieredStopAtLevel=1", "-cp", f"{self.jars}:{self._commons_cli()}"]
        command += ["-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "org.apache.zookeeper.ZooKeeperMain"]
        done = subprocess.run(
            [*command, "-server", self.host, *words], capture_output=True, text=True, timeout=SECONDS, check=False
        )
        if done.returncode:
            raise RuntimeError(f"zkCli {' '.join(words)}: {done.stderr}")
        return done.stdout

    def _commons_cli(self) -> Path:
        return Path(self.jars.partition(":")[0]).with_name("commons-cli.jar")


class ZooEnsemble(Cluster[ZooServer]):
    """Several servers that are one ZooKeeper, started when made."""

    def __init__(self, size: int = 3) -> None:
        ports = free_ports(2 * size)
        members = {number: (ports[2 * number - 2], ports[2 * number - 1]) for number in range(1, size + 1)}
        super().__init__(ZooServer(number=number, members=members) for number in members)

    @property
    def hosts(self) -> Sequence[str]:
        """Return the members' hosts and ports as credentials take them."""
        return [member.host for member in self.members]

    def leads(self, member: ZooServer) -> bool:
        """Ask it."""
        return member.mode() == "leader"
