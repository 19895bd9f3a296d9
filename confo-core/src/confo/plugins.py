"""Find the installed plugins, load one by name, and explain a failure.

Only the plugin that is asked for is imported, so a broken one hurts nobody else. Each is registered with a pluggy
manager of its own, which checks its hooks against the specification. The environment variable ``CONFO_PLUGINS``, names
by commas, restricts what may be loaded; empty, nothing may. No text of a plugin's own error stands in a message, as it
may quote a value; it is the error's ``__cause__``.
"""

from __future__ import annotations

import contextlib
import inspect
import logging
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from confo.backend import Backend
from confo.entrypoints import entry_points, owner
from confo.errors import BackendNotInstalled, ConfoError, PluginError
from confo.hints import did_you_mean, listed
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
OURS = ("etcd", "file", "memory", "zookeeper")
"""Kinds whose distributions, ``confo-<kind>``, this project publishes: no other name may be proposed to pip."""
SLOW_IMPORT_SECONDS = 5.0
"""How long the import of a plugin may take before the log names it."""


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
_registered: dict[str, pluggy.PluginManager] = {}
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
    """Return every plugin that hears of commits and events, by name: installed or registered; nothing is loaded."""
    here = {name: Plugin(name, "registered by the program", "-") for name in _registered}
    return {**_listed(EXTENSIONS), **here}


def kinds() -> list[str]:
    """Return the installed kinds, sorted; nothing is loaded."""
    return sorted({point.name for point in entry_points(BACKENDS)})


def is_installed(kind: str) -> bool:
    """Tell whether a distribution provides this kind; much quicker than listing them all."""
    return bool(entry_points(BACKENDS, kind))


def load(kind: str) -> type[Backend]:
    """Return the backend class of this kind, importing its plugin and no other.

    Raises BackendNotInstalled with the installed kinds and the pip command, or PluginError with distribution,
    version, entry point and cause.
    """
    with _lock:
        if kind not in _loaded:
            kind = find(kind)
        if kind not in _loaded:
            _loaded[kind] = _load(kind)
        return _loaded[kind]


def describe(kind: str) -> str:
    """Return kind, distribution, version and entry point of an installed backend, for an error's text."""
    plugin = _described.get(kind)  # what was loaded need not be looked for again
    if plugin is None:
        points = entry_points(BACKENDS, find(kind))
        if not points:
            return repr(kind)
        plugin = _describe(points[0])
    return f"{plugin}, entry point {plugin.entry_point!r},"


def not_installed(kind: str) -> str:
    """Return the text that says what is installed, and how to get this kind if this project publishes it."""
    here = kinds()
    wanted = kind.casefold()
    if wanted in OURS:
        advice = f". Try: pip install confo-{wanted} (from a clone of Confo: pip install ./confo-{wanted})"
    else:
        advice = did_you_mean(kind, dict.fromkeys([*here, *OURS])) or "; a backend of another project may provide it"
    return f"no backend of kind {kind!r} is installed; installed: {', '.join(here) or 'none'}{advice}"


def register(plugin: object, name: str) -> None:
    """Let a module or object hear of commits and events without being installed; PluginError if its hooks are wrong."""
    try:
        _registered[name] = new_manager(plugin)
    except Exception as error:
        raise PluginError(f"the plugin {name!r} cannot be used: {_cause(error)}") from error


def unregister(name: str) -> None:
    """Let it hear no more."""
    _registered.pop(name, None)


def registered() -> list[tuple[str, pluggy.PluginManager]]:
    """Return what was registered and not unregistered since."""
    return list(_registered.items())


def load_extensions() -> list[tuple[Plugin, pluggy.PluginManager | PluginError]]:
    """Load every plugin of the group ``confo.plugins`` that may be; one that cannot be is there as its error."""
    loaded: list[tuple[Plugin, pluggy.PluginManager | PluginError]] = []
    for name, plugin in _listed(EXTENSIONS).items():
        if not is_allowed(name):
            continue
        try:
            loaded.append(_manager(EXTENSIONS, name))
        except PluginError as error:
            log.error("a plugin cannot be used, so nothing can be committed: %s", error)  # noqa: TRY400 - says it all
            loaded.append((plugin, error))
    return loaded


def is_allowed(name: str) -> bool:
    """Tell whether ``CONFO_PLUGINS`` lets a plugin of this name be loaded: unset, any may."""
    names = _allowed()
    return names is None or name in names


def how_to_leave_out(name: str) -> str:
    """Return what to set so that a plugin is not loaded and all others are."""
    names = _allowed()
    others = [*kinds(), *_listed(EXTENSIONS)] if names is None else names
    return f"{ALLOWED}={','.join(other for other in others if other != name)}"


def new_manager(module: object) -> pluggy.PluginManager:
    """Return a manager of this one plugin; what its hooks lack or have too much is an error here."""
    import pluggy

    from confo import hookspecs

    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    manager.register(module)
    manager.check_pending()
    if problem := _unmarked(manager, module):
        raise PluginError(problem)
    return manager


def _unmarked(manager: pluggy.PluginManager, module: object) -> str | None:
    """Say which hook of a plugin lacks its decorator, or that it has none; None if all is well."""
    marked = [caller.name for caller in manager.get_hookcallers(module) or ()]
    ours = ("confo_backend", "confo_check_commit", "confo_committed", "confo_event")
    mine = [name for name in dir(module) if name.startswith("confo_") and callable(getattr(module, name, None))]
    for name in mine:
        if name in ours and name not in marked:
            return f"its hook {name} is not marked: put @confo.hookimpl above it"
    if not marked:
        near = next((f"{name!r}{hint}" for name in mine if (hint := did_you_mean(name, ours))), "")
        return f"it has none of the hooks {', '.join(ours)}{'; it has ' + near if near else ''}"
    return None


