"""A namespace's past, put together when somebody asks: commits, former states, and who set what.

What was written outside Confo has no record. It shows where a record replaced a revision that no commit has, or where
an entry stands at one; some stores can still tell what it was. What nothing tells any more is not guessed.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from confo.backend import Backend
from confo.changes import unchanged
from confo.codec import FrozenDict, decode, encode
from confo.errors import NotSupported, RevisionNotFound, UnreadableDocument
from confo.history import Record, Signature, record_write
from confo.model import OTHERWISE, Change, ChangeSet, Commit, Entry, Snapshot
from confo.paths import Field, leaves
from confo.records import Reader, Records, looking_at_history, newest_revision, touches
from confo.timeline import UNKNOWN, Known, Version, is_cut, is_told, version_at, versions, writer

TOO_LARGE = "its values were too large to be kept beside the document in one commit, the record has their sha256"
OUTSIDE = "<no record>"
"""The author of what was written without a record: by another tool, or by a program with ``history=False``."""


class Past:
    """The past of one namespace; each call takes a ``snapshot`` of its present to set out from."""

    def __init__(self, backend: Backend, namespace: str) -> None:
        self._backend = backend
        self._namespace = namespace
        self._reader = Reader(backend, namespace)

    def commits(self, snapshot: Snapshot, limit: int, config: str | None, before: int | None) -> list[Commit]:
        """Return up to ``limit`` commits of revisions less than ``before``, newest first."""
        records, more = self._reader.page(limit, config, before)
        newer = [] if before is None else self._reader.newer(before)
        known = Records(sorted([*records.kept, *newer], key=lambda one: one.revision), records.horizon)
        until = sys.maxsize if before is None else before
        listed = {one.revision: one for one in records.kept if one.revision < until and touches(one, config)}
        since = min(sorted(listed, reverse=True)[:limit], default=until) if more else records.horizon
        unrecorded = {
            revision: names
            for revision, names in _unrecorded(known.kept, snapshot.entries, config).items()
            if since < revision < until
        }
        return [
            listed[revision].commit(self._namespace)
            if revision in listed
            else self._outside(revision, unrecorded[revision], known, snapshot)
            for revision in sorted([*listed, *unrecorded], reverse=True)[:limit]
        ]

    def at(self, snapshot: Snapshot, revision: int) -> Snapshot:
        """Return the state at a revision; what is not known any more is in its ``lost``."""
        records = self._reader.all(snapshot.revision)
        if revision < records.horizon:
            raise RevisionNotFound(
                f"the history of {self._namespace!r} is kept from revision {records.horizon} on, not from {revision}",
                namespace=self._namespace,
                revision=revision,
            )
        entries = {name: entry for name, entry in snapshot.entries.items() if entry.revision <= revision}
        told = _told(records, snapshot)
        lost, absent = {}, []
        for name in dict.fromkeys([*snapshot.entries, *_recorded(records)]):
            if name in entries:
                continue
            line = self._versions(name, records, snapshot)
            version = version_at(line, revision, told)
            if version.document is UNKNOWN:
                lost[name] = TOO_LARGE if is_cut(line, revision) else OTHERWISE
            elif version.document is not None:
                data = encode(version.document, namespace=self._namespace, configuration=name)
                entries[name] = Entry(data, version.revision)
            elif not is_told(told, version.revision, revision):
                absent.append(name)  # unless others made it and deleted it again, which leaves no trace in the records
        found = self._read_at([*lost, *absent], revision)
        entries.update(found or {})
        return Snapshot(self._namespace, revision, entries, source="history", lost=lost if found is None else ())

    def blame(self, snapshot: Snapshot, config: str) -> dict[Field, Commit]:
        """Return, for each path of a value, the commit that gave it its value; without those that are not kept."""
        document, records = snapshot[config], self._reader.all(snapshot.revision)
        line = [
            version._replace(document=self._document(config, version, version.revision))
            for version in self._versions(config, records, snapshot)
        ]
        found = {path: writer(line, path) for path in leaves(document)}
        return {
            path[0] if len(path) == 1 else path: self._outside(version.revision, [config], records, snapshot)
            if version.record is None
            else version.record.commit(self._namespace)
            for path, version in found.items()
            if version.record is not None or version.revision > records.horizon
        }

    # --- documents of the past -------------------------------------------------------------------

    def _versions(self, name: str, records: Records, snapshot: Snapshot) -> list[Version]:
        entry = snapshot.entries.get(name)
        now = None if entry is None else Version(entry.revision, self._decoded(name, entry))
        return versions(name, records.kept, now)

    def _document(self, name: str, version: Version, revision: int) -> Known:
        """Return what a version was; the store is asked, about this revision, for what no record tells."""
        if version.document is not UNKNOWN:
            return version.document
        found = self._read_at([name], revision)
        return UNKNOWN if found is None else self._decoded(name, found.get(name))

    def _read_at(self, names: Sequence[str], revision: int) -> dict[str, Entry] | None:
        """Ask the store what these were; None where it does not know any more."""
        if not names or not self._backend.capabilities.reads_past:
            return None
        try:
            return self._backend.read_at(self._namespace, names, revision)
        except (NotSupported, RevisionNotFound):
            return None

    def _decoded(self, name: str, entry: Entry | None) -> Known:
        if entry is None:
            return None
        try:
            return decode(entry.data, namespace=self._namespace, configuration=name, problem=entry.problem)
        except UnreadableDocument:
            return UNKNOWN

    def _outside(self, revision: int, names: Sequence[str], records: Records, snapshot: Snapshot) -> Commit:
        """Return what was written without a record as a commit; a document is None where nothing tells it."""
        changes, told = [], _told(records, snapshot)
        for name in names:
            line = self._versions(name, records, snapshot)
            sides = (self._document(name, version_at(line, at, told), at) for at in (revision - 1, revision))
            old, new = (None if side is UNKNOWN or side is None else FrozenDict(side) for side in sides)
            changes.append(Change(self._namespace, name, old, new))
        return Commit(revision, "", OUTSIDE, "", None, ChangeSet(changes))


def _recorded(records: Records) -> list[str]:
    """Return the names that the records tell of."""
    return [name for record in records.kept for name in record.steps]


def _told(records: Records, snapshot: Snapshot) -> list[int]:
    """Return every revision of which something is known, in order: a commit's, or one that was replaced or stands."""
    replaced = (step.was for record in records.kept for step in record.steps.values())
    standing = (entry.revision for entry in snapshot.entries.values())
    return sorted({0, *(record.revision for record in records.kept), *replaced, *standing})


