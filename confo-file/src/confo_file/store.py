"""A root of namespaces, and the lock under which everything happens there.

``holding`` opens the root for one call: nothing stays open between calls, so that a fork carries nothing over, and a
root that was moved or made anew is found by its path. Who finds a commit that was decided and not finished finishes
it, before anything else. This process's threads take turns: a fork waits for the one whose turn it is.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
import weakref
from collections.abc import Iterator

from confo import Closed
from confo_file import journal, layout
from confo_file.errors import translated
from confo_file.folder import Folder
from confo_file.held import Held
from confo_file.index import Index
from confo_file.lock import locked

FORK_SECONDS = 5.0
"""How long a fork waits for calls that are under way."""
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


class Store:
    """One root, as one backend has it open."""

    commits = 0
    """How many this process made, to whichever root: what a watch waits for."""

    def __init__(self, path: str, *, durable: bool, follow_links: bool = False) -> None:
        self.path, self.durable, self.follow_links = path, durable, follow_links
        self.closed = False
        self.identity = ""
        """Which store this is; another one once somebody deleted its ``.confo``."""
        self.ahead = 0
        """Foreign edits that this process counted for itself, as it may not write: it adds them to each revision."""
        self.indexes: dict[str, Index] = {}
        self.is_clean = False
        """What commits left behind that never came to be was deleted, but for those of processes that ended since."""
        self._turn = threading.RLock()
        _stores.add(self)

    @contextlib.contextmanager
    def holding(self, asked: str, *, exclusive: bool = False) -> Iterator[Held]:
        """Hold the root still: nobody commits meanwhile, and with ``exclusive`` nobody else looks at it either."""
        with translated(f"{asked} in {self.path}"), self._turn, contextlib.ExitStack() as stack:
            if self.closed:
                raise Closed(f"the file backend of {self.path} was closed; load it again")
            root = stack.enter_context(Folder.open(self.path, follow_links=self.follow_links))
            state = self._lock(root, stack, exclusive=exclusive)
            if state is not None and state.status(journal.JOURNAL) is not None:
                if not exclusive:
                    stack.close()
                    with self.holding(asked, exclusive=True):
                        pass  # which finishes it
                    with self.holding(asked) as held:
                        yield held
                    return
                self._finish(root, state)
            yield stack.enter_context(Held(self, root, state))

    def is_writable(self) -> bool:
        """Tell whether this user may commit here: every commit needs the root's own folder, there or to be made."""
        state = os.path.join(self.path, layout.STATE)  # noqa: PTH118 - a text, as the root's path is
        place = state if os.path.isdir(state) else self.path  # noqa: PTH112 - the same
        return os.access(place, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids)

    def come_to(self, identity: str) -> None:
        """Know which store this is; what was known of another one is forgotten."""
        if self.identity not in ("", identity):
            self.indexes.clear()
        self.identity = identity

    def renew_turns(self) -> None:
        """Let a forked child take its turns: the thread whose turn it was is not there."""
        self._turn = threading.RLock()

    def take_turn(self) -> bool:
        """Wait, for a fork, until no call is under way."""
        return self._turn.acquire(timeout=FORK_SECONDS)

    def end_turn(self) -> None:
        """Let the next one go on."""
        self._turn.release()

    def _lock(self, root: Folder, stack: contextlib.ExitStack, *, exclusive: bool) -> Folder | None:
        """Open the backend's own folder and lock it; None where it is not there and must not be made."""
        try:
            state = stack.enter_context(_open_or_make(root))
            stack.enter_context(locked(state, exclusive=exclusive))
        except OSError as error:
            if exclusive or error.errno not in _FORBIDDEN or _has_lock(root):
                raise
            return None  # nobody who could write has ever been here: there is nothing to wait for
        return state

    def _finish(self, root: Folder, state: Folder) -> None:
        pending = journal.read(state)
        namespaces = dict.fromkeys(change.namespace for change in pending.changes)
        with journal.Places(root, state, namespaces) as places:
            journal.finish(pending, places, sync=self.durable, again=True)


def _open_or_make(root: Folder) -> Folder:
    mode = os.fstat(root.fd).st_mode & 0o7777
    try:
        state = root.folder(layout.STATE)
    except FileNotFoundError:
        with contextlib.suppress(FileExistsError):
            root.make_folder(layout.STATE)
        state = root.folder(layout.STATE)
        os.fchmod(state.fd, mode)  # who may look into the root may look into this, which has names and no values
    state.file_mode = mode & 0o666
    return state


def _has_lock(root: Folder) -> bool:
    try:
        with root.folder(layout.STATE) as state:
            return bool(state.names())
    except FileNotFoundError:
        return False


_stores: weakref.WeakSet[Store] = weakref.WeakSet()
_forking: list[Store] = []


def _before_fork() -> None:
    _forking.extend(store for store in list(_stores) if store.take_turn())


def _after_fork_in_parent() -> None:
    while _forking:
        _forking.pop().end_turn()


def _after_fork_in_child() -> None:
    """Let go of the turns that the forking thread took: it is the child's one thread.

    They are not replaced: threads that follow may have been started in the child before this, and wait for them.
    """
    taken = set(_forking)
    _after_fork_in_parent()
    for store in list(_stores):
        if store not in taken:  # somebody's call took longer than a fork waits for
            store.renew_turns()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
