"""Credentials as a program wrote them, read and checked for a backend. No message holds a value of theirs.

Any of them may be a secret in the wrong place: a key in place of its path, a password in a URL's port. So a message
names the credential, and of what was given the kind and the length. Errors are raised outside of ``except`` blocks:
Python would keep the error of ``int("hunter2")``, which quotes it, as their context.
"""

from __future__ import annotations

import math
import os
import re
import stat
import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from ipaddress import ip_address
from typing import Any

from confo.errors import CredentialsError
from confo.hints import did_you_mean

PEM_BEGINS, PRIVATE_KEY = "-----BEGIN ", "PRIVATE KEY"
_UNSET = "is None (an environment variable that is not set?)"


class CredentialsReader:
    """The credentials given to one backend.

    ``backend`` names it in messages ("the etcd backend"), ``takes`` has the names of all that it takes, and ``same``
    the short names of some: both may be given, not at once. None is as if not given.
    """

    def __init__(
        self, given: Mapping[str, object], backend: str, takes: Sequence[str], same: Mapping[str, str] | None = None
    ) -> None:
        self.backend = backend
        self._same = same or {}
        self._given: dict[str, object] = {}
        self._called: dict[str, str] = {}
        self._unset: set[str] = set()
        for key, value in given.items():
            if key not in takes:
                raise CredentialsError(f"{backend} knows no credential {_unknown(key, takes)}{', '.join(takes)}")
            self._take(key, value)

    def __repr__(self) -> str:
        """Show the names of what was given, nothing else."""
        return f"<CredentialsReader of {self.backend}'s credentials: {', '.join(self._given) or 'none'}>"

    def __contains__(self, name: str) -> bool:
        """Tell whether this credential was given."""
        return name in self._given

    def raw(self, name: str) -> object:
        """Return a credential as it was given, None without."""
        return self._given.get(name)

    def called(self, name: str) -> str:
        """Return how to name a credential in a message: as it was given, or as this program could give it."""
        return f'"{self._called.get(name, name)}"'

    def missing(self, name: str, meaning: str = "") -> CredentialsError:
        """Return the error that asks for a credential; ``meaning`` says what it is."""
        if name in self._unset:
            return CredentialsError(f"credential {self.called(name)} {_UNSET}; {self.backend} needs it{meaning}")
        return CredentialsError(f'{self.backend} needs the credential "{name}"{meaning}')

    @staticmethod
    def shown(value: object) -> str:
        """Return what a message may tell of a credential: its kind, and the length of a text; never the value."""
        return shown(value)

    def text(self, name: str, default: str | None = None) -> str | None:
        """Return a text that is not empty."""
        value = self._given.get(name)
        if value is None:
            return default
        if not isinstance(value, str):
            raise CredentialsError(f"credential {self.called(name)} is a str, not {shown(value)}")
        if not value or "\0" in value:
            raise CredentialsError(f"credential {self.called(name)} is empty or has a NUL")
        return value

    def flag(self, name: str, *, default: bool) -> bool:
        """Return True or False."""
        value = self._given.get(name, default)
        if not isinstance(value, bool):
            raise CredentialsError(f"credential {self.called(name)} is True or False, not {shown(value)}")
        return value

    def seconds(self, name: str, default: float) -> float:
        """Return a number of seconds above 0, from a number or a text."""
        seconds = _number(self._given.get(name, default))
        if seconds is None or not 0 < seconds <= threading.TIMEOUT_MAX:
            given = shown(self._given.get(name))
            raise CredentialsError(f"credential {self.called(name)} is a number of seconds above 0, not {given}")
        return seconds

    def count(self, name: str, default: int, meaning: str) -> int:
        """Return a number of 1 or more; ``meaning`` says of what."""
        value = self._given.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise CredentialsError(f"credential {self.called(name)} is {meaning}, 1 or more, not {shown(value)}")
        return value

    def together(self, first: str, second: str, meaning: str = "give both or neither") -> None:
        """Refuse one of two credentials without the other."""
        if (first in self) != (second in self):
            there, lacking = (first, second) if first in self else (second, first)
            unset = f", which {_UNSET}" if lacking in self._unset else ""
            raise CredentialsError(
                f"credential {self.called(there)} is given without {self.called(lacking)}{unset}: {meaning}"
            )

    def one_of(self, name: str, others: Collection[str]) -> None:
        """Refuse a credential beside others that say the same."""
        for other in others:
            if name in self and other in self:
                raise CredentialsError(
                    f"credentials {self.called(name)} and {self.called(other)} are both given: give one of them"
                )

    # --- where -----------------------------------------------------------------------------------

    def address(self, host: str, port: str, default_port: int) -> str:
        """Return "host:port" of two credentials, an IPv6 address in brackets."""
        name = self.text(host)
        if name is None:
            raise self.missing(host)
        where = f"credential {self.called(port)}"
        number = _port(self._given.get(port, default_port), where)
        return _joined(name, number, f"credential {self.called(host)}", self.called(port))

    def addresses(self, name: str, default_port: int | None = None) -> tuple[str, ...]:
        """Return each "host:port" of a list, or of a text with commas, once; without a default a port is needed."""
        given = self._given.get(name)
        if isinstance(given, str):
            given = given.split(",")
        if not isinstance(given, Iterable) or isinstance(given, bytes | Mapping):
            raise CredentialsError(f'credential {self.called(name)} is a list of "host:port", not {shown(given)}')
        found: dict[str, None] = {}
        for number, one in enumerate(given, 1):
            where = f"credential {self.called(name)}, item {number}"
            found[_address(one, where, default_port)] = None
        if not found:
            raise CredentialsError(f'credential {self.called(name)} is empty: give at least one "host:port"')
        return tuple(found)

    def check_secrecy(self, addresses: Iterable[str], remedy: str) -> None:
        """Refuse to send a password in plain text over a network; ``remedy`` says what to give."""
        for address in addresses:
            if not is_loopback(address.rpartition(":")[0].strip("[]")):
                raise CredentialsError(f"the password would go to {address} in plain text: {remedy}")

    # --- certificates ----------------------------------------------------------------------------

    def pem(self, name: str, label: str) -> bytes | None:
        """Return the bytes of a PEM file, given by its path or as its text; ``label`` is what it holds."""
        value = self._given.get(name)
        if value is None:
            return None
        if isinstance(value, bytes):
            value = os.fsdecode(value)
        if isinstance(value, str) and PEM_BEGINS in value:
            content, given = value.encode("utf-8", "surrogateescape"), "this text"
        elif isinstance(value, str | os.PathLike):
            content, given = self._file(name, value), "this file"
        else:
            raise CredentialsError(
                f"credential {self.called(name)} is the path of a PEM file, or its text, not {shown(value)}"
            )
        if b"\\n" in content and b"\n" not in content.strip():  # as in a variable of a .env file
            content = content.replace(b"\\n", b"\n")
        if re.search(rb"-----BEGIN [A-Z0-9 ]*%b-----.+-----END " % label.encode(), content, re.DOTALL) is None:
            raise CredentialsError(f"credential {self.called(name)}: {given} holds no whole {label} in the PEM format")
        if label == PRIVATE_KEY and b"ENCRYPTED" in content:
            raise CredentialsError(f"credential {self.called(name)}: the key has a passphrase; give one without")
        return content

    def _file(self, name: str, path: str | os.PathLike[Any]) -> bytes:
        reason = ""
        try:
            # A FIFO or a device would be waited for, or never end.
            if stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116 - PathLike, and not only a Path
                with open(path, "rb") as file:  # noqa: PTH123
                    return file.read()
            reason = "it is no file"
        except OSError as error:
            reason = error.strerror or type(error).__name__
        except ValueError:
            reason = "it has a NUL"
        raise CredentialsError(
            f"credential {self.called(name)}: cannot read the file of this path ({shown(os.fspath(path))}): {reason}; "
            "give the path of a PEM file, or its text, which begins with -----BEGIN"
        )

    def _take(self, key: str, value: object) -> None:
        name = self._same.get(key, key)
        if value is None:
            self._unset.add(name)
            self._called.setdefault(name, key)
            return
        if name in self._given:
            raise CredentialsError(f'credential "{name}" is given twice, by its short name too: give one of them')
        self._given[name], self._called[name] = value, key
        self._unset.discard(name)


