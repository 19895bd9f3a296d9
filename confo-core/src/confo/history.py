"""Commits kept beside the documents: the record that a commit writes of itself, in its own transaction.

A record lies in the core's namespace ``.history.<namespace>`` under ``<base revision, 20 digits>-<op id>``: in order of
revision, never of a clock. Its presence is also the proof that a commit happened whose outcome nobody was told.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple, TypeAlias

from confo.backend import Write
from confo.codec import to_json
from confo.errors import InvalidDocument, InvalidName
from confo.model import MISSING, Change, ChangeSet, Commit, Entry
from confo.names import check_configuration, history_of
from confo.packing import Digest, unpack

TRIMMED = f"{0:020d}-trimmed"
"""Name of the entry that says that older records were let go; it sorts before every record."""
_NAME = re.compile("([0-9]{20})-([0-9a-f]{32})")


class Signature(NamedTuple):
    """Who commits, why and when; ``op_id`` names the commit in every store for ever."""

    op_id: str
    author: str
    message: str
    time: float

    @classmethod
    def new(cls, author: str, message: str) -> Signature:
        """Return a signature with a fresh op id and this machine's time (seconds since 1970)."""
        return cls(secrets.token_hex(16), author, message, time.time())

    def renewed(self) -> Signature:
        """Return the same with a fresh op id."""
        return self._replace(op_id=secrets.token_hex(16))


class Step(NamedTuple):
    """What a commit did to one configuration.

    ``was`` is the revision of the entry that it replaced, 0 if there was none. ``fields`` has "old" and "new" of each
    field that it changed; a side where the field is absent has no key, as null is a value, and one whose value was too
    large for the record has a Digest. One that is ``bare`` does not even tell which fields.
    """

    was: int
    exists: bool
    fields: Mapping[str, Mapping[str, Any]]
    bare: bool = False

    @property
    def changed(self) -> bool:
        """Whether it changed anything: a commit may write anew, as it is, what it was computed from."""
        return self.bare or bool(self.fields) or not (self.was and self.exists)

    def __repr__(self) -> str:
        """Show which fields changed, never from and to what."""
        return f"<Step from revision {self.was}: {list(self.fields)}>"

    def side(self, side: str) -> dict[str, Any]:
        """Return the changed fields as they were ("old") or became ("new")."""
        return {name: sides[side] for name, sides in self.fields.items() if side in sides}

    def is_cut(self, side: str) -> bool:
        """Tell whether values of a side were too large to be kept."""
        return self.bare or any(isinstance(sides.get(side), Digest) for sides in self.fields.values())


Kind: TypeAlias = Literal["", "end", "copy"]
"""What a record stands for: a commit; the end of the namespace with all in it; documents copied from elsewhere."""


class Record(NamedTuple):
    """A commit as its record in one namespace tells of it; ``revision`` is when, ``base`` what it was based on.

    ``origin`` is the identity of the store from which it was copied.
    """

    revision: int
    base: int
    signature: Signature
    steps: Mapping[str, Step]
    kind: Kind = ""
    origin: str = ""

    def commit(self, namespace: str) -> Commit:
        """Return it as a commit whose changes have the fields that it changed, and no others."""
        op_id, author, message, seconds = self.signature
        changes = (
            Change(namespace, name, step.side("old") if step.was else None, step.side("new") if step.exists else None)
            for name, step in self.steps.items()
            if step.changed
        )
        return Commit(self.revision, op_id, author, message, seconds, ChangeSet(changes))


def name_before(revision: int) -> str:
    """Return what sorts after the records of commits that were based on less than this revision, and before the rest.

    20 digits hold every 64-bit revision, so names sort as revisions do.
    """
    return f"{revision:020d}"


def record_name(base_revision: int, op_id: str) -> str:
    """Return the record's name."""
    return f"{name_before(base_revision)}-{op_id}"


def is_record(name: str) -> bool:
    """Tell whether this is a record's name, as other tools may write there too."""
    return _NAME.fullmatch(name) is not None


def op_id_of(name: str) -> str:
    """Return the op id in a record's name."""
    return name.partition("-")[2]


def record_write(
    namespace: str,
    base_revision: int,
    signature: Signature,
    changes: Iterable[tuple[Change, int]],
    kind: Kind = "",
    origin: str = "",
) -> Write:
    """Return the write of a commit's record in one namespace; with each change goes the revision that it replaces.

    Its guard, that there is no such record yet, makes the whole commit one that can happen once only: the guard of a
    document alone (0: it must not exist) would hold again after somebody deleted what the first sending created.
    """
    record = {
        "op": signature.op_id,
        "author": signature.author,
        "message": signature.message,
        "time": signature.time,
        "changes": {change.configuration: _step(change, was) for change, was in changes},
    }
    if kind:
        record["kind"] = kind
    if origin:
        record["from"] = origin
    return Write(history_of(namespace), record_name(base_revision, signature.op_id), to_json(record), 0)


def parse(name: str, entry: Entry) -> Record | None:
    """Return the record in this entry; None for what is no record, as other tools may write there too."""
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    try:
        record = unpack(entry.data)
        steps = {
            check_configuration(configuration): Step(
                _a(int, step["was"]),
                _a(bool, step["exists"]),
                {field: _sides(sides) for field, sides in step["fields"].items()},
                _a(bool, step.get("bare", False)),
            )
            for configuration, step in record["changes"].items()
        }
        op_id, author, message = (_a(str, record[key]) for key in ("op", "author", "message"))
        signature = Signature(op_id, author, message, float(_a((int, float), record["time"])))
        kind, origin = _a(str, record.get("kind", "")), _a(str, record.get("from", ""))
        return Record(entry.revision, int(found[1]), signature, steps, kind, origin)
    except (InvalidDocument, InvalidName, KeyError, TypeError, ValueError, AttributeError, OverflowError):
        return None


def _a(kind: Any, value: Any) -> Any:
    """Return a value that is of this type; TypeError if it is not."""
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise TypeError
    return value


def _sides(told: Any) -> dict[str, Any]:
    """Return "old" and "new" of a field; a Digest for what was too large."""
    digests = _a(dict, _a(dict, told).get("digests", {}))
    found = {side: told[side] for side in ("old", "new") if side in told}
    for side, (sha256, size) in digests.items():
        found[side] = Digest(_a(str, sha256), _a(int, size))
    return found


def _step(change: Change, was: int) -> dict[str, Any]:
    sides = (("old", change.old or {}), ("new", change.new or {}))
    return {
        "was": was,
        "exists": change.new is not None,
        "fields": {
            name: {side: fields[name] for side, fields in sides if fields.get(name, MISSING) is not MISSING}
            for name in change.fields
        },
    }
