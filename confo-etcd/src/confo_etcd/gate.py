"""Has gRPC at rest while the process forks.

gRPC survives a fork only while no thread is inside it; an open stream is one. Otherwise it skips its preparations, and
now and then a child crashes or hangs. So every call goes through one gate: a fork waits until those under way have come
back, and closes the channels. They open again at their next use, and a watch goes on from where it was.
"""

from __future__ import annotations

import os
import threading
import weakref
from types import TracebackType
from typing import Protocol

PATIENCE = 5.0
"""Seconds that a fork waits for calls under way: the default of their own timeout."""
SETTLE = 0.05
"""Seconds that gRPC's own threads need to end after their channels were closed; a few milliseconds were seen."""


class Suspendable(Protocol):
    """What has a channel that a fork closes."""

    def suspend(self) -> bool:
        """Close the channel, if there is one, until the next use; tell whether there was."""


class Gate:
    """Open but for a fork; enter it around every call into gRPC that does not wait for ever."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self._forking = False
        self._channels: weakref.WeakSet[Suspendable] = weakref.WeakSet()

    def guard(self, owner: Suspendable) -> None:
        """Suspend this one too when the process forks."""
        with self._changed:
            self._channels.add(owner)

    def __enter__(self) -> None:
        """Go in; waits while the process forks."""
        with self._changed:
            while self._forking:
                self._changed.wait()
            self._inside += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Come out."""
        with self._changed:
            self._inside -= 1
            if self._forking:
                self._changed.notify_all()

    def before_fork(self) -> None:
        """Let nobody in, wait until all are out, close the channels.

        The lock is held over the fork, so that the child's copy of it is free.
        """
        self._changed.acquire()
        self._forking = True
        self._changed.wait_for(lambda: self._inside == 0, PATIENCE)
        if sum(channel.suspend() for channel in list(self._channels)):
            threading.Event().wait(SETTLE)

    def after_fork_in_parent(self) -> None:
        """Let everybody in."""
        self._forking = False
        self._changed.notify_all()
        self._changed.release()

    def after_fork_in_child(self) -> None:
        """Let everybody in; whoever was inside is not here."""
        self._inside = 0
        self.after_fork_in_parent()


gate = Gate()

if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(
        before=gate.before_fork,
        after_in_parent=gate.after_fork_in_parent,
        after_in_child=gate.after_fork_in_child,
    )