def shown(value: object) -> str:
    """Return what a message may tell of a credential: its kind, and the length of a text; never the value."""
    if value is None:
        return "None"
    if isinstance(value, bytes):
        return f"{len(value):,} bytes"
    if isinstance(value, str):
        return f"a text of {len(value):,} character{'' if len(value) == 1 else 's'}"
    return type(value).__name__


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine, by its name or its address."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _unknown(key: object, takes: Sequence[str]) -> str:
    """Return the name of an unknown credential with a hint; only what looks like a name is shown."""
    if not isinstance(key, str) or not key.replace("-", "_").isidentifier() or len(key) > 40:
        return f"of this name ({shown(key)}). It takes "
    hint = did_you_mean(key, takes).replace("'", '"')
    return f'"{key}"{hint or "."} It takes '


def _number(given: object) -> float | None:
    if isinstance(given, bool) or not isinstance(given, int | float | str):
        return None
    try:
        number = float(given)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _port(given: object, where: str) -> int:
    text = given.strip() if isinstance(given, str) else ""
    port = int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else given
    if isinstance(port, bool) or not isinstance(port, int):
        raise CredentialsError(f"{where}: the port is a number from 1 to 65535, not {shown(given)}")
    if not 1 <= port <= 65535:
        raise CredentialsError(f"{where}: the port is a number from 1 to 65535, not one out of that range")
    return port


def _address(given: object, where: str, default_port: int | None) -> str:
    if not isinstance(given, str):
        raise CredentialsError(f'{where} is a "host:port", not {shown(given)}')
    given = given.strip()
    host, colon, port = given.rpartition(":")
    if "@" in given or "//" in given:
        host, port = given, str(default_port or 1)  # refused below, with the reason
    elif not colon or given.endswith("]"):  # an IPv6 address without a port ends in its bracket
        if default_port is None:
            raise CredentialsError(f'{where} is not of the form "host:port", for example "10.0.0.1:2379"')
        host, port = given, str(default_port)
    if host.startswith("[") != host.endswith("]"):
        raise CredentialsError(f'{where} is not of the form "host:port", for example "[::1]:2379"')
    return _joined(host.strip("[]"), _port(port, where), where, "")


def _joined(host: str, port: int, where: str, port_name: str) -> str:
    """Put host and port together: an IPv6 address in brackets."""
    if "@" in host:
        raise CredentialsError(
            f'{where} has a user or a password in it: give them as "user" and "password", and the host alone here'
        )
    if "//" in host:
        raise CredentialsError(f"{where} is a URL: give the host alone")
    if not (_is_address(host) or _is_name(host)):
        advice = ""
        if ":" in host and port_name:
            advice = f"; the port has a credential of its own, {port_name}"
        raise CredentialsError(f"{where} is not a host, but {shown(host)}{advice}")
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _is_name(host: str) -> bool:
    """Tell whether this can be the name of a host: neither what separates parts of an address nor white space."""
    return 0 < len(host) <= 255 and host.isprintable() and not set(host) & set(":/@,[]?#\"'\\ ")


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
