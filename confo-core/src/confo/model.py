"""The values that travel through Confo: small, frozen, and silent about what documents hold."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from dataclasses import field as attribute
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Final, NamedTuple

from confo import pretty
from confo.codec import FrozenDict, decode
from confo.errors import ConfigurationNotFound, RevisionNotFound, UnreadableDocument


class _Missing(Enum):
    MISSING = "MISSING"

    def __repr__(self) -> str:
        return "MISSING"

    def __bool__(self) -> bool:
        return False


MISSING: Final = _Missing.MISSING
"""Stands for a field that is not there, as None is a value of JSON."""


OTHERWISE: Final = "it was written or deleted outside Confo since, or its history is not kept that long"
"""Why most of what is not known of the past is not."""


class Entry(NamedTuple):
    """A configuration as stored: its bytes and the revision that wrote them.

    ``problem`` is a backend's word on why this is no document: one sentence with the place and the reason, no value.
    Two entries of the same bytes and revision are equal, whatever is said of them.
    """

    data: bytes
    revision: int
    problem: str = ""

    def __eq__(self, other: object) -> bool:
        """Tell whether two entries are the same bytes of the same revision."""
        if not isinstance(other, Entry):
            return tuple.__eq__(self, other)
        return bool(self[1] == other[1] and self[0] == other[0])

    def __ne__(self, other: object) -> bool:
        """Tell whether they are not."""
        return not self == other

    def __hash__(self) -> int:
        """Hash what is compared."""
        return hash(self[:2])

    def __repr__(self) -> str:
        """Show the size and the revision, never the bytes."""
        unreadable = ", unreadable" if self.problem else ""
        return f"<Entry of {len(self.data)} bytes at revision {self.revision}{unreadable}>"


class Snapshot(Mapping[str, FrozenDict]):
    """The whole state of a namespace at one revision: an immutable mapping of names to documents.

    It gives the same answers for as long as it is held. A document is decoded when first asked for;
    ``entries`` has the bytes. ``source`` is "server" or "cache", or "history" for a state of the past: then ``lost``
    has the names of configurations of which nothing tells any more whether and what they were. ``unreadable`` has
    those that cannot be read: the last good document is served in their place, and what never had one is left out.
    """

    __slots__ = (
        "__weakref__",
        "_documents",
        "_since",
        "_why",
        "entries",
        "lost",
        "namespace",
        "revision",
        "source",
        "unreadable",
    )

    def __init__(
        self,
        namespace: str,
        revision: int,
        entries: Mapping[str, Entry],
        *,
        source: str = "server",
        since: float | None = None,
        documents: dict[str, FrozenDict] | None = None,
        lost: Iterable[str] | Mapping[str, str] = (),
        unreadable: Mapping[str, Unreadable] | None = None,
    ) -> None:
        self.namespace = namespace
        self.unreadable = {} if unreadable is None else dict(unreadable)
        self.revision = revision
        self.entries = entries
        self.source = source
        self.lost = frozenset(lost)
        self._why: dict[str, str] = dict(lost) if isinstance(lost, Mapping) else {}
        self._since = time.monotonic() if since is None else since
        self._documents = {} if documents is None else documents  # shared by snapshots of one state

    @property
    def age(self) -> float:
        """Seconds since this was known to be the store's state: by the monotonic clock, rest in a file included."""
        return time.monotonic() - self._since

    def __getitem__(self, name: str) -> FrozenDict:
        """Return the document; ConfigurationNotFound (a KeyError), UnreadableDocument or RevisionNotFound."""
        document = self._documents.get(name)
        if document is None:
            entry = self.entries.get(name)
            if name in self.lost:
                raise RevisionNotFound(
                    f"what {self.namespace}/{name} was at revision {self.revision} is not known: {self.why_lost(name)}",
                    namespace=self.namespace,
                    configuration=name,
                    revision=self.revision,
                )
            if entry is None:
                raise ConfigurationNotFound(
                    f"no configuration {name!r} in namespace {self.namespace!r} at revision {self.revision}",
                    namespace=self.namespace,
                    configuration=name,
                    revision=self.revision,
                )
            document = FrozenDict(
                decode(entry.data, namespace=self.namespace, configuration=name, problem=entry.problem)
            )
            self._documents[name] = document
        return document

    def __iter__(self) -> Iterator[str]:
        """Iterate the names of the configurations that can be read."""
        for name in self.entries:  # as a generator, which holds the snapshot while somebody does
            if self._can_be_read(name):
                yield name

    def __len__(self) -> int:
        """Count the configurations, without those that are known to be unreadable."""
        return len(self.entries) - sum(1 for name in self.unreadable if name not in self._documents)

    def __contains__(self, name: object) -> bool:
        """Tell whether the configuration is there, readable or not."""
        return name in self.entries

    def __repr__(self) -> str:
        """Show place, revision and size."""
        return (
            f"<Snapshot of {self.namespace} at revision {self.revision}: "
            f"{pretty.counted(len(self))}, from {self.source}>"
        )

    def why_lost(self, name: str) -> str:
        """Return why it is not known what a configuration was."""
        return self._why.get(name, OTHERWISE)

    def _can_be_read(self, name: str) -> bool:
        if name in self._documents:
            return True
        if name in self.unreadable:
            return False
        try:
            self[name]
        except UnreadableDocument as error:
            self.unreadable[name] = Unreadable(str(error), datetime.now(UTC), self.entries[name].revision, None)
            return False
        return True


