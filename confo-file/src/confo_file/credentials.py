"""What ``load_backend(credentials=...)`` takes for files: read, checked, and refused with the reason."""

from __future__ import annotations

import os
from collections.abc import Mapping
from difflib import get_close_matches
from typing import NamedTuple

from confo import CredentialsError

ALLOWED = ("config_path", "create", "durable")


class Credentials(NamedTuple):
    """Checked credentials: the root's absolute path, whether to make it, whether commits survive a power cut."""

    path: str
    create: bool
    durable: bool


def parse(given: Mapping[str, object]) -> Credentials:
    """Check credentials as a user wrote them; CredentialsError says what is wrong with which."""
    for key in given:
        if key not in ALLOWED:
            close = get_close_matches(str(key), ALLOWED, n=1)
            hint = f": did you mean {close[0]!r}?" if close else "."
            raise CredentialsError(f"the file backend knows no credential {key!r}{hint} It takes {', '.join(ALLOWED)}")
    return Credentials(
        _path(given.get("config_path")), _flag(given, "create", default=False), _flag(given, "durable", default=True)
    )


def _path(value: object) -> str:
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if not isinstance(value, str) or not value or "\0" in value:
        raise CredentialsError("the file backend needs 'config_path', the folder of the namespaces: a text or a Path")
    return os.path.abspath(value)  # noqa: PTH100 - a later chdir() must not move the store, and a link may be moved


def _flag(given: Mapping[str, object], key: str, *, default: bool) -> bool:
    value = given.get(key, default)
    if not isinstance(value, bool):
        raise CredentialsError(f"the file backend's {key!r} is True or False, not {type(value).__name__}")
    return value
