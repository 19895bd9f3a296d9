"""Keeps what replicas know in cache files: one thread a backend, off everybody's path, at most every second.

What changed within a second is written once, and a namespace that takes long to write is written less often. What is
there is written once more when the backend is closed. Nothing that came out of a cache file goes back into one.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from typing import NamedTuple

from confo import forks
from confo.cache import REFRESH_SECONDS, Cache
from confo.kept import Kept, pack
from confo.replica import Replica

log = logging.getLogger("confo")

PAUSE_SECONDS = 1.0
"""The least time between two rounds of writing."""
PAUSE_SHARE = 10.0
"""A round that took long is followed by a pause so many times as long: writing takes a tenth of one core at most."""

LAST_ATTEMPTS, LAST_PAUSE_SECONDS = 10, 0.05
"""How often, and how many seconds apart, a closing one tries while another process writes the same file."""
_PAUSE = threading.Event()  # never set: an interruptible wait


class _Written(NamedTuple):
    """What was written last of a namespace."""

    edition: int
    travels: int
    since: float
    """When it was last known to be true, by the monotonic clock."""


class Keeper:
    """The thread that writes the cache files of one backend's namespaces."""

    def __init__(self, cache: Cache) -> None:
        self.cache = cache
        self._replicas: dict[str, Replica] = {}
        self._written: dict[str, _Written] = {}
        self._failing: set[str] = set()
        self._stopping = False
        self._news = threading.Condition()
        self._has_news = False
        self._writing = threading.RLock()
        self._thread: threading.Thread | None = None
        forks.add(self)

    def add(self, replica: Replica) -> None:
        """Keep this one from now on."""
        with self._news:
            self._replicas[replica.namespace] = replica
            if self._thread is None:
                self._start()
        self.wake()

    def forget(self, namespace: str) -> None:
        """Keep a namespace no more that was deleted, and delete its files."""
        with self._writing:
            self._replicas.pop(namespace, None)
            self._written.pop(namespace, None)
            try:
                self.cache.file(namespace).remove()
            except OSError as error:
                self._failed(namespace, error)

    def wake(self) -> None:
        """Say that there is something new; never waits for the disk."""
        with self._news:
            self._has_news = True
            self._news.notify_all()

    def stop(self) -> None:
        """Begin to end: what is new is written once more."""
        with self._news:
            self._stopping = True
            self._news.notify_all()

    def join(self, until: float) -> None:
        """Wait for that, to this time of the monotonic clock at most."""
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(max(0.0, until - time.monotonic()))

    # --- forking ---------------------------------------------------------------------------------

    def before_fork(self) -> None:
        """Have no file open: the child would hold its lock."""
        self._writing.acquire()

    def after_fork_in_parent(self) -> None:
        """Go on."""
        self._writing.release()

    def after_fork_in_child(self) -> None:
        """Keep in the child too: files are replaced as a whole, and only by what is newer."""
        self._writing.release()
        self._news = threading.Condition()
        if self._thread is not None and not self._stopping:
            self._start()

    # --- in its own thread -----------------------------------------------------------------------

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="confo-cache", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stopping:
            with self._news:
                self._news.wait_for(lambda: self._has_news or self._stopping, REFRESH_SECONDS)
                self._has_news = False
            began = time.monotonic()
            self._write_all(REFRESH_SECONDS)
            pause = max(PAUSE_SECONDS, PAUSE_SHARE * (time.monotonic() - began))
            with self._news:
                self._news.wait_for(lambda: self._stopping, pause)
        for _ in range(LAST_ATTEMPTS):
            self._has_news = False
            self._write_all(PAUSE_SECONDS)
            if not self._has_news:
                return
            _PAUSE.wait(LAST_PAUSE_SECONDS)

    def _write_all(self, slack: float) -> None:
        for replica in list(self._replicas.values()):
            try:
                with self._writing:
                    self._write(replica, slack)
            except BlockingIOError:  # another process writes the same: whatever is missing then comes next time
                self._has_news = True
            except OSError as error:
                self._failed(replica.namespace, error)
            else:
                self._failing.discard(replica.namespace)

    def _write(self, replica: Replica, slack: float) -> None:
        """Write what is new; the time alone is when it lies so many seconds behind."""
        with replica.view.lock:
            now = _Written(replica.edition, replica.travels, replica.view.since)
            snapshot, identity = replica.view.snapshot(), replica.identity
            entries = replica.view.readable.to_keep(snapshot.entries)
        last = self._written.get(replica.namespace, _Written(-1, 0, 0.0))
        if self._replicas.get(replica.namespace) is not replica:
            return  # it was forgotten meanwhile
        if snapshot.source != "server" or (now[:2] == last[:2] and now.since < last.since + slack):
            return
        kept = Kept(replica.namespace, identity, snapshot.revision, time.time() - snapshot.age, pack(entries))
        self.cache.file(replica.namespace).write(kept, replaces=now.travels > last.travels)
        self._written[replica.namespace] = now

    def _failed(self, namespace: str, error: OSError) -> None:
        if namespace not in self._failing:
            self._failing.add(namespace)
            why = os.strerror(error.errno) if error.errno else type(error).__name__
            log.warning("%s cannot be kept in %s: %s", namespace, self.cache.folder, why)
