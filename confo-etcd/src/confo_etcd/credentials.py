"""What ``load_backend(credentials=...)`` takes for etcd: read, checked, and refused with the reason.

Nothing here speaks to a server. No message and no repr holds a password.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

from confo import CredentialsError

ALLOWED = (
    "host", "port", "endpoints", "user", "password", "ca_cert", "cert_cert", "cert_key", "prefix", "timeout",
    "insecure",
)  # fmt: skip
DEFAULT_PORT = 2379  # etcd's client port, registered with IANA
DEFAULT_PREFIX = "/confo/"
DEFAULT_TIMEOUT = 5.0  # seconds; etcd's own server gives up on a request after about 7


@dataclass(frozen=True, slots=True)
class Credentials:
    """Checked credentials: whom to speak to, as whom, and how.

    ``timeout`` is in seconds. The certificates are the PEM files' bytes; ``tls`` tells whether any was given.
    """

    endpoints: tuple[str, ...]
    prefix: str
    timeout: float
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_cert: bytes | None = field(default=None, repr=False)
    cert_cert: bytes | None = field(default=None, repr=False)
    cert_key: bytes | None = field(default=None, repr=False)

    @property
    def tls(self) -> bool:
        """Tell whether the channel is encrypted."""
        return self.ca_cert is not None or self.cert_cert is not None


def parse(given: Mapping[str, object]) -> Credentials:
    """Check credentials as a user wrote them and return them; CredentialsError says what is wrong with which."""
    for key in given:
        if key not in ALLOWED:
            raise CredentialsError(_unknown(str(key)))
    here = {key: value for key, value in given.items() if value is not None}
    user, password = _text(here, "user"), _text(here, "password")
    if (user is None) != (password is None):
        there, missing = ("user", "password") if password is None else ("password", "user")
        raise CredentialsError(f'credential "{there}" is given without "{missing}": give both or neither')
    if ("cert_cert" in here) != ("cert_key" in here):
        there, missing = ("cert_cert", "cert_key") if "cert_cert" in here else ("cert_key", "cert_cert")
        raise CredentialsError(f'credential "{there}" is given without "{missing}": a client certificate needs both')
    credentials = Credentials(
        endpoints=_endpoints(here),
        prefix=_prefix(here),
        timeout=_timeout(here),
        user=user,
        password=password,
        ca_cert=_pem(here, "ca_cert"),
        cert_cert=_pem(here, "cert_cert"),
        cert_key=_pem(here, "cert_key"),
    )
    _check_secrecy(credentials, insecure=_flag(here, "insecure"))
    return credentials


def _unknown(key: str) -> str:
    close = get_close_matches(key, ALLOWED, n=1)
    hint = f': did you mean "{close[0]}"?' if close else "."
    return f'the etcd backend knows no credential "{key}"{hint} It takes {", ".join(ALLOWED)}'


def _text(here: Mapping[str, object], key: str) -> str | None:
    value = here.get(key)
    if value is None:
        return None
    if not isinstance(value, str):
        raise CredentialsError(f'credential "{key}" is a str, not {type(value).__name__}')
    if not value:
        raise CredentialsError(f'credential "{key}" is empty')
    return value


def _flag(here: Mapping[str, object], key: str) -> bool:
    value = here.get(key, False)
    if not isinstance(value, bool):
        raise CredentialsError(f'credential "{key}" is True or False, not {type(value).__name__}')
    return value


def _endpoints(here: Mapping[str, object]) -> tuple[str, ...]:
    if "endpoints" in here:
        for key in ("host", "port"):
            if key in here:
                raise CredentialsError(f'credentials "endpoints" and "{key}" are both given: give one of them')
        return _many(here["endpoints"])
    host = _text(here, "host")
    if host is None:
        raise CredentialsError('the etcd backend needs the credential "host", or "endpoints" for several servers')
    return (_joined(host, _port(here.get("port", DEFAULT_PORT), 'credential "port"'), 'credential "host"'),)


def _many(given: object) -> tuple[str, ...]:
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise CredentialsError(f'credential "endpoints" is a list of "host:port", not {type(given).__name__}')
    found: dict[str, None] = {}
    for endpoint in given:
        if not isinstance(endpoint, str):
            raise CredentialsError(f'credential "endpoints" is a list of "host:port"; one is {type(endpoint).__name__}')
        where = f'endpoint "{_without_user(endpoint)}"'
        host, colon, port = endpoint.rpartition(":")
        if "//" in endpoint or not colon or not host or host.count("[") != host.count("]"):
            raise CredentialsError(f'{where} is not of the form "host:port", for example "10.0.0.1:2379"')
        found[_joined(host.strip("[]"), _port(port, where), where)] = None
    if not found:
        raise CredentialsError('credential "endpoints" is empty: give at least one "host:port"')
    return tuple(found)


def _port(given: object, where: str) -> int:
    try:
        if isinstance(given, bool) or not isinstance(given, int | str):
            raise ValueError
        port = int(given)
    except ValueError:
        shown = repr(given) if isinstance(given, str) else type(given).__name__
        raise CredentialsError(f"{where}: the port is a number from 1 to 65535, not {shown}") from None
    if not 1 <= port <= 65535:
        raise CredentialsError(f"{where}: the port is a number from 1 to 65535, not {port}")
    return port


def _joined(host: str, port: int, where: str) -> str:
    """Put host and port together as gRPC takes them: an IPv6 address in brackets."""
    address = _address(host)
    if address is None and (":" in host or "/" in host or "@" in host or any(c.isspace() for c in host)):
        raise CredentialsError(
            f'{where}: {_without_user(host)!r} is not a host; the port has a credential of its own, "port"'
        )
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _without_user(address: str) -> str:
    """Leave out a user and a password that were written into an address: they go into no message."""
    return address.rpartition("@")[2]


def _prefix(here: Mapping[str, object]) -> str:
    """Return the prefix with one slash at its end, as the namespaces' names follow it."""
    prefix = (_text(here, "prefix") or DEFAULT_PREFIX).rstrip("/") + "/"
    if not prefix.isprintable():
        raise CredentialsError('credential "prefix" has characters that cannot be printed')
    return prefix


