"""Processes whose threads are greenlets, as gevent and eventlet patch them: gRPC waits in native code."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import sys, time
from confo import Confo
longest, last = 0.0, time.monotonic()
def tick():
    global longest, last
    while True:
        time.sleep(0.005)
        now = time.monotonic()
        longest, last = max(longest, now - last), now
spawn(tick)
def connect(name):
    config = Confo(name)
    config.load_backend({"endpoints": [sys.argv[1]], "prefix": sys.argv[2]}, "e", "etcd")
    return config
with connect("one") as one, connect("two") as two:
    sales, other = one.namespace("sales", backend="e"), two.namespace("sales", backend="e")
    for host in "abc":
        with sales.edit() as draft:
            draft["database"] = {"host": host}
        end = time.monotonic() + 10
        while not ("database" in other and other.get("database", "host") == host):
            assert time.monotonic() < end, "a change was not seen"
            time.sleep(0.005)
    began = time.monotonic()
    sales.reload()
assert time.monotonic() - began < 5
print(longest)
"""
GEVENT = "import gevent.monkey; gevent.monkey.patch_all(); from gevent import spawn\n"
TOLD = "import grpc.experimental.gevent; grpc.experimental.gevent.init_gevent()\n"
EVENTLET = "import eventlet; eventlet.monkey_patch(); from eventlet import spawn\n"


def run(code, server, prefix):
    """Run a program on the test's namespace "sales"; it is never frozen."""
    command = [sys.executable, "-W", "ignore", "-c", code, server.endpoint, prefix]
    return subprocess.run(command, capture_output=True, text=True, timeout=40, check=False)


@pytest.mark.parametrize("told", ["", TOLD], ids=["untold", "told"])
def test_gevent(server, prefix, backend, told):
    """A program patched by gevent reads, commits and follows, whether it told gRPC or not; its greenlets go on."""
    done = run(GEVENT + told + PROGRAM, server, prefix)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 2.0


def test_eventlet(server, prefix, backend):
    """A program patched by eventlet, which gRPC does not know, is told at once what to use in its place."""
    done = run(EVENTLET + PROGRAM, server, prefix)
    assert "confo.errors.NotSupported" in done.stderr
    assert "use gevent" in done.stderr
