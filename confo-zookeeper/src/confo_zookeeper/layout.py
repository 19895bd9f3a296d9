"""Where things lie in ZooKeeper: ``<prefix>/<namespace>/<configuration>``, as in 2021. Pure.

A namespace is there when its znode is. Other tools write here too; a znode's name may be anything then.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from confo import InvalidName

# A name's grammar as the core defines it (confo.names): what is listed as a namespace must be one.
_GRAMMAR = re.compile("[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class Layout:
    """The paths under one prefix, which has no slash at its end."""

    __slots__ = ("prefix",)

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix

    def namespace(self, namespace: str) -> str:
        """Return the path of a namespace's znode."""
        return f"{self.prefix}/{_part(namespace)}"

    def configuration(self, namespace: str, name: str) -> str:
        """Return the path of a configuration's znode."""
        return f"{self.prefix}/{_part(namespace)}/{_part(name)}"

    def namespaces(self, children: Iterable[str]) -> list[str]:
        """Return the users' namespaces among the prefix's children, sorted."""
        return sorted(name for name in children if _GRAMMAR.fullmatch(name))


def _part(name: str) -> str:
    if not name or "/" in name or name in {".", ".."} or "\0" in name:
        raise InvalidName(f"{name!r} cannot be a part of a path in ZooKeeper")
    return name
