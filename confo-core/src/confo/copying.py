"""Copying namespaces from one backend to another: documents as they are stored, and commits as they happened.

A history is copied by doing it again: each commit once more, with its op id, author, message and time, so that every
former state is there as well, under the target's own revisions. What is there already is not done twice: a copy that
was cut short goes on when it is asked for again.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from confo import extensions
from confo.backend import Backend, Write
from confo.changes import Document, unchanged
from confo.codec import FrozenDict, decode, encode
from confo.commits import send
from confo.errors import (
    BackendFailure,
    ConfigurationExists,
    Conflict,
    NamespaceExists,
    NamespaceNotFound,
    TooLarge,
    UnreadableDocument,
)
from confo.history import Kind, Record, Signature, record_write
from confo.model import Change, ChangeSet, Commit, Entry, Snapshot
from confo.readable import Readable
from confo.records import Reader
from confo.sizes import fitted, named
from confo.timeline import UNKNOWN, Version, version_at, versions

CHUNK = 100
"""Configurations that are copied in one commit, if the target takes as many."""


class Copied(NamedTuple):
    """What was copied of a namespace: its state at a ``revision`` of the source, and how much had to be written.

    ``unreadable`` and ``left_out`` have what was not copied, with the reasons: documents of the source that cannot be
    read, and what lies in the source under a name that is no configuration's, such as ``my db.json`` in a folder.
    """

    revision: int
    documents: int
    commits: int
    unreadable: Mapping[str, str] = {}
    left_out: Mapping[str, str] = {}


class Copy:
    """The copying of one namespace; ``check`` before anything is written, then ``run``."""

    def __init__(
        self, source: Backend, target: Backend, namespace: str, signature: Signature, *, history: bool
    ) -> None:
        self._target = target
        self._namespace = namespace
        self._signature = signature
        self._history = history
        self._here = source.load(namespace)
        self._entries, self._unreadable = _told_apart(self._here)
        self._left_out = source.left_out(namespace)
        self._records = Reader(source, namespace).all(self._here.revision).kept if history else []
        self._replayed = {record.signature.op_id: record for record in Reader(target, namespace).all(sys.maxsize).kept}
        self._there = _entries(target, namespace)
        self._origin = source.identity
        self._op_ids = {record.signature.op_id for record in self._records}
        copied = {record.revision for record in self._replayed.values() if self._is_copied(record)}
        self._own = {name for name, entry in self._there.items() if entry.revision not in copied}
        written = [entry.revision for entry in self._there.values()]
        self._base = max([*written, *(record.revision for record in self._replayed.values()), 1])
        self._documents = self._commits = 0

    def check_readable(self) -> None:
        """Refuse to copy what is no document; UnreadableDocument with every name and reason."""
        if self._unreadable:
            told = "; ".join(self._unreadable.values())
            raise UnreadableDocument(
                f"namespace {self._namespace!r} has documents that cannot be read, so nothing was written: {told}. "
                "Repair them, or copy with unreadable='skip' to go on without them",
                namespace=self._namespace,
                configuration=next(iter(self._unreadable)),
            )

    def check(self) -> None:
        """Refuse to write over what did not come from the source; ConfigurationExists with every name."""
        others = [name for name in self._differing() if name in self._own]
        if others:
            raise ConfigurationExists(
                f"namespace {self._namespace!r} of the target has other documents than the source in "
                f"{', '.join(others)}; nothing was written: copy with overwrite=True to replace them",
                namespace=self._namespace,
                configuration=others[0],
            )

    def run(self) -> Copied:
        """Copy, read back and compare; what only the target has stays."""
        with contextlib.suppress(NamespaceExists):
            self._target.create_namespace(self._namespace)
        try:
            self._bring_all()
        except Conflict as lost:
            raise BackendFailure(
                f"somebody else writes into namespace {self._namespace!r} of the target: copy again, which goes on "
                "where this stopped",
                namespace=self._namespace,
            ) from lost
        self._there = _entries(self._target, self._namespace)
        if wrong := self._differing():
            raise BackendFailure(
                f"namespace {self._namespace!r} does not read back as it was copied: {', '.join(wrong)}; either "
                "somebody writes there, or the target is broken: copy again",
                namespace=self._namespace,
                configuration=wrong[0],
            )
        return Copied(self._here.revision, self._documents, self._commits, self._unreadable, self._left_out)

    def _bring_all(self) -> None:
        """Bring what no commit tells of, then the commits in their order, then what they leave different."""
        told = {name for record in self._records for name in record.steps}
        self._bring([name for name in self._differing() if name not in told])
        if all(map(self._is_copied, self._replayed.values())):
            self._replay()
            here = {*self._entries, *self._unreadable}
            lost = [name for name in told - self._own if name in self._there and name not in here]
            self._commit_parts([(name, None) for name in lost])  # the source lost them without a record
        self._bring(self._differing())

    def _is_copied(self, record: Record) -> bool:
        return record.origin == self._origin != "" or record.signature.op_id in self._op_ids

    def _differing(self) -> list[str]:
        """Return the names of what the target has not, or otherwise."""
        return [
            name
            for name, entry in self._entries.items()
            if name not in self._there or not self._alike(name, entry, self._there[name])
        ]

    def _alike(self, name: str, here: Entry, there: Entry) -> bool:
        """Tell whether two entries are one document; a target may keep it in other bytes."""
        if here.data == there.data:
            return True
        ours, theirs = (self._decoded(name, entry.data) for entry in (here, there))
        return ours is not None and unchanged(ours, theirs)

    def _bring(self, names: Sequence[str]) -> None:
        """Copy documents as they are now, in as few commits as the target takes."""
        for start in range(0, len(names), CHUNK):
            self._bring_together(names[start : start + CHUNK])

    def _bring_together(self, names: Sequence[str]) -> None:
        room = self._target.capabilities.atomic_writes - 1
        try:
            if len(names) <= room:
                self._commit({name: self._entries[name].data for name in names}, self._signature.renewed(), "copy")
                return
        except TooLarge:
            if len(names) == 1:
                raise
        half = len(names) // 2
        self._bring_together(names[:half])
        self._bring_together(names[half:])

    def _replay(self) -> None:
        """Do every commit again that is not there yet; what is not known of one is left to what follows."""
        told = dict.fromkeys(name for record in self._records for name in record.steps)
        lines = {name: self._line(name) for name in told if name in self._entries or name not in self._own}
        room = self._target.capabilities.atomic_writes - 1
        for record in self._records:
            if record.signature.op_id in self._replayed:
                continue
            self._bring_what_was_before(record, lines)
            names = lines if record.kind == "end" else record.steps
            found = {name: version_at(lines[name], record.revision) for name in names if name in lines}
            changed = [(name, self._data(name, one)) for name, one in found.items() if one.document is not UNKNOWN]
            while len(changed) > room:  # more than the target takes at once; its op id comes with the last of it
                part, changed = changed[:room], changed[room:]
                self._commit(dict(part), record.signature.renewed(), "copy")
            self._commit(dict(changed), record.signature, record.kind)

    def _bring_what_was_before(self, record: Record, lines: Mapping[str, list[Version]]) -> None:
        """Copy what a commit changed and no commit had made, so that it changes the same in the target."""
        found = {
            name: version_at(lines[name], step.was)
            for name, step in record.steps.items()
            if step.was and name in lines and name not in self._there
        }
        self._commit_parts([(n, data) for n, one in found.items() if (data := self._data(n, one)) is not None])

    def _commit_parts(self, changed: Sequence[tuple[str, bytes | None]]) -> None:
        """Commit these as copied, in as many parts as the target needs."""
        room = self._target.capabilities.atomic_writes - 1
        for start in range(0, len(changed), room):
            self._commit(dict(changed[start : start + room]), self._signature.renewed(), "copy")

    def _line(self, name: str) -> list[Version]:
        entry = self._entries.get(name)
        if entry is None:
            return versions(name, self._records, None)
        document = self._decoded(name, entry.data)
        return versions(name, self._records, Version(entry.revision, UNKNOWN if document is None else document))

    def _data(self, name: str, version: Version) -> bytes | None:
        """Return a version's bytes: as they are stored, if it is the present one."""
        entry = self._entries.get(name)
        if entry is not None and entry.revision == version.revision:
            return entry.data
        if version.document is None or version.document is UNKNOWN:
            return None
        return encode(version.document, namespace=self._namespace, configuration=name)

    def _commit(self, changed: Mapping[str, bytes | None], signature: Signature, kind: Kind) -> None:
        """Commit these bytes, guarded by what the target is known to have, with their record."""
        writes, changes, replaced = [], [], []
        for name, data in changed.items():
            entry = self._there.get(name)
            if data == (None if entry is None else entry.data):
                continue
            replaced.append(entry.revision if entry else 0)
            writes.append(Write(self._namespace, name, data, replaced[-1]))
            sides = (self._decoded(name, side) for side in (entry and entry.data, data))
            changes.append(Change(self._namespace, name, *(None if s is None else FrozenDict(s) for s in sides)))
        extensions.check(ChangeSet(changes), signature)
        told = zip(changes, replaced, strict=True)
        record = (
            [record_write(self._namespace, self._base, signature, told, kind, self._origin)] if self._history else []
        )
        if writes or record:
            revision = self._send([*writes, *record])
            extensions.committed(Commit(revision, *signature, ChangeSet(changes)))
            self._base = revision
            for write in writes:
                self._there.pop(write.name, None)
                if write.data is not None:
                    self._there[write.name] = Entry(write.data, revision)
            self._documents += len(writes)
            self._commits += 1

    def _send(self, writes: Sequence[Write]) -> int:
        try:
            return send(self._target, fitted(self._target, writes))
        except TooLarge:  # names and keys took more than was reckoned
            sent = fitted(self._target, writes, tight=True)
        try:
            return send(self._target, sent)
        except TooLarge as error:
            raise named(error, sent) from None

    def _decoded(self, name: str, data: bytes | None) -> Document | None:
        """Return the document, None for what is none."""
        try:
            return None if data is None else decode(data, namespace=self._namespace, configuration=name)
        except UnreadableDocument:
            return None


def _told_apart(snapshot: Snapshot) -> tuple[dict[str, Entry], dict[str, str]]:
    """Return the entries that are documents, and of the others why they are none."""
    readable = Readable(snapshot.namespace)
    reasons = {name: readable.problem(name, entry) for name, entry in snapshot.entries.items()}
    good = {name: entry for name, entry in snapshot.entries.items() if reasons[name] is None}
    return good, {name: reason for name, reason in reasons.items() if reason is not None}


def _entries(backend: Backend, namespace: str) -> dict[str, Entry]:
    try:
        return dict(backend.load(namespace).entries)
    except NamespaceNotFound:
        return {}
