"""What ``load_backend(credentials=...)`` takes for etcd: read, checked, and refused with the reason.

Nothing here speaks to a server. No message and no repr holds a password.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from confo import CredentialsError, CredentialsReader

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
    reader = CredentialsReader(given, "the etcd backend", ALLOWED)
    reader.together("user", "password")
    reader.together("cert_cert", "cert_key", "a client certificate needs both")
    credentials = Credentials(
        endpoints=_endpoints(reader),
        prefix=_prefix(reader),
        timeout=reader.seconds("timeout", DEFAULT_TIMEOUT),
        user=reader.text("user"),
        password=reader.text("password"),
        ca_cert=reader.pem("ca_cert", "CERTIFICATE"),
        cert_cert=reader.pem("cert_cert", "CERTIFICATE"),
        cert_key=reader.pem("cert_key", "PRIVATE KEY"),
    )
    insecure = reader.flag("insecure", default=False)
    if credentials.password is not None and not credentials.tls and not insecure:
        reader.check_secrecy(
            credentials.endpoints,
            'give "ca_cert" to use TLS, or "insecure": True if that network is to be trusted',
        )
    return credentials


def _endpoints(reader: CredentialsReader) -> tuple[str, ...]:
    if "endpoints" in reader:
        reader.one_of("endpoints", ("host", "port"))
        return reader.addresses("endpoints")
    if "host" not in reader:
        raise reader.missing("host", ', or "endpoints" for several servers')
    return (reader.address("host", "port", DEFAULT_PORT),)


def _prefix(reader: CredentialsReader) -> str:
    """Return the prefix with one slash at its end, as the namespaces' names follow it."""
    prefix = (reader.text("prefix") or DEFAULT_PREFIX).rstrip("/") + "/"
    if not prefix.isprintable():
        raise CredentialsError('credential "prefix" has characters that cannot be printed')
    return prefix
