"""Commits kept beside the documents: the record that a commit writes of itself, in its own transaction.

A record lies in the core's namespace ``.history.<namespace>`` under ``<base revision, 20 digits>-<op id>``: in order of
revision, never of a clock. Its presence is also the proof that a commit happened whose outcome nobody was told.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable
from typing import Any, NamedTuple

from confo.backend import Write
from confo.codec import to_json
from confo.model import MISSING, Change
from confo.names import history_of


class Signature(NamedTuple):
    """Who commits, why and when; ``op_id`` names the commit in every store for ever."""

    op_id: str
    author: str
    message: str
    time: float

    @classmethod
    def new(cls, author: str, message: str) -> Signature:
        """Return a signature with a fresh op id and this machine's time (seconds since 1970)."""
        return cls(uuid.uuid4().hex, author, message, time.time())


def record_name(base_revision: int, op_id: str) -> str:
    """Return the record's name: 20 digits hold every 64-bit revision, so names sort as revisions do."""
    return f"{base_revision:020d}-{op_id}"


def op_id_of(name: str) -> str:
    """Return the op id in a record's name."""
    return name.partition("-")[2]


def record_write(namespace: str, base_revision: int, signature: Signature, changes: Iterable[Change]) -> Write:
    """Return the write of a commit's record in one namespace.

    Its guard, that there is no such record yet, makes the whole commit one that can happen once only: the guard of a
    document alone (0: it must not exist) would hold again after somebody deleted what the first sending created.
    """
    record = {
        "op": signature.op_id,
        "author": signature.author,
        "message": signature.message,
        "time": signature.time,
        "changes": {change.configuration: _fields(change) for change in changes},
    }
    return Write(history_of(namespace), record_name(base_revision, signature.op_id), to_json(record), 0)


def _fields(change: Change) -> dict[str, Any]:
    """Return what changed by field; a side where the field is absent has no key, as null is a value."""
    sides = (("old", change.old or {}), ("new", change.new or {}))
    return {
        "existed": change.old is not None,
        "exists": change.new is not None,
        "fields": {
            name: {side: fields[name] for side, fields in sides if fields.get(name, MISSING) is not MISSING}
            for name in change.fields
        },
    }
