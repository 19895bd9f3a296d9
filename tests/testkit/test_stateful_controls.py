"""Controls of the state machine: a core that is broken on purpose does not pass it."""

from __future__ import annotations

import re

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.errors import FlakyFailure
from hypothesis.stateful import run_state_machine_as_test

from confo import ANY, Editor, Write
from confo.codec import decode
from confo.commits import _write
from confo.errors import UnreadableDocument
from confo.events import Hub
from confo.outcome import After, after_error
from confo.replica import Replica
from confo.view import View
from confo_testkit.stateful import MARK
from tests.testkit.test_stateful_memory import MemoryMachine

pytestmark = pytest.mark.timeout(180)  # most are found in seconds
BUDGET = settings(
    max_examples=1_000,  # it ends with the first that is found
    stateful_step_count=30,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.generate],  # that it is found is enough
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture
def find():
    """Return a function that lets the machine look, and returns what it complained of."""

    def look() -> str:
        with pytest.raises((AssertionError, FlakyFailure)) as caught:
            run_state_machine_as_test(MemoryMachine, settings=BUDGET)
        if isinstance(caught.value, FlakyFailure):  # found, and not again, as copies follow in threads of their own
            assert all(isinstance(one, AssertionError) for one in caught.value.exceptions)
            return "; ".join(map(str, caught.value.exceptions))
        return str(caught.value)

    return look


def test_an_outcome_that_is_not_looked_up(find, monkeypatch):
    """A core that takes its own first success for somebody else's commit misreports it."""

    def never_look(error, **circumstances):
        after = after_error(error, **circumstances)
        return After.RAISE if after is After.LOOK_UP else after

    monkeypatch.setattr("confo.commits.after_error", never_look)
    assert re.search(r"persist\(\) said that it did nothing|and yet something was written", find())


def test_a_commit_that_is_not_guarded(find, monkeypatch):
    """A core that writes whatever is there writes over what somebody else wrote."""
    monkeypatch.setattr("confo.commits._write", lambda view, change: _write(view, change)._replace(expected=ANY))
    monkeypatch.setattr("confo.commits._is_guarded", lambda writes: True)
    find()


def test_a_draft_that_is_not_rebased(find, monkeypatch):
    """A core that does not lay drafts over what is new takes other people's fields back, or conflicts for nothing."""
    monkeypatch.setattr(View, "_rebase", lambda self, names: None)
    find()


def test_a_batch_that_is_dropped(find, monkeypatch):
    """A core that drops one batch in five comes to another state than the store."""
    apply = Replica._apply

    def drop(self, batch):
        lost = batch.revision % 5 == 0 and MARK not in batch.entries  # for which the machine would wait
        entries = {} if lost else batch.entries
        apply(self, batch._replace(entries=entries))

    monkeypatch.setattr(Replica, "_apply", drop)
    find()


def test_an_event_that_is_told_twice(find, monkeypatch):
    """A core that repeats its events is found by who applies them in order."""
    publish = Hub.publish

    def twice(self, notice):
        publish(self, notice)
        publish(self, notice)

    monkeypatch.setattr(Hub, "publish", twice)
    assert "it says that before there was" in find()


def test_a_draft_that_is_dropped_with_its_stream(find, monkeypatch):
    """A core that forgets what is staged when the store is lost is found."""
    lost = Replica._lost

    def forget(self, state, error):
        lost(self, state, error)
        self.view.discard(list(self.view.drafts))

    monkeypatch.setattr(Replica, "_lost", forget)
    find()


def test_bytes_that_are_taken_for_an_empty_document(find, monkeypatch):
    """A core that reads what is no document as an empty one writes over it."""

    def read_anything(data, **place):
        try:
            return decode(data, **place)
        except UnreadableDocument:
            return {}

    monkeypatch.setattr("confo.view.decode", read_anything)
    find()


def test_an_edit_that_is_not_guarded(find, monkeypatch):
    """A core that takes an equal value for an agreement in edit() loses an increment that it acknowledged."""
    end = Editor.end
    monkeypatch.setattr(Editor, "end", lambda self: {n: d._replace(guards=frozenset()) for n, d in end(self).items()})
    assert "computed from what was not so any more" in find() or "an increment that was acknowledged" in find()


def test_an_edit_whose_reads_are_not_guarded(find, monkeypatch):
    """A core that guards what a block wrote, and not what it read, commits what was computed from a stale value."""
    begin = Editor.__init__
    monkeypatch.setattr(
        Editor, "__init__", lambda self, snapshot, **given: begin(self, snapshot, **given | {"reads": False})
    )
    assert re.search("computed from what (was not so any more|cannot be read)", find())


def test_guards_that_are_looked_at_and_not_sent(find, monkeypatch):
    """A core that compares what was only read, and does not guard the commit by it, loses a race."""
    monkeypatch.setattr("confo.commits._as_it_is", lambda view, name: Write(".history.sales", f"no{name}", None, ANY))
    assert re.search("computed from what (was not so any more|cannot be read)", find())
