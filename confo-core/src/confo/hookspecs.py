"""The hooks through which plugins join, by pluggy. They stand at the door only: no read goes through one."""

from __future__ import annotations

import pluggy

from confo.backend import Backend
from confo.events import Event
from confo.model import ChangeSet, Commit

PROJECT = "confo"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec(firstresult=True)
def confo_backend(kind: str) -> type[Backend] | None:
    """Return the class of this kind of backend; None for a kind that is not yours.

    Found through the entry-point group ``confo.backends``, whose names are the kinds.
    """


@hookspec
def confo_check_commit(change_set: ChangeSet, author: str, message: str) -> None:
    """Look at what a commit will change, by whom and why, just before it is sent; raise CommitRefused to refuse it.

    A plugin names those of the arguments that it wants.

    Found, like the two below, through the entry-point group ``confo.plugins``. Called in the thread that persists,
    perhaps again when a race was lost and the change set is another one. Any other error refuses as well: a policy
    that fails allows nothing.
    """


@hookspec
def confo_committed(commit: Commit) -> None:
    """Hear of a commit that the store took, in the thread that persisted it, before ``persist`` returns.

    An error is logged and changes nothing.
    """


@hookspec
def confo_event(event: Event) -> None:
    """Hear of every event of every namespace that this process follows, in a thread apart from the reader.

    An error is logged and changes nothing.
    """
