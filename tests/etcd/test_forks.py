"""A forked child of a followed parent reads at once, follows on its own connection, and harms nobody."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from confo import ANY, Write

HERE = Path(__file__).parent
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


@pytest.fixture
def filled(backend):
    """Return the test's backend with one configuration in it."""
    backend.commit([Write("sales", "database", b'{"host": "before"}', ANY)])
    return backend


@pytest.mark.parametrize("writers", [0, 2], ids=["quiet", "busy"])
@pytest.mark.parametrize("way", ["os.fork", "multiprocessing"])
def test_children_of_a_followed_parent(server, prefix, filled, way, writers):
    """Children read the inherited copy at once, follow anew, commit, and leave the parent's following unharmed."""
    command = [sys.executable, "-W", "ignore::DeprecationWarning", str(HERE / "forked.py")]
    program = subprocess.run(
        [*command, way, str(server.port), prefix, str(writers)], capture_output=True, text=True, timeout=50, check=False
    )
    assert program.returncode == 0, program.stderr
    result = json.loads(program.stdout)
    assert len({child["pid"] for child in result["children"]}) == 2
    for child in result["children"]:
        assert child["inherited"] == "before"
        assert child["followed"] is True
        assert child["pushed"] == "after"
        assert child["state"] == "READY"
        # "confo-call" is the worker that ran the child's own commit and idles.
        assert set(child["threads"]) - {"confo-call"} == {"confo-callback-sales", "confo-follow-sales"}
    assert result["parent"] == {
        "followed": True,
        "children": ["child0", "child1"],
        "state": "READY",
        "heard": ["child0", "child1"],
        "statuses": [0, 0],
        "threads": [],
    }


@contextlib.contextmanager
def gunicorn(port, environment, *options):
    """Run gunicorn with four workers."""
    command = [sys.executable, "-W", "ignore", "-m", "gunicorn", *options, "--workers=4", f"--bind=127.0.0.1:{port}"]
    command += ["--chdir", str(HERE), "--log-level=warning", "--graceful-timeout=5", "wsgi:application"]
    process = subprocess.Popen(command, env={**os.environ, **environment}, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.communicate(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def ask(port, path="/"):
    """Return what a worker answers, None while there is none."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return json.load(answer)
    except (urllib.error.URLError, ConnectionError):
        return None


def until(port, wanted, path="/"):
    """Ask until four workers have given an answer that is wanted; return their ids."""
    pids, deadline, pause = set(), time.monotonic() + 30, threading.Event()
    while len(pids) < 4:
        assert time.monotonic() < deadline, pids
        answer = ask(port, path)
        if answer and wanted(answer):
            pids.add(answer["pid"])
        pause.wait(0.01)
    return pids


@pytest.mark.parametrize(
    "options",
    [["--preload"], ["--worker-class=gevent"], ["--worker-class=gevent", "--preload"]],
    ids=["preloaded", "gevent", "gevent-preloaded"],
)
def test_gunicorn(server, prefix, filled, options):
    """Four workers, forked from a loaded application or of greenlets, each read, follow a change, and commit."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with gunicorn(port, {"ETCD_PORT": str(server.port), "ETCD_PREFIX": prefix}, *options):
        pids = until(port, lambda answer: answer["host"] == "before" and answer["ready"])
        filled.commit([Write("sales", "database", b'{"host": "after"}', ANY)])
        assert until(port, lambda answer: answer["host"] == "after" and answer["ready"]) == pids
        until(port, lambda answer: True, "/set")
        assert set(filled.load("sales")["workers"]) == {str(pid) for pid in pids}
