"""A forked child works: locks that another thread held are free, and what ran in threads runs again.

``os.fork`` copies memory and the one thread that called it. Whoever owns locks or threads registers here; a view's
lock is taken before the fork, so that the child's copy of its documents is whole.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from typing import Protocol


class ForkAware(Protocol):
    """What the owner of locks or threads does around a fork; the calls are short and raise nothing."""

    def before_fork(self) -> None:
        """Come to a state that may be copied."""

    def after_fork_in_parent(self) -> None:
        """Go on."""

    def after_fork_in_child(self) -> None:
        """Start anew what the child does not have."""


class InChild:
    """Hooks of an owner who has something to start anew in the child, and nothing to do before; he must keep it."""

    def __init__(self, renew: Callable[[], None]) -> None:
        self._renew = renew

    def before_fork(self) -> None:
        """Nothing."""

    def after_fork_in_parent(self) -> None:
        """Nothing."""

    def after_fork_in_child(self) -> None:
        """Start anew."""
        self._renew()


class _Owners:
    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._owners: list[weakref.ref[ForkAware]] = []
        self._forking: list[ForkAware] = []

    def add(self, owner: ForkAware) -> None:
        with self._lock:
            self._owners = [ref for ref in self._owners if ref() is not None]
            self._owners.append(weakref.ref(owner))

    def before(self) -> None:
        self._lock.acquire()
        self._forking = [owner for ref in self._owners if (owner := ref()) is not None]
        for owner in self._forking:
            owner.before_fork()

    def after_in_parent(self) -> None:
        for owner in reversed(self._forking):
            owner.after_fork_in_parent()
        self._forking = []
        self._lock.release()

    def after_in_child(self) -> None:
        owners, self._forking = self._forking, []
        self._lock = threading.RLock()
        for owner in owners:
            owner.after_fork_in_child()


_owners = _Owners()
add = _owners.add

if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(
        before=_owners.before, after_in_parent=_owners.after_in_parent, after_in_child=_owners.after_in_child
    )
