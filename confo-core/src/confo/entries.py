"""Many entries in little more than their bytes: blocks of names and values laid end to end, and what changed since.

An entry as Python objects (a name, bytes, an int, a tuple, a dict's slot) needs about 230 bytes besides its document;
a namespace of 100,000 small configurations that nobody reads yet would take twice what is stored. Laid end to end it
takes the bytes, and 24 more for the offsets and the revision. A copy copies only what changed since.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, MutableMapping
from itertools import accumulate, islice

from confo.model import Entry

BLOCK = 256
"""Entries in one block: few enough to search quickly, many enough that the block's own objects do not count."""
PACK_FROM = 1024
"""Entries from which on packing is worth it; fewer stay in a dict, in the order in which they came."""

_UNKNOWN = Entry(b"", -1)


class Block:
    """Up to ``BLOCK`` entries in order of name; immutable."""

    __slots__ = ("_data", "_data_ends", "_name_ends", "_names", "_problems", "_revisions")

    def __init__(self, names: list[str], entries: list[Entry]) -> None:
        encoded = [_encode(name) for name in names]
        self._names = b"".join(encoded)
        self._name_ends = array("I", accumulate(map(len, encoded), initial=0))
        self._data = b"".join([entry.data for entry in entries])
        # A block of the largest documents is beyond 32 bits only if a store breaks every limit: then 64 serve.
        ends = list(accumulate((len(entry.data) for entry in entries), initial=0))
        self._data_ends = array("I" if ends[-1] < 2**32 else "Q", ends)
        self._revisions = array("q", [entry.revision for entry in entries])
        self._problems = {index: entry.problem for index, entry in enumerate(entries) if entry.problem}

    def __len__(self) -> int:
        """Count the entries."""
        return len(self._revisions)

    def name(self, index: int) -> bytes:
        """Return a name as it is kept."""
        return self._names[self._name_ends[index] : self._name_ends[index + 1]]

    def entry(self, index: int) -> Entry:
        """Return a new object of an entry."""
        data = self._data[self._data_ends[index] : self._data_ends[index + 1]]
        return Entry(data, self._revisions[index], self._problems.get(index, ""))

    def find(self, name: bytes) -> int | None:
        """Return where a name is, None if it is not here."""
        index = bisect_left(range(len(self)), name, key=self.name)
        return index if index < len(self) and self.name(index) == name else None


class Entries(MutableMapping[str, Entry]):
    """A mapping of names to entries; those that it was made of take little room, and a copy is cheap.

    An entry may be another object each time it is asked for: compare with ``==``.
    """

    __slots__ = ("_blocks", "_changed", "_count", "_firsts")

    def __init__(self, entries: dict[str, Entry]) -> None:
        """Take over a dict; it is emptied while the entries are packed, so that they need not be there twice."""
        self._count = len(entries)
        self._changed: dict[str, Entry | None] = {}
        self._blocks: tuple[Block, ...] = ()
        self._firsts: list[bytes] = []
        if self._count < PACK_FROM:
            self._changed.update(entries)
            return
        names = iter(sorted(entries))
        self._blocks = tuple(_blocks(names, entries))
        self._firsts = [block.name(0) for block in self._blocks]

    def copy(self) -> Entries:
        """Return a copy that changes by itself."""
        copy = object.__new__(Entries)
        copy._blocks, copy._firsts, copy._count = self._blocks, self._firsts, self._count
        copy._changed = self._changed.copy()
        return copy

    def packed(self) -> Entries:
        """Return itself, or the same anew if much of it has changed since it was packed."""
        return Entries(dict(self)) if len(self._changed) > max(PACK_FROM, self._count // 4) else self

    def __getitem__(self, name: str) -> Entry:
        """Return the entry; KeyError."""
        entry = self._changed.get(name, _UNKNOWN)
        if entry is _UNKNOWN:
            entry = self._packed(name)
        if entry is None:
            raise KeyError(name)
        return entry

    def __setitem__(self, name: str, entry: Entry) -> None:
        """Put an entry in."""
        self._count += name not in self
        self._changed[name] = entry

    def __delitem__(self, name: str) -> None:
        """Take an entry out; KeyError."""
        if name not in self:
            raise KeyError(name)
        self._count -= 1
        if self._packed(name) is None:
            del self._changed[name]
        else:
            self._changed[name] = None

    def __contains__(self, name: object) -> bool:
        """Tell whether there is such an entry."""
        if not isinstance(name, str):
            return False
        entry = self._changed.get(name, _UNKNOWN)
        return (self._packed(name) if entry is _UNKNOWN else entry) is not None

    def __iter__(self) -> Iterator[str]:
        """Iterate the names: what was packed in order of name, then the rest in the order in which it came."""
        for block in self._blocks:
            for index in range(len(block)):
                name = _decode(block.name(index))
                if self._changed.get(name, _UNKNOWN) is not None:
                    yield name
        for name, entry in self._changed.items():
            if entry is not None and self._packed(name) is None:
                yield name

    def __len__(self) -> int:
        """Count the entries."""
        return self._count

    def __repr__(self) -> str:
        """Show how many there are."""
        return f"<Entries: {self._count}, {len(self._changed)} not packed>"

    def _packed(self, name: str) -> Entry | None:
        if not self._blocks:
            return None
        wanted = _encode(name)
        at = bisect_right(self._firsts, wanted) - 1
        if at < 0:
            return None
        index = self._blocks[at].find(wanted)
        return None if index is None else self._blocks[at].entry(index)


def _blocks(names: Iterable[str], entries: dict[str, Entry]) -> Iterator[Block]:
    names = iter(names)
    while chunk := list(islice(names, BLOCK)):
        yield Block(chunk, [entries.pop(name) for name in chunk])


def _encode(name: str) -> bytes:
    return name.encode("utf-8", "surrogatepass")


def _decode(name: bytes) -> str:
    return name.decode("utf-8", "surrogatepass")
