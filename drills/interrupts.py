"""Drills: programs on real stores are interrupted at random instructions, tens of thousands of times.

``nox -s drills -- interrupts --times 25000``, or ``python -m drills.interrupts`` from the project's root: so many
rounds on each kind of store, by signals and by another thread. Ends with 1 if a note was not true, a call did not work
afterwards, somebody was locked out, or a thread was left.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping

from tests.core.interrupting import problems
from tests.servers import EtcdServer, etcd_binaries
from tests.zookeeper.servers import ZooServer

KINDS = ("memory", "file", "etcd", "zookeeper")
PART = 1_000
"""Rounds of one process, so that what is left behind is looked for often."""


def main() -> int:
    """Run the drill and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--times", type=int, default=2_000, help="rounds on each kind of store (default 2000)")
    parser.add_argument("--only", choices=KINDS, help="one kind of store instead of all")
    options = parser.parse_args()
    failed = 0
    for kind in [options.only] if options.only else KINDS:
        began, done, interrupted, wrong = time.monotonic(), 0, 0, list[str]()
        while done < options.times and not wrong:
            how = ("signal", "thread")[done // PART % 2]
            part = min(PART, options.times - done)
            with store(kind) as credentials:  # a new one, as every commit is kept in its history
                found = interrupt(kind, credentials, part, how)
            done, interrupted = done + part, interrupted + int(str(found["interrupted"]))
            wrong += [f"{how}: {problem}" for problem in problems(found)]
        failed += bool(wrong)
        said = f"FAILED: {'; '.join(wrong)}" if wrong else "every note true, every call works, nothing is left"
        say(f"{kind}: {interrupted:,} interrupts in {done:,} rounds, {time.monotonic() - began:.0f} s: {said}")
    return 1 if failed else 0


@contextlib.contextmanager
def store(kind: str) -> Iterator[Mapping[str, object]]:
    """Start a store that is empty; yield its credentials."""
    with contextlib.ExitStack() as stack:
        if kind == "file":
            yield {"config_path": stack.enter_context(tempfile.TemporaryDirectory(prefix="confo-interrupts-"))}
        elif kind == "etcd":
            server = stack.enter_context(EtcdServer(next(iter(etcd_binaries().values()))))
            yield {"host": "127.0.0.1", "port": server.port}
        elif kind == "zookeeper":
            yield {"hosts": stack.enter_context(ZooServer()).host}
        else:
            yield {}


def interrupt(kind: str, credentials: Mapping[str, object], times: int, how: str) -> dict[str, object]:
    """Run the program that is interrupted; return what it counted."""
    command = [sys.executable, "-m", "tests.core.interrupting", kind, json.dumps(credentials), str(times), how]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=1_800, check=True)  # noqa: S603 - ours
    found: dict[str, object] = json.loads(done.stdout)
    return found


def say(text: str) -> None:
    """Print, at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
