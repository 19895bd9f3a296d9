"""What is remembered of a namespace's past: a deletion is never forgotten in silence."""

from __future__ import annotations

import random

import pytest
from kazoo.protocol.states import ZnodeStat

from confo_zookeeper.trail import MOST, Trail, nothing_was_deleted


def test_names_since():
    """Names that were there at a revision are given from then on, deleted or not; before the first telling, None."""
    trail = Trail(1, 10)
    trail.tell_state(10, {"a", "b"})
    trail.tell(12, {"c"}, {"a"})
    assert trail.names_since(9) is None
    assert trail.names_since(10) == {"a", "b", "c"}
    assert trail.names_since(12) == {"b", "c"}


def test_an_older_telling_takes_nothing_back():
    """What a slower reader tells of the past deletes no name that is back since."""
    trail = Trail(1, 10)
    trail.tell_state(10, {"a"})
    trail.tell_state(30, {"a"})
    trail.tell(25, (), {"a"})
    assert "a" in trail.names_since(30)


def test_a_long_absence():
    """After very many deletions the oldest are forgotten, and who asks for that time is told so."""
    trail = Trail(1, 1)
    for number in range(2, MOST + 10):
        trail.tell(number, (), {f"n{number}"})
    assert trail.names_since(1) is None
    assert f"n{MOST}" in trail.names_since(MOST - 1)


@pytest.mark.parametrize("seed", range(20))
def test_no_deletion_is_forgotten(seed):
    """Whoever told or was told a state at a revision finds each of its names later, in whatever order all tell."""
    chance = random.Random(seed)
    states = [frozenset()]
    for _ in range(30):
        states.append(states[-1] ^ {chance.choice("abcdef")})
    trail = Trail(1, 0)
    positions = [0, 0, 0]  # of three readers, each at its own
    for _ in range(60):
        reader = chance.randrange(3)
        before, now = positions[reader], chance.randrange(positions[reader], len(states))
        if chance.random() < 0.3:
            trail.tell_state(now, states[now])
        else:
            trail.tell(now, states[now], states[before] - states[now])
        positions[reader] = now
        for position in positions:
            assert states[position] <= trail.names_since(position)


@pytest.mark.parametrize(
    ("czxid", "pzxid", "cversion", "children", "sure"),
    [
        (1, 9, 4, 4, True),  # nothing was ever deleted
        (1, 5, 6, 4, True),  # something was, before
        (1, 9, 6, 4, False),  # something was, nobody knows when
        (8, 9, 4, 4, False),  # the namespace itself is younger
    ],
)
def test_nothing_was_deleted(czxid, pzxid, cversion, children, sure):
    """Only where a namespace's znode shows it, it is said that nothing was deleted since revision 7."""
    stat = ZnodeStat(czxid, czxid, 0, 0, 0, cversion, 0, 0, 0, children, pzxid)
    assert nothing_was_deleted(stat, 7) is sure
