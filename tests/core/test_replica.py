"""What a follower does after a failure, as a pure function; and how a stream's faults are survived."""

from __future__ import annotations

import random
from bisect import bisect_right

import pytest

from confo import (
    AuthenticationFailed,
    BackendUnavailable,
    NamespaceNotFound,
    PermissionDenied,
    ResyncNeeded,
    State,
)
from confo.replica import HERD_FAILURES, after_failure, failures_before, pause


def test_back_off_doubles_to_five_seconds_with_full_jitter():
    """The bound of a pause doubles from 0.1 s to 5 s and stays; the pause is anywhere between 0 and the bound."""
    assert [pause(n, 1.0) for n in range(8)] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    assert pause(10_000, 1.0) == 5.0
    assert pause(5, 0.0) == 0.0
    assert pause(5, 0.25) == pytest.approx(0.8)


def test_clients_that_lose_a_server_together_do_not_come_back_together():
    """The loss of a stream that had lived is waited for longer; an attempt that took long was a pause."""
    lost = BackendUnavailable("x")
    first = failures_before(lost, 0, 60.0, followed=True)
    assert [pause(first + n, 1.0) for n in range(3)] == pytest.approx([2.2, 4.4, 5.0])
    assert failures_before(lost, 3, 60.0, followed=False) == 0
    assert failures_before(lost, 3, 1.0, followed=True) == 3
    assert failures_before(ResyncNeeded("x"), 3, 60.0, followed=True) == 0


LOST = BackendUnavailable("x")


def came_back(away, draw, plan):
    """Return when a client comes back to a server that is away for so many seconds, by its own pauses."""
    failures = failures_before(LOST, 0, 60.0, followed=True)
    now = 0.0
    while True:
        now += plan(failures, draw.random())
        failures += 1
        if now >= away:
            return now


def fullest(away, plan, drawings=100, clients=300):
    """Return, of each drawing, the share of the clients that come back within the fullest 0.1 seconds."""
    draw = random.Random(away)
    shares = []
    for _ in range(drawings):
        times = sorted(came_back(away, draw, plan) for _ in range(clients))
        shares.append(max(bisect_right(times, began + 0.1) - n for n, began in enumerate(times)) / clients)
    return shares


@pytest.mark.parametrize("away", [0.0, 0.5, 1.0, 1.7, 2.0, 2.3, 3.0, 4.4, 6.8, 16.7])
def test_a_herd_is_spread(away):
    """However long a server is away, at most 10 % of 300 clients come back within any 0.1 s, but by rare chance."""
    shares = fullest(away, lambda failures, jitter: after_failure(LOST, failures, jitter).pause)
    assert sum(share > 0.10 for share in shares) <= 3, shares


def test_a_herd_is_not_spread_by_full_jitter_alone():
    """The control: where refused clients may come back at once, they meet those whose first pause ends."""
    shares = fullest(1.7, pause)
    assert sum(share > 0.10 for share in shares) >= 10, shares


def test_later_pauses_are_half_of_their_bound_at_least():
    """The first pause after a loss is anywhere up to its bound, each later one from half of it on."""
    assert after_failure(LOST, HERD_FAILURES, 0.0).pause == 0.0
    assert after_failure(LOST, 0, 0.0).pause == 0.0
    assert after_failure(LOST, 1, 0.0).pause == pytest.approx(0.1)
    assert after_failure(LOST, HERD_FAILURES + 1, 0.0).pause == pytest.approx(2.2)


@pytest.mark.parametrize(
    ("error", "failures", "resync", "longest", "state"),
    [
        (BackendUnavailable("x"), 0, False, 0.1, State.STALE),
        (BackendUnavailable("x"), 9, False, 5.0, State.STALE),
        (ResyncNeeded("x"), 0, True, 0.0, State.READY),
        (ResyncNeeded("x"), 9, True, 5.0, State.READY),
        (PermissionDenied("x"), 9, False, 30.0, State.ERROR),
        (AuthenticationFailed("x"), 20, False, 30.0, State.ERROR),
        (NamespaceNotFound("x"), 9, False, 5.0, State.ERROR),
        (ZeroDivisionError(), 2, False, 0.4, State.ERROR),
    ],
)
def test_after_a_failure(error, failures, resync, longest, state):
    """A lost stream is resumed, a gap loaded anew, a refusal asked about less often, and a plugin's defect survived."""
    plan = after_failure(error, failures, 1.0)
    assert (plan.resync, plan.pause, plan.state) == (resync, pytest.approx(longest), state)
