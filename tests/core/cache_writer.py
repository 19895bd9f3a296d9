"""A program that writes a cache file: once, killed at one step, or for ever; run by test_cache.py."""

from __future__ import annotations

import itertools
import os
import signal
import sys
from pathlib import Path

from confo import Entry
from confo.cache import Cache, CacheFile
from confo.kept import Kept, encode, pack


def state(revision: int) -> Kept:
    """Return a state of many configurations, each of this revision and saying so."""
    entries = {f"n{number}": Entry(b'{"n": %d}' % revision, revision) for number in range(5000)}
    return Kept("sales", "store", revision, float(revision), pack(entries))


def in_place(file: CacheFile, kept: Kept) -> None:
    """Write as one must not."""
    with file.path.open("wb", buffering=0) as out:
        data = encode(kept)
        for start in range(0, len(data), len(data) // 4):
            out.write(data[start : start + len(data) // 4])
            sys.audit("half")


def kill_at(step: int) -> None:
    """Kill this process at its so-manieth step from now that touches the file system."""
    count = itertools.count(1)

    def look(event: str, arguments: object) -> None:
        if event in ("open", "os.rename", "os.remove", "half") and next(count) == step:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(look)


def main(how: str, folder: str, step: str) -> None:
    """Write one state over another, killed at this step; without steps, ever newer ones without a pause."""
    file = Cache(Path(folder), "test", "store", {}).file("sales")
    found = file.read()
    revision = 0 if found is None else found.revision
    if int(step):
        file.write(state(revision + 1))
        newer = state(revision + 2)
        kill_at(int(step))
        in_place(file, newer) if how == "in place" else file.write(newer)
        return
    for number in itertools.count(revision + 1):
        file.write(state(number))
        if number == revision + 1:
            sys.stdout.write("writing\n")
            sys.stdout.flush()


main(*sys.argv[1:])
