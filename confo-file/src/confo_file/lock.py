"""One lock for a whole root: ``flock`` on ``.confo/lock``, shared by who reads, exclusive for who writes.

The kernel lets go of it when its process ends, however it ends: the file may lie about for ever, and never means
anything by itself. The descriptor lives for one call, so that no fork and no other thread holds it on.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import threading
import time
from collections.abc import Iterator

from filelock import lock_descriptor

from confo import BackendUnavailable
from confo_file.folder import Folder, let_go

FILE = "lock"
LOCK_SECONDS = 5.0
"""How long a call waits for others; a commit takes milliseconds, a load of 10,000 files a tenth of a second."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.0005, 0.01
_never = threading.Event()  # never set: an interruptible wait


@contextlib.contextmanager
def locked(state: Folder, *, exclusive: bool) -> Iterator[None]:
    """Hold the lock; BackendUnavailable if others hold it for too long."""
    fd = _open(state, exclusive=exclusive)
    try:
        _wait(fd, exclusive=exclusive, path=state.path)
        yield
    finally:
        let_go(fd)


def _open(state: Folder, *, exclusive: bool) -> int:
    try:
        return state.open_file(FILE, os.O_RDWR if exclusive else os.O_RDONLY)
    except FileNotFoundError:
        return state.open_or_make_file(FILE)


def _wait(fd: int, *, exclusive: bool, path: str) -> None:
    until, pause = time.monotonic() + LOCK_SECONDS, _FIRST_PAUSE
    while not (lock_descriptor(fd, blocking=False) if exclusive else _share(fd)):
        if time.monotonic() > until:
            raise BackendUnavailable(f"another process holds {path}/{FILE} for more than {LOCK_SECONDS:g} seconds")
        _never.wait(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)


def _share(fd: int) -> bool:
    """Take the lock together with others who read: the same ``flock`` as filelock's, which is always exclusive."""
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return False
        raise
    return True
