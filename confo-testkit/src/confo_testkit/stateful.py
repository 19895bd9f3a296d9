"""A state machine that looks for lost, doubled and misreported edits, on any backend.

Two writers, a follower and another tool work on one namespace through ``FaultyBackend``s. Hypothesis makes up what
they do and what fails meanwhile, and shortens what it finds. Every value that is written is written once, so that each
value in the store says whose edit it is. What the store must hold is told by a model that knows what was edited and
what a commit promised, and nothing of how the core does it.
"""

from __future__ import annotations

import contextlib
import json
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias
from unittest import mock

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from confo import (
    ANY,
    MISSING,
    Backend,
    BackendUnavailable,
    Commit,
    ConflictError,
    Event,
    Namespace,
    UnreadableDocument,
    Write,
)
from confo_testkit.faults import BatchFault, CommitFault, Delay, FaultyBackend

SECONDS = 10.0
"""How long a copy may take to reach the store's revision."""

NAMESPACE: Final = "sales"
MARK: Final = "mark"
"""A configuration that nobody edits: its next value, once seen, says that all before was seen."""

Stored: TypeAlias = dict[str, Any] | bytes
"""A configuration as the store has it: a document, or bytes that are none."""


Race: TypeAlias = tuple[str, str, bool]
"""What another tool writes in the middle of a commit: configuration, field, and whether after it was applied."""


class _Unreadable:
    def __repr__(self) -> str:
        return "UNREADABLE"


UNREADABLE: Final = _Unreadable()

names = st.sampled_from(["a", "b"])  # few, so that they meet
fields = st.sampled_from(["x", "y", "z"])
writers = st.sampled_from([0, 1])
everybody = st.sampled_from([0, 1, 2])  # the follower is the last
sides = st.sampled_from(["raise", "raise", "mine", "theirs"])
losses = st.lists(st.sampled_from([*CommitFault, CommitFault.LOST_AFTER, CommitFault.LOST_BEFORE]), max_size=2)
races = st.none() | st.tuples(names, fields, st.booleans())


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
        self.subscription = namespace.on_change(self._hear)

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
            old, new = _of(lambda: event.old), _of(lambda: event.new)
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
        self.namespace.replica.close()
        self.faults.close()


