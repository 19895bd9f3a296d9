"""What a copy begins with, and whether what a store shows is a later state of the store that was known. Pure."""

from __future__ import annotations

from typing import NamedTuple

from confo.model import Snapshot


def time_travel(known: tuple[str, int], found: tuple[str, int]) -> str | None:
    """Tell why what was found, (identity, revision), is no later state of the store that was known; None if it is."""
    if known[0] and found[0] and known[0] != found[0]:
        return "another store is in its place"
    if found[1] < known[1]:
        return f"the store was set back to revision {found[1]}, and was at {known[1]} before"
    return None


class First(NamedTuple):
    """What a replica begins with: a state of the store, from itself or as it was kept, and which store that is.

    ``error`` is why it is not the store's own, ``alarm`` why it is no later state than what was kept.
    """

    snapshot: Snapshot
    identity: str
    error: str | None = None
    alarm: str | None = None
