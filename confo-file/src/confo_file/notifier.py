"""What the system tells of a root: which files changed, for the watches of one backend. One thread, by watchfiles.

Being told is only a hint to look sooner: a watch compares what it looks at with what is known, and looks at everything
now and then, as no system tells of all (network file systems, queues that are full).
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import weakref
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

from watchfiles._rust_notify import RustNotify

from confo_file import layout
from confo_file.green import are_greenlets
from confo_file.journal import HEAD

log = logging.getLogger(__name__)

CHANGED = threading.Condition()
"""A commit of this process, a hint of the system and a close wake who waits for it. Held for moments only."""
STEP_MS = 10
"""Between two looks of watchfiles at what it was told: half of what a foreign commit takes to be noticed."""
DEBOUNCE_MS = 100
MOST_FAILURES = 100
"""In a row, until what tells of changes is taken for broken: many names that are not UTF-8 are no reason."""
GREEN_SECONDS = 0.05
"""Between two looks where threads are greenlets, each of which holds all of them up for a millisecond."""
CLOSE_SECONDS = 1.0


class Hinted(Protocol):
    """What wants to be told: a watch."""

    namespace: str
    follows_links: bool
    """What it reads may lie anywhere below the root."""

    def hint(self, name: str | None) -> None:
        """Look at this configuration; None: at all of them."""


class Notifier:
    """Hears of changes below a root, from ``start`` to ``close``."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.watches: weakref.WeakSet[Hinted] = weakref.WeakSet()
        self.hints = 0
        """How often the system told of something."""
        self._hearing: Hearing | None = None
        self._root: tuple[int, int] | None = None
        self._closed = False

    @property
    def is_told(self) -> bool:
        """Tell whether the system tells; if not, who waits has to look by himself."""
        hearing = self._hearing
        return hearing is not None and not hearing.has_failed

    def start(self) -> None:
        """Begin to hear, if the system can tell; anew if the root is another folder than before."""
        with CHANGED:  # never by who holds a root: a fork waits for him, and holds this
            root = _identity(self.path)
            if self._closed or root in (None, self._root):
                return
            self._root, old, self._hearing = root, self._hearing, None
            try:
                self._hearing = Hearing(self.path, self._tell)
            except Exception as error:  # noqa: BLE001 - too many watches, or no inotify: errors of no one class
                log.warning("changes in %s are looked for, as the system does not tell of them: %s", self.path, error)
            for watch in self.watches:
                watch.hint(None)
        if old is not None:
            old.close()

    def close(self) -> None:
        """Stop hearing."""
        with CHANGED:
            self._closed = True
            hearing, self._hearing = self._hearing, None
        if hearing is not None:
            hearing.close()

    def renew(self) -> None:
        """Begin anew in a forked child: the parent's thread is not there."""
        if self._hearing is not None:
            _inherited.append(self._hearing)
        self._hearing = self._root = None

    def _tell(self, paths: Iterable[str] | None) -> None:
        """Hand on which files changed; None: any of them may have."""
        if paths is None:
            with CHANGED:
                for watch in self.watches:
                    watch.hint(None)
                self.hints += 1
                CHANGED.notify_all()
            return
        told = [(folder, file) for folder, _, file in (path.partition("/") for path in paths)]
        with CHANGED:
            for folder, file in told:
                for watch in self.watches:
                    if watch.namespace == folder:
                        _hint(watch, file)
                    elif watch.follows_links and folder != layout.STATE:
                        watch.hint(None)
            if any(folder != layout.STATE or file == HEAD for folder, file in told):
                self.hints += 1
                CHANGED.notify_all()


class Hearing:
    """A thread that waits for what the system tells, and hands it on as paths below the root."""

    def __init__(self, path: str, tell: Callable[[Iterable[str] | None], None]) -> None:
        self._path, self._tell = path, tell
        self.has_failed = False
        """The system has ended telling: nothing is heard any more."""
        self._stop = threading.Event()
        self._rust = RustNotify([path], False, False, 0, True, True)
        self._thread = threading.Thread(target=self._hear, name="confo-file-notifier", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End it."""
        self._stop.set()
        self._thread.join(CLOSE_SECONDS)

    def _hear(self) -> None:
        """Hand on what the system tells, until it is closed or nothing can be heard any more, which is said."""
        failures = 0
        with contextlib.closing(self._rust):
            while not self._stop.is_set():
                try:
                    told = self._wait()
                except Exception as error:  # noqa: BLE001 - such as a name that is not UTF-8: what it told is lost
                    failures += 1
                    self.has_failed = failures >= MOST_FAILURES
                    self._tell(None)
                    if self.has_failed:
                        log.warning(
                            "changes in %s are looked for from now on, as the system tells of them no more: %s",
                            self._path,
                            type(error).__name__,
                        )
                        return
                    self._stop.wait(STEP_MS / 1000)
                    continue
                failures = 0
                if isinstance(told, set):  # else it was stopped, or there is a signal, which is the main thread's
                    self._tell([os.path.relpath(path, self._path) for _, path in told])

    def _wait(self) -> object:
        """Wait until the system tells of something.

        Where threads are greenlets, all of them would wait in watchfiles' native code: there it is only asked what
        came meanwhile, a millisecond each time, and the waiting is the patched ``Event``'s.
        """
        if not are_greenlets():
            return self._rust.watch(DEBOUNCE_MS, STEP_MS, 0, self._stop)
        self._stop.wait(GREEN_SECONDS)
        return self._rust.watch(1, 1, 1, None)


_inherited: list[Hearing] = []
"""The parent's, in a forked child: to end one would wait for a thread that is not there."""


def _identity(path: str) -> tuple[int, int] | None:
    with contextlib.suppress(OSError):
        status = Path(path).stat()
        return status.st_dev, status.st_ino
    return None


def _hint(watch: Hinted, file: str) -> None:
    parts = layout.split(file) if file else None
    if parts is not None:
        watch.hint(parts[0])
    elif not file or file.startswith(".."):  # the folder itself, or what the links of a mounted ConfigMap lead to
        watch.hint(None)