class BackendStateMachine(RuleBasedStateMachine):
    """Subclass it, give it ``open_backend``, and let pytest collect ``YourMachine.TestCase``.

    What must hold: no committed edit is lost or doubled; a conflict is told when there is one, and only then, and
    writes nothing; what cannot be read stays as it is, byte for byte; what is staged survives every fault; every copy
    comes to the store's state, and its events, applied in order, come to the same.
    """

    def __init__(self) -> None:
        super().__init__()
        self.store_name = uuid.uuid4().hex
        """A name that no other run has, for the store's name, folder or prefix."""
        self._cleanup = contextlib.ExitStack()
        with contextlib.ExitStack() as opening:
            # The back-off is tried elsewhere: here it would only take time.
            opening.enter_context(mock.patch("confo.replica.FIRST_PAUSE", 0.001))
            self.tool = self.open_backend()
            opening.callback(self.tool.close)
            self.tool.create_namespace(NAMESPACE)
            self._cleanup = opening.pop_all()
        self.model: dict[str, Stored] = {}
        self.changes: list[tuple[str, Stored | None]] = []  # what every change of the store made of a configuration
        self.revision = self.tool.load(NAMESPACE).revision
        self.commits = 0  # with a record in the history
        self.written = 0  # values so far
        self.writers: list[Handle] = []
        self.follower: Handle | None = None

    # --- what a backend's author gives -----------------------------------------------------------

    def open_backend(self) -> Backend:
        """Open the store called ``store_name`` once more; an empty one at the first call."""
        raise NotImplementedError("give your machine an open_backend()")

    def compact(self) -> None:
        """Let the store forget what its watches could resume from, if it can."""

    # --- beginning and end -----------------------------------------------------------------------

    @initialize(follow=st.tuples(st.booleans(), st.booleans()))
    def begin(self, follow: tuple[bool, bool]) -> None:
        """Start the processes; each writer follows the store or reads it once."""
        self.writers = [self._start(follow=one) for one in follow]
        self.follower = self._start(follow=True)

    def teardown(self) -> None:
        """Let everybody catch up, check them, and close them."""
        with self._cleanup:
            if self.follower is not None:
                self.catch_up(None)

    # --- what writers do -------------------------------------------------------------------------

    @rule(
        number=writers,
        places=st.lists(st.tuples(names, fields), min_size=1, max_size=3),
        commit=st.booleans(),
        side=sides,
        faults=losses,
        race=races,
    )
    def set_fields(
        self,
        number: int,
        places: list[tuple[str, str]],
        side: str,
        faults: list[CommitFault],
        race: Race | None,
        *,
        commit: bool,
    ) -> None:
        """A writer stages some values, and commits at once or not yet."""
        for name, key in places:
            self._set_field(self._ready(number), name, key)
        if commit and self.writers[number].edits:
            self._persist(self._ready(number), side, faults, race)

    def _set_field(self, writer: Handle, name: str, key: str) -> None:
        document = self._read(writer, name)
        if document is UNREADABLE:
            with pytest.raises(UnreadableDocument):
                writer.namespace.set(name, key, 0)
            return
        value = self._value()
        if self._stage(writer, name, lambda: writer.namespace.set(name, key, value)):
            edit = writer.edits.setdefault(name, Edit(document, writer.known))
            self._edit_field(edit, key, document, value)
            edit.deleted = False

    @rule(number=writers, name=names, key=st.none() | fields)
    def delete(self, number: int, name: str, key: str | None) -> None:
        """A writer stages a deletion, of a field or of it all; what is not there cannot be deleted."""
        writer = self._ready(number)
        document = self._read(writer, name)
        if document is UNREADABLE or document is None or (key is not None and key not in document):
            with pytest.raises((KeyError, UnreadableDocument)):
                writer.namespace.delete(name, key)
            return
        if not self._stage(writer, name, lambda: writer.namespace.delete(name, key)):
            return
        edit = writer.edits.setdefault(name, Edit(document, writer.known))
        edit.deleted = key is None
        for one in {**document, **edit.fields} if key is None else [key]:
            self._edit_field(edit, one, document, MISSING)
        self._forget_unless_staged(writer, name)
        if edit.deleted:
            edit.base = {one: of.bases[0] for one, of in edit.fields.items()}

    @precondition(lambda self: any(writer.edits for writer in self.writers))
    @rule(number=writers, side=sides, faults=losses, race=races)
    def persist(self, number: int, side: str, faults: list[CommitFault], race: Race | None) -> None:
        """A writer commits what it staged; some sendings get lost on their way there or back.

        In a race another tool writes a field just before the commit happens, or (True) before its answer is given.
        """
        self._persist(self._ready(number if self.writers[number].edits else 1 - number), side, faults, race)

    @rule(number=writers, what=st.sampled_from(["discard", "reload", "crash"]), follow=st.booleans())
    def begin_again(self, number: int, what: str, *, follow: bool) -> None:
        """A writer drops what it staged, or loads everything anew, or ends without a word and another begins."""
        writer = self._ready(number)
        if what == "discard":
            writer.namespace.discard()
            writer.edits.clear()
            assert writer.namespace.staged == []
        elif what == "reload":
            writer.namespace.reload()
            writer.known = len(self.changes)
            assert writer.namespace.snapshot().entries == self.tool.load(NAMESPACE).entries
        else:
            writer.close()
            self.writers[number] = self._start(follow=follow)

    # --- what another tool does ------------------------------------------------------------------

    @rule(name=names, what=st.sampled_from(["field", "document", "deletion", "nonsense", "the same"]), key=fields)
    def tool_writes(self, name: str, what: str, key: str) -> None:
        """Another tool changes a field, puts or deletes a document, puts what is none, or only other white space."""
        stored = self.model.get(name)
        if what == "field":
            self._tool_sets_field(name, key)
        elif what == "document":
            self._put(name, {key: self._value()})
        elif what == "deletion" and stored is not None:
            self._put(name, None)
        elif what == "nonsense":
            self._put(name, b'{"x": %d, ' % self._value())
        elif what == "the same" and isinstance(stored, dict):
            self._put(name, json.dumps(stored, indent=2).encode())

    # --- what fails ------------------------------------------------------------------------------

    @rule(number=everybody, what=st.sampled_from(["cut", "compaction", "lag", *BatchFault]))
    def disturb(self, number: int, what: str | BatchFault) -> None:
        """A process's stream breaks, or cannot be resumed, or not yet; or something happens to the next batch."""
        handle = self._handle(number)
        if what == "cut":
            handle.faults.cut_watches()
        elif what == "compaction":
            self.compact()
            handle.faults.cut_watches()
        elif not handle.follow:
            pass
        elif isinstance(what, BatchFault):
            if what not in (BatchFault.SWALLOW, BatchFault.REORDER):
                handle.faults.next_batches(what)
            elif handle is self.follower:  # a writer would wait for its own commits
                handle.faults.next_batches(what)
                handle.missed = True
        elif handle.lag is None and not handle.missed:
            handle.lag = handle.faults.delay("watch")
            handle.faults.cut_watches()
            handle.lag.wait_until_reached()

    # --- what must hold --------------------------------------------------------------------------

    @rule(number=everybody | st.none())
    def catch_up(self, number: int | None) -> None:
        """A process, or everybody, comes to the state of the store, and so do its events."""
        for one in (0, 1, 2) if number is None else (number,):
            self._catch_up(self._handle(one))

    @invariant()
    def the_store_is_as_the_model(self) -> None:
        """Nothing but what was committed changed the store: each document and each byte that is none."""
        assert self._stored() == self.model

    @invariant()
    def drafts_are_kept(self) -> None:
        """What a writer set and did not commit is what it reads, whatever failed or happened meanwhile."""
        for writer in self.writers:
            staged = writer.namespace.staged
            for name, edit in writer.edits.items():
                for key, value in edit.sets.items():
                    assert writer.namespace.get(name, key, default=None) == value, f"the draft of {name}/{key} is gone"
                assert name in staged or not edit.sets, f"the draft of {name} is gone"

    # --- inside ----------------------------------------------------------------------------------

    def _start(self, *, follow: bool) -> Handle:
        backend = self.open_backend()
        try:
            handle = Handle(backend, follow=follow, known=len(self.changes))
        except BaseException:
            backend.close()
            raise
        self._cleanup.callback(handle.close)
        return handle

    def _handle(self, number: int) -> Handle:
        assert self.follower is not None
        return [*self.writers, self.follower][number]

    def _ready(self, number: int) -> Handle:
        """Return a writer that knows what it can know, so that the model knows what it does."""
        writer = self.writers[number]
        if writer.follow and writer.lag is None:
            assert writer.namespace.wait_for(self.revision, SECONDS), "a writer does not catch up"
            writer.known = len(self.changes)
        staged = writer.namespace.staged
        for name in [name for name, edit in writer.edits.items() if name not in staged and not edit.sets]:
            # What it wanted deleted was seen to be gone already: there is nothing left to do.
            assert len(self._since(name, writer.edits[name])) > 1, f"the draft of {name} is gone"
            del writer.edits[name]
        return writer

    def _since(self, name: str, edit: Edit | None) -> list[Stored | None]:
        """Return every state of a configuration that the writer of an edit may know: the first, and what came of it."""
        if edit is None:
            return []
        before = [stored for changed, stored in self.changes[: edit.since] if changed == name]
        return [before[-1] if before else None] + [
            stored for changed, stored in self.changes[edit.since :] if changed == name
        ]

    def _read(self, writer: Handle, name: str) -> Any:
        """Return what a writer has for a configuration: a plain document, None, or UNREADABLE."""
        return _of(lambda: writer.namespace.get(name, default=None))

    def _stage(self, writer: Handle, name: str, stage: Callable[[], None]) -> bool:
        """Stage something on what can be read; False when the store has meanwhile what cannot."""
        try:
            stage()
        except UnreadableDocument:
            states = self._since(name, writer.edits.get(name))
            assert any(isinstance(one, bytes) for one in states), "it can be read"
            return False
        return True

    def _edit_field(self, edit: Edit, key: str, document: Mapping[str, Any] | None, mine: Any) -> None:
        before = edit.fields.get(key)
        if before is None:
            bases: tuple[Any, ...] = ((document or {}).get(key, MISSING),)
        elif before.mine is MISSING:
            bases = (*before.bases, MISSING)  # its deletion may have been seen to be done
        else:
            bases = before.bases
        if mine is MISSING and bases[0] is MISSING:
            edit.fields.pop(key, None)
        else:
            edit.fields[key] = FieldEdit(bases, mine)

    def _forget_unless_staged(self, writer: Handle, name: str) -> None:
        """Drop an edit that came to nothing: what was made here and deleted again, or deleted by somebody else too."""
        if name not in writer.namespace.staged:
            edit = writer.edits.pop(name)
            nothing = not edit.fields and (edit.base is None or not edit.deleted)
            assert nothing or len(self._since(name, edit)) > 1, f"the draft of {name} is gone"
            edit.deleted = False

    def _value(self) -> int:
        self.written += 1
        return self.written

    def _stored(self) -> dict[str, Stored]:
        return {name: _parsed(entry.data) for name, entry in self.tool.load(NAMESPACE).entries.items()}

    def _put(self, name: str, content: Stored | None) -> int:
        data = json.dumps(content).encode() if isinstance(content, dict) else content
        self.revision = self.tool.commit([Write(NAMESPACE, name, data, ANY)])
        self._changed(name, None if data is None else _parsed(data))
        return self.revision

    def _changed(self, name: str, stored: Stored | None) -> None:
        self.changes.append((name, stored))
        if stored is None:
            self.model.pop(name, None)
        else:
            self.model[name] = stored

    def _tool_sets_field(self, name: str, key: str) -> None:
        stored = self._stored().get(name)
        self._put(name, {**(stored if isinstance(stored, dict) else {}), key: self._value()})

    def _catch_up(self, handle: Handle) -> None:
        handle.faults.clear()
        if handle.lag is not None:
            handle.lag.release()
            handle.lag = None
        if not handle.follow:
            handle.namespace.reload()
        elif handle.missed:
            handle.faults.next_batches(BatchFault.COMPACT)  # at the mark; and the resync finds what was lost
            handle.missed = False
        mark = self._value()
        revision = self._put(MARK, {"n": mark})
        if handle.witness is None:
            handle.namespace.reload()
        else:
            assert handle.namespace.wait_for(revision, SECONDS), f"{handle.namespace} does not reach {revision}"
            assert handle.witness.wait_for_mark(mark) == documents(handle.namespace)
        handle.known = len(self.changes)
        assert handle.namespace.snapshot().entries == self.tool.load(NAMESPACE).entries

    # --- commits ---------------------------------------------------------------------------------

    def _persist(self, writer: Handle, side: str, faults: list[CommitFault], race: Race | None = None) -> None:
        middle: list[dict[str, Stored]] = []

        def interrupt() -> None:
            assert race is not None
            middle.append(self._stored())
            self._tool_sets_field(race[0], race[1])

        writer.faults.next_commits(*faults)
        interruption = writer.faults.meanwhile(interrupt, after=race[2]) if race else None
        commit: Commit | None = None
        error: Exception | None = None
        before = dict(self.model)
        try:
            commit = writer.namespace.persist(on_conflict=side)  # type: ignore[call-overload]
        except (ConflictError, UnreadableDocument, BackendUnavailable) as raised:
            error = raised
        writer.faults.clear_commits()  # what was announced and did not happen
        raced = interruption is not None and interruption.happened
        if raced and race and race[2]:  # the tool wrote after the commit, and then this is what the commit left
            after = middle[0]
        else:
            after, before = self._stored(), dict(self.model)
        if error is not None:
            assert after == before, f"{type(error).__name__}, and yet something was written"
            self._check_error(writer, side, faults, error)
            if side != "raise":
                # Collisions may have been decided already, so that it is open what is staged.
                writer.namespace.discard()
                writer.edits.clear()
            return
        changed = [name for name in {**before, **after} if before.get(name) != after.get(name)]
        for name in {**before, **after}.keys() | writer.edits.keys():
            edit = writer.edits.get(name)
            self._check_commit(edit, side, before.get(name), after.get(name), self._since(name, edit))
        self._check_report(commit, changed, after if raced and race and race[2] else None)
        if not raced:
            read = documents(writer.namespace)
            for name in changed:
                assert read.get(name) == after.get(name), f"the writer does not read what it committed to {name}"
        self._remember(changed, after, raced=raced, race=race)
        writer.edits.clear()
        assert writer.namespace.staged == [], "committed, and yet staged"

    def _remember(self, changed: list[str], after: dict[str, Stored], *, raced: bool, race: Race | None) -> None:
        """Take over what a commit did, in the order in which it happened."""
        last = self.changes.pop() if raced and race and race[2] else None
        for name in changed:
            self._changed(name, after.get(name))
        if last is not None:
            self._changed(*last)

    def _check_report(self, commit: Commit | None, changed: list[str], raced: object) -> None:
        """Compare what a commit said with what it did, and with the record it left."""
        if commit is None:
            assert not changed, f"persist() said that it did nothing, and changed {changed}"
        else:
            assert sorted(change.configuration for change in commit.changes) == sorted(changed)
            self.commits += 1
            self.revision = max(self.revision, commit.revision)
            if raced is None:
                for name, entry in self.tool.read(NAMESPACE, changed).items():
                    assert entry.revision == commit.revision, f"{name} has another revision than the commit says"
        records = self.tool.scan(f".history.{NAMESPACE}", limit=10_000)
        assert len(records) == self.commits, "a commit left no record, or two"

    def _check_commit(
        self, edit: Edit | None, side: str, before: Stored | None, after: Stored | None, since: list[Stored | None]
    ) -> None:
        """Compare one configuration before and after a commit that went well with what its writer wanted."""
        if edit is None:
            assert after == before, "a configuration changed that was not edited"
        elif isinstance(before, bytes):
            assert after == before, "bytes that are no document were written over"
            assert not edit.sets or side == "theirs", "an edit was lost"
        elif edit.deleted:
            if after is None:
                assert before is None or before == edit.base or side == "mine", "deleted, though somebody changed it"
            else:
                assert after == before != edit.base, "not deleted"
                assert side == "theirs" or len(since) > 1, "not deleted"
        elif before is None:
            self._check_made(edit, side, after, since)
        else:
            assert isinstance(after, dict), "an edited configuration is gone"
            # Who insists on a document that was gone for a while brings all of it back.
            back = set() if None not in since or side != "mine" else {*before, *after} - {*edit.fields}
            for key in ({*before, *after} | {*edit.fields}) - back:
                seen = [(state or {}).get(key, MISSING) for state in since if not isinstance(state, bytes)]
                self._check_field(edit.fields.get(key), side, before.get(key, MISSING), after.get(key, MISSING), seen)

    def _check_made(self, edit: Edit, side: str, after: Stored | None, since: list[Stored | None]) -> None:
        """Compare a configuration that was not there with what its writer wanted."""
        if after is None:
            assert not edit.sets or side == "theirs", "an edit was lost"
            return
        assert isinstance(after, dict)
        assert after.items() >= edit.sets.items(), "an edit was lost"
        if side != "mine":
            assert edit.base is None, "made again, though somebody deleted it"
            assert after == edit.sets, "fields came back that somebody deleted"

    def _check_field(self, edit: FieldEdit | None, side: str, before: Any, after: Any, seen: list[Any]) -> None:
        if edit is None:
            assert after == before, "a field changed that was not edited"
        elif after == edit.mine:
            assert before in (*edit.bases, edit.mine) or side == "mine", "written over what somebody else wrote"
        else:
            assert after == before, "a field has a value that nobody wanted"
            assert any({value} != set(edit.bases) for value in seen), "an edit was lost"
            assert side == "theirs" or edit.mine is MISSING, "an edit was lost"

    def _check_error(self, writer: Handle, side: str, faults: list[CommitFault], error: Exception) -> None:
        """See that an error has a reason."""
        if isinstance(error, BackendUnavailable):
            assert CommitFault.UNAVAILABLE in faults, "nothing was unavailable"
        elif isinstance(error, UnreadableDocument):
            assert any(isinstance(one, bytes) for name, edit in writer.edits.items() for one in self._since(name, edit))
        elif isinstance(error, ConflictError):
            assert side == "raise", "a conflict, though it was said who is right"
            assert error.collisions
            for collision in error.collisions:
                edit = writer.edits[collision.configuration]
                states = self._since(collision.configuration, edit)
                if collision.field is None:
                    assert any(state is None or (edit.deleted and state != edit.base) for state in states)
                    continue
                wanted = edit.fields[collision.field]
                assert collision.mine == wanted.mine
                values = [
                    (state or {}).get(collision.field, MISSING) for state in states if not isinstance(state, bytes)
                ]
                assert any(value != wanted.mine and {value} != set(wanted.bases) for value in values), (
                    f"nobody else changed {collision.configuration}/{collision.field}"
                )


def documents(namespace: Namespace) -> dict[str, Any]:
    """Return the committed state as a namespace knows it: documents, and UNREADABLE for what is none."""
    snapshot = namespace.snapshot()
    return {name: _of(lambda name=name: snapshot[name]) for name in snapshot}  # type: ignore[misc]


def _of(read: Callable[[], Any]) -> Any:
    try:
        document = read()
    except UnreadableDocument:
        return UNREADABLE
    return document if document is None else dict(document)


def _parsed(data: bytes) -> Stored:
    try:
        document = json.loads(data)
    except ValueError:
        return data
    return document if isinstance(document, dict) else data
