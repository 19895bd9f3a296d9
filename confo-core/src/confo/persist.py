"""Commit drafts: one transaction, guarded by what they were based on, and a certain answer about its fate.

A lost race is read anew and merged by field; only a field that both sides changed stops it. A commit whose outcome
is unknown is sent again unchanged: its guards let it happen at most once, and the record it writes says whether it did.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, TypeAlias

from confo.backend import Backend, Write
from confo.changes import Draft, collisions, settle, unchanged
from confo.codec import encode
from confo.errors import Conflict, ConflictError, ConfoError, OutcomeUnknown, TooLarge
from confo.history import Signature, record_write
from confo.model import Change, ChangeSet, Collision, Commit
from confo.names import is_reserved
from confo.replica import Replica
from confo.view import View

OnConflict: TypeAlias = Literal["raise", "mine", "theirs"]

ATTEMPTS_TO_LEARN = 5
"""Times an identical commit is sent after an unknown outcome before the program is told so: each waits the backend's
own timeout, and its endpoints are tried in turn within it."""


class Pending(NamedTuple):
    """The drafts of one namespace that one commit takes along, as they were when it began."""

    replica: Replica
    drafts: Mapping[str, Draft]


class Plan(NamedTuple):
    """What a commit will send, and what it means."""

    writes: list[Write]
    changes: ChangeSet


def persist(
    backend: Backend,
    replicas: Mapping[Replica, Sequence[str]],
    signature: Signature,
    *,
    on_conflict: OnConflict = "raise",
    history: bool = True,
) -> Commit | None:
    """Commit the drafts of these names as one; None when there is nothing to commit.

    Raises ConflictError for every field that was changed here and in the store, TooLarge before anything is sent,
    OutcomeUnknown when not even repeating tells. Drafts stay staged unless they were committed.
    """
    while True:
        pending = [_take(replica, names, on_conflict) for replica, names in replicas.items()]
        plan = _plan(pending, signature, history=history)
        if not plan.changes:
            return None
        _check_size(backend, plan.writes)
        try:
            revision = _commit(backend, plan.writes)
        except Conflict as lost:
            _reread(pending, lost.keys)
            continue
        for replica, drafts in pending:
            own = [write for write in plan.writes if write.namespace == replica.namespace]
            replica.take_own(revision, own, drafts)
        return Commit(revision, signature.op_id, signature.author, signature.message, signature.time, plan.changes)


def difference(replicas: Mapping[Replica, Sequence[str]]) -> ChangeSet:
    """Return what a commit of these drafts would change in the store as it is known here."""
    return ChangeSet(
        change
        for replica, names in replicas.items()
        for change in _changes(Pending(replica, _drafts(replica.view, names)))
    )


def _take(replica: Replica, names: Sequence[str], on_conflict: OnConflict) -> Pending:
    view = replica.view
    with view.lock:
        drafts = _drafts(view, names)
        lost: list[Collision] = []
        for name, draft in drafts.items():
            theirs = view.committed(name)
            found = collisions(view.namespace, name, draft, theirs)
            if found and on_conflict != "raise":
                view.settle({name: settle(draft, theirs, keep=on_conflict)})
                found = []
            lost += found
        if lost:
            raise _conflict(lost)
        return Pending(replica, _drafts(view, names))


def _drafts(view: View, names: Sequence[str]) -> dict[str, Draft]:
    with view.lock:
        return {name: view.drafts[name] for name in names if name in view.drafts}


def _changes(pending: Pending) -> list[Change]:
    view = pending.replica.view
    changes = [Change(view.namespace, name, view.committed(name), draft.mine) for name, draft in pending.drafts.items()]
    return [change for change in changes if not unchanged(change.old, change.new)]


def _plan(pending: Sequence[Pending], signature: Signature, *, history: bool) -> Plan:
    writes: list[Write] = []
    everything: list[Change] = []
    for one in pending:
        view = one.replica.view
        with view.lock:
            changes = _changes(one)
            writes += [_write(view, change) for change in changes]
            base = view.revision
        everything += changes
        if changes and history and not is_reserved(view.namespace):
            writes.append(record_write(view.namespace, base, signature, changes))
    return Plan(writes, ChangeSet(everything))


def _write(view: View, change: Change) -> Write:
    entry = view.entries.get(change.configuration)
    place = {"namespace": change.namespace, "configuration": change.configuration}
    data = None if change.new is None else encode(change.new, **place)
    return Write(change.namespace, change.configuration, data, entry.revision if entry else 0)


def _check_size(backend: Backend, writes: Sequence[Write]) -> None:
    limit = backend.capabilities.atomic_writes
    if len(writes) > limit:
        raise TooLarge(
            f"this commit has {len(writes):,} writes (each configuration is one, and each namespace's history "
            f"record), the backend takes {limit:,} at once; nothing was sent. Persist fewer configurations at a time"
        )
    for write in writes:
        size, most = len(write.data or b""), backend.capabilities.max_value_bytes
        if size > most:
            raise TooLarge(
                f"{write.namespace}/{write.name} is {size:,} bytes, the backend takes {most:,}; nothing was sent. "
                "A history record holds the old and the new value of every changed field",
                namespace=write.namespace,
                configuration=write.name,
            )


def _commit(backend: Backend, writes: Sequence[Write]) -> int:
    """Commit, and if the outcome is unknown send the same again until it is known."""
    unknown: OutcomeUnknown | None = None
    for _ in range(ATTEMPTS_TO_LEARN):
        try:
            return backend.commit(writes)
        except OutcomeUnknown as error:
            unknown = error
        except Conflict:
            # Its own guards can fail it: then the first sending happened, and left its record.
            if unknown is None:
                raise
            record = next((write for write in writes if is_reserved(write.namespace)), None)
            if record is None:  # history is switched off: nothing in the store can tell
                raise OutcomeUnknown(_UNKNOWN) from unknown
            found = backend.read(record.namespace, [record.name])
            if record.name not in found:
                raise
            return found[record.name].revision
        except ConfoError as error:
            if unknown is None:
                raise
            raise OutcomeUnknown(_UNKNOWN) from error
    raise OutcomeUnknown(_UNKNOWN) from unknown


_UNKNOWN = (
    "the commit was sent and the store never said what became of it; the draft is still staged. "
    "Persist it again: what was committed already will be found to be the same"
)


def _reread(pending: Sequence[Pending], keys: Sequence[tuple[str, str]]) -> None:
    """Take over what the store has for the names that moved; the drafts are laid over it."""
    for replica, _ in pending:
        names = [name for namespace, name in keys if namespace == replica.namespace]
        replica.refresh(names)


def _conflict(lost: Sequence[Collision]) -> ConflictError:
    shown = ", ".join(
        f"{c.namespace}/{c.configuration}" + (f" field {c.field!r}" if c.field is not None else " as a whole")
        for c in lost
    )
    return ConflictError(
        f"changed here and in the store since it was read: {shown}; nothing was written. "
        "Look at .base, .mine and .theirs of each in .collisions, then persist with on_conflict='mine' or 'theirs', "
        "or discard() the draft",
        collisions=lost,
        namespace=lost[0].namespace,
        configuration=lost[0].configuration,
        field=lost[0].field,
    )
