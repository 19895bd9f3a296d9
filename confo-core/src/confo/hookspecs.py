"""The hooks through which plugins join, by pluggy. They stand at the door only: no read goes through one."""

from __future__ import annotations

import pluggy

from confo.backend import Backend

PROJECT = "confo"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec(firstresult=True)
def confo_backend(kind: str) -> type[Backend] | None:
    """Return the class of this kind of backend; None for a kind that is not yours.

    Found through the entry-point group ``confo.backends``, whose names are the kinds.
    """
