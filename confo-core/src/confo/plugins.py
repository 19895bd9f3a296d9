"""Find the installed plugins, load one by name, and explain a failure.

Only the plugin that is asked for is imported, so a broken one hurts nobody else. Each is registered with a pluggy
manager of its own, which checks its hooks against the specification. The environment variable ``CONFO_PLUGINS``, names
by commas, restricts what may be loaded; empty, nothing may.
"""

from __future__ import annotations

import contextlib
import inspect
import logging
import os
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from confo.backend import Backend
from confo.errors import BackendNotInstalled, PluginError
from confo.requirement import refusal

if TYPE_CHECKING:
    import importlib_metadata as metadata
    import pluggy

log = logging.getLogger("confo")

BACKENDS = "confo.backends"
"""Entry points of this group are backends; their names are the kinds."""
EXTENSIONS = "confo.plugins"
"""Entry points of this group hear of commits and events, whatever the backend."""
ALLOWED = "CONFO_PLUGINS"
"""The environment variable that restricts what may be loaded."""


@dataclass(frozen=True, slots=True)
class Plugin:
    """An installed plugin; ``error`` says why it cannot be used, as far as is known without loading it."""

    kind: str
    distribution: str
    version: str
    error: str | None = None
    entry_point: str = ""

    def __str__(self) -> str:
        """Return kind, distribution and version."""
        return f"{self.kind} ({self.distribution} {self.version})"


_loaded: dict[str, type[Backend]] = {}
_described: dict[str, Plugin] = {}
_failed: dict[tuple[str, str], str] = {}
_lock = threading.RLock()  # importing a plugin may ask for another one in the same thread


def _renew_lock() -> None:
    """Have a lock that no thread of the parent holds, in a forked child."""
    global _lock  # noqa: PLW0603 - a lock cannot be released by another thread than its owner
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_renew_lock)


def installed() -> dict[str, Plugin]:
    """Return every installed kind of backend and who provides it; nothing is loaded."""
    return _listed(BACKENDS)


def extensions() -> dict[str, Plugin]:
    """Return every installed plugin that hears of commits and events, by name; nothing is loaded."""
    return _listed(EXTENSIONS)


def kinds() -> list[str]:
    """Return the installed kinds, sorted; nothing is loaded."""
    return sorted({point.name for point in _entry_points(BACKENDS)})


def is_installed(kind: str) -> bool:
    """Tell whether a distribution provides this kind; much quicker than listing them all."""
    return bool(_entry_points(BACKENDS, kind))


def load(kind: str) -> type[Backend]:
    """Return the backend class of this kind, importing its plugin and no other.

    Raises BackendNotInstalled with the installed kinds and the pip command, or PluginError with distribution,
    version, entry point and cause.
    """
    with _lock:
        if kind not in _loaded:
            _loaded[kind] = _load(kind)
        return _loaded[kind]


def describe(kind: str) -> str:
    """Return kind, distribution, version and entry point of an installed backend, for an error's text."""
    plugin = _described.get(kind)  # what was loaded need not be looked for again
    if plugin is None:
        points = list(_entry_points(BACKENDS, kind))
        if not points:
            return repr(kind)
        plugin = _describe(points[0])
    return f"{plugin}, entry point {plugin.entry_point!r},"


def not_installed(kind: str) -> str:
    """Return the text that says what is installed, and what to install for this kind."""
    return (
        f"no backend of kind {kind!r} is installed; installed: {', '.join(kinds()) or 'none'}. "
        f"Try: pip install confo-{_pip_name(kind)}"
    )


def load_extensions() -> list[tuple[Plugin, pluggy.PluginManager]]:
    """Load every plugin of the group ``confo.plugins`` that may be; those that cannot are logged and left out."""
    loaded = []
    for name in extensions():
        try:
            loaded.append(_manager(EXTENSIONS, name))
        except PluginError as error:
            if is_allowed(name):
                log.error("left out: %s", error)  # noqa: TRY400 - the message says it, the trace is the plugin's
    return loaded


