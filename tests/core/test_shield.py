"""Calls that no interrupt cuts: what is begun goes on to its end, and the interrupt says what became of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid

import pytest

from confo import Confo, shield
from confo_memory import MemoryBackend

SECONDS = 10.0


def interrupt(kind, credentials, times, seconds, how):
    """Run the program that is interrupted; return what it counted."""
    command = [sys.executable, "-m", "tests.core.interrupting", kind, json.dumps(credentials), str(times), str(seconds)]
    done = subprocess.run([*command, how], capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def check(found):
    """See that nothing was lost, nothing told wrongly, and nothing left behind."""
    assert found["errors"] == []
    assert found["lost"] == [], "told as committed, and not in the history"
    assert found["made"] == [], "told as not committed, and in the history"
    assert found["again"] is True
    assert found["threads"] == []


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("how", ["signal"])
@pytest.mark.parametrize("kind", ["memory", "file"])
def test_an_interrupt_at_any_instruction(kind, how, tmp_path):
    """Ctrl-C at any moment leaves every call usable, nobody locked out and no thread, and its note is true."""
    credentials = {"config_path": str(tmp_path)} if kind == "file" else {}
    found = interrupt(kind, credentials, 300, 0.006 if kind == "file" else 0.0006, how)
    check(found)
    assert found["interrupted"] > 5
    if kind == "file":
        with Confo(uuid.uuid4().hex) as other:
            other.load_backend(credentials, "f", "file")
            sales = other.namespace("sales")
            sales.set("doc", "n", "of another process")
            assert sales.persist()


class Slow(MemoryBackend):
    """Commits when the test lets it."""

    go = threading.Event()
    begun = threading.Event()

    def commit(self, writes):
        self.begun.set()
        self.go.wait(SECONDS)
        return super().commit(writes)


@pytest.mark.parametrize("in_time", [True, False])
def test_the_note_of_an_interrupt(in_time):
    """KeyboardInterrupt reaches the caller at once, with a note of the revision, or that it is not known yet."""
    with Confo(uuid.uuid4().hex) as config:
        Slow.go.set()
        config.load_backend({}, "m", Slow)
        config.activate_backend("m")
        config.create_namespace("sales")
        sales = config.namespace("sales")
        Slow.go.clear()
        Slow.begun.clear()
        sales.set("doc", "n", 1)

        def press():
            Slow.begun.wait(SECONDS)
            os.kill(os.getpid(), signal.SIGINT)
            if in_time:
                Slow.go.set()

        presses = threading.Thread(target=press)
        presses.start()
        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt) as caught:
            sales.persist()
        assert time.monotonic() - began < SECONDS / 2
        presses.join()
        (note,) = caught.value.__notes__
        if in_time:
            assert note == f"Confo: it was committed, as revision {sales.history(limit=1)[0].revision}"
        else:
            assert "not known yet; persist() again finds out" in note
        Slow.go.set()
        sales.persist()
        assert sales.staged == []
        assert sales.history()[0].changes[0].new == {"n": 1}


def test_what_was_made_for_nobody_is_undone():
    """A backend whose opening was interrupted is closed when it is open, and may be loaded again."""
    opened, go = threading.Event(), threading.Event()
    backends = []

    class Opening(MemoryBackend):
        @classmethod
        def open(cls, credentials):
            opened.set()
            go.wait(SECONDS)
            backends.append(super().open(credentials))
            return backends[-1]

    def press():
        opened.wait(SECONDS)
        os.kill(os.getpid(), signal.SIGINT)

    with Confo(uuid.uuid4().hex) as config:
        presses = threading.Thread(target=press)
        presses.start()
        with pytest.raises(KeyboardInterrupt):
            config.load_backend({}, "m", Opening)
        presses.join()
        go.set()
        until = time.monotonic() + SECONDS
        while not backends or config.get_backends()["all_backends"] or not backends[0]._closed:
            assert time.monotonic() < until
        config.load_backend({}, "m", MemoryBackend)


def test_calls_within_calls():
    """A call from a thread of Confo's own, or from one that holds the lock, runs where it is."""
    lock = threading.RLock()

    def where():
        return threading.current_thread().name

    assert shield.run(where) == "confo-call"
    assert shield.run(lambda: shield.run(where)) == "confo-call"
    with lock:
        assert shield.run(where, locks=[lock]) == threading.current_thread().name


def test_errors_come_as_they_are():
    """What a call raises is raised where it is waited for, the same object."""
    error = ValueError("mine")

    def fail():
        raise error

    with pytest.raises(ValueError, match="mine") as caught:
        shield.run(fail)
    assert caught.value is error