def _load(kind: str) -> type[Backend]:
    plugin, manager = _manager(BACKENDS, kind)
    with _explained(BACKENDS, plugin):
        if not manager.hook.confo_backend.get_hookimpls():
            raise PluginError("it has no hook confo_backend: a function of that name, marked with @confo.hookimpl")
        found: Any = manager.hook.confo_backend(kind=kind)
        if problem := _defect(found, kind):
            raise PluginError(problem)
    backend: type[Backend] = found
    _described[kind] = plugin
    return backend


def _manager(group: str, name: str) -> tuple[Plugin, pluggy.PluginManager]:
    """Import the one plugin of this name and return what manages it; nothing else is imported."""
    points = {_describe(point).distribution: point for point in entry_points(group, name)}
    if not points:
        # The name is not the module that the import system looked for, so that `from ... import` shows this text.
        raise BackendNotInstalled(not_installed(name))
    if not is_allowed(name):
        raise PluginError(
            f"the plugin {name!r} may not be loaded: the environment variable {ALLOWED} leaves it out{_nobodys()}"
        )
    if len(points) > 1:
        raise PluginError(_claimed_twice(name, [str(_describe(point)) for point in points.values()]))
    (point,) = points.values()
    plugin = _describe(point)
    with _explained(group, plugin):
        if refused := refusal(point.dist.requires or () if point.dist else (), _core_version()):
            raise PluginError(f"it is made for another core: it needs {refused}, and this is {_core_version()}")
        with _named_when_slow(plugin):
            module = point.load()
        return plugin, new_manager(module)


@contextlib.contextmanager
def _explained(group: str, plugin: Plugin) -> Iterator[None]:
    """Turn whatever goes wrong in a plugin into a PluginError, and remember it for the listing."""
    try:
        yield
    except (Exception, SystemExit) as error:  # whatever a plugin does at import is its failure, not the program's
        cause = _cause(error)
        _failed[group, plugin.kind] = cause
        raise PluginError(
            f"the plugin {plugin}, entry point {plugin.entry_point!r}, cannot be used: {cause}"
        ) from error
    _failed.pop((group, plugin.kind), None)


@contextlib.contextmanager
def _named_when_slow(plugin: Plugin) -> Iterator[None]:
    """Name a plugin in the log whose import does not end: the program would seem to hang for no reason."""
    told = f"the import of the plugin {plugin}, entry point {plugin.entry_point!r}, takes longer than"
    timer = threading.Timer(SLOW_IMPORT_SECONDS, log.warning, ("%s %.3g seconds", told, SLOW_IMPORT_SECONDS))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _cause(error: BaseException) -> str:
    """Return what an error is and where it was raised, without its text, which may quote a value."""
    if isinstance(error, ConfoError) or type(error).__name__ == "PluginValidationError":  # of ours, and pluggy's
        return str(error) if isinstance(error, PluginError) else f"{type(error).__name__}: {error}"
    if isinstance(error, ModuleNotFoundError) and error.name:
        return f"ModuleNotFoundError: no module named {error.name!r}"
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if isinstance(error, SyntaxError):
        return f"SyntaxError at {error.filename}:{error.lineno}"
    return type(error).__name__ + (f" at {trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else "")


def _listed(group: str) -> dict[str, Plugin]:
    found: dict[str, Plugin] = {}
    for point in entry_points(group):
        plugin = _describe(point)
        twin = found.get(point.name)
        if twin and twin.distribution != plugin.distribution:
            plugin = replace(twin, error=_claimed_twice(point.name, [str(twin), str(plugin)]))
        elif not is_allowed(point.name):
            plugin = replace(plugin, error=f"left out by {ALLOWED}")
        else:
            plugin = replace(plugin, error=_failed.get((group, point.name)))
        found[point.name] = plugin
    return dict(sorted(found.items()))


def find(kind: str) -> str:
    """Return the installed kind of this name whatever its case; the name itself if there is none."""
    if not isinstance(kind, str):
        raise BackendNotInstalled(f"a kind of backend is a str such as 'etcd', not {type(kind).__name__}")
    if kind.islower() or is_installed(kind):
        return kind
    return next((other for other in kinds() if other.casefold() == kind.casefold()), kind)


def _allowed() -> list[str] | None:
    names = os.environ.get(ALLOWED)
    return None if names is None else [part.strip() for part in names.split(",") if part.strip()]


def _nobodys() -> str:
    """Say which names in ``CONFO_PLUGINS`` no installed plugin has."""
    there = [*kinds(), *(point.name for point in entry_points(EXTENSIONS))]
    unknown = [name for name in _allowed() or () if name not in there]
    if not unknown:
        return ""
    return f"; no installed plugin is called {listed(unknown)}{did_you_mean(unknown[0], there)}"


def _defect(found: object, kind: str) -> str | None:
    """Say why this is no backend class; None if it is one."""
    if found is None:
        return f"its hook confo_backend returned None for {kind!r}"
    if not (isinstance(found, type) and issubclass(found, Backend)):
        return f"its hook confo_backend returned {type(found).__name__}, not a subclass of confo.Backend"
    if inspect.isabstract(found):
        missing = ", ".join(sorted(found.__abstractmethods__))
        return f"its class {found.__name__} lacks {missing}"
    return None


def _core_version() -> str:
    import importlib_metadata as metadata

    return metadata.version("confo-core")


def _describe(point: metadata.EntryPoint) -> Plugin:
    return Plugin(point.name, *owner(point), entry_point=point.value)


def _claimed_twice(kind: str, claimants: list[str]) -> str:
    return f"two distributions claim the kind {kind!r}: {' and '.join(claimants)}; uninstall one of them"
