"""What an edit is, and how two edits of one document become one: pure functions, no I/O.

A draft of a document is two documents: ``base``, what its writer saw, and ``mine``, what it shall be. None stands
for "there is no such configuration". Merging is by field, the members of a document: two edits of different fields
both win, two edits of the same field collide, and nobody decides in silence.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

from confo.codec import FrozenDict
from confo.model import MISSING, Change, Collision, same

Document: TypeAlias = Mapping[str, Any]


class Draft(NamedTuple):
    """An edit of one document that is not committed: what its writer saw, and what it shall be."""

    base: Document | None
    mine: Document | None

    @property
    def is_empty(self) -> bool:
        """Tell whether it changes nothing."""
        return unchanged(self.base, self.mine)

    def __repr__(self) -> str:
        """Show which fields are edited, never to what."""
        return f"<Draft of {list(Change('', '', self.base, self.mine).fields)}>"


def unchanged(old: Document | None, new: Document | None) -> bool:
    """Tell whether two documents are the same, absence included."""
    return old is new if old is None or new is None else same(old, new)


def rebase(draft: Draft, theirs: Document | None) -> Draft:
    """Lay a draft over a newer state of the store.

    A field that only one side changed takes that side's value. A field that both changed keeps its old base, so that
    ``collisions`` finds it for as long as the two differ.
    """
    base, mine = draft
    if draft.is_empty or unchanged(mine, theirs):
        return Draft(theirs, theirs)
    if unchanged(base, theirs):
        return Draft(theirs, mine)
    if mine is None or (theirs is None and base is not None):
        return draft  # deleted on one side and changed on the other: no field can settle that
    new_base: dict[str, Any] = {}
    new_mine: dict[str, Any] = {}
    for name in dict.fromkeys([*(theirs or {}), *mine, *(base or {})]):
        b, m, t = _field(base, name), _field(mine, name), _field(theirs, name)
        edited = not same(m, b)
        _put(new_base, name, b if edited and not same(t, b) and not same(t, m) else t)
        _put(new_mine, name, m if edited else t)
    return Draft(new_base, new_mine)


def collisions(namespace: str, configuration: str, draft: Draft, theirs: Document | None) -> list[Collision]:
    """Return the fields that the draft and the store changed differently since the draft's base.

    One collision of ``field=None`` stands for a document deleted on one side and changed on the other.
    """
    base, mine = draft
    if draft.is_empty or unchanged(mine, theirs) or unchanged(base, theirs):
        return []
    if mine is None or (theirs is None and base is not None):
        whole = [MISSING if side is None else FrozenDict(side) for side in (base, mine, theirs)]
        return [Collision(namespace, configuration, None, *whole)]
    found = []
    for name in dict.fromkeys([*mine, *(base or {})]):
        b, m, t = _field(base, name), _field(mine, name), _field(theirs, name)
        if not same(m, b) and not same(t, b) and not same(t, m):
            found.append(Collision(namespace, configuration, name, b, m, t))
    return found


def settle(draft: Draft, theirs: Document | None, *, keep: str) -> Draft:
    """Decide every collision of a draft for one side: ``keep`` is "mine" or "theirs"."""
    base, mine = rebase(draft, theirs)
    lost = collisions("", "", Draft(base, mine), theirs)
    if keep == "mine" or not lost:
        return Draft(theirs, mine)
    if lost[0].field is None or mine is None:
        return Draft(theirs, theirs)
    settled = dict(mine)
    for collision in lost:
        _put(settled, str(collision.field), collision.theirs)
    return Draft(theirs, settled)


def _field(document: Document | None, name: str) -> Any:
    return MISSING if document is None else document.get(name, MISSING)


def _put(document: dict[str, Any], name: str, value: Any) -> None:
    if value is MISSING:
        document.pop(name, None)
    else:
        document[name] = value
