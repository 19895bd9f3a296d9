"""Crashes, in short; ``python -m tests.reliability.kills`` and its siblings are the long ones."""

from __future__ import annotations

import random

import pytest

from confo_file import journal
from confo_file.store import Store
from tests.reliability import faults, increments, kills, power_cut
from tests.servers import required_servers

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),  # that a process forks is what is tried
]


@pytest.mark.parametrize("work", ["persist", "first commit", "delete namespace", "finish"])
def test_killed_at_system_calls(work):
    """A process that is killed at a system call of its work leaves the old state or the new, and nothing between."""
    found = kills.at_every_call(work, step=6)
    assert found.total() > 10


def test_a_commit_that_is_not_finished_is_caught(monkeypatch):
    """A control: were a journal thrown away and not finished by who comes next, a kill would leave half a commit."""
    monkeypatch.setattr(Store, "_finish", lambda self, root, state: state.remove(journal.JOURNAL))
    with pytest.raises(AssertionError, match="neither old nor new"):
        kills.at_every_call("persist", only="renameat")


def test_killed_at_random():
    """A process that is killed at any moment has lost no acknowledged commit, and made no half of one."""
    assert kills.at_random(20, random.Random(7)).total() == 20


@pytest.mark.parametrize("work", ["commit", "persist"])
def test_faults(work):
    """A system call that fails ends in a typed error that is true, and leaves the state whole."""
    assert faults.at_every_call(work, step=12).total() > 20


def test_increments(tmp_path):
    """Increments of processes that are killed again and again are all there, each once."""
    found, records, deaths = increments.run(tmp_path, 4, 40, random.Random(7))
    assert (found, records) == (160, 160)
    assert deaths > 1


@pytest.fixture
def power():
    """Skip where no power can be cut; fail where it must be."""
    reason = power_cut.why_not()
    if reason is not None:
        if "power" in required_servers():
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)


def test_power_cuts(power):
    """After a power cut nothing is torn and no acknowledged commit is lost."""
    found = power_cut.confo(5, random.Random(7))
    assert (found["torn"], found["lost"]) == (0, 0)
    assert found["old"] + found["new"] == 5


def test_power_cuts_are_cuts(power):
    """A control: what was renamed without waiting for the disk is torn or lost."""
    found = power_cut.naive(power_cut.rename, 5, random.Random(7))
    assert found["torn"] + found["lost"] > 0
