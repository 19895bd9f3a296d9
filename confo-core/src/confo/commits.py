"""Commit drafts: one transaction, guarded by what they were based on, and a certain answer about its fate.

A lost race is read anew and merged by path; only a path that both sides changed stops it. A commit whose outcome
is unknown is sent again unchanged: its guards let it happen at most once, and the record it writes says whether it did.
"""

from __future__ import annotations

import contextlib
import itertools
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from confo import extensions
from confo.backend import ANY, Backend, Write
from confo.changes import UNREADABLE, Document, Draft, OnConflict, collisions, merge, rebase, unchanged
from confo.codec import FrozenDict, encode
from confo.errors import (
    BackendUnavailable,
    Conflict,
    ConflictError,
    ConfoError,
    OutcomeUnknown,
    TooLarge,
)
from confo.history import TRIMMED, Signature, op_id_of, record_write
from confo.model import Change, ChangeSet, Collision, Commit
from confo.names import is_reserved
from confo.outcome import After, after_error
from confo.paths import shown as shown_field
from confo.records import looking_at_history, newest_revision
from confo.replica import Replica, pause
from confo.retention import Ledger
from confo.sizes import fitted, named
from confo.view import Sent, View

LEARN_SECONDS = 30.0
"""How long a commit of unknown outcome is sent again before the program is told so: a member that was killed is back,
or another one leads, in less."""
QUICK_RACES = 5
"""Races that are lost before a commit waits a moment between two attempts."""
LOOKING = "commit to {}, whose history is looked at before"
"""What cannot be done while the history cannot be read, in an error's words."""
_PAUSE = threading.Event()  # never set: an interruptible wait


class Work(NamedTuple):
    """What a commit is asked to take along of one namespace."""

    replica: Replica
    names: Sequence[str]
    """The configurations."""
    drafts: Mapping[str, Draft] | None = None
    """Their drafts, which are nobody else's; None: those that are staged when the commit looks at them."""
    ledger: Ledger | None = None
    """Of the records that the commit adds to; None leaves no record."""


class Pending(NamedTuple):
    """What one commit takes along of one namespace, all of it seen at one moment."""

    work: Work
    drafts: Mapping[str, Draft]
    """The drafts as they were handed over; what was decided for this commit is in ``changes`` only."""
    changes: list[Change]
    writes: list[Write]
    so: int
    """The revision at which somebody else had written the same; 0 if nobody had."""

    @property
    def replica(self) -> Replica:
        """The local copy of the namespace."""
        return self.work.replica


def persist(
    backend: Backend, work: Sequence[Work], signature: Signature, *, on_conflict: OnConflict = "raise"
) -> Commit | None:
    """Commit what is staged, or the drafts that are handed over, as one; None when there is nothing to commit.

    When somebody else had written the same, nothing is sent, and the commit that is returned is ``already_so``.
    A draft's guards hold when the commit is made, also in documents that it does not change: those are written anew as
    they are, which every backend can guard and no subscriber hears of; one that is not there is guarded by a deletion.
    What has a ledger leaves a record, and trims the history by what is due to go.
    Raises ConflictError for every field that was changed here and in the store, TooLarge before anything is sent,
    OutcomeUnknown when not even repeating tells. What was staged stays staged unless it was committed; drafts that
    are handed over are never seen by a reader, and what is staged in the same configurations is laid over the result.
    """
    with contextlib.ExitStack() as locks:
        for one in sorted(work, key=lambda one: one.replica.namespace):  # in one order: no two wait for each other
            locks.enter_context(one.replica.persisting)
        for one in work:
            if one.names:
                one.replica.see_store()
        # The records of a lagging copy must not sort among those that are due to go.
        bases = [_newest(backend, one) for one in work]
        for attempt in itertools.count():
            pending = [_take(one, signature, on_conflict, newest) for one, newest in zip(work, bases, strict=True)]
            changes = ChangeSet(change for taken in pending for change in taken.changes)
            if attempt == 0 and any(map(_given_up, pending)):
                # An edit is given up for what the store has now, not for what it had when it was last looked at.
                for taken in pending:
                    taken.replica.refresh(_given_up(taken))
                continue
            if not changes:
                so = max((taken.so for taken in pending), default=0)
                _drop_the_empty(pending)
                return already_so(so, signature) if so else None
            writes = [write for taken in pending for write in taken.writes]
            extensions.check(changes, signature)
            _check_count(backend, writes)
            trims = _trims(pending, backend.capabilities.atomic_writes - len(writes))
            try:
                revision, trims = _send_fitting(backend, pending, writes, trims)
            except Conflict as lost:
                _reread(pending, lost.keys)
                if attempt >= QUICK_RACES:
                    _PAUSE.wait(pause(attempt - QUICK_RACES, random.random()))  # noqa: S311 - spreading
                continue
            _drop_the_empty(pending)
            _take_note(pending, trims)
            op_id, author, message, seconds = signature
            commit = Commit(revision, op_id, author, message, seconds, changes)
            extensions.committed(commit)
            return commit
        raise AssertionError("unreachable")


