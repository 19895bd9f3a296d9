"""What a namespace had in the past, as far as it was told here: ZooKeeper keeps no past. Pure.

Every znode says when it was written, so a watch that goes on from an older revision finds by itself what was written
since. What was deleted since left no trace: for that, the names that were ever told are remembered.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable

from confo_zookeeper.wire import Stat

MOST = 1000
"""Tellings with deletions that are remembered; a watch that was away for longer loads anew."""


class Trail:
    """The names that loads and watches of one session told of one namespace.

    Any state that was told, at any revision since the first, consists of names that are in ``names`` or among those
    that were deleted later. There may be more: telling twice that a name is gone does no harm.
    """

    def __init__(self, session_id: int, revision: int) -> None:
        self.session_id = session_id
        self.revision = revision
        self.forbidden: set[str] = set()
        """Names that could not be read when they were last told: nothing fires when an ACL allows it."""
        self._since = revision
        self._names: set[str] = set()
        self._gone: deque[tuple[int, frozenset[str]]] = deque()

    def tell_state(self, revision: int, names: Collection[str]) -> None:
        """Remember that the namespace had these names and no others."""
        self.tell(revision, names, self._names.difference(names) if revision >= self.revision else ())

    def tell(self, revision: int, there: Iterable[str], gone: Iterable[str]) -> None:
        """Remember that these names were there at a revision, and those not any more."""
        missing = frozenset(gone)
        if revision >= self.revision:  # an older telling may speak of names that are back
            self.revision = revision
            self._names -= missing
        self._names.update(there)
        if missing:
            self._gone.append((revision, missing))
        while len(self._gone) > MOST:
            self._since = max(self._since, self._gone.popleft()[0])

    def names_since(self, revision: int) -> set[str] | None:
        """Return all names that there may have been at a revision; None if that was before the first telling."""
        if revision < self._since:
            return None
        return self._names.union(*(names for when, names in self._gone if when > revision))


def nothing_was_deleted(stat: Stat, since: int) -> bool:
    """Tell by the namespace's own znode whether no child was surely deleted after a zxid.

    ``pzxid`` is when a child was last created or deleted, and ``cversion`` counts both, ever: it is the number of
    children as long as none was deleted. A znode that is younger is another one than at that time.
    """
    return bool(stat.czxid <= since and (stat.pzxid <= since or stat.cversion == stat.numChildren))
