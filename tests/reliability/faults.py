"""Let every system call of a commit fail in every way that a disk has: a typed error, and the state is whole.

What the error says is true: BackendUnavailable and PermissionDenied mean that the old state is there, no error that the
new one is; OutcomeUnknown may be either, and one of them whole.

python -m tests.reliability.faults [commit persist ...]
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path

import confo
from tests.reliability import folders
from tests.reliability.kills import WORK, Case

ERRORS = ("EIO", "ENOSPC", "EROFS", "EMFILE")
FALLIBLE = {
    *("fchmod", "fchown", "fcntl", "flock", "fsync", "ftruncate", "getdents64", "lseek", "mkdirat", "newfstatat"),
    *("openat", "pread64", "read", "renameat", "rmdir", "unlinkat", "utimensat", "write", "close"),
}
"""The calls of a commit that can fail; the rest are the interpreter's own (memory, signals, time)."""
SURELY_NOT = {"BackendUnavailable", "PermissionDenied"}


def at_every_call(work: str, *, step: int = 1, errors: tuple[str, ...] = ERRORS) -> Counter[str]:
    """Let the work fail at each of its system calls with each error; return how often it ended how."""
    found: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="confo-faults-") as place:
        case = Case(work, Path(place))
        calls = [(name, number) for name, number in case.each_call() if name in FALLIBLE]
        for error in errors:
            for name, number in calls[::step]:
                root = case.copy()
                said = case.run(root, f"{name}:error={error}:when={number}").said
                found[f"{said}, {check(case, root, said, f'{name} {number} {error}')}"] += 1
                shutil.rmtree(root)
    return found


def check(case: Case, root: Path, said: str, where: str) -> str:
    """Return the state in which a failure left a folder; AssertionError if it is torn or not what was said."""
    assert said == "done" or issubclass(getattr(confo, said, int), confo.ConfoError), f"{where}: {said}"
    state = folders.verdict(root, case.old, case.new)
    if case.old != case.new:
        assert said not in SURELY_NOT or state == folders.OLD, f"{where}: {said}, and yet it happened"
        assert said != "done" or state == folders.NEW, f"{where}: acknowledged, and lost"
    return state


def main() -> None:
    """Run all and print the counts."""
    for work in sys.argv[1:] or WORK:
        found = at_every_call(work)
        print(f"{work}: {found.total()} faults ({', '.join(ERRORS)}): {dict(sorted(found.items()))}", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
