"""What ``load_backend(credentials=...)`` takes for ZooKeeper: read, checked, and refused with the reason.

Nothing here speaks to a server. No message and no repr holds a password.
"""

from __future__ import annotations

import ssl
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from confo import CredentialsError, CredentialsReader

SAME = {
    "host": "zookeeper_host",
    "port": "zookeeper_port",
    "user": "zookeeper_user",
    "password": "zookeeper_passwd",
}
"""What a URL and the other backends call them, and what they are called here since 2021."""
ALLOWED = (*SAME.values(), "hosts", "ca_cert", "cert_cert", "cert_key", "prefix", "timeout", *SAME)
DEFAULT_PORT = 2181  # ZooKeeper's client port, registered with IANA
DEFAULT_PREFIX = "/confo"
DEFAULT_TIMEOUT = 5.0
LONGEST_PREFIX = 512
"""Characters: every path in a request begins with it, and a request has a limit."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """Checked credentials: whom to speak to, as whom, and how; ``timeout`` is in seconds."""

    hosts: tuple[str, ...]
    prefix: str
    timeout: float
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: ssl.SSLContext | None = field(default=None, repr=False)


def parse(given: Mapping[str, object]) -> Credentials:
    """Check credentials as a user wrote them and return them; CredentialsError says what is wrong with which."""
    reader = CredentialsReader(given, "the ZooKeeper backend", ALLOWED, SAME)
    reader.together("zookeeper_user", "zookeeper_passwd")
    reader.together("cert_cert", "cert_key", "a client certificate needs both")
    user = reader.text("zookeeper_user")
    if user and ":" in user:
        raise CredentialsError(
            f"credential {reader.called('zookeeper_user')} has a colon, which ends a name in ZooKeeper"
        )
    credentials = Credentials(
        hosts=_hosts(reader),
        prefix=_prefix(reader),
        timeout=reader.seconds("timeout", DEFAULT_TIMEOUT),
        user=user,
        password=reader.text("zookeeper_passwd"),
        tls=_tls(reader),
    )
    if credentials.password is not None and credentials.tls is None:
        reader.check_secrecy(
            credentials.hosts,
            'give "ca_cert" to use TLS, for which ZooKeeper has a port of its own (secureClientPort)',
        )
    return credentials


def _hosts(reader: CredentialsReader) -> tuple[str, ...]:
    if "hosts" in reader:
        reader.one_of("hosts", ("zookeeper_host", "zookeeper_port"))
        return reader.addresses("hosts", DEFAULT_PORT)
    if "zookeeper_host" not in reader:
        raise reader.missing("zookeeper_host", ', or "hosts" for several servers')
    return (reader.address("zookeeper_host", "zookeeper_port", DEFAULT_PORT),)


def _prefix(reader: CredentialsReader) -> str:
    """Return the prefix as the path of a znode: a slash first and none at the end."""
    prefix = "/" + (reader.text("prefix") or DEFAULT_PREFIX).strip("/")
    parts = prefix[1:].split("/")
    if not prefix.isprintable() or {"", ".", ".."} & set(parts) or len(prefix) > LONGEST_PREFIX:
        raise CredentialsError(
            f'credential "prefix" is the path of a znode, like "{DEFAULT_PREFIX}", of {LONGEST_PREFIX} characters at '
            "most; the root is none, as ZooKeeper keeps its own there"
        )
    return prefix


def _tls(reader: CredentialsReader) -> ssl.SSLContext | None:
    """Return how to encrypt, None if no certificate is given: then nothing is encrypted."""
    authority = reader.pem("ca_cert", "CERTIFICATE")
    certificate, key = reader.pem("cert_cert", "CERTIFICATE"), reader.pem("cert_key", "PRIVATE KEY")
    if authority is None and certificate is None:
        return None
    said, context = "", None
    try:
        context = ssl.create_default_context(cadata=None if authority is None else authority.decode("ascii", "ignore"))
        if certificate is not None and key is not None:
            _load(context, certificate, key)
    except (OSError, ValueError) as error:  # an SSLError is an OSError
        said = getattr(error, "reason", None) or type(error).__name__
    if said or context is None:
        raise CredentialsError(
            f'credentials "ca_cert", "cert_cert" and "cert_key" are not what TLS takes: {said}; are they whole, do '
            "certificate and key belong together, and is the key without a passphrase?"
        )
    # Formal strictness, which Python 3.13 began with, refuses many a private authority; OpenSSL's own checks stay.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def _load(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """Load a client certificate, which Python takes from a file only: one that nobody else may read, for a moment."""
    with tempfile.TemporaryDirectory(prefix="confo-") as folder:  # of mode 0700
        both = Path(folder) / "client.pem"
        both.touch(mode=0o600)
        both.write_bytes(certificate.rstrip() + b"\n" + key.rstrip() + b"\n")
        context.load_cert_chain(both, password="")  # a key with a passphrase would ask for it on the terminal
