"""Changes of a text: pieces of it that others take the place of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Change(NamedTuple):
    """A piece of the text that another takes the place of."""

    start: int
    end: int
    text: str


def apply(text: str, changes: Sequence[Change]) -> str:
    """Return the text with these changes; what is put in at one place stands in the order of the changes."""
    numbered = ((change.start, change.end > change.start, number) for number, change in enumerate(changes))
    for *_, number in sorted(numbered, reverse=True):  # from the end, so that no position moves
        change = changes[number]
        text = text[: change.start] + change.text + text[change.end :]
    return text