def persist_split(
    backend: Backend, work: Sequence[Work], sign: Callable[[], Signature], *, on_conflict: OnConflict = "raise"
) -> list[Commit]:
    """Commit the drafts in as many commits as the backend needs, each atomic; return them in order.

    Namespace by namespace, in the order of staging. What was committed when one fails stays committed and is no
    longer staged, so that calling again goes on from there.
    """
    room = max(1, backend.capabilities.atomic_writes - any(one.ledger is not None for one in work))
    waiting = [
        one._replace(names=one.names[start : start + room]) for one in work for start in range(0, len(one.names), room)
    ]
    commits = []
    while waiting:
        part = waiting.pop(0)
        try:
            commit = persist(backend, [part], sign(), on_conflict=on_conflict)
        except TooLarge:  # in bytes: nobody can tell before how many records and keys a backend can take
            names, half = part.names, len(part.names) // 2
            if len(names) == 1:
                raise
            waiting[:0] = [part._replace(names=names[:half]), part._replace(names=names[half:])]
            continue
        if commit is not None:
            commits.append(commit)
    return commits


def difference(replica: Replica, names: Sequence[str]) -> ChangeSet:
    """Return what a commit of these drafts would change in the store as it is known here."""
    view = replica.view
    with view.lock:
        drafts = {name: view.drafts[name] for name in names if name in view.drafts}
        theirs = {name: view.theirs(name, draft) for name, draft in drafts.items()}
        merges = {name: (merge(draft, theirs[name]), theirs[name]) for name, draft in drafts.items()}
        return ChangeSet(
            _change(view.namespace, name, theirs, merged.draft.mine)
            for name, (merged, theirs) in merges.items()
            if merged.changed
        )


def _newest(backend: Backend, work: Work) -> int:
    """Return the revision of the newest record that a commit may have to sort after; 0 where the copy knows."""
    if work.ledger is None or work.replica.is_fresh:
        return 0
    with looking_at_history(work.replica.namespace, LOOKING):
        return newest_revision(backend, work.replica.namespace)


def _take(work: Work, signature: Signature, on_conflict: OnConflict, newest: int) -> Pending:
    """Look at drafts, guards and base in one moment: a guard of a newer state would hold for an older draft."""
    view, changes, writes = work.replica.view, list[Change](), list[Write]()
    lost, looked, so = list[Collision](), list[str](), list[int]()
    with view.lock:
        source = view.drafts if work.drafts is None else work.drafts
        drafts = {name: source[name] for name in work.names if name in source}
        for name, draft in drafts.items():
            theirs = view.theirs(name, draft)
            merged = merge(draft, theirs, keep=on_conflict)
            lost += collisions(view.namespace, name, merged.clashes)
            if merged.clashes:
                continue
            if merged.changed:
                change = _change(view.namespace, name, theirs, merged.draft.mine)
                changes.append(change)
                writes.append(_write(view, change))
            elif draft.guards:
                looked.append(name)
            if not merged.changed and not draft.is_empty and unchanged(draft.mine, theirs):
                so.append(_standing(view, name) or view.revision)
        if lost:
            raise _conflict(lost)
        if work.drafts is None:
            so += [view.agreed[name] or view.revision for name in work.names if name in view.agreed]
        told = [(change, _standing(view, change.configuration)) for change in changes]
        if changes:
            for name in looked:
                writes.append(_as_it_is(view, name))
                if view.newest(name) is not None:  # its chain of versions goes on at the commit's revision
                    told.append((_change(view.namespace, name, *[view.committed(name)] * 2), _standing(view, name)))
        if changes and work.ledger is not None:
            writes.append(record_write(view.namespace, max(view.newest_revision(), newest), signature, told))
    return Pending(work, drafts, changes, writes, max(so, default=0))