def _timeout(here: Mapping[str, object]) -> float:
    given = here.get("timeout", DEFAULT_TIMEOUT)
    try:
        if isinstance(given, bool) or not isinstance(given, int | float | str):
            raise ValueError
        timeout = float(given)
        if not (timeout > 0 and math.isfinite(timeout)):
            raise ValueError
    except ValueError:
        plain = isinstance(given, int | float | str) and not isinstance(given, bool)
        shown = repr(given) if plain else type(given).__name__
        raise CredentialsError(f'credential "timeout" is a number of seconds above 0, not {shown}') from None
    return timeout


def _pem(here: Mapping[str, object], key: str) -> bytes | None:
    if key not in here:
        return None
    path = here[key]
    if not isinstance(path, str | Path):
        raise CredentialsError(f'credential "{key}" is the path of a PEM file, not {type(path).__name__}')
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise CredentialsError(f'credential "{key}": cannot read {str(path)!r}: {error.strerror}') from error
    if b"-----BEGIN " not in content:
        raise CredentialsError(f'credential "{key}": {str(path)!r} is not a PEM file')
    return content


def _check_secrecy(credentials: Credentials, *, insecure: bool) -> None:
    """Refuse to send a password in plain text over a network, unless it was asked for."""
    if credentials.password is None or credentials.tls or insecure:
        return
    for endpoint in credentials.endpoints:
        host = endpoint.rpartition(":")[0].strip("[]")
        address = _address(host)
        if host != "localhost" and not (address is not None and address.is_loopback):
            raise CredentialsError(
                f'the password would go to {endpoint} in plain text: give "ca_cert" to use TLS, '
                'or "insecure": True if that network is to be trusted'
            )


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None
