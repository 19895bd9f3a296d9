"""Merging by field, as pure functions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from confo import MISSING
from confo.changes import Draft, collisions, rebase, settle, unchanged
from confo.model import Change, ChangeSet, same

FIELDS = st.sampled_from("abcd")
maybe_document = st.none() | st.dictionaries(FIELDS, st.integers(0, 2), max_size=4)


def names(found):
    """Return the fields that collide."""
    return [collision.field for collision in found]


@pytest.mark.parametrize(
    ("base", "mine", "theirs", "merged"),
    [
        ({"a": 1}, {"a": 2}, {"a": 1}, {"a": 2}),
        ({"a": 1, "b": 1}, {"a": 2, "b": 1}, {"a": 1, "b": 2}, {"a": 2, "b": 2}),
        ({"a": 1}, {"a": 1, "b": 1}, {"a": 1, "c": 1}, {"a": 1, "b": 1, "c": 1}),
        ({"a": 1, "b": 1}, {"b": 1}, {"a": 1, "b": 2}, {"b": 2}),
        ({"a": 1, "b": 1}, {"a": 1}, {"b": 1}, {}),
        (None, {"a": 1}, {"b": 1}, {"a": 1, "b": 1}),
        (None, {"a": 1}, {"a": 1}, {"a": 1}),
        (None, {"a": 1}, None, {"a": 1}),
        ({"a": 1}, None, {"a": 1}, None),
        ({"a": 1}, None, None, None),
        ({"a": 1}, {"a": 1}, None, None),
        ({"a": 1}, {"a": 2}, {"a": 2}, {"a": 2}),
    ],
)
def test_different_fields_both_win(base, mine, theirs, merged):
    """What only one side changed is taken from that side, and nothing collides."""
    draft = Draft(base, mine)
    assert collisions("n", "c", draft, theirs) == []
    assert rebase(draft, theirs).mine == merged
    assert rebase(draft, theirs).base == theirs


@pytest.mark.parametrize(
    ("base", "mine", "theirs", "fields"),
    [
        ({"a": 1}, {"a": 2}, {"a": 3}, ["a"]),
        ({"a": 1, "b": 1}, {"a": 2, "b": 2}, {"a": 3, "b": 1}, ["a"]),
        ({"a": 1}, {}, {"a": 3}, ["a"]),
        ({"a": 1}, {"a": 2}, {}, ["a"]),
        (None, {"a": 1}, {"a": 2}, ["a"]),
        ({"a": 1}, None, {"a": 2}, [None]),
        ({"a": 1}, {"a": 2}, None, [None]),
        ({"a": 1}, {"a": 1, "b": 1}, None, [None]),
        ({"a": True}, {"a": 1}, {"a": 0}, ["a"]),
    ],
)
def test_the_same_field_collides(base, mine, theirs, fields):
    """What both sides changed differently collides, before and after rebasing, until somebody decides."""
    draft = Draft(base, mine)
    assert names(collisions("n", "c", draft, theirs)) == fields
    again = rebase(draft, theirs)
    assert names(collisions("n", "c", again, theirs)) == fields
    first = collisions("n", "c", draft, theirs)[0]
    assert "=" not in repr(first).replace("namespace=", "").replace("configuration=", "").replace("field=", "")


@given(maybe_document, maybe_document, maybe_document)
def test_a_merge_keeps_every_edit(base, mine, theirs):
    """Without collisions, each field of the merge is mine where I changed it and theirs everywhere else."""
    draft = Draft(base, mine)
    if collisions("n", "c", draft, theirs):
        return
    merged = rebase(draft, theirs).mine
    for field in "abcd":
        b, m, t = ((side or {}).get(field, MISSING) for side in (base, mine, theirs))
        assert (merged or {}).get(field, MISSING) == (t if m == b else m)


@given(maybe_document, maybe_document, st.lists(maybe_document, max_size=4))
def test_rebasing_step_by_step(base, mine, steps):
    """A draft rebased over several states collides with the last exactly where it still differs from it."""
    draft = Draft(base, mine)
    for theirs in steps:
        draft = rebase(draft, theirs)
        for collision in collisions("n", "c", draft, theirs):
            assert not same(collision.mine, collision.theirs)


@given(maybe_document, maybe_document, maybe_document, st.sampled_from(["mine", "theirs"]))
def test_settling_leaves_no_collision(base, mine, theirs, keep):
    """A settled draft collides with nothing, and only collided fields were decided."""
    draft = Draft(base, mine)
    settled = settle(draft, theirs, keep=keep)
    assert collisions("n", "c", settled, theirs) == []
    assert unchanged(settled.base, theirs)
    if not collisions("n", "c", draft, theirs):
        assert unchanged(settled.mine, rebase(draft, theirs).mine)
    elif keep == "mine" and mine is not None and theirs is not None:
        assert all(settled.mine.get(c.field, MISSING) == c.mine for c in collisions("n", "c", draft, theirs))


@pytest.mark.parametrize(
    ("a", "b", "equal"),
    [
        (1, 1.0, True),
        (True, 1, False),
        (False, 0, False),
        ([1, True], [1, 1], False),
        ({"a": [0]}, {"a": [False]}, False),
        (None, False, False),
        ({"a": 1}, {"a": 1}, True),
        ("1", 1, False),
        ([], {}, False),
    ],
)
def test_values_are_compared_as_json(a, b, equal):
    """Values are the same when JSON says so: true is not 1, at any depth."""
    assert same(a, b) is same(b, a) is equal


def test_a_change_set_shows_fields_and_no_values():
    """The repr of a change set and of a change names what changed, never to what."""
    change = Change("sales", "database", {"password": "old-secret", "x": 1}, {"password": "new-secret", "x": 1})
    assert change.fields == ("password",)
    assert "secret" not in repr(change) + repr(ChangeSet([change])) + str(ChangeSet([change]))
    assert repr(ChangeSet([change])) == "<ChangeSet sales/database['password']>"
