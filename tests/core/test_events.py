"""Folding notices, as a pure function."""

from __future__ import annotations

from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from confo import Entry
from confo.events import Interest, Notice, coalesce


def changed(revision, origin="foreign", **entries):
    """Return a notice of these changes."""
    return Notice("changed", "sales", revision, entries, origin)


def entry(revision):
    """Return an entry of that revision."""
    return Entry(b'{"n": %d}' % revision, revision)


def test_folding_keeps_first_old_and_last_new():
    """Several changes of one configuration become one: from the first old to the last new, at the last revision."""
    notices = deque(
        [
            changed(1, a=(None, entry(1))),
            changed(2, b=(None, entry(2))),
            changed(3, a=(entry(1), entry(3)), b=(entry(2), None)),
        ]
    )
    folded = coalesce(notices, 10)
    assert [(n.revision, dict(n.entries), n.commits) for n in folded] == [
        (3, {"a": (None, entry(3))}, 2),
        (3, {"b": (None, None)}, 2),
    ]


def test_folded_origins():
    """What is folded of own and foreign commits is foreign."""
    notices = [changed(1, "own", a=(None, entry(1))), changed(2, "own", b=(None, entry(2)))]
    assert [n.origin for n in coalesce(deque(notices), 10)] == ["own", "own"]
    notices += [changed(3, "foreign", a=(entry(1), entry(3)))]
    assert [n.origin for n in coalesce(deque(notices), 10)] == ["own", "foreign"]


def test_too_many_configurations_become_one_resync():
    """When even one notice a configuration is too many, one resync names them all."""
    notices = deque(changed(n, **{f"n{n}": (None, entry(n))}) for n in range(1, 30))
    (only,) = coalesce(notices, 10)
    assert (only.kind, only.revision, only.origin, only.commits) == ("resync", 29, None, 29)
    assert len(only.entries) == 29


def test_states_are_kept():
    """Of stale and ready the last of each stays, in its place."""
    notices = deque(
        [
            Notice("stale", "sales", 1),
            changed(2, a=(None, entry(2))),
            Notice("ready", "sales", 2),
            Notice("stale", "sales", 3),
        ]
    )
    assert [n.kind for n in coalesce(notices, 10)] == ["changed", "ready", "stale"]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=30), st.integers(1, 5))
def test_folding_loses_no_state(steps, capacity):
    """Whatever is folded, applying the result gives the same state as applying all."""
    state, notices = {}, deque()
    for revision, (name, deleted) in enumerate(steps, 1):
        new = None if deleted else entry(revision)
        notices.append(changed(revision, **{name: (state.get(name), new)}))
        state[name] = new
    replayed = {}
    for notice in coalesce(notices, capacity) if notices else []:
        for name, (old, new) in notice.entries.items():
            assert replayed.get(name) == old
            replayed[name] = new
    assert replayed == state


def test_a_resync_is_heard_by_whom_it_concerns():
    """A resync is one event for who listens to everything, and for others only if their document differs."""
    resync = Notice("resync", "sales", 9, {"a": (entry(1), entry(9)), "same": (entry(1), entry(1))})
    (everything,) = Interest(None, None).events(resync)
    assert (everything.kind, everything.configuration, everything.configurations) == ("resync", None, ("a", "same"))
    (mine,) = Interest("a", None).events(resync)
    assert (mine.kind, mine.old, mine.new) == ("resync", {"n": 1}, {"n": 9})
    assert Interest("same", None).events(resync) == Interest("other", None).events(resync) == []
    assert Interest("a", "other").events(resync) == []
