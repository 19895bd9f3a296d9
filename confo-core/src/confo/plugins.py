"""Find the installed plugins, load one by name, and explain a failure.

Only the plugin that is asked for is imported, so a broken one hurts nobody else. Each is registered with a pluggy
manager of its own, which checks its hooks against the specification.
"""

from __future__ import annotations

import inspect
import re
import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from confo.backend import Backend
from confo.errors import BackendNotInstalled, PluginError

if TYPE_CHECKING:
    import importlib_metadata as metadata

GROUP = "confo.backends"
"""Entry points of this group are backends; their names are the kinds."""


@dataclass(frozen=True, slots=True)
class Plugin:
    """An installed backend plugin; ``error`` says why it cannot be used, as far as is known without loading it."""

    kind: str
    distribution: str
    version: str
    error: str | None = None

    def __str__(self) -> str:
        """Return kind, distribution and version."""
        return f"{self.kind} ({self.distribution} {self.version})"


_loaded: dict[str, type[Backend]] = {}
_failed: dict[str, str] = {}
_lock = threading.RLock()  # importing a plugin may ask for another one in the same thread


def installed() -> dict[str, Plugin]:
    """Return every installed kind and who provides it; nothing is loaded."""
    found: dict[str, Plugin] = {}
    for point in _entry_points():
        plugin = _describe(point)
        twin = found.get(point.name)
        if twin and twin.distribution != plugin.distribution:
            plugin = replace(twin, error=_claimed_twice(point.name, [str(twin), str(plugin)]))
        elif point.name in _failed:
            plugin = replace(plugin, error=_failed[point.name])
        found[point.name] = plugin
    return dict(sorted(found.items()))


def kinds() -> list[str]:
    """Return the installed kinds, sorted; nothing is loaded."""
    return sorted({point.name for point in _entry_points()})


def is_installed(kind: str) -> bool:
    """Tell whether a distribution provides this kind; much quicker than listing them all."""
    return bool(_entry_points(kind))


def load(kind: str) -> type[Backend]:
    """Return the backend class of this kind, importing its plugin and no other.

    Raises BackendNotInstalled with the installed kinds and the pip command, or PluginError with distribution,
    version, entry point and cause.
    """
    with _lock:
        if kind not in _loaded:
            _loaded[kind] = _load(kind)
        return _loaded[kind]


def not_installed(kind: str) -> str:
    """Return the text that says what is installed, and what to install for this kind."""
    return (
        f"no backend of kind {kind!r} is installed; installed: {', '.join(kinds()) or 'none'}. "
        f"Try: pip install confo-{_pip_name(kind)}"
    )


def _load(kind: str) -> type[Backend]:
    points = {_describe(point).distribution: point for point in _entry_points(kind)}
    if not points:
        # The name is not the module that the import system looked for, so that `from ... import` shows this text.
        raise BackendNotInstalled(not_installed(kind))
    if len(points) > 1:
        raise PluginError(_claimed_twice(kind, [str(_describe(point)) for point in points.values()]))
    (point,) = points.values()
    where = f"{_describe(point)}, entry point {point.value!r}"
    try:
        found: Any = _ask(point.load(), kind)
        problem = _defect(found, kind)
    except (
        Exception,
        SystemExit,
    ) as error:  # whatever a plugin does at import is its failure, not the program's
        _failed[kind] = f"{type(error).__name__}: {error}"
        raise PluginError(f"the plugin {where} cannot be loaded: {_failed[kind]}") from error
    if problem:
        _failed[kind] = problem
        raise PluginError(f"the plugin {where} cannot be used: {problem}")
    _failed.pop(kind, None)
    backend: type[Backend] = found
    return backend


def _ask(module: Any, kind: str) -> Any:
    import pluggy

    from confo import hookspecs

    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    manager.register(module)
    manager.check_pending()
    return manager.hook.confo_backend(kind=kind)


def _defect(found: object, kind: str) -> str | None:
    """Say why this is no backend class; None if it is one."""
    if found is None:
        return f"its hook confo_backend returned None for {kind!r}, or it has no such hook"
    if not (isinstance(found, type) and issubclass(found, Backend)):
        return f"its hook confo_backend returned {type(found).__name__}, not a subclass of confo.Backend"
    if inspect.isabstract(found):
        missing = ", ".join(sorted(found.__abstractmethods__))
        return f"its class {found.__name__} lacks {missing}"
    return None


def _entry_points(kind: str | None = None) -> metadata.EntryPoints:
    import importlib_metadata as metadata

    select = {"group": GROUP} if kind is None else {"group": GROUP, "name": kind}
    return metadata.entry_points(**select)


def _describe(point: metadata.EntryPoint) -> Plugin:
    distribution = point.dist
    if distribution is None:
        return Plugin(point.name, "unknown distribution", "?")
    return Plugin(point.name, distribution.name, distribution.version)


def _claimed_twice(kind: str, claimants: list[str]) -> str:
    return f"two distributions claim the kind {kind!r}: {' and '.join(claimants)}; uninstall one of them"


def _pip_name(kind: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", kind.lower()).strip("-")
