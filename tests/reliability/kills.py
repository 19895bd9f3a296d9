"""Kill a process at every system call of a persist, and hundreds of times at random: old or new, nothing between.

python -m tests.reliability.kills [--random 500] [--seed N]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from confo import ANY, Write
from confo_file import FileBackend
from tests.reliability import folders
from tests.reliability.tracing import Outcome, traced

Prepare = Callable[[Path], Callable[[], object]]
WORK: dict[str, Prepare] = {
    "persist": folders.persist,
    "commit": folders.commit,
    "first commit": folders.first_commit,
    "delete namespace": folders.delete_namespace,
    "finish": folders.finish,
}


class Case:
    """One kind of work, done on copies of one folder: what it was before, and what it is when the work is done."""

    def __init__(self, work: str, place: Path) -> None:
        self.work, self.prepare, self.place, self.count = work, WORK[work], place, 0
        folders.template(place / "template")
        if work == "first commit":
            shutil.rmtree(place / "template/.history.sales")
        root = self.copy()
        self.old = folders.state(self.copy())
        self.calls = self.run(root).calls
        self.new = folders.state(root)

    def copy(self) -> Path:
        """Return a fresh copy of the folder."""
        self.count += 1
        copy = self.place / str(self.count)
        shutil.copytree(self.place / "template", copy, symlinks=True)
        if self.work == "finish":
            leave_a_journal(copy)
        return copy

    def run(self, root: Path, *inject: str) -> Outcome:
        """Do the work there."""
        return traced(lambda: self.prepare(root), inject)

    def each_call(self) -> Iterator[tuple[str, int]]:
        """Yield each system call of the work by its name and number."""
        for name, count in sorted(self.calls.items()):
            yield from ((name, number) for number in range(1, count + 1))


def leave_a_journal(root: Path) -> None:
    """Kill a commit just after it was decided: its first renaming is that of the journal, its third that of a file."""
    outcome = traced(lambda: folders.commit(root), ["renameat:signal=KILL:when=3"])
    assert outcome.killed
    assert (root / ".confo/journal").exists()


def at_every_call(work: str, *, step: int = 1, only: str = "") -> Counter[str]:
    """Kill the work at each of its system calls; return how often the folder was old, and new, afterwards."""
    found: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="confo-kills-") as place:
        case = Case(work, Path(place))
        calls = [(name, number) for name, number in case.each_call() if only in ("", name)]
        for name, number in calls[::step]:
            root = case.copy()
            outcome = case.run(root, f"{name}:signal=KILL:when={number}")
            if outcome.killed:
                found[folders.verdict(root, case.old, case.new)] += 1
            shutil.rmtree(root)
    return found


def at_random(times: int, chance: random.Random) -> Counter[str]:
    """Kill a process that commits as fast as it can; return how often the commit under way had come to be, or not."""
    found: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="confo-kills-") as place:
        root, number = Path(place), 0
        backend = FileBackend.open({"config_path": root})
        backend.create_namespace("sales")
        for _ in range(times):
            acknowledged = kill_a_writer(root, number, chance)
            number = check_pair(backend, acknowledged)
            found["old" if number == acknowledged else "new"] += 1
        backend.close()
    return found


def kill_a_writer(root: Path, start: int, chance: random.Random) -> int:
    """Let a process commit numbers from here on, kill it soon, and return the last one that it acknowledged."""
    hear, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        write_pairs(root, start, tell)
    os.close(tell)
    told = os.read(hear, 8)  # it is at work
    threading.Event().wait(chance.uniform(0.0, 0.02))
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    while more := os.read(hear, 1 << 16):
        told += more
    os.close(hear)
    return int.from_bytes(told[-8:], "big")


def write_pairs(root: Path, start: int, tell: int) -> None:
    """Commit a number to two configurations and a record of it, then the next; never return."""
    try:
        backend = FileBackend.open({"config_path": root})
        while True:
            start += 1
            data = json.dumps({"n": start}).encode()
            pair = [Write("sales", name, data, ANY) for name in "ab"]
            backend.commit([*pair, Write(".history.sales", f"{start:020d}", data, 0)])
            os.write(tell, start.to_bytes(8, "big"))
    finally:
        os._exit(1)


def check_pair(backend: FileBackend, acknowledged: int) -> int:
    """See that a and b and the records are of one commit, not older than the acknowledged one; return its number."""
    entries = backend.load("sales").entries
    first, second = (json.loads(entries[name].data)["n"] for name in "ab")
    assert first == second, "half a commit"
    ((newest, _),) = backend.scan(".history.sales", limit=1, reverse=True)
    assert int(newest) == first, "a commit without its record, or a record without its commit"
    assert acknowledged <= first <= acknowledged + 1, f"{acknowledged} was acknowledged, {first} is there"
    return int(first)


def main() -> None:
    """Run all and print the counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--random", type=int, default=500)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    options = parser.parse_args()
    for work in WORK:
        found = at_every_call(work)
        print(f"{work}: killed at {found.total()} system calls: {dict(found)}, torn 0, half 0", flush=True)  # noqa: T201
    found = at_random(options.random, random.Random(options.seed))
    print(f"seed {options.seed}: {found.total()} random kills: {dict(found)}, torn 0, half 0, lost 0")  # noqa: T201


if __name__ == "__main__":
    main()
