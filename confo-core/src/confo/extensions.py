"""Plugins that cut across backends: policies that may refuse a commit, and listeners to commits and events.

Each is called by itself, so that one which fails stops no other, and in the thread that persists, with that thread's
own variables and locks. A policy that fails refuses, and so does a plugin that
is installed and cannot be loaded, as it may be a policy; a listener that fails is logged.
"""

from __future__ import annotations

import functools
import logging
from typing import TYPE_CHECKING

from confo import plugins, shield
from confo.errors import CommitRefused, PluginError
from confo.events import Event
from confo.history import Signature
from confo.model import ChangeSet, Commit
from confo.plugins import register, unregister

if TYPE_CHECKING:
    import pluggy

log = logging.getLogger("confo")

__all__ = ["check", "committed", "event", "hears_events", "register", "unregister"]


def check(change_set: ChangeSet, signature: Signature) -> None:
    """Ask every policy; CommitRefused as soon as one refuses."""
    author, message = signature.author, signature.message
    for name, plugin in _installed():
        if isinstance(plugin, PluginError):
            without = plugins.how_to_leave_out(name.partition(" ")[0])
            raise PluginError(
                f"the plugin {name} may be a policy and cannot be asked, so nothing may be committed: {plugin}; "
                f"nothing was sent. Mend or uninstall it, or leave it out: {without}"
            ) from plugin
    for name, manager in _all():
        ask = functools.partial(manager.hook.confo_check_commit, change_set=change_set, author=author, message=message)
        try:
            answers = shield.in_caller(ask)
        except CommitRefused as refused:
            raise CommitRefused(f"the plugin {name} refuses this commit: {refused}; nothing was sent") from refused
        except KeyboardInterrupt as interrupt:  # of a person, who is not to be told of a plugin's defect
            interrupt.add_note(f"Confo: nothing was committed; the plugin {name} was being asked")
            raise
        except BaseException as error:  # a policy that calls sys.exit() has failed as well
            raise PluginError(
                f"the plugin {name} failed while it checked this commit ({type(error).__name__}), and a policy that "
                "fails allows nothing; nothing was sent"
            ) from error
        if any(answer is not True for answer in answers):  # pluggy leaves None out
            raise PluginError(
                f"the plugin {name} answered with {type(answers[0]).__name__} when it checked this commit: a policy "
                "raises confo.CommitRefused to refuse, and returns None to agree; nothing was sent"
            )


def committed(commit: Commit) -> None:
    """Tell every listener of a commit."""
    for name, manager in _all():
        shield.in_caller(functools.partial(_tell, name, manager.hook.confo_committed, commit=commit))


def event(event: Event) -> None:
    """Tell every listener of an event."""
    for name, manager in _all():
        _tell(name, manager.hook.confo_event, event=event)


def hears_events() -> bool:
    """Tell whether anybody listens to events: else there need be no thread for it."""
    return any(manager.hook.confo_event.get_hookimpls() for _, manager in _all())


def _all() -> list[tuple[str, pluggy.PluginManager]]:
    usable = [(name, plugin) for name, plugin in _installed() if not isinstance(plugin, PluginError)]
    return [*usable, *plugins.registered()]


@functools.cache
def _installed() -> list[tuple[str, pluggy.PluginManager | PluginError]]:
    """Load what is installed, when a namespace is first opened."""
    return [(str(plugin), manager) for plugin, manager in plugins.load_extensions()]


def _tell(name: str, hook: pluggy.HookCaller, **what: object) -> None:
    try:
        hook(**what)
    except BaseException as error:  # noqa: BLE001 - whatever it raises, sys.exit() too; its text may quote a document
        log.error("the plugin %s raised %s in %s", name, type(error).__name__, hook.name)  # noqa: TRY400