def _unrecorded(records: Sequence[Record], entries: Mapping[str, Entry], config: str | None) -> dict[int, list[str]]:
    """Return the revisions that replaced something, or stand now, and that no record is of; and what they wrote."""
    replaced = [(step.was, name) for record in records for name, step in record.steps.items() if step.was]
    standing = [(entry.revision, name) for name, entry in entries.items()]
    recorded = {record.revision for record in records}
    found: dict[int, list[str]] = {}
    for revision, name in dict.fromkeys([*replaced, *standing]):
        if revision not in recorded and config in (None, name):
            found.setdefault(revision, []).append(name)
    return found


def mark_end(backend: Backend, namespace: str, signature: Signature) -> None:
    """Write into a namespace's history, if it has one, that the namespace was deleted with all in it."""
    with looking_at_history(namespace, "delete namespace {}, whose history is looked at before"):
        newest = newest_revision(backend, namespace)
    if newest:
        backend.commit([record_write(namespace, newest, signature, (), "end")])


def differing(past: Snapshot, now: Mapping[str, Entry], config: str | None) -> list[str]:
    """Return the names, of all or of one configuration, whose entries are others than in the past.

    RevisionNotFound if one of them is not known.
    """
    names = dict.fromkeys([*past, *now]) if config is None else [config]
    if lost := [name for name in sorted(past.lost) if config in (None, name)]:
        raise RevisionNotFound(
            f"what {', '.join(lost)} of {past.namespace} was at revision {past.revision} is not known: "
            f"{past.why_lost(lost[0])}. Look at one configuration at a time, as rollback(revision, configuration=...) "
            "does",
            namespace=past.namespace,
            configuration=lost[0],
            revision=past.revision,
        )
    return [name for name in names if past.entries.get(name) != now.get(name)]


def between(old: Snapshot, new: Snapshot) -> ChangeSet:
    """Return what differs from one state to another; RevisionNotFound where one is not known whole."""
    names = dict.fromkeys([*differing(old, new.entries, None), *differing(new, old.entries, None)])
    changes = (Change(old.namespace, name, old.get(name), new.get(name)) for name in names)
    return ChangeSet(change for change in changes if not unchanged(change.old, change.new))
