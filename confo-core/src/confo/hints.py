"""Hints for error texts: the name that was probably meant. Pure."""

from __future__ import annotations

from collections.abc import Iterable


def did_you_mean(word: object, names: Iterable[str]) -> str:
    """Return ": did you mean 'etcd'?" with the nearest of these names, or "" when none is near."""
    from difflib import get_close_matches  # only errors need it

    known = list(names)
    folded = {name.casefold(): name for name in known}
    close = get_close_matches(str(word).casefold(), folded, n=1, cutoff=0.6)
    return f": did you mean {folded[close[0]]!r}?" if close else ""


def listed(names: Iterable[str], most: int = 10) -> str:
    """Return names for a text: the first ten and how many more there are; "none" when there is none."""
    known = list(names)
    shown = ", ".join(map(repr, known[:most]))
    more = len(known) - most
    return f"{shown} and {more:,} more" if more > 0 else shown or "none"
