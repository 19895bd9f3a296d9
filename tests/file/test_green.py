"""Processes whose threads are greenlets: gevent and eventlet, patched by the program or by gunicorn's workers."""

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
from importlib.util import find_spec
from pathlib import Path

import pytest

HERE = Path(__file__).parent
_never = threading.Event()  # never set: a wait between two looks
PATCHED = {
    "gevent": "import gevent.monkey; gevent.monkey.patch_all(); from gevent import spawn",
    "eventlet": "import eventlet; eventlet.monkey_patch(); from eventlet import spawn",
}
PROGRAM = """
import pathlib, sys, time
from confo import Confo
longest, last = 0.0, time.monotonic()
def tick():
    global longest, last
    while True:
        time.sleep(0.005)
        now = time.monotonic()
        longest, last = max(longest, now - last), now
spawn(tick)
root = pathlib.Path(sys.argv[1])
config = Confo()
config.load_backend({"config_path": root}, "files", "file")
sales = config.namespace("sales", backend="files")
assert sales.get("database", "host") == "before"
for host in "abc":
    (root / "sales/database.json").write_text('{"host": "%s"}' % host)
    end = time.monotonic() + 5
    while sales.get("database", "host") != host:
        assert time.monotonic() < end, "an edit was not seen"
        time.sleep(0.005)
with sales.edit() as draft:
    draft["database"]["host"] = "after"
assert sales.get("database", "host") == "after"
config.close()
print(longest)
"""


@pytest.fixture
def filled(root):
    """Return a root whose namespace "sales" has two configurations."""
    (root / "sales").mkdir()
    (root / "sales/database.json").write_text('{"host": "before"}')
    (root / "sales/count.json").write_text('{"n": 0}')
    return root


@pytest.mark.parametrize("library", PATCHED)
def test_a_patched_program(filled, library):
    """A patched program reads, follows and commits, and its other greenlets go on meanwhile."""
    needs(library)
    program = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PATCHED[library] + PROGRAM, str(filled)],
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )
    assert program.returncode == 0, program.stderr
    assert float(program.stdout) < 2.0


@pytest.mark.parametrize("options", [[], ["--preload"]], ids=["loaded by each", "preloaded"])
@pytest.mark.parametrize("worker", ["gevent", "gthread"])
def test_gunicorn_workers(filled, worker, options):
    """Gunicorn's workers see an edit, and what their siblings commit; no increment is lost."""
    if worker == "gevent":
        needs("gevent")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with gunicorn(worker, port, filled, options):
        until(lambda: ask(port), lambda answer: answer is not None and answer["host"] == "before")
        (filled / "sales/database.json").write_text('{"host": "after"}')
        for _ in range(6):
            until(lambda: ask(port), lambda answer: answer is not None and answer["host"] == "after")
        added = [ask(port, "/add") for _ in range(8)]
        assert None not in added
        until(lambda: ask(port), lambda answer: answer is not None and answer["n"] == 8)
        assert ask(port)["state"] == "READY"
    assert json.loads((filled / "sales/count.json").read_text()) == {"n": 8}


def needs(library):
    """Skip if it is not installed; it is not imported here, as it would change how this process forks."""
    if find_spec(library) is None:
        pytest.skip(f"{library} is not installed")


@contextlib.contextmanager
def gunicorn(worker, port, folder, options):
    """Run gunicorn with two workers of a kind."""
    command = [sys.executable, "-W", "ignore", "-m", "gunicorn", f"--worker-class={worker}", "--workers=2"]
    command += [f"--bind=127.0.0.1:{port}", "--chdir", str(HERE), "--log-level=error", "--graceful-timeout=5"]
    environment = {**os.environ, "CONFO_FOLDER": str(folder)}
    process = subprocess.Popen(
        [*command, *options, "wsgi:application"], env=environment, stderr=subprocess.PIPE, text=True
    )
    try:
        yield
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
    except (OSError, urllib.error.URLError):
        return None


def until(look, is_right, seconds=20.0):
    """Look until it is right."""
    end = time.monotonic() + seconds
    while not is_right(found := look()):
        assert time.monotonic() < end, found
        _never.wait(0.02)
