"""Count by many processes that are killed again and again: the sum is what was acknowledged.

Each increment is a guarded commit with a record that names it. A process that was killed asks for the record of the
increment under way: is it there, it counts as acknowledged, and if not, it is made again.

python -m tests.reliability.increments [--processes 8] [--each 500] [--seed N]
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

from confo import BackendUnavailable, Conflict, Write
from confo_file import FileBackend

RECORDS = ".history.sales"


def count(root: Path, worker: int, each: int) -> None:
    """Make this worker's increments, from the first whose record is not there; never return."""
    try:
        backend = FileBackend.open({"config_path": root})
        mine = f"{worker:02d}-"
        done = sum(name.startswith(mine) for name, _ in backend.scan(RECORDS, start=mine, limit=each))
        while done < each:
            entry = backend.read("sales", ["n"])["n"]
            number = b"%d" % (int(entry.data) + 1)
            writes = [Write("sales", "n", number, entry.revision), Write(RECORDS, f"{mine}{done:06d}", b"{}", 0)]
            with contextlib.suppress(Conflict, BackendUnavailable):
                backend.commit(writes)
                done += 1
        os._exit(0)
    finally:
        os._exit(1)


def run(root: Path, processes: int, each: int, chance: random.Random) -> tuple[int, int, int]:
    """Let them count while one after another is killed; return the sum, the acknowledged and the kills."""
    backend = FileBackend.open({"config_path": root})
    backend.create_namespace("sales")
    backend.commit([Write("sales", "n", b"0", 0)])
    workers = {start(root, worker, each): worker for worker in range(processes)}
    kills, pause = 0, threading.Event()
    while workers:
        pause.wait(chance.uniform(0.01, 0.1))
        os.kill(chance.choice(list(workers)), signal.SIGKILL)
        kills += 1
        for pid, worker in list(workers.items()):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                del workers[pid]
                if status != 0:
                    workers[start(root, worker, each)] = worker
    found = int(backend.read("sales", ["n"])["n"].data)
    records = len(backend.scan(RECORDS, limit=processes * each + 1))
    backend.close()
    return found, records, kills


def start(root: Path, worker: int, each: int) -> int:
    """Fork a worker and return its id."""
    pid = os.fork()
    if pid == 0:
        count(root, worker, each)
    return pid


def main() -> int:
    """Run it and print the counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--each", type=int, default=500)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    options = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="confo-increments-") as place:
        found, records, kills = run(Path(place), options.processes, options.each, random.Random(options.seed))
    wanted = options.processes * options.each
    print(  # noqa: T201
        f"seed {options.seed}: {options.processes} processes x {options.each}, {kills} kills, "
        f"{time.monotonic() - began:.0f} s: sum {found}, acknowledged {records} of {wanted}"
    )
    return 0 if found == records == wanted else 1


if __name__ == "__main__":
    sys.exit(main())
