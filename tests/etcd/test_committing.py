"""A commit as a transaction, before it is sent and when its answer is there."""

from __future__ import annotations

import re

import pytest

from confo import ANY, Conflict, InvalidCommit, TooLarge, Write
from confo_etcd.committing import MAX_BYTES, MAX_OPERATIONS, MAX_VALUE_BYTES, plan, refused
from confo_etcd.layout import Layout
from confo_etcd.schema import Message, schema

LAYOUT = Layout("/confo/")


def answer(*revisions: int) -> Message:
    """Return a refused transaction's answer: the revisions of the keys asked for, 0 for a missing one."""
    wire = schema()
    response = wire.TxnResponse(succeeded=False)
    for revision in revisions:
        kvs = response.responses.add().response_range.kvs
        if revision:
            kvs.add(mod_revision=revision)
        else:
            response.responses[-1].response_range.SetInParent()
    return response


def test_guards():
    """Each guarded write has one comparison of its key's revision, an unguarded one has none."""
    wire = schema()
    planned = plan([Write("s", "a", b"1", 0), Write("s", "b", None, 7), Write("s", "c", b"3", ANY)], LAYOUT)
    assert [(c.key, c.target, c.result, c.mod_revision) for c in planned.request.compare] == [
        (b"/confo/s/a", wire.Compare.MOD, wire.Compare.EQUAL, 0),
        (b"/confo/s/b", wire.Compare.MOD, wire.Compare.EQUAL, 7),
    ]
    assert [op.WhichOneof("request") for op in planned.request.success] == [
        "request_put",
        "request_delete_range",
        "request_put",
    ]
    assert [op.request_range.key for op in planned.request.failure] == [b"/confo/s/a", b"/confo/s/b"]
    assert all(op.request_range.keys_only for op in planned.request.failure)


def test_which_namespaces_are_guarded_by_their_marker():
    """A marker is compared only where no guard of a write shows that the namespace is there, once for each."""
    writes = [
        Write("shown", "a", b"1", 7),
        Write("shown", "b", b"1", 0),
        Write("new", "a", b"1", 0),
        Write("any", "a", b"1", ANY),
        Write("any", "b", b"1", ANY),
        Write(".history.new", "1", b"1", 0),
    ]
    planned = plan(writes, LAYOUT)
    assert planned.marked == ("new", "any")
    assert [c.key for c in planned.request.compare][-2:] == [b"/confo/new/", b"/confo/any/"]
    assert planned.unmarked == ()


def test_no_room_for_the_marker():
    """When the comparisons would be too many for the markers alone, the markers are left to a read."""
    writes = [Write("s", f"n{number}", b"", 0) for number in range(MAX_OPERATIONS)]
    planned = plan(writes, LAYOUT)
    assert len(planned.request.compare) == MAX_OPERATIONS
    assert (planned.marked, planned.unmarked) == ((), ("s",))
    assert plan(writes[:-1], LAYOUT).marked == ("s",)


def test_too_many():
    """More writes than etcd takes are refused with both numbers."""
    writes = [Write("s", f"n{number}", b"", 0) for number in range(1_129)]
    with pytest.raises(TooLarge, match=re.escape("1,129 writes, and etcd takes 128 in one transaction")):
        plan(writes, LAYOUT)


def test_too_large():
    """A commit that is larger than etcd takes in all is refused with both numbers, though each value would do."""
    writes = [Write("s", f"n{number}", bytes(800_000), 0) for number in range(2)]
    with pytest.raises(TooLarge, match=r"1,600,\d\d\d bytes with its keys, and etcd takes 1,571,840"):
        plan(writes, LAYOUT)


def test_the_largest_value():
    """The largest value that is declared fits with the longest names; one byte more is refused by name."""
    longest = ("n" * 128, "c" * 128)
    layout = Layout("/" + "p" * 300 + "/")
    planned = plan([Write(*longest, bytes(MAX_VALUE_BYTES), 2**62)], layout)
    assert planned.request.ByteSize() <= MAX_BYTES
    with pytest.raises(TooLarge, match="s/c is 1,568,769 bytes, and etcd takes 1,568,768 in one value") as caught:
        plan([Write("s", "c", bytes(MAX_VALUE_BYTES + 1), 0)], LAYOUT)
    assert (caught.value.namespace, caught.value.configuration) == ("s", "c")


def test_mistakes():
    """A commit of nothing or of one name twice is refused; the same name in two namespaces is not."""
    with pytest.raises(InvalidCommit, match="at least one write"):
        plan([], LAYOUT)
    with pytest.raises(InvalidCommit, match="'a' of namespace 's' is written twice in one commit"):
        plan([Write("s", "a", b"1", 0), Write("s", "a", None, ANY)], LAYOUT)
    plan([Write("s", "a", b"1", 0), Write("t", "a", b"1", 0)], LAYOUT)


def test_conflicts_are_told_from_the_answer():
    """Of a refused commit exactly the keys that moved are named."""
    planned = plan([Write("s", "a", b"1", 0), Write("s", "b", b"1", 7), Write("t", "c", b"1", 0)], LAYOUT)
    with pytest.raises(Conflict, match="s/b, t/c changed") as caught:
        refused(planned, answer(0, 8, 3, 0))
    assert caught.value.keys == (("s", "b"), ("t", "c"))


def test_missing_namespaces_are_told_from_the_answer():
    """Of a refused commit whose keys did not move the namespaces without a marker are returned."""
    planned = plan([Write("s", "a", b"1", 0), Write("t", "c", b"1", ANY), Write("u", "d", b"1", ANY)], LAYOUT)
    assert refused(planned, answer(0, 5, 0, 0)) == ["t", "u"]
