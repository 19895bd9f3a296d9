"""What is confo-sqlite's own: several processes, a log that forgets, files that are not its, URLs."""

from __future__ import annotations

import contextlib
import itertools
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from confo_sqlite import SqliteBackend
from confo_sqlite.database import FORK_SECONDS

import confo
from confo import ANY, BackendFailure, BackendUnavailable, CredentialsError, ResyncNeeded, UnsupportedServer, Write

COUNT = """
import sys
import confo
from confo_sqlite import SqliteBackend
backend = SqliteBackend.open({"path": sys.argv[1]})
try:
    backend.create_namespace("sales")
except confo.NamespaceExists:
    pass
done = 0
while done < 25:
    entry = backend.read("sales", ["n"]).get("n")
    number, seen = (int(entry.data), entry.revision) if entry else (0, 0)
    try:
        backend.commit([confo.Write("sales", "n", str(number + 1).encode(), seen)])
        done += 1
    except confo.Conflict:
        pass
backend.close()
"""


def test_processes_share_a_file(tmp_path: Path) -> None:
    """Processes that open, and create, one file at once lose no increment; a watch hears of each, in order."""
    path = tmp_path / "confo.db"
    workers = [subprocess.Popen([sys.executable, "-c", COUNT, str(path)]) for _ in range(3)]
    try:
        assert [worker.wait(30) for worker in workers] == [0, 0, 0]
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    backend = SqliteBackend.open({"path": path})
    watch = backend.watch("sales", 1)
    told: list[bytes] = []
    while len(told) < 75:
        told += [entry.data for entry in next(watch).entries.values() if entry]
    backend.close()
    assert told == [str(number + 1).encode() for number in range(75)]


def test_a_watch_hears_of_another_process(tmp_path: Path) -> None:
    """A commit of another process reaches a watch that was open before."""
    path = tmp_path / "confo.db"
    backend = SqliteBackend.open({"path": path})
    backend.create_namespace("sales")
    watch = backend.watch("sales", backend.load("sales").revision)
    assert next(watch).entries == {}
    subprocess.run([sys.executable, "-c", COUNT, str(path)], check=True, timeout=30)
    assert [entry and entry.data for entry in next(watch).entries.values()] == [b"1"]
    backend.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # forking with threads at work is what is tried
def test_a_fork_among_writers(tmp_path: Path) -> None:
    """A process whose threads are in the middle of commits forks soon; the child and the threads all go on."""
    backend = SqliteBackend.open({"path": tmp_path / "confo.db", "timeout": 20})
    backend.create_namespace("sales")
    stop = threading.Event()

    def write(thread: int) -> int:
        for number in itertools.count():
            if stop.wait(0.002):  # SQLite's lock is not fair: leave the child a gap
                return number
            backend.commit([Write("sales", f"{thread}-{number}", b"", 0)])
        raise AssertionError

    with ThreadPoolExecutor(2) as pool:
        written = [pool.submit(write, thread) for thread in range(2)]
        try:
            for number in range(3):
                began = time.monotonic()
                child = os.fork()
                if child == 0:
                    with contextlib.suppress(BaseException):
                        backend.commit([Write("sales", f"child-{number}", b"", 0)])
                        os._exit(0)
                    os._exit(1)
                assert time.monotonic() - began < FORK_SECONDS, "the fork gave up waiting"
                assert os.waitpid(child, 0)[1] == 0
        finally:
            stop.set()
    assert len(backend.load("sales").entries) == 3 + sum(future.result() for future in written)
    backend.close()


def test_the_log_forgets(tmp_path: Path) -> None:
    """A watch from before the commits that are kept is told to load anew; one from within them goes on."""
    backend = SqliteBackend.open({"path": tmp_path / "confo.db", "history": 5})
    backend.create_namespace("sales")
    revisions = [backend.commit([Write("sales", "n", b"", ANY)]) for _ in range(10)]
    with pytest.raises(ResyncNeeded, match="load 'sales' anew"):
        next(backend.watch("sales", revisions[3]))
    assert next(backend.watch("sales", revisions[4])).revision == revisions[5]
    backend.close()


def test_a_long_absence(tmp_path: Path) -> None:
    """A watch that was away for more commits than it reads at once misses none."""
    backend = SqliteBackend.open({"path": tmp_path / "confo.db"})
    backend.create_namespace("sales")
    start = backend.load("sales").revision
    revisions = [backend.commit([Write("sales", "n", b"", ANY)]) for _ in range(1005)]
    watch = backend.watch("sales", start)
    assert [next(watch).revision for _ in revisions] == revisions
    backend.close()


def _text(path: Path) -> None:
    path.write_text("this is no database, and longer than its header of a hundred bytes is: " + "x" * 100)


def _newer(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 7")
    connection.close()


@pytest.mark.parametrize(
    ("make", "error"),
    [(_text, BackendFailure), (_newer, UnsupportedServer), (Path.mkdir, BackendUnavailable)],
    ids=["text", "newer", "folder"],
)
def test_another_file(tmp_path: Path, make: Callable[[Path], None], error: type[Exception]) -> None:
    """What is no database of this backend is refused by name."""
    path = tmp_path / "other.db"
    make(path)
    with pytest.raises(error, match=r"other\.db"):
        SqliteBackend.open({"path": path})


@pytest.mark.parametrize(
    "credentials",
    [{}, {"path": ""}, {"path": ":memory:"}, {"path": "a", "timeout": 0}, {"path": "a", "history": True}],
    ids=str,
)
def test_wrong_credentials(credentials: dict[str, object]) -> None:
    """A credential that cannot be right is refused before a file is made."""
    with pytest.raises(CredentialsError):
        SqliteBackend.open(credentials)


def test_a_busy_file_is_unavailable(tmp_path: Path) -> None:
    """Who waits for another writer longer than ``timeout`` is told that nothing happened, and can go on after it."""
    path = tmp_path / "confo.db"
    backend = SqliteBackend.open({"path": path, "timeout": 0.05})
    backend.create_namespace("sales")
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    with pytest.raises(BackendUnavailable, match="SQLITE_BUSY"):
        backend.commit([Write("sales", "a", b"1", 0)])
    assert backend.read("sales", ["a"]) == {}
    writer.close()
    backend.commit([Write("sales", "a", b"1", 0)])
    backend.close()


def test_urls(tmp_path: Path) -> None:
    """``sqlite://`` and an absolute path name a file, the last part the namespace; a host has no meaning."""
    backend = SqliteBackend.open({"path": tmp_path / "confo.db"})
    backend.create_namespace("sales")
    backend.close()
    with confo.open(f"sqlite://{tmp_path}/confo.db/sales?timeout=1") as config:
        config.set("database", "host", "::1")
        config.persist()
        assert config.get("database", "host") == "::1"
    with pytest.raises(CredentialsError, match="sqlite:///"):
        confo.open("sqlite://host/confo.db/sales")
