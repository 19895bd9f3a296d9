"""Plugins that cut across backends: policies that may refuse a commit, and listeners to commits and events.

Each is called by itself, so that one which fails stops no other. A policy that fails refuses; a listener that fails is
logged.
"""

from __future__ import annotations

import functools
import logging
from typing import TYPE_CHECKING

from confo import plugins
from confo.errors import CommitRefused, PluginError
from confo.events import Event
from confo.history import Signature
from confo.model import ChangeSet, Commit

if TYPE_CHECKING:
    import pluggy

log = logging.getLogger("confo")

_registered: dict[str, pluggy.PluginManager] = {}


def register(plugin: object, name: str) -> None:
    """Let a module or object hear of commits and events without being installed; PluginError if its hooks are wrong."""
    try:
        _registered[name] = plugins.new_manager(plugin)
    except Exception as error:
        raise PluginError(f"the plugin {name!r} cannot be used: {type(error).__name__}: {error}") from error


def unregister(name: str) -> None:
    """Let it hear no more."""
    _registered.pop(name, None)


def check(change_set: ChangeSet, signature: Signature) -> None:
    """Ask every policy; CommitRefused as soon as one refuses."""
    author, message = signature.author, signature.message
    for name, manager in _all():
        try:
            manager.hook.confo_check_commit(change_set=change_set, author=author, message=message)
        except CommitRefused as refused:
            raise CommitRefused(f"the plugin {name} refuses this commit: {refused}; nothing was sent") from refused
        except Exception as error:
            raise PluginError(
                f"the plugin {name} failed while it checked this commit ({type(error).__name__}), and a policy that "
                "fails allows nothing; nothing was sent"
            ) from error


def committed(commit: Commit) -> None:
    """Tell every listener of a commit."""
    for name, manager in _all():
        _tell(name, manager.hook.confo_committed, commit=commit)


def event(event: Event) -> None:
    """Tell every listener of an event."""
    for name, manager in _all():
        _tell(name, manager.hook.confo_event, event=event)


def hears_events() -> bool:
    """Tell whether anybody listens to events: else there need be no thread for it."""
    return any(manager.hook.confo_event.get_hookimpls() for _, manager in _all())


def _all() -> list[tuple[str, pluggy.PluginManager]]:
    return [*_installed(), *_registered.items()]


@functools.cache
def _installed() -> list[tuple[str, pluggy.PluginManager]]:
    """Load what is installed, when a namespace is first opened."""
    return [(str(plugin), manager) for plugin, manager in plugins.load_extensions()]


def _tell(name: str, hook: pluggy.HookCaller, **what: object) -> None:
    try:
        hook(**what)
    except Exception as error:  # noqa: BLE001 - a listener may raise anything, and its text may quote a document
        log.error("the plugin %s raised %s in %s", name, type(error).__name__, hook.name)  # noqa: TRY400
