"""Users that come and go, and authentication switched off and on, while programs run."""

from __future__ import annotations

import threading
import time

import pytest

import confo
from confo import ConfoError, State

ROOT = "root:hunter2"
SECONDS = 40.0


@pytest.fixture
def guarded(own_server):
    """Give a server with authentication switched on, and the users root and clerk."""
    for words in ("user add root:hunter2", "user grant-role root root"):
        own_server.ctl(*words.split())
    hire(own_server, user=None)
    own_server.ctl("auth", "enable")
    return own_server


def hire(server, *, user):
    """Make the user clerk, who may do everything."""
    for words in ("user add clerk:letmein", "user grant-role clerk root"):
        server.ctl(*words.split(), user=user)


@pytest.fixture
def shop(guarded):
    """Open a namespace as clerk."""
    with confo.connect(f"etcd://clerk:letmein@{guarded.endpoint}/shop", create=True) as shop:
        yield shop


@pytest.fixture
def other(guarded, shop):
    """Open it again, as another process would."""
    with confo.connect(f"etcd://clerk:letmein@{guarded.endpoint}/shop") as other:
        yield other


def goes_on(shop, other, value):
    """Commit by one and wait until the other has it; what is refused meanwhile is tried again, as a program does."""
    end, tick = time.monotonic() + SECONDS, threading.Event()
    while True:
        try:
            shop.set("database", "n", value)
            shop.persist()
            break
        except ConfoError:
            assert time.monotonic() < end
            tick.wait(0.1)
    while not ("database" in other and other.get("database", "n") == value):
        assert time.monotonic() < end, "the other does not follow"
        tick.wait(0.02)


def test_authentication_switched_off_and_on(guarded, shop, other, caplog):
    """Programs with a user commit and follow while authentication goes off and on, at the first try; one line tells."""
    goes_on(shop, other, 0)
    for value in (1, 2):
        guarded.ctl("auth", "disable", user=ROOT)
        shop.set("database", "n", -value)
        shop.persist()
        goes_on(shop, other, value)
        guarded.ctl("auth", "enable")
        shop.set("database", "n", -value * 10)
        shop.persist()
        goes_on(shop, other, value * 10)
    assert other.status().state is State.READY
    assert len([one for one in caplog.records if "does not check users" in one.message]) <= 4


def test_a_user_deleted_and_made_again(guarded, shop, other):
    """A program whose user was deleted goes on by itself once there is such a user again."""
    goes_on(shop, other, 0)
    guarded.ctl("user", "delete", "clerk", user=ROOT)
    shop.set("database", "n", 1)
    with pytest.raises(ConfoError):
        shop.persist()
    hire(guarded, user=ROOT)
    goes_on(shop, other, 2)
    assert other.status().state is State.READY


def test_a_program_that_began_without_authentication(own_server):
    """A program with a user begins where nobody is asked, and goes on as that user when everybody is, and back."""
    url = f"etcd://root:hunter2@{own_server.endpoint}/shop"
    with confo.connect(url, create=True) as shop, confo.connect(url) as other:
        for words in ("user add root:hunter2", "user grant-role root root", "auth enable"):
            own_server.ctl(*words.split())
        goes_on(shop, other, 1)
        own_server.ctl("auth", "disable", user=ROOT)
        goes_on(shop, other, 2)
