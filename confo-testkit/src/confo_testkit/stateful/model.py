"""The model of what was edited, and what one process of the machine has: its namespace, its edits, its witness."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeAlias

from confo import MISSING, Backend, Commit, Entry, Event, Namespace, UnreadableDocument
from confo_testkit.faults import Delay, FaultyBackend

SECONDS = 10.0
"""How long a copy may take to reach the store's revision."""

NAMESPACE: Final = "sales"
MARK: Final = "mark"
"""A configuration that nobody edits: its next value, once seen, says that all before was seen."""

Stored: TypeAlias = dict[str, Any] | bytes
"""A configuration as the store has it: a document, or bytes that are none."""


Race: TypeAlias = tuple[str, str, bool]
"""What another tool writes in the middle of a commit: configuration, field, and whether after it was applied."""


class Told(NamedTuple):
    """What a commit told its writer, and the states of the store just before and after it."""

    commit: Commit | None
    error: Exception | None
    before: dict[str, Stored]
    after: dict[str, Stored]
    raced: bool
    """Another tool wrote in the middle of it."""


class _Unreadable:
    def __repr__(self) -> str:
        return "UNREADABLE"


UNREADABLE: Final = _Unreadable()


@dataclass
class FieldEdit:
    """What a writer wants of one field, and the values it may have had in mind as those before."""

    bases: tuple[Any, ...]
    mine: Any


@dataclass
class Edit:
    """What a writer wants of one configuration: some fields, or with ``deleted`` that it is gone."""

    base: dict[str, Any] | None
    since: int  # how many changes its writer surely knew when it began
    fields: dict[str, FieldEdit] = field(default_factory=dict)
    deleted: bool = False

    @property
    def sets(self) -> dict[str, Any]:
        """The values that are wanted; each is wanted by nobody else."""
        return {} if self.deleted else {name: f.mine for name, f in self.fields.items() if f.mine is not MISSING}


class Witness:
    """Applies a namespace's events, in order, to the state it began with, and complains of one that does not fit."""

    def __init__(self, namespace: Namespace) -> None:
        self._namespace = namespace
        self._news = threading.Condition()
        self._unsure: set[str] = set()  # of what the next event may say any ``old``, after a resync
        self._told: dict[str, int] = {}  # the revision of each configuration's last event
        self.state: dict[str, Any] = documents(namespace)
        self.complaints: list[str] = []
        self.subscription = namespace.on_change(self._hear, kinds="all")

    def wait_for_mark(self, number: int) -> dict[str, Any]:
        """Return the state once this mark was told; AssertionError with the complaints, if there are any."""
        with self._news:
            came = self._news.wait_for(lambda: self.state.get(MARK) == {"n": number} or self.complaints, SECONDS)
            assert not self.complaints, self.complaints
            assert came, f"no event told of the mark {number}: {self.state}"
            return dict(self.state)

    def _hear(self, event: Event) -> None:
        with self._news:
            try:
                self._apply(event)
            except Exception as error:
                self.complaints.append(f"{event}: {error!r}")
            self._news.notify_all()

    def _apply(self, event: Event) -> None:
        if event.kind == "resync":
            # The snapshot may be ahead of this event: what follows tells of it again.
            now = documents(self._namespace)
            self._unsure.update(event.configurations)
            for name in event.configurations:
                self._put(name, now.get(name))
        elif event.configuration is not None:
            name = event.configuration
            old, new = content_of(lambda: event.old), content_of(lambda: event.new)
            if event.kind == "unreadable":
                new = old  # which goes on being served
            if name not in self._unsure and old != self.state.get(name):
                self.complaints.append(f"{event}: it says that before there was {old}, not {self.state.get(name)}")
            if event.revision < self._told.get(name, 0):
                self.complaints.append(f"{event}: it was told before, or too late: after {self._told[name]}")
            self._told[name] = event.revision
            self._unsure.discard(name)
            self._put(name, new)

    def _put(self, name: str, document: Any) -> None:
        if document is None:
            self.state.pop(name, None)
        else:
            self.state[name] = document


class Handle:
    """One process: a namespace over a backend of its own, the edits it staged, and how far it can be behind."""

    def __init__(self, backend: Backend, *, follow: bool, known: int) -> None:
        self.faults = FaultyBackend(backend)
        self.follow = follow
        self.namespace = Namespace("store", self.faults, NAMESPACE, follow=follow)
        self.witness = Witness(self.namespace) if follow else None
        self.edits: dict[str, Edit] = {}
        self.known = known  # how many changes had happened when it surely knew them all
        self.lag: Delay | None = None
        self.missed = False  # a batch may have been swallowed

    def close(self) -> None:
        """End it."""
        self.faults.clear()
        if self.lag is not None:
            self.lag.release()
        self.namespace._replica.close()
        self.faults.close()


def documents(namespace: Namespace) -> dict[str, Any]:
    """Return the documents that a namespace serves of the committed state: the last good one for what is none."""
    return {name: dict(document) for name, document in namespace.snapshot().items()}


def to_edit(namespace: Namespace) -> dict[str, Any]:
    """Return the documents that an edit stands on: as ``documents``, and with own commits that are to come back."""
    with namespace.edit() as draft:
        return {name: draft[name].plain() for name in draft}


def content_of(read: Callable[[], Any]) -> Any:
    """Return what is read as a plain document, None, or UNREADABLE."""
    try:
        document = read()
    except UnreadableDocument:
        return UNREADABLE
    return document if document is None else dict(document)


def contents(entries: Mapping[str, Entry]) -> dict[str, tuple[int, Stored]]:
    """Return what entries hold, and their revisions."""
    return {name: (entry.revision, parsed(entry.data)) for name, entry in entries.items()}


def parsed(data: bytes) -> Stored:
    """Return the document that bytes are, or the bytes."""
    try:
        document = json.loads(data)
    except ValueError:
        return data
    return document if isinstance(document, dict) else data
