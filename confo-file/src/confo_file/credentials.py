"""What ``load_backend(credentials=...)`` takes for files: read, checked, and refused with the reason."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple

from confo import CredentialsError, CredentialsReader

ALLOWED = ("config_path", "create", "durable", "follow_links")


class Credentials(NamedTuple):
    """Checked credentials: the root's absolute path, whether to make it, whether commits survive a power cut.

    ``follow_links`` also follows symbolic links that lead out of the root.
    """

    path: str
    create: bool
    durable: bool
    follow_links: bool


def parse(given: Mapping[str, object]) -> Credentials:
    """Check credentials as a user wrote them; CredentialsError says what is wrong with which."""
    reader = CredentialsReader(given, "the file backend", ALLOWED)
    return Credentials(
        _path(reader),
        reader.flag("create", default=False),
        reader.flag("durable", default=True),
        reader.flag("follow_links", default=False),
    )


def _path(reader: CredentialsReader) -> str:
    value = reader.raw("config_path")
    if value is None:
        raise reader.missing("config_path", ", the folder of the namespaces")
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if not isinstance(value, str) or not value or min(value) < " ":
        raise CredentialsError(
            f'credential "config_path" is the folder of the namespaces: a text or a Path, not {reader.shown(value)}'
        )
    return os.path.abspath(os.path.expanduser(value))  # noqa: PTH100, PTH111 - a later chdir() must not move the store
