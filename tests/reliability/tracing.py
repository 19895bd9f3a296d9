"""A process whose system calls are counted, failed or made its last ones, by strace.

The process is forked, prepares itself and waits; strace attaches; then it does its work. So counting begins with the
work, and nothing but the work is hit: it speaks with its parent by calls that no file needs.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from confo import shield
from tests.servers import required_servers

SECONDS = 30.0
PR_SET_PTRACER, PR_SET_PTRACER_ANY = 0x59616D61, -1  # Yama lets only a parent trace, unless it is allowed to others


class Outcome(NamedTuple):
    """How a traced process ended, what it said, and its system calls by name."""

    killed: bool
    said: str
    calls: Counter[str]


def strace() -> str:
    """Return strace's path; without it the test is skipped, or fails if it is required."""
    path = shutil.which("strace")
    if path is not None:
        return path
    reason = "strace is not here: apt-get install strace"
    if "strace" in required_servers():
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def traced(prepare: Callable[[], Callable[[], object]], inject: Sequence[str] = ()) -> Outcome:
    """Fork, prepare, attach, work; ``inject`` are strace's expressions. What the work raises is said by its name."""
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        _be_traced(prepare, theirs)
    theirs.close()
    with tempfile.NamedTemporaryFile("r", prefix="confo-strace-") as log, contextlib.ExitStack() as stack:
        stack.enter_context(ours)
        try:
            assert ours.recv(1) == b"r", "the process did not get ready"
            arguments = [part for expression in inject for part in ("-e", f"inject={expression}")]
            command = [strace(), "-p", str(pid), "-o", log.name, *arguments]
            tracer = stack.enter_context(subprocess.Popen(command, stderr=subprocess.PIPE))
            assert tracer.stderr is not None
            assert b"attached" in tracer.stderr.readline(), "strace did not attach"
            ours.send(b"g")
            said = _hear(ours)
            tracer.wait(SECONDS)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            status = os.waitpid(pid, 0)[1]
        calls = Counter(re.findall(r"^(\w+)\(", Path(log.name).read_text(), re.MULTILINE))
    return Outcome(os.WIFSIGNALED(status) and not said, said, calls)


def _hear(child: socket.socket) -> str:
    try:
        return b"".join(iter(lambda: child.recv(4096), b"")).decode()
    except ConnectionResetError:  # it was killed before it began
        return ""


def _be_traced(prepare: Callable[[], Callable[[], object]], parent: socket.socket) -> None:
    try:
        ctypes.CDLL(None).prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0)
        work = prepare()
        parent.send(b"r")
        parent.recv(1)
        shield.here()  # one thread is traced: the work is done in it, and not in one that no interrupt reaches
        try:
            work()
            said = "done"
        except BaseException as error:
            said = type(error).__name__
        parent.send(said.encode())
    finally:
        os._exit(0)
