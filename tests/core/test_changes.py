"""Merging by path, as pure functions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from confo import MISSING
from confo.changes import Draft, merge, rebase, unchanged
from confo.model import Change, ChangeSet, same
from confo.paths import as_field, look, put

FIELDS = st.sampled_from("abcd")
VALUES = st.integers(0, 2) | st.lists(st.integers(0, 1), max_size=2)
flat_document = st.none() | st.dictionaries(FIELDS, st.integers(0, 2), max_size=4)
maybe_document = st.none() | st.dictionaries(
    FIELDS, st.recursive(VALUES, lambda inner: st.dictionaries(FIELDS, inner, max_size=3), max_leaves=6), max_size=4
)


def names(found):
    """Return the fields and paths that collide."""
    return [as_field(clash.path) for clash in found]


def clashes(draft, theirs):
    """Return what collides."""
    return merge(draft, theirs).clashes


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
        ({"o": {"a": 1, "b": 1}}, {"o": {"a": 2, "b": 1}}, {"o": {"a": 1, "b": 2}}, {"o": {"a": 2, "b": 2}}),
        ({}, {"o": {"a": 1}}, {"o": {"b": 1}}, {"o": {"b": 1, "a": 1}}),
        ({"o": {"p": {"a": 1}}}, {"o": {"p": {}}}, {"o": {"p": {"a": 1}, "q": 1}}, {"o": {"p": {}, "q": 1}}),
        ({"o": {"a": 1}}, {"o": {"a": 1}, "x": 1}, {}, {"x": 1}),
        ({"o": {"l": [1], "x": 1}}, {"o": {"l": [1, 2], "x": 1}}, {"o": {"l": [1]}}, {"o": {"l": [1, 2]}}),
    ],
)
def test_different_fields_both_win(base, mine, theirs, merged):
    """What only one side changed is taken from that side, and nothing collides."""
    draft = Draft(base, mine)
    assert clashes(draft, theirs) == []
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
        ({"o": {"a": 1, "b": 1}}, {"o": {"a": 2, "b": 2}}, {"o": {"a": 3, "b": 1}}, [("o", "a")]),
        ({"o": {"a": 1}}, {}, {"o": {"a": 2}}, ["o"]),
        ({"o": {"a": 1}}, {"o": {"a": 2}}, {"o": 5}, ["o"]),
        ({"o": 1}, {"o": {"a": 1}}, {"o": {"b": 1}}, ["o"]),
        ({}, {"o": {"a": 1, "b": 1}}, {"o": {"a": 2, "b": 1}}, [("o", "a")]),
        ({"o": {"l": [1]}}, {"o": {"l": [1, 2]}}, {"o": {"l": [1, 3]}}, [("o", "l")]),
    ],
)
def test_the_same_field_collides(base, mine, theirs, fields):
    """What both sides changed differently collides, before and after rebasing, until somebody decides."""
    draft = Draft(base, mine)
    assert names(clashes(draft, theirs)) == fields
    again = rebase(draft, theirs)
    assert names(clashes(again, theirs)) == fields


@given(maybe_document, st.text("abcd", min_size=1, max_size=3), st.text("abcd", min_size=1, max_size=3))
def test_different_paths_both_win(base, one, other):
    """Two edits of different paths, none inside the other, never collide, and both are in what comes out."""
    one, other = tuple(one), tuple(other)
    if all(a == b for a, b in zip(one, other, strict=False)):
        return
    try:
        mine, theirs, both = put(base, one, 8), put(base, other, 9), put(put(base, one, 8), other, 9)
    except ValueError:  # a value that is no object stands in the way
        return
    found = merge(Draft(base, mine), theirs)
    if base is None or not any(isinstance(look(base, path[:n]), int) for path in (one, other) for n in range(1, 3)):
        assert found.clashes == []
        assert same(found.draft.mine, both)


@given(maybe_document, st.text("abcd", min_size=1, max_size=3), VALUES, VALUES)
def test_the_same_path_collides_unless_both_agree(base, path, mine, theirs):
    """Two edits of one path collide where they differ from it and from each other, and are told as that path."""
    path = tuple(path)
    try:
        edits = put(base, path, mine), put(base, path, theirs)
    except ValueError:
        return
    found = clashes(Draft(base, edits[0]), edits[1])
    was = look(base, path)
    collide = not same(mine, was) and not same(theirs, was) and not same(mine, theirs)
    assert [clash.path for clash in found] == ([path] if collide else [])


@given(maybe_document, st.permutations("abcd"), st.lists(VALUES, min_size=3, max_size=3))
def test_edits_of_different_paths_come_in_any_order(base, fields, values):
    """Edits that others make of other paths, one after the other, leave a draft as if they had come at once."""
    paths = [("o", fields[0]), ("o", fields[1]), (fields[2], "x")]
    base = {**{f: {} for f in fields}, "o": {}, **{k: v for k, v in (base or {}).items() if isinstance(v, dict)}}
    first = put(base, paths[1], values[1])
    both = put(first, paths[2], values[2])
    draft = Draft(base, put(base, paths[0], values[0]))
    assert same(rebase(rebase(draft, first), both).mine, rebase(draft, both).mine)
    assert same(rebase(draft, both).mine, merge(Draft(base, both), draft.mine).draft.mine)


@given(flat_document, flat_document, flat_document)
def test_what_a_writer_saw_is_guarded(base, mine, theirs):
    """A guarded field that the store changed collides, although both sides changed it to the same value."""
    guards = frozenset({(name,) for name in "abcd"})
    found = merge(Draft(base, mine, guards), theirs)
    moved = [n for n in "abcd" if not same(look(base, (n,)), look(theirs, (n,)))]
    if any(clash.path == () for clash in found.clashes):
        return
    if (base is None) is not (theirs is None):  # also what is missing is read of a document that is there, or is not
        moved = list("abcd")
    assert sorted(clash.path[0] for clash in found.clashes) == moved
    decided = merge(Draft(base, mine, guards), theirs, keep="theirs")
    assert decided.clashes == []
    assert all(same(look(decided.draft.mine, (n,)), look(theirs, (n,))) for n in moved if decided.draft.mine)


def test_a_collision_shows_no_value():
    """The repr of a collision names the path, never what stands there."""
    from confo.changes import collisions

    found = clashes(Draft({"o": {"p": "s1"}}, {"o": {"p": "s2"}}), {"o": {"p": "s3"}})
    (collision,) = collisions("n", "c", found)
    assert collision.field == ("o", "p")
    assert (collision.base, collision.mine, collision.theirs) == ("s1", "s2", "s3")
    shown = repr(found) + repr(collision)
    assert not any(secret in shown for secret in ("s1", "s2", "s3"))


@given(flat_document, flat_document, flat_document)
def test_a_merge_keeps_every_edit(base, mine, theirs):
    """Without collisions, each field of the merge is mine where I changed it and theirs everywhere else."""
    draft = Draft(base, mine)
    if clashes(draft, theirs):
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
        for collision in clashes(draft, theirs):
            assert not same(collision.mine, collision.theirs)


@given(maybe_document, maybe_document, maybe_document, st.sampled_from(["mine", "theirs"]))
def test_settling_leaves_no_collision(base, mine, theirs, keep):
    """A settled draft collides with nothing, and only collided fields were decided."""
    draft = Draft(base, mine)
    decided = merge(draft, theirs, keep=keep)
    settled = decided.draft
    assert decided.clashes == clashes(settled, theirs) == []
    assert unchanged(settled.base, theirs)
    assert decided.changed is not unchanged(settled.mine, theirs)
    found = clashes(draft, theirs)
    if not found:
        assert unchanged(settled.mine, rebase(draft, theirs).mine)
    for clash in found:
        assert same(look(settled.mine, clash.path), clash.mine if keep == "mine" else clash.theirs)


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


def test_a_change_tells_its_paths():
    """A change names the fields that differ, and where inside nested objects; its texts show the paths."""
    change = Change(
        "sales", "database", {"host": 1, "opts": {"a": 1, "b": [1]}}, {"host": 2, "opts": {"a": 1, "b": [2]}}
    )
    assert change.fields == ("host", "opts")
    assert change.paths == (("host",), ("opts", "b"))
    assert repr(ChangeSet([change])) == "<ChangeSet sales/database['host', ('opts', 'b')]>"


@given(maybe_document, maybe_document)
def test_the_paths_of_a_change_are_all_that_differs(old, new):
    """Putting the new value at each path of a change makes the new document out of the old one."""
    became = old
    for path in Change("n", "c", old, new).paths:
        became = put(became, path, look(new, path))
    assert same(became or {}, new or {})
