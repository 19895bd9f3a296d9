"""The rules: what writers, another tool and failures do, and what must hold after each."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule

from confo import MISSING, BackendUnavailable, Commit, ConflictError, UnreadableDocument
from confo_testkit.faults import BatchFault, CommitFault
from confo_testkit.stateful.model import (
    NAMESPACE,
    UNREADABLE,
    Edit,
    FieldEdit,
    Handle,
    Race,
    Stored,
    Told,
    content_of,
    to_edit,
)
from confo_testkit.stateful.verdicts import check_commit, check_edit, check_edit_error, check_error
from confo_testkit.stateful.world import World

names = st.sampled_from(["a", "b"])  # few, so that they meet
fields = st.sampled_from(["x", "y", "z"])
writers = st.sampled_from([0, 1])
everybody = st.sampled_from([0, 1, 2])  # the follower is the last
sides = st.sampled_from(["raise", "raise", "mine", "theirs"])
losses = st.lists(st.sampled_from([*CommitFault, CommitFault.LOST_AFTER, CommitFault.LOST_BEFORE]), max_size=2)
races = st.none() | st.tuples(names, fields, st.booleans())


class BackendStateMachine(World):
    """Subclass it, give it ``open_backend``, and let pytest collect ``YourMachine.TestCase``.

    What must hold: no committed edit is lost or doubled; a conflict is told when there is one, and only then, and
    writes nothing; what cannot be read stays as it is, byte for byte; what is staged survives every fault; every copy
    comes to the store's state, and its events, applied in order, come to the same.
    """

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
            with contextlib.suppress(UnreadableDocument):
                writer.namespace.set(name, key, 0)
                raise AssertionError(f"a field was set in {name}, which cannot be read")
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
        if key is None and name in writer.namespace.status().unreadable:
            return  # what cannot be read may be deleted as a whole, also under a draft: see ``mend``
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

    # What there is depends on how quickly copies follow, and what is drawn must not: no rule has a precondition.
    @rule(number=writers, whole=st.booleans(), raced=st.booleans())
    def mend(self, number: int, *, whole: bool, raced: bool) -> None:
        """A writer replaces or deletes what cannot be read; if somebody repaired it meanwhile, that is a conflict."""
        name = next((name for name, stored in self.model.items() if isinstance(stored, bytes)), None)
        if name is None:
            return
        writer = self._ready(number)
        if writer.edits or self._read(writer, name) is not UNREADABLE:
            return
        value = self._value()
        if whole:
            writer.namespace.set(name, {"x": value})
        else:
            writer.namespace.delete(name)
        if raced:
            self._put(name, {"x": self._value()})
        before = self._stored()
        try:
            commit = writer.namespace.persist()
        except ConflictError:
            assert self._stored() == before, "a conflict, and yet something was written"
            assert isinstance(before[name], dict), "a conflict, and nobody repaired it"
            writer.namespace.discard()
            return
        assert commit is not None
        assert isinstance(before.get(name), bytes), "written over what somebody repaired"
        after = self._stored()
        assert after.get(name) == ({"x": value} if whole else None), "not mended"
        self._check_report(commit, [name], None)
        self._remember([name], after, raced=False, race=None)

    @rule(number=writers, side=sides, faults=losses, race=races)
    def persist(self, number: int, side: str, faults: list[CommitFault], race: Race | None) -> None:
        """A writer commits what it staged; some sendings get lost on their way there or back.

        In a race another tool writes a field just before the commit happens, or (True) before its answer is given.
        """
        editing = next((one for one in (number, 1 - number) if self.writers[one].edits), None)
        if editing is None:
            editing = number
            self._set_field(self._ready(number), "a", "x")
        if self.writers[editing].edits:
            self._persist(self._ready(editing), side, faults, race)

    @rule(number=writers, name=names, other=names, reads=st.booleans(), faults=losses, race=races)
    def count(
        self, number: int, name: str, other: str, faults: list[CommitFault], race: Race | None, *, reads: bool
    ) -> None:
        """A writer adds one to a counter in ``edit()``, looking at another document; what it staged is not touched.

        Both writers count from the same numbers, so that equal values meet: what is acknowledged is counted once each.
        """
        writer = self._ready(number)
        known, seen = writer.known, to_edit(writer.namespace)
        looked = [(name, "n"), *([(other, "n")] if reads else [])]

        def call() -> Commit | None:
            with writer.namespace.edit(reads=reads) as draft:
                if reads and (there := draft.get(other)) is not None:
                    there.get("n")
                if draft.get(name) is None:
                    draft[name] = {"n": 1}
                else:
                    draft[name]["n"] = draft[name].get("n", 0) + 1
            return draft.commit

        commit, error, before, after, raced = self._commit(writer, faults, race, call)
        if error is not None:
            states = {one: self._since(one, Edit(seen.get(one), known)) for one, _ in looked}
            check_edit_error(error, faults, seen, looked, states)
            return
        counted = {**before, name: {**check_edit(before, seen, looked), "n": seen.get(name, {}).get("n", 0) + 1}}
        assert after == counted, "an increment that was acknowledged is not what was committed"
        self._check_report(commit, [name], after if raced and race and race[2] else None)
        self._remember([name], after, raced=raced, race=race)

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

    @invariant()
    def snapshots_are_of_one_moment(self) -> None:
        """No process shows a state with an entry that is newer than its revision, whatever it committed itself."""
        for handle in [*self.writers, self.follower]:
            if handle is not None and handle.follow:
                snapshot = handle.namespace.snapshot()
                newer = [name for name, entry in snapshot.entries.items() if entry.revision > snapshot.revision]
                assert not newer, f"a snapshot of {snapshot.revision} has newer entries: {newer}"

    # --- inside ----------------------------------------------------------------------------------

    def _read(self, writer: Handle, name: str) -> Any:
        """Return what a writer has for a configuration: a plain document, None, or UNREADABLE."""
        if name in writer.namespace.status().unreadable and name not in writer.namespace.staged:
            return UNREADABLE
        return content_of(lambda: writer.namespace.get(name, default=None))

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

    # --- commits ---------------------------------------------------------------------------------

    def _persist(self, writer: Handle, side: str, faults: list[CommitFault], race: Race | None = None) -> None:
        commit, error, before, after, raced = self._commit(
            writer,
            faults,
            race,
            lambda: writer.namespace.persist(on_conflict=side),  # type: ignore[call-overload]
        )
        if error is not None:
            check_error(writer.edits, self._since, side, faults, error)
            if side != "raise":
                # Collisions may have been decided already, so that it is open what is staged.
                writer.namespace.discard()
                writer.edits.clear()
            return
        changed = [name for name in {**before, **after} if before.get(name) != after.get(name)]
        for name in {**before, **after}.keys() | writer.edits.keys():
            edit = writer.edits.get(name)
            check_commit(edit, side, before.get(name), after.get(name), self._since(name, edit))
        self._check_report(commit, changed, after if raced and race and race[2] else None)
        if not raced:
            for name in changed:
                read = self._read(writer, name)
                assert read == after.get(name), f"the writer does not read what it committed to {name}"
        self._remember(changed, after, raced=raced, race=race)
        writer.edits.clear()
        assert writer.namespace.staged == [], "committed, and yet staged"

    def _commit(
        self, writer: Handle, faults: list[CommitFault], race: Race | None, call: Callable[[], Commit | None]
    ) -> Told:
        """Commit with these faults and this race; return what was told, and the states just before and after."""
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
            commit = call()
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
        return Told(commit, error, before, after, raced)

    def _check_report(self, commit: Commit | None, changed: list[str], raced: object) -> None:
        """Compare what a commit said with what it did, and with the record it left."""
        if commit is None or commit.already_so:
            assert not changed, f"persist() said that it did nothing, and changed {changed}"
            if commit is not None:
                last = self.tool.load(NAMESPACE).revision
                assert 0 < commit.revision <= last, f"it is so since revision {commit.revision}, of {last}"
        else:
            assert sorted(change.configuration for change in commit.changes) == sorted(changed)
            self.commits += 1
            self.revision = max(self.revision, commit.revision)
            if raced is None:
                for name, entry in self.tool.read(NAMESPACE, changed).items():
                    assert entry.revision == commit.revision, f"{name} has another revision than the commit says"
        records = self.tool.scan(f".history.{NAMESPACE}", limit=10_000)
        assert len(records) == self.commits, "a commit left no record, or two"
