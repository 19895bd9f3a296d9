"""One grammar for namespace and configuration names, the same for every backend.

The same everywhere, so that data can move between any two stores: a name must be a file name on every
system, a path segment in ZooKeeper and a key segment in etcd.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from confo.errors import InvalidName

GRAMMAR = "[A-Za-z0-9][A-Za-z0-9._-]{0,127}"
_NAME = re.compile(GRAMMAR)
_ALL_NAMES = re.compile(f"{GRAMMAR}(?:\\n{GRAMMAR})*")

# Windows opens these devices whatever the extension, so they cannot be files there:
# "Naming Files, Paths, and Namespaces" in Microsoft's Win32 documentation.
_DEVICES = frozenset(["con", "prn", "aux", "nul"] + [f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10)])

HISTORY_PREFIX = ".history."


def check_namespace(name: object) -> str:
    """Return the namespace's name, or raise InvalidName."""
    return _check("namespace", name)


def check_configuration(name: object) -> str:
    """Return the configuration's name, or raise InvalidName."""
    return _check("configuration", name)


def foreign_names(names: Collection[str]) -> list[str]:
    """Return those of the names that lie in a store and are no configuration's: another tool made them."""
    joined = "\n".join(names)
    if not joined or _ALL_NAMES.fullmatch(joined):  # nearly always, and much quicker than one by one
        return []
    return [name for name in names if not _NAME.fullmatch(name)]


def history_of(namespace: str) -> str:
    """Return the core's own namespace that remembers the commits of this one."""
    return HISTORY_PREFIX + namespace


def is_reserved(namespace: str) -> bool:
    """Tell whether the namespace is one of the core's own (they begin with a dot)."""
    return namespace.startswith(".")


def _check(what: str, name: object) -> str:
    if not isinstance(name, str):
        raise InvalidName(f"a {what} name is a str, not {type(name).__name__}")
    shown = repr(name if len(name) <= 40 else name[:37] + "...")
    if not _NAME.fullmatch(name):
        raise InvalidName(
            f"{what} name {shown} is not valid: use 1 to 128 letters, digits, '.', '_' or '-' "
            f"(ASCII), beginning with a letter or a digit{_hint(name)}"
        )
    if name.partition(".")[0].lower() in _DEVICES:
        raise InvalidName(
            f"{what} name {shown} is not valid: Windows keeps {name.partition('.')[0]!r} for a "
            "device, so it could not be stored in files; choose another name"
        )
    return name


def _hint(name: str) -> str:
    if not name:
        return "; this one is empty"
    if len(name) > 128:
        return f"; this one has {len(name)} characters"
    if name.startswith("."):
        return "; names that begin with a dot are Confo's own"
    return ""
