"""Calls that no interrupt cuts: what is begun goes on to its end, and the interrupt says what became of it."""

from __future__ import annotations

import json
import operator
import os
import signal
import subprocess
import sys
import threading
import time
import uuid

import pytest

import confo
from confo import Confo, extensions, shield
from confo_memory import MemoryBackend
from tests.core.interrupting import problems

SECONDS = 10.0


@pytest.fixture(autouse=True)
def _ctrl_c():
    """Have SIGINT raise KeyboardInterrupt, also where the tests run in the background of a shell, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def interrupt(kind, credentials, times, how, defect=""):
    """Run the program that is interrupted; return what it counted."""
    command = [sys.executable, "-m", "tests.core.interrupting", kind, json.dumps(credentials), str(times), how]
    done = subprocess.run([*command, "--defect", defect], capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("how", ["signal", "thread"])
@pytest.mark.parametrize("kind", ["memory", "file"])
def test_an_interrupt_at_any_instruction(kind, how, tmp_path):
    """Ctrl-C at any moment leaves every call usable, nobody locked out and no thread, and its note is true."""
    credentials = {"config_path": str(tmp_path)} if kind == "file" else {}
    found = interrupt(kind, credentials, 300, how)
    assert problems(found) == []
    if kind == "file":
        with Confo(uuid.uuid4().hex) as other:
            other.load_backend(credentials, "f", "file")
            sales = other.namespace("sales")
            sales.set("doc", "n", "of another process")
            assert sales.persist()


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("defect", "problem"),
    [
        ("unshielded", "committed, and nothing said so"),
        ("lying", "told as not committed, and in the history"),
        ("stale", "what is read is not what is stored"),
    ],
)
def test_what_an_interrupt_leaves_wrong_is_found(defect, problem):
    """A control: calls that are cut, a note that is not true and a read of what was discarded are found."""
    assert problem in "; ".join(problems(interrupt("memory", {}, 600, "signal", defect)))


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


def test_a_second_interrupt():
    """A second Ctrl-C while the first is dealt with changes nothing: what was made for nobody is undone."""
    undone = []

    class Twice(shield.Job[str]):
        times = 0

        def abandon(self):
            Twice.times += 1
            if Twice.times == 1:
                raise KeyboardInterrupt
            super().abandon()

    def make():
        os.kill(os.getpid(), signal.SIGINT)
        return "made"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shield, "Job", Twice)
        with pytest.raises(KeyboardInterrupt):
            shield.run(make, undo=undone.append)
    until = time.monotonic() + SECONDS
    while not undone:
        assert time.monotonic() < until
    assert (Twice.times, undone) == (2, ["made"])


def test_the_end_is_known_to_who_looked_already():
    """Whether a call is over is told at once, also to a caller who was interrupted when it had just been woken."""
    job = shield.Job(lambda: 1)
    job.run()
    assert job.wake.acquire(blocking=False)
    assert job.has_ended(0.0)


@pytest.mark.parametrize("held", ["view.lock", "hub.lock", "persisting"])
def test_closing_in_a_handler(held):
    """A signal handler may close everything while its thread is in the middle of reading, subscribing or committing."""
    with Confo(uuid.uuid4().hex) as config:
        config.load_backend({}, "m", "memory")
        config.activate_backend("m")
        config.create_namespace("sales")
        sales = config.namespace("sales")
        lock = operator.attrgetter(held)(sales._replica)
        with lock:
            config.close()
        assert sales.status().state.name == "CLOSED"


def test_closing_leaves_no_thread():
    """When close() returns, no thread of Confo's is left, that of the calls included."""
    with Confo(uuid.uuid4().hex) as config:
        config.load_backend({}, "m", "memory")
        config.activate_backend("m")
        config.create_namespace("sales")
        config.namespace("sales").on_change(print)
    assert [thread.name for thread in threading.enumerate() if "confo" in thread.name] == []


AT_EXIT = """
import atexit, confo
config = confo.Confo("ending")
config.load_backend({"config_path": "."}, "f", "file", follow=False)
config.activate_backend("f")
config.create_namespace("sales")
sales = config.namespace("sales")

@atexit.register
def end():
    sales.set("doc", "n", 1)
    print(sales.persist().changes[0].configuration)
    config.close()
    print("closed")
"""


def test_persist_and_close_at_exit(tmp_path):
    """What is registered with atexit may still commit and close, where the interpreter starts no thread any more."""
    command = [sys.executable, "-W", "error", "-c", AT_EXIT]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert (done.stdout.split(), done.stderr) == (["doc", "closed"], "")


GREEN = """
from gevent import monkey
monkey.patch_all()
import os, signal, gevent, confo
heard = []
signal.signal(signal.SIGTERM, lambda *_: heard.append(1))
with confo.connect("memory:///sales", create=True) as sales:
    sales.set("doc", "n", 1)
    sales.persist()
    os.kill(os.getpid(), signal.SIGTERM)
    gevent.sleep(0.01)
    print(heard, signal.pthread_sigmask(signal.SIG_BLOCK, []))
"""


def test_signals_are_heard_where_threads_are_greenlets(tmp_path):
    """After gevent's monkey.patch_all() the first call blocks no signal of the main thread."""
    done = subprocess.run([sys.executable, "-c", GREEN], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[1] set()", done.stderr


class Asked:
    """A policy and a listener that look where they are."""

    def __init__(self, config):
        self.config, self.lock = config, threading.RLock()
        self.here = threading.local()
        self.seen = []

    @confo.hookimpl
    def confo_check_commit(self):
        with self.lock:
            self.seen.append(("check", threading.current_thread(), getattr(self.here, "user", None)))

    @confo.hookimpl
    def confo_committed(self, commit):
        self.seen.append(("committed", threading.current_thread(), getattr(self.here, "user", None)))
        if "audit" not in [change.configuration for change in commit.changes]:
            with self.config.namespace("sales").edit() as draft:
                draft["audit"] = {"revision": commit.revision}


def test_policies_run_in_the_thread_that_persists():
    """A policy sees the thread's own variables and takes its locks; a listener may commit to the same namespace."""
    with Confo(uuid.uuid4().hex) as config:
        config.load_backend({}, "m", "memory")
        config.activate_backend("m")
        config.create_namespace("sales")
        sales = config.namespace("sales")
        asked = Asked(config)
        asked.here.user = "ada"
        extensions.register(asked, "asked")
        try:
            with asked.lock:
                sales.set("doc", "n", 1)
                commit = sales.persist()
        finally:
            extensions.unregister("asked")
        assert sales["audit"] == {"revision": commit.revision}
        me = threading.current_thread()
        assert asked.seen == [(what, me, "ada") for what in ("check", "committed", "check", "committed")]


def test_who_left_is_not_asked():
    """A policy of a commit whose caller was interrupted runs all the same, in the thread that goes on."""
    begun, go, where = threading.Event(), threading.Event(), []

    def commit():
        begun.set()
        go.wait(SECONDS)
        shield.in_caller(lambda: where.append(threading.current_thread().name))
        return 1

    def press():
        begun.wait(SECONDS)
        os.kill(os.getpid(), signal.SIGINT)

    presses = threading.Thread(target=press)
    presses.start()
    with pytest.raises(KeyboardInterrupt):
        shield.run(commit, note=lambda job: "over" if job else "not over")
    presses.join()
    go.set()
    until = time.monotonic() + SECONDS
    while not where:
        assert time.monotonic() < until
    assert where == ["confo-call"]