class State(Enum):
    """How a followed namespace stands to its store."""

    READY = "follows the store"
    STALE = "serves what it knew when the store was lost, and tries again"
    ERROR = "the store refuses, or has no such namespace; tries again, less often"
    CLOSED = "closed"


class Unreadable(NamedTuple):
    """A document that the store has and this process cannot read."""

    reason: str
    """Where it is and what is wrong with it, without a value."""
    since: datetime
    """When this process saw it first, by its clock; for people, never for order."""
    revision: int
    """The revision that wrote it."""
    serving: int | None
    """The revision of the last document that could be read, which is served instead; None if there is none."""


@dataclass(frozen=True, slots=True)
class Status:
    """How fresh a namespace's local copy is, and what of it cannot be read.

    ``age`` is the seconds since it was last known to be the store's state, by the monotonic clock; ``source`` is
    "server", or "cache" until the store was seen; ``error`` the last error's kind and message, without values.
    ``unreadable`` has the documents that cannot be read, by name: all that were read here or changed since the start,
    and of the others those that do not even look like a JSON object.
    """

    state: State
    revision: int
    age: float
    source: str
    error: str | None
    unreadable: Mapping[str, Unreadable] = attribute(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Collision:
    """One path that was changed in two places; MISSING where it is absent.

    ``field`` is the name of a field, a tuple of names for what lies deeper, None for a whole document.
    """

    namespace: str
    configuration: str
    field: str | tuple[str, ...] | None
    base: Any = attribute(repr=False)
    mine: Any = attribute(repr=False)
    theirs: Any = attribute(repr=False)


@dataclass(frozen=True, slots=True)
class Change:
    """One configuration, its old and its new document (None: it is not there)."""

    namespace: str
    configuration: str
    old: Mapping[str, Any] | None = attribute(repr=False)
    new: Mapping[str, Any] | None = attribute(repr=False)

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the fields that differ, in the order in which they stand."""
        old, new = self.old or {}, self.new or {}
        both = dict.fromkeys([*old, *new])
        return tuple(name for name in both if not same(old.get(name, MISSING), new.get(name, MISSING)))

    @property
    def paths(self) -> tuple[tuple[str, ...], ...]:
        """Where they differ, as deep as both sides are objects: ``(("host",), ("opts", "pool"))``."""
        return tuple(changed_paths(self.old or {}, self.new or {}))


class ChangeSet(tuple[Change, ...]):
    """What one commit changes: a tuple of ``Change``, one a configuration."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Show what changes, never to what."""
        shown = (f"{c.namespace}/{c.configuration}{[p[0] if len(p) == 1 else p for p in c.paths]}" for c in self)
        return f"<ChangeSet {', '.join(shown) or 'of nothing'}>"

    def pretty(self) -> str:
        """Return old -> new of every path, a line each, below a line for each configuration. It shows values."""
        return "\n".join(line for change in self for line in _lines(change))


@dataclass(frozen=True, slots=True)
class Commit:
    """A change set that the store took; ``time`` and ``timestamp`` are the writer's clock, never used for order.

    One that ``history`` tells of has in ``changes`` the fields that it changed, and no others. One by
    ``<no record>`` has no op id and no time. One that is ``already_so`` was not made, as there was nothing to do.
    """

    revision: int
    op_id: str
    author: str
    message: str
    timestamp: float | None
    """Seconds since 1970."""
    changes: ChangeSet

    @property
    def time(self) -> datetime | None:
        """When it was made, in UTC; None where nothing tells, or for a number that is no date."""
        try:
            return None if self.timestamp is None else datetime.fromtimestamp(self.timestamp, UTC)
        except (ValueError, OverflowError, OSError):
            return None

    def __repr__(self) -> str:
        """Show the line for people: without values, and without the op id, which is for machines."""
        return f"<Commit {self}>"

    def __str__(self) -> str:
        """Return one line for people: revision, time, author, message, and what it changed, without values."""
        when = "" if self.time is None else f" {self.time:%Y-%m-%d %H:%M:%S} UTC"
        message = f": {pretty.one_line(self.message)}" if self.message else ""
        what = "; ".join(
            f"{change.namespace}/{change.configuration}{_word(change)} ({', '.join(map(pretty.at, change.paths))})"
            for change in self.changes
        )
        made = what or ("nothing, it was so already" if self.already_so else "nothing")
        return f"revision {self.revision}{when} by {pretty.one_line(self.author)}{message} [{made}]"

    def pretty(self) -> str:
        """Return that line and, below it, old -> new of every path. It shows values."""
        return "\n".join([str(self), *(f"  {line}" for line in self.changes.pretty().splitlines())])

    @property
    def already_so(self) -> bool:
        """Whether nothing had to be written: at ``revision`` the store was known to have it, from somebody else."""
        return not self.op_id and not self.changes


def _word(change: Change) -> str:
    if change.old is None and change.new is None:
        return " written outside"
    return " created" if change.old is None else " deleted" if change.new is None else ""


def _lines(change: Change) -> Iterator[str]:
    yield f"{change.namespace}/{change.configuration}{_word(change)}"
    for path in change.paths:
        old, new = (_found(side, path) for side in (change.old, change.new))
        yield f"  {pretty.at(path)}: {old} -> {new}"


def _found(document: Any, path: tuple[str, ...]) -> str:
    for name in path:
        if not isinstance(document, Mapping) or name not in document:
            return "absent"
        document = document[name]
    return pretty.said(document)


def same(a: object, b: object) -> bool:
    """Tell whether two JSON values are the same: unlike ``==``, True is not 1, though 1 is 1.0."""
    if a is b:
        return True
    if isinstance(a, dict):
        return isinstance(b, dict) and len(a) == len(b) and all(key in b and same(v, b[key]) for key, v in a.items())
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(same, a, b))
    return not isinstance(a, bool) and not isinstance(b, bool) and a == b


def changed_paths(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """Yield the paths at which two objects differ, as deep as both sides are objects; a list is one value."""
    for name in dict.fromkeys([*old, *new]):
        was, became = old.get(name, MISSING), new.get(name, MISSING)
        if same(was, became):
            continue
        if isinstance(was, dict) and isinstance(became, dict):
            yield from ((name, *path) for path in changed_paths(was, became))
        else:
            yield (name,)
