"""The store, the processes on it, and the model of what the store must hold; ``machine`` lets things happen to them."""

from __future__ import annotations

import contextlib
import json
import uuid
from unittest import mock

from hypothesis.stateful import RuleBasedStateMachine

from confo import ANY, Backend, Write
from confo_testkit.faults import BatchFault
from confo_testkit.stateful.model import (
    MARK,
    NAMESPACE,
    SECONDS,
    Edit,
    Handle,
    Race,
    Stored,
    contents,
    documents,
    parsed,
)


class World(RuleBasedStateMachine):
    """What the machine plays with."""

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

    def _value(self) -> int:
        self.written += 1
        return self.written

    def _stored(self) -> dict[str, Stored]:
        return {name: parsed(entry.data) for name, entry in self.tool.load(NAMESPACE).entries.items()}

    def _put(self, name: str, content: Stored | None) -> int:
        data = json.dumps(content).encode() if isinstance(content, dict) else content
        self.revision = self.tool.commit([Write(NAMESPACE, name, data, ANY)])
        self._changed(name, None if data is None else parsed(data))
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
        self._check_snapshot(handle)

    def _check_snapshot(self, handle: Handle) -> None:
        """See that a process that caught up has the store's state, and serves what was good where that is none."""
        snapshot = handle.namespace.snapshot()
        # Not the same bytes: a store of files lays a document out for people, and its writer knows what it sent.
        assert contents(snapshot.entries) == contents(self.tool.load(NAMESPACE).entries)
        assert set(snapshot.unreadable) == {name for name, stored in self.model.items() if isinstance(stored, bytes)}
        for name, trouble in snapshot.unreadable.items():
            good = [stored for changed, stored in self.changes if changed == name and isinstance(stored, dict)]
            if trouble.serving is not None:
                assert snapshot[name] in good, f"{name} is served as it never was"

    def _remember(self, changed: list[str], after: dict[str, Stored], *, raced: bool, race: Race | None) -> None:
        """Take over what a commit did, in the order in which it happened."""
        last = self.changes.pop() if raced and race and race[2] else None
        for name in changed:
            self._changed(name, after.get(name))
        if last is not None:
            self._changed(*last)
