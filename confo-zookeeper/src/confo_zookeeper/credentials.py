"""What ``load_backend(credentials=...)`` takes for ZooKeeper: read, checked, and refused with the reason.

Nothing here speaks to a server. No message and no repr holds a password.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from ipaddress import ip_address
from pathlib import Path

from confo import CredentialsError

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
    for key in given:
        if key not in ALLOWED:
            raise CredentialsError(_unknown(str(key)))
    here: dict[str, object] = {}
    for key, value in given.items():
        if value is None:
            continue
        name = SAME.get(key, key)
        if name in here:
            raise CredentialsError(f'credential "{name}" is given twice, by its short name too: give one of them')
        here[name] = value
    user, password = _text(here, "zookeeper_user"), _text(here, "zookeeper_passwd")
    if (user is None) != (password is None):
        there, missing = ("zookeeper_user", "zookeeper_passwd") if user else ("zookeeper_passwd", "zookeeper_user")
        raise CredentialsError(f'credential "{there}" is given without "{missing}": give both or neither')
    if user and ":" in user:
        raise CredentialsError('credential "zookeeper_user" has a colon, which ends a name in ZooKeeper')
    credentials = Credentials(_hosts(here), _prefix(here), _timeout(here), user, password, _tls(here))
    _check_secrecy(credentials)
    return credentials


def _unknown(key: str) -> str:
    close = get_close_matches(key, ALLOWED, n=1)
    hint = f': did you mean "{close[0]}"?' if close else "."
    return f'the ZooKeeper backend knows no credential "{key}"{hint} It takes {", ".join(ALLOWED)}'


def _text(here: Mapping[str, object], key: str) -> str | None:
    value = here.get(key)
    if value is None:
        return None
    if not isinstance(value, str):
        raise CredentialsError(f'credential "{key}" is a str, not {type(value).__name__}')
    if not value or "\0" in value:
        raise CredentialsError(f'credential "{key}" is empty or has a NUL')
    return value


def _hosts(here: Mapping[str, object]) -> tuple[str, ...]:
    if "hosts" in here:
        for key in ("zookeeper_host", "zookeeper_port"):
            if key in here:
                raise CredentialsError(f'credentials "hosts" and "{key}" are both given: give one of them')
        return _many(here["hosts"])
    host = _text(here, "zookeeper_host")
    if host is None:
        raise CredentialsError('the ZooKeeper backend needs "zookeeper_host", or "hosts" for several servers')
    port = _port(here.get("zookeeper_port", DEFAULT_PORT), 'credential "zookeeper_port"')
    return (_joined(host, port, 'credential "zookeeper_host"'),)


def _many(given: object) -> tuple[str, ...]:
    if isinstance(given, str):
        given = given.split(",")
    if not isinstance(given, Iterable) or isinstance(given, bytes | Mapping):
        raise CredentialsError(f'credential "hosts" is a list of "host:port", not {type(given).__name__}')
    found: dict[str, None] = {}
    for one in given:
        if not isinstance(one, str):
            raise CredentialsError(f'credential "hosts" is a list of "host:port"; one is {type(one).__name__}')
        host, colon, port = one.strip().rpartition(":")
        if not colon or one.strip().endswith("]"):  # an IPv6 address without a port ends in its bracket
            host, port = one.strip(), str(DEFAULT_PORT)
        where = f'host "{_without_user(one)}"'
        found[_joined(host.strip("[]"), _port(port, where), where)] = None
    if not found:
        raise CredentialsError('credential "hosts" is empty: give at least one "host:port"')
    return tuple(found)


def _port(given: object, where: str) -> int:
    try:
        if isinstance(given, bool) or not isinstance(given, int | str):
            raise ValueError
        port = int(given)
    except ValueError:
        raise CredentialsError(f"{where}: the port is a number from 1 to 65535") from None
    if not 1 <= port <= 65535:
        raise CredentialsError(f"{where}: the port is a number from 1 to 65535, not {port}")
    return port


def _joined(host: str, port: int, where: str) -> str:
    """Put host and port together as kazoo takes them: an IPv6 address in brackets."""
    plain = host.isprintable() and not set(host) & set(':/@,[]?#"\\ ')
    if not host or (_is_loopback(host) is None and not plain):
        raise CredentialsError(
            f"{where}: {_without_user(host)!r} is not a host; the port has a credential of its own, and several "
            'servers stand in "hosts"'
        )
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _without_user(address: str) -> str:
    """Leave out a user and a password that were written into an address: they go into no message."""
    return address.rpartition("@")[2]


def _prefix(here: Mapping[str, object]) -> str:
    """Return the prefix as the path of a znode: a slash first and none at the end."""
    prefix = "/" + (_text(here, "prefix") or DEFAULT_PREFIX).strip("/")
    parts = prefix[1:].split("/")
    if not prefix.isprintable() or {"", ".", ".."} & set(parts) or len(prefix) > LONGEST_PREFIX:
        raise CredentialsError(
            f'credential "prefix" is the path of a znode, like "{DEFAULT_PREFIX}", of {LONGEST_PREFIX} characters at '
            "most; the root is none, as ZooKeeper keeps its own there"
        )
    return prefix


def _timeout(here: Mapping[str, object]) -> float:
    given = here.get("timeout", DEFAULT_TIMEOUT)
    try:
        if isinstance(given, bool) or not isinstance(given, int | float | str):
            raise ValueError
        timeout = float(given)
        if not 0 < timeout <= threading.TIMEOUT_MAX:
            raise ValueError
    except ValueError:
        raise CredentialsError('credential "timeout" is a number of seconds above 0') from None
    return timeout


def _tls(here: Mapping[str, object]) -> ssl.SSLContext | None:
    """Return how to encrypt, None if no certificate is given: then nothing is encrypted."""
    authority, certificate, key = (_file(here, name) for name in ("ca_cert", "cert_cert", "cert_key"))
    if (certificate is None) != (key is None):
        there, missing = ("cert_cert", "cert_key") if key is None else ("cert_key", "cert_cert")
        raise CredentialsError(f'credential "{there}" is given without "{missing}": a client certificate needs both')
    if authority is None and certificate is None:
        return None
    try:
        context = ssl.create_default_context(cafile=authority)
        if certificate is not None:
            context.load_cert_chain(certificate, key, "")  # a key with a password would ask for it on the terminal
    except (OSError, ValueError) as error:  # an SSLError is an OSError
        raise CredentialsError(
            f'credentials "ca_cert", "cert_cert" and "cert_key" are not what TLS takes: {type(error).__name__}'
        ) from error
    # Formal strictness, which Python 3.13 began with, refuses many a private authority; OpenSSL's own checks stay.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def _file(here: Mapping[str, object], key: str) -> str | None:
    if key not in here:
        return None
    path = here[key]
    if not isinstance(path, str | Path):
        raise CredentialsError(f'credential "{key}" is the path of a PEM file, not {type(path).__name__}')
    try:
        content = Path(path).read_bytes()
    except (OSError, ValueError) as error:  # a NUL in a path is a ValueError
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise CredentialsError(f'credential "{key}": cannot read {str(path)!r}: {reason}') from error
    if b"-----BEGIN " not in content:
        raise CredentialsError(f'credential "{key}": {str(path)!r} is not a PEM file')
    return str(path)


def _check_secrecy(credentials: Credentials) -> None:
    """Refuse to send a password in plain text over a network."""
    if credentials.password is None or credentials.tls is not None:
        return
    for host in credentials.hosts:
        name = host.rpartition(":")[0].strip("[]")
        if name != "localhost" and not _is_loopback(name):
            raise CredentialsError(
                f'the password would go to {host} in plain text: give "ca_cert" to use TLS, for which ZooKeeper has a '
                "port of its own (secureClientPort)"
            )


def _is_loopback(host: str) -> bool | None:
    """Tell whether this is an address of the same machine; None if it is no address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return None
