"""Which file is which configuration: ``<root>/<namespace>/<configuration>.json``, as in 2021. Pure.

What fits neither grammar (an editor's swap file, ``.git``, a README) is nobody's configuration and is left alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from confo import InvalidName

STATE = ".confo"
"""The folder in the root where the backend keeps its own: no namespace can be named so."""
JSON = ".json"
SUFFIXES = (JSON, ".yaml", ".yml", ".toml")

_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"
_CONFIGURATION = re.compile(_NAME)
_NAMESPACE = re.compile(rf"(?:\.[a-z]+\.)?{_NAME}")  # the core's own: ".history.sales"; ".git" is not one


def suffixes(namespace: str) -> tuple[str, ...]:
    """Return those that files of a namespace may have: the core's own are JSON."""
    return (JSON,) if namespace.startswith(".") else SUFFIXES


def check_namespace(name: str) -> str:
    """Return a namespace's name if it can be a folder's; InvalidName."""
    if not _NAMESPACE.fullmatch(name):
        raise InvalidName(f"{name[:140]!r} cannot name a folder of configurations", namespace=name)
    return name


def check_configuration(name: str) -> str:
    """Return a configuration's name if it can be a file's; InvalidName."""
    if not _CONFIGURATION.fullmatch(name):
        raise InvalidName(f"{name[:140]!r} cannot name a file of a configuration", configuration=name)
    return name


def namespaces(folders: Iterable[str]) -> list[str]:
    """Return those names of folders that are users' namespaces, sorted."""
    return sorted(name for name in folders if _CONFIGURATION.fullmatch(name))


def split(file: str) -> tuple[str, str] | None:
    """Return the configuration's name and the suffix; None for any other file. ``a.b.json`` is named ``a.b``."""
    name, dot, kind = file.rpartition(".")
    suffix = dot + kind
    return (name, suffix) if suffix in SUFFIXES and _CONFIGURATION.fullmatch(name) else None


class Files(NamedTuple):
    """The files of a namespace: the suffix of each configuration, and which of them nobody can tell apart, and why."""

    suffixes: dict[str, str]
    twins: dict[str, str]


def configurations(files: Iterable[str]) -> Files:
    """Return the suffix of each configuration among these files.

    Two files of one name are twins, and so are names that differ in case only: on another system they would be one.
    """
    found: dict[str, str] = {}
    lower: dict[str, list[str]] = {}
    twins: dict[str, str] = {}
    for file in sorted(files):
        parts = split(file)
        if parts is not None:
            found.setdefault(*parts)
            lower.setdefault(parts[0].lower(), []).append(file)
    for same in lower.values():
        if len(same) > 1:
            names = dict.fromkeys(file.rpartition(".")[0] for file in same)
            what = "differ in upper and lower case only" if len(names) > 1 else "are files of one configuration"
            reason = f"{' and '.join(same)} {what}: remove or rename one of them"
            twins.update(dict.fromkeys(names, reason))
    return Files(found, twins)


def left_out(files: Iterable[str]) -> dict[str, str]:
    """Return the files that are no configurations', and why; what begins with a dot is other tools' own."""
    return {file: _why_not(file) for file in sorted(files) if not file.startswith(".") and split(file) is None}


def _why_not(file: str) -> str:
    name, dot, kind = file.rpartition(".")
    if dot + kind in SUFFIXES:
        return f"{name!a} is no configuration's name: letters, digits, '.', '_' and '-'"
    if dot + kind.lower() in SUFFIXES:
        return f"its suffix is written in small letters: .{kind.lower()}"
    return f"a configuration's file ends with {', '.join(SUFFIXES)}"


def similar(name: str, names: Iterable[str]) -> str | None:
    """Return another name that differs from this one in case only."""
    lower = name.lower()
    return next((other for other in names if other.lower() == lower and other != name), None)