def _change(namespace: str, name: str, old: Document | None, new: Document | None) -> Change:
    sides = [None if side is None or side is UNREADABLE else FrozenDict(side) for side in (old, new)]
    return Change(namespace, name, *sides)


def already_so(revision: int, signature: Signature) -> Commit:
    """Return what stands for a commit that was not needed."""
    return Commit(revision, "", signature.author, signature.message, None, ChangeSet())


def _standing(view: View, name: str) -> int:
    """Return the revision that wrote what stands there, 0 if nothing does."""
    entry = view.newest(name)
    return entry.revision if entry else 0


def _as_it_is(view: View, name: str) -> Write:
    """Return the write that changes nothing and guards what stands there, or that nothing does."""
    entry = view.newest(name)
    return Write(view.namespace, name, entry.data, entry.revision) if entry else Write(view.namespace, name, None, 0)


def _write(view: View, change: Change) -> Write:
    place = {"namespace": change.namespace, "configuration": change.configuration}
    data = None if change.new is None else encode(change.new, **place)
    return Write(change.namespace, change.configuration, data, _standing(view, change.configuration))


def _given_up(pending: Pending) -> list[str]:
    """Return the names whose drafts were decided to change nothing."""
    sent = {write.name for write in pending.writes if write.namespace == pending.replica.namespace}
    return [name for name in pending.drafts if name not in sent]


def _drop_the_empty(pending: Sequence[Pending]) -> None:
    """Drop the staged drafts that were decided to change nothing; what came since is an edit of what they were."""
    for one in pending:
        if one.work.drafts is not None:
            continue
        view = one.replica.view
        with view.lock:
            for name in one.work.names:
                view.agreed.pop(name, None)
            since = {n: Draft(one.drafts[n].mine, view.drafts[n].mine) for n in _given_up(one) if n in view.drafts}
            view.settle({name: rebase(draft, view.committed(name)) for name, draft in since.items()})


def _trims(pending: Sequence[Pending], room: int) -> list[Write]:
    """Return the deletions of records that are due to go, as many as there is room for."""
    trims: list[Write] = []
    for one in pending:
        if one.changes and one.work.ledger is not None:
            with looking_at_history(one.replica.namespace, LOOKING):
                trims += one.work.ledger.deletions(room - len(trims))
    return trims


def _take_note(pending: Sequence[Pending], trims: Sequence[Write]) -> None:
    """Tell the ledgers what the commit added to their histories and took from them."""
    for one in pending:
        ledger = one.work.ledger
        if one.changes and ledger is not None:
            gone = [write for write in trims if write.namespace == ledger.namespace]
            ledger.committed(one.writes[-1].name, gone)


def _check_count(backend: Backend, writes: Sequence[Write]) -> None:
    limit = backend.capabilities.atomic_writes
    if len(writes) > limit:
        raise TooLarge(
            f"this commit has {len(writes):,} writes (each configuration is one, and each namespace's history "
            f"record), the backend takes {limit:,} at once; nothing was sent. Persist fewer configurations at a time"
        )


def _send_fitting(
    backend: Backend, pending: Sequence[Pending], writes: Sequence[Write], trims: list[Write]
) -> tuple[int, list[Write]]:
    """Commit with records that have room beside the documents; return the revision and the trims that went along."""
    sent = fitted(backend, writes)
    _check_values(backend, sent)
    try:
        return _send(backend, pending, [*sent, *trims]), trims
    except TooLarge:  # names and keys took more than was reckoned
        sent = fitted(backend, writes, tight=True)
    try:
        return _send(backend, pending, sent), []
    except TooLarge as error:
        raise named(error, sent) from None


def _check_values(backend: Backend, writes: Sequence[Write]) -> None:
    most = backend.capabilities.max_value_bytes
    for write in writes:
        size = len(write.data or b"")
        if size > most:
            raise TooLarge(
                f"{write.namespace}/{write.name} is {size:,} bytes, the backend takes {most:,}; nothing was sent. "
                "Split it into several configurations",
                namespace=write.namespace,
                configuration=write.name,
            )


