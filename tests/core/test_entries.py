"""Packed entries behave as a dict, and take little more than their bytes."""

from __future__ import annotations

import sys
import tracemalloc

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from confo import Entry, Snapshot, UnreadableDocument
from confo import entries as module
from confo.entries import Entries

names = st.text("ab.é\ud800", min_size=1, max_size=3)


class LikeADict(RuleBasedStateMachine):
    """Whatever is done to it, it is as a dict to which the same was done."""

    def __init__(self):
        super().__init__()
        self.model = {name: Entry(name.encode("utf-8", "replace"), n) for n, name in enumerate(_many(40), 1)}
        self.entries = Entries(dict(self.model))
        self.copies = []

    @rule(name=names, revision=st.integers(1, 99))
    def put(self, name, revision):
        self.model[name] = self.entries[name] = Entry(b"x" * revision, revision)

    @rule(name=names)
    def delete(self, name):
        assert self.entries.pop(name, None) == self.model.pop(name, None)

    @rule()
    def copy(self):
        self.copies.append((self.entries.copy(), dict(self.model)))

    @rule()
    def go_on_with_a_copy(self):
        self.copies.append((self.entries, dict(self.model)))
        self.entries = self.entries.copy()

    @rule()
    def pack(self):
        self.entries = self.entries.packed()

    @invariant()
    def the_same(self):
        for entries, model in [(self.entries, self.model), *self.copies]:
            assert dict(entries) == model
            assert len(entries) == len(model)
            for name in [*_many(3), "a", "é", "b.", "zz", ""]:
                assert entries.get(name) == model.get(name)
                assert (name in entries) is (name in model)


def _many(count):
    alphabet = "ab.é\ud800"
    return [a + b + c for a in alphabet for b in alphabet for c in ["", "a", "é"]][:count]


@pytest.mark.parametrize("pack_from", [0, 1024], ids=["packed", "not packed"])
def test_like_a_dict(monkeypatch, pack_from):
    """Packed or not, it is a mapping like a dict, and a copy changes by itself."""
    monkeypatch.setattr(module, "PACK_FROM", pack_from)
    monkeypatch.setattr(module, "BLOCK", 4)
    case = LikeADict.TestCase
    case.settings = settings(max_examples=30, stateful_step_count=20, deadline=None)
    case("runTest").runTest()


def test_what_was_taken_over_is_gone_from_the_dict():
    """While it packs, the dict it takes over empties, so that nothing is there twice."""
    given = {f"n{n:05}": Entry(b"x" * 100, n) for n in range(1, 2000)}
    entries = Entries(given)
    assert given == {}
    assert len(entries) == 1999
    assert list(entries)[:2] == ["n00001", "n00002"]
    assert entries["n01999"] == Entry(b"x" * 100, 1999)


def test_it_takes_little_more_than_the_bytes():
    """100,000 entries of 150 bytes take less than 1.2 times the bytes of names and values."""
    tracemalloc.start()
    try:
        entries = Entries({f"service-{n:06}": Entry(bytes(150), n) for n in range(1, 100_001)})
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert used < 1.2 * 100_000 * (150 + len("service-000000"))
    assert sys.getsizeof(entries) < 200


def test_what_a_backend_says_of_unreadable_entries_is_kept():
    """Why an entry is no document is known of packed entries too, and what is read of it says just that."""
    many = {f"n{number:04d}": Entry(b"{}", number) for number in range(module.PACK_FROM)}
    many["n0007"] = Entry(b"", 7, "cannot read /confo/sales/n0007 as user 'shop'")
    entries = Entries(dict(many))
    assert dict(entries) == many
    with pytest.raises(UnreadableDocument, match="^cannot read /confo/sales/n0007 as user 'shop'$"):
        Snapshot("sales", 7, entries)["n0007"]
