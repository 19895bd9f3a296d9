"""Hints for error texts: the name that was probably meant. Pure."""

from __future__ import annotations

from collections.abc import Iterable

MOST_NAMES = 1000
"""Names that are compared for a hint: more would take longer than an error may."""


def did_you_mean(word: object, names: Iterable[str]) -> str:
    """Return ": did you mean 'etcd'?" with the nearest of these names, or "" when none is near."""
    from difflib import get_close_matches  # only errors need it

    known = list(names)
    if len(known) > MOST_NAMES:
        return ""
    folded = {name.casefold(): name for name in known}
    close = get_close_matches(str(word).casefold(), folded, n=1, cutoff=0.6)
    return f": did you mean {folded[close[0]]!r}?" if close else ""


def instead(word: object, names: Iterable[str], there: str = "it has") -> str:
    """Return what there is in place of a name: ": did you mean 'host'? It has: 'host', 'port'", or "; it has: ..."."""
    known = list(names)
    near = did_you_mean(word, known)
    return f"{near} {there[0].upper()}{there[1:]}: {listed(known)}" if near else f"; {there}: {listed(known)}"


def listed(names: Iterable[str], most: int = 10) -> str:
    """Return names for a text: the first ten and how many more there are; "none" when there is none."""
    known = list(names)
    shown = ", ".join(map(repr, known[:most]))
    more = len(known) - most
    return f"{shown} and {more:,} more" if more > 0 else shown or "none"