def _send(backend: Backend, pending: Sequence[Pending], writes: Sequence[Write]) -> int:
    """Commit, and see that each namespace's copy has it."""
    with contextlib.ExitStack() as sending:
        mine = []
        for one in pending:
            replica = one.replica
            own = [write for write in writes if write.namespace == replica.namespace]
            # What is sent may be a decision over a collision; what was staged is what later edits are edits of.
            staged = one.drafts if one.work.drafts is None else {}
            sent = {write.name: Sent(write.data, staged.get(write.name)) for write in own}
            sending.enter_context(replica.sending(sent))
            mine.append((replica, own))
        revision = send(backend, writes)
        for replica, own in mine:
            replica.take_own(revision, own)
        return revision


def send(backend: Backend, writes: Sequence[Write]) -> int:
    """Commit and return the revision; until its fate is known, what an error means decides what comes next."""
    guarded, unknown, until = _is_guarded(writes), False, time.monotonic() + LEARN_SECONDS
    for attempt in itertools.count():
        try:
            return backend.commit(writes)
        except ConfoError as error:
            after = after_error(error, guarded=guarded, sent_before=unknown)
            if after is After.RAISE:
                raise
            if after is After.LOOK_UP:
                with contextlib.suppress(BackendUnavailable):  # then send it once more: its fate is settled by now
                    return _revision_of_first(backend, writes, error)
            if after is After.REPORT_UNKNOWN or time.monotonic() > until:
                raise _unknown(writes) from error
            unknown = True
        _PAUSE.wait(pause(attempt, random.random()))  # noqa: S311 - spreading, not hiding
    raise AssertionError("unreachable")


def _is_guarded(writes: Sequence[Write]) -> bool:
    """Tell whether sending these again can do no harm: every document's write has a guard that the first breaks."""
    return all(write.expected is not ANY for write in writes if not is_reserved(write.namespace))


def _revision_of_first(backend: Backend, writes: Sequence[Write], lost: ConfoError) -> int:
    """Return the revision of the sending that left this commit's record; raise ``lost`` again if none did."""
    record = _record(writes)
    if record is None:  # history is switched off: nothing in the store can tell
        raise _unknown(writes) from lost
    found = backend.read(record.namespace, [record.name])
    if record.name not in found:
        if _may_be_trimmed(backend, record):
            raise _unknown(writes) from lost
        raise lost
    return found[record.name].revision


def _may_be_trimmed(backend: Backend, record: Write) -> bool:
    """Tell whether a record that is not there may have been, and have gone with the oldest."""
    oldest = [name for name, _ in backend.scan(record.namespace, limit=2)]
    return TRIMMED in oldest and (len(oldest) == 1 or record.name < oldest[1])


def _record(writes: Sequence[Write]) -> Write | None:
    """Return the write of the record that the commit makes of itself."""
    return next((write for write in writes if is_reserved(write.namespace) and write.expected == 0), None)


def _unknown(writes: Sequence[Write]) -> OutcomeUnknown:
    record = _record(writes)
    return OutcomeUnknown(
        "the commit was sent and the store never said what became of it. What set() staged is still staged: persist it "
        "again, and what was committed already will be found to be the same. What edit() wrote is not: see in "
        "history() whether this op id is there, before you write it again",
        op_id=None if record is None else op_id_of(record.name),
        namespace=writes[0].namespace,
    )


def _reread(pending: Sequence[Pending], keys: Sequence[tuple[str, str]]) -> None:
    """Take over what the store has for the names that moved; the drafts are laid over it."""
    moved = {one.replica: [name for ns, name in keys if ns == one.replica.namespace] for one in pending}
    for replica, names in moved.items():
        if names:
            replica.refresh(names)
        elif not any(moved.values()):  # the backend did not say what moved
            replica.reload()


def _conflict(lost: Sequence[Collision]) -> ConflictError:
    shown = ", ".join(f"{c.namespace}/{c.configuration} {shown_field(c.field)}" for c in lost)
    return ConflictError(
        f"changed by somebody else since it was read here: {shown}; nothing was written. "
        "Look at .base, .mine and .theirs of each in .collisions. What set() staged: persist it with "
        "on_conflict='mine' or 'theirs', or discard() it. What edit() wrote: begin again on what is there now, as "
        "transaction() does",
        collisions=lost,
        namespace=lost[0].namespace,
        configuration=lost[0].configuration,
        field=lost[0].field,
    )
