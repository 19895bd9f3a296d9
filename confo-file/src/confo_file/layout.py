"""Which file is which configuration: ``<root>/<namespace>/<configuration>.json``, as in 2021. Pure.

What fits neither grammar (an editor's swap file, ``.git``, a README) is nobody's configuration and is left alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from confo import BackendFailure, InvalidName

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


def configurations(files: Iterable[str], namespace: str) -> dict[str, str]:
    """Return the suffix of each configuration among these files.

    BackendFailure if two files have one name, or names that differ in case only: on another system they would be one.
    """
    found: dict[str, str] = {}
    for file in files:
        parts = split(file)
        if parts is None:
            continue
        name, suffix = parts
        if name in found:
            raise _twice(namespace, name + found[name], file)
        found[name] = suffix
    if len({name.lower() for name in found}) < len(found):
        _refuse_similar(namespace, found)
    return found


def similar(name: str, names: Iterable[str]) -> str | None:
    """Return another name that differs from this one in case only."""
    lower = name.lower()
    return next((other for other in names if other.lower() == lower and other != name), None)


def _refuse_similar(namespace: str, found: dict[str, str]) -> None:
    seen: dict[str, str] = {}
    for name, suffix in found.items():
        other = seen.setdefault(name.lower(), name + suffix)
        if other != name + suffix:
            raise _twice(namespace, other, name + suffix)


def _twice(namespace: str, one: str, other: str) -> BackendFailure:
    one, other = sorted((one, other))
    return BackendFailure(
        f"{namespace}/{one} and {namespace}/{other} are files of one configuration: remove or rename one of them",
        namespace=namespace,
        configuration=one.rpartition(".")[0],
    )
