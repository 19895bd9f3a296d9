"""What an edit is, and how two edits of one document become one: pure functions, no I/O.

A draft of a document is two documents: ``base``, what its writer saw, and ``mine``, what it shall be. None stands
for "there is no such configuration". Objects merge deeply, and a list is one value: two edits of different paths both
win, two edits of the same path collide, and nobody decides in silence.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from confo.codec import FrozenDict
from confo.model import MISSING, Change, Collision, same
from confo.paths import ITSELF, Path, as_field, look, put

Document: TypeAlias = Mapping[str, Any]
OnConflict: TypeAlias = Literal["raise", "mine", "theirs"]


UNREADABLE: Final = FrozenDict({"\x00unreadable": True})
"""Stands for a document of the store that cannot be read, as the base of a draft that shall replace it as a whole."""


class Draft(NamedTuple):
    """An edit of one document that is not committed: what its writer saw, and what it shall be."""

    base: Document | None
    mine: Document | None
    guards: frozenset[Path] = frozenset()
    """Paths that must still be what ``base`` says, even where both sides changed them to the same value."""

    @property
    def is_empty(self) -> bool:
        """Tell whether it changes nothing."""
        return unchanged(self.base, self.mine)

    def __repr__(self) -> str:
        """Show which fields are edited, never to what."""
        return f"<Draft of {list(Change('', '', self.base, self.mine).fields)}>"


class Clash(NamedTuple):
    """One path that both sides changed; MISSING where it is absent, the empty path for a whole document."""

    path: Path
    base: Any
    mine: Any
    theirs: Any

    def __repr__(self) -> str:
        """Show where, never what."""
        return f"<Clash at {self.path}>"


class Merge(NamedTuple):
    """A draft laid over a newer state of the store."""

    draft: Draft
    clashes: list[Clash]
    changed: bool
    """Whether what it shall be differs from what the store has."""


def unchanged(old: Document | None, new: Document | None) -> bool:
    """Tell whether two documents are the same, absence included."""
    return old is new if old is None or new is None else same(old, new)


def merge(draft: Draft, theirs: Document | None, *, keep: OnConflict = "raise") -> Merge:
    """Lay a draft over what the store has now, in one pass.

    A path that only one side changed takes that side's value. One that both changed differently is a clash: it is
    decided for ``keep``, or with "raise" keeps its old base and is told, so that it is found again for as long as
    the two differ. A guarded path clashes as soon as the store changed it, whatever it was changed to.
    """
    clashes: list[Clash] = []
    base, mine = (_whole(side) for side in draft[:2])
    new_base, new_mine = _merged(base, mine, _whole(theirs), (), keep, clashes)
    if draft.guards and keep != "mine":
        for guard in sorted(draft.guards):
            if _holds(draft.base, theirs, guard):
                continue
            path = guard[:-1] if guard[-1:] == (ITSELF,) else guard
            now = look(theirs, path)
            if keep == "theirs":
                new_mine = _with(new_mine, path, now)
            elif not any(_overlap(path, clash.path) for clash in clashes):
                clashes.append(Clash(path, look(draft.base, path), look(draft.mine, path), now))
    laid = Draft(None if new_base is MISSING else new_base, None if new_mine is MISSING else new_mine)
    return Merge(laid, clashes, laid.mine is not theirs and not unchanged(laid.mine, theirs))


def rebase(draft: Draft, theirs: Document | None) -> Draft:
    """Lay a draft over a newer state of the store; a path that both changed differently keeps its old base."""
    return merge(draft, theirs).draft


def collisions(namespace: str, configuration: str, clashes: list[Clash]) -> list[Collision]:
    """Return clashes as users are told of them."""
    return [
        Collision(namespace, configuration, as_field(path), *(_frozen(side) for side in sides))
        for path, *sides in clashes
    ]


def _merged(base: Any, mine: Any, theirs: Any, path: Path, keep: OnConflict, clashes: list[Clash]) -> tuple[Any, Any]:
    """Return the base and the value of one place after merging."""
    if mine is base or same(mine, base):
        return theirs, theirs
    if theirs is base or same(theirs, base):
        return theirs, mine
    if same(theirs, mine):
        return theirs, theirs
    if isinstance(mine, dict) and isinstance(theirs, dict) and isinstance(base, (dict, type(MISSING))):
        members = {} if base is MISSING else base
        return _members(members, mine, theirs, path, keep, clashes)
    if keep == "theirs":
        return theirs, theirs
    if keep == "mine":
        return theirs, mine
    clashes.append(Clash(path, base, mine, theirs))
    return base, mine


def _members(
    base: dict[str, Any],
    mine: dict[str, Any],
    theirs: dict[str, Any],
    path: Path,
    keep: OnConflict,
    clashes: list[Clash],
) -> tuple[Any, Any]:
    new_base: dict[str, Any] = {}
    new_mine: dict[str, Any] = {}
    for name in dict.fromkeys([*theirs, *mine, *base]):
        b, m, t = base.get(name, MISSING), mine.get(name, MISSING), theirs.get(name, MISSING)
        if m is b and t is b:  # most fields: nobody touched them
            b = m = t
        else:
            b, m = _merged(b, m, t, (*path, name), keep, clashes)
        if b is not MISSING:
            new_base[name] = b
        if m is not MISSING:
            new_mine[name] = m
    return (FrozenDict(new_base), FrozenDict(new_mine)) if path else (new_base, new_mine)


def _whole(document: Document | None) -> Any:
    if document is None:
        return MISSING
    return document if isinstance(document, dict) else dict(document)


def _holds(base: Document | None, theirs: Document | None, path: Path) -> bool:
    """Tell whether a path is what it was: the value, or that there is none in an object that is there."""
    was, now = look(base, path), look(theirs, path)
    if was is MISSING and path:
        return now is MISSING and isinstance(look(base, path[:-1]), dict) == isinstance(look(theirs, path[:-1]), dict)
    return same(was, now)


def _with(document: Any, path: Path, value: Any) -> Any:
    """Return a document with their value at a path of it."""
    if not path:
        return value
    return put(None if document is MISSING else document, path, value)


def _overlap(one: Path, other: Path) -> bool:
    """Tell whether one of two paths lies in the other."""
    return all(a == b for a, b in zip(one, other, strict=False))


def _frozen(value: Any) -> Any:
    if value is UNREADABLE:
        return MISSING
    return FrozenDict(value) if type(value) is dict else value