def is_allowed(name: str) -> bool:
    """Tell whether ``CONFO_PLUGINS`` lets a plugin of this name be loaded: unset, any may."""
    names = os.environ.get(ALLOWED)
    return names is None or name in [part.strip() for part in names.split(",")]


def new_manager(module: object) -> pluggy.PluginManager:
    """Return a manager of this one plugin; what its hooks lack or have too much is an error here."""
    import pluggy

    from confo import hookspecs

    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    manager.register(module)
    manager.check_pending()
    return manager


def _load(kind: str) -> type[Backend]:
    plugin, manager = _manager(BACKENDS, kind)
    with _explained(BACKENDS, plugin):
        found: Any = manager.hook.confo_backend(kind=kind)
        if problem := _defect(found, kind):
            raise PluginError(problem)
    backend: type[Backend] = found
    _described[kind] = plugin
    return backend


def _manager(group: str, name: str) -> tuple[Plugin, pluggy.PluginManager]:
    """Import the one plugin of this name and return what manages it; nothing else is imported."""
    points = {_describe(point).distribution: point for point in _entry_points(group, name)}
    if not points:
        # The name is not the module that the import system looked for, so that `from ... import` shows this text.
        raise BackendNotInstalled(not_installed(name))
    if not is_allowed(name):
        raise PluginError(f"the plugin {name!r} may not be loaded: the environment variable {ALLOWED} leaves it out")
    if len(points) > 1:
        raise PluginError(_claimed_twice(name, [str(_describe(point)) for point in points.values()]))
    (point,) = points.values()
    plugin = _describe(point)
    with _explained(group, plugin):
        if refused := refusal(point.dist.requires or () if point.dist else (), _core_version()):
            raise PluginError(f"it is made for another core: it needs {refused}, and this is {_core_version()}")
        return plugin, new_manager(point.load())


@contextlib.contextmanager
def _explained(group: str, plugin: Plugin) -> Iterator[None]:
    """Turn whatever goes wrong in a plugin into a PluginError, and remember it for the listing."""
    try:
        yield
    except (Exception, SystemExit) as error:  # whatever a plugin does at import is its failure, not the program's
        cause = str(error) if isinstance(error, PluginError) else f"{type(error).__name__}: {error}"
        _failed[group, plugin.kind] = cause
        raise PluginError(
            f"the plugin {plugin}, entry point {plugin.entry_point!r}, cannot be used: {cause}"
        ) from error
    _failed.pop((group, plugin.kind), None)


def _listed(group: str) -> dict[str, Plugin]:
    found: dict[str, Plugin] = {}
    for point in _entry_points(group):
        plugin = _describe(point)
        twin = found.get(point.name)
        if twin and twin.distribution != plugin.distribution:
            plugin = replace(twin, error=_claimed_twice(point.name, [str(twin), str(plugin)]))
        else:
            plugin = replace(plugin, error=_failed.get((group, point.name)))
        found[point.name] = plugin
    return dict(sorted(found.items()))


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


def _entry_points(group: str, name: str | None = None) -> metadata.EntryPoints:
    import importlib_metadata as metadata

    return metadata.entry_points(group=group) if name is None else metadata.entry_points(group=group, name=name)


def _core_version() -> str:
    import importlib_metadata as metadata

    return metadata.version("confo-core")


def _describe(point: metadata.EntryPoint) -> Plugin:
    distribution = point.dist
    if distribution is None:
        return Plugin(point.name, "unknown distribution", "?", entry_point=point.value)
    return Plugin(point.name, distribution.name, distribution.version, entry_point=point.value)


def _claimed_twice(kind: str, claimants: list[str]) -> str:
    return f"two distributions claim the kind {kind!r}: {' and '.join(claimants)}; uninstall one of them"


def _pip_name(kind: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", kind.lower()).strip("-")
