"""A backend and a namespace in one line: ``etcd://user@127.0.0.1:2379/sales?timeout=3``."""

from __future__ import annotations

import json
from typing import Any, NamedTuple
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from confo import plugins
from confo.backend import Backend
from confo.errors import CredentialsError


class Target(NamedTuple):
    """What a URL names."""

    kind: str
    backend: type[Backend]
    credentials: dict[str, object]
    namespace: str | None

    def __repr__(self) -> str:
        """Show the kind and the namespace, never a credential."""
        return f"<Target {self.kind}, namespace {self.namespace}>"


def parse(url: str) -> Target:
    """Return what a URL names: the scheme is the kind, the last part of its path the namespace.

    The host part gives ``host`` and ``port``, or ``endpoints`` when it lists several with commas; ``user:password@``
    gives those; the query gives any other credential. A backend whose stores have no host says so in its own
    ``url_credentials``. The text of the URL is in no error, as it may hold a password.
    """
    if not isinstance(url, str):
        raise CredentialsError(f"a URL is a text, not {type(url).__name__}")
    split = _split(url)
    if split is None:
        raise CredentialsError("this is no URL; write it like etcd://127.0.0.1:2379/sales")
    parts, query = split
    if parts.fragment or url.endswith("#"):
        raise CredentialsError("a URL has no '#': write it as %23 where it is part of a password")
    if not parts.scheme:
        raise CredentialsError("a URL begins with a kind and '://', as in etcd://127.0.0.1:2379/sales")
    if not url[len(parts.scheme) :].startswith("://"):
        raise CredentialsError(f"'://' is missing after {parts.scheme!r}: etcd://127.0.0.1:2379/sales, memory:///sales")
    if parts.path.endswith("/") and parts.path.strip("/"):
        raise CredentialsError("the URL ends with '/': remove it, as the last part of the path is the namespace")
    if "@" in parts.path + parts.query:  # nothing of it is shown: it may be the rest of a password
        raise CredentialsError(
            "a URL's user and password stand before the host; write '/', '?' and '@' in them as %2F, %3F, %40"
        )
    folder, _, namespace = parts.path.rpartition("/")
    kind = plugins.find(parts.scheme)
    backend = plugins.load(kind)
    credentials = {
        **backend.url_credentials(unquote(parts.netloc.rpartition("@")[2]), unquote(folder)),
        **_user(parts),
        **{name: _value(text) for name, text in query.items()},
    }
    return Target(kind, backend, credentials, unquote(namespace) or None)


def _split(url: str) -> tuple[SplitResult, dict[str, str]] | None:
    """Return the parts of a URL and of its query, None if it is none: their errors quote it, and none is kept."""
    try:
        parts = urlsplit(url)
        return parts, dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    except ValueError:
        return None


def _user(parts: SplitResult) -> dict[str, object]:
    userinfo, at, _ = parts.netloc.rpartition("@")
    user, colon, password = userinfo.partition(":")
    found: dict[str, object] = {"user": unquote(user)} if at else {}
    return {**found, "password": unquote(password)} if colon else found


def _value(text: str) -> Any:
    """Return numbers, booleans and lists as such; anything else is the text."""
    try:
        return json.loads(text)
    except ValueError:
        return text
