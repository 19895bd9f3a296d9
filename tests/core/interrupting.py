"""A program that is interrupted at random instructions, many times, and tells what became of its commits.

``python -m tests.core.interrupting KIND CREDENTIALS(JSON) TIMES SECONDS HOW``: an exception comes at a random moment
within SECONDS of each round, by a signal's handler or by PyThreadState_SetAsyncExc. Prints one JSON object.
"""

from __future__ import annotations

import ctypes
import json
import random
import signal
import sys
import threading
import time

import confo


class Interruption(KeyboardInterrupt):
    """What comes from outside."""


def by_signal(seconds: float) -> None:
    """Let a signal's handler raise after so many seconds."""
    signal.setitimer(signal.ITIMER_REAL, seconds)


def by_thread(seconds: float) -> None:
    """Let another thread raise in this one after so many seconds."""
    mine = threading.get_ident()
    timer = threading.Timer(
        seconds,
        lambda: ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(mine), ctypes.py_object(Interruption)),
    )
    timer.daemon = True
    timer.name = "the test's own"
    timer.start()


def raise_it(*_: object) -> None:
    """Be the signal's handler."""
    raise Interruption


def main(kind: str, credentials: dict[str, object], times: int, seconds: float, how: str) -> dict[str, object]:
    """Interrupt, and count."""
    config = confo.Confo("interrupted")
    config.load_backend(credentials, "b", kind, history=confo.Retention(count=None))
    config.activate_backend("b")
    config.create_namespace("sales", exist_ok=True)
    sales = config.namespace("sales")
    sales.set("doc", {"n": -1})
    sales.persist()
    signal.signal(signal.SIGALRM, raise_it)
    said: dict[str, list[int]] = {"committed": [], "nothing": [], "unknown": [], "none": []}
    errors: list[str] = []
    start = by_signal if how == "signal" else by_thread
    for number in range(times):
        verdict = "none"
        try:
            try:
                start(random.random() * seconds + 1e-6)
                if number % 2:
                    sales.set("doc", "n", number)
                    sales.get("doc", "n")
                    sales.persist()
                else:
                    with sales.edit() as draft:
                        draft["doc"]["n"] = number
                verdict = "committed"
                sales.snapshot()
                sales.status()
                threading.Event().wait(seconds)
            except Interruption as interrupt:
                notes = " ".join(getattr(interrupt, "__notes__", []))
                if "it was committed" in notes:
                    verdict = "committed"
                elif "nothing was committed" in notes:
                    verdict = "nothing"
                elif "not known yet" in notes:
                    verdict = "unknown"
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
        except Interruption:
            verdict = "unknown" if verdict == "none" else verdict
        except confo.ConflictError:
            pass  # with the commit of the round before, which went on
        except BaseException as error:
            errors.append(f"{type(error).__name__}: {error}"[:200])
        if how == "thread":
            settle()
        said[verdict].append(number)
        sales.discard()
    until = time.monotonic() + 10
    while any(thread.name == "confo-call" for thread in threading.enumerate()) and time.monotonic() < until:
        threading.Event().wait(0.01)
    sales.reload()
    told = {
        change.new["n"]
        for commit in sales.history(limit=2 * times + 10)
        for change in commit.changes
        if change.new and "n" in change.new
    }
    sales.set("doc", "n", -2)
    again = sales.persist() is not None
    config.close()
    while any("confo" in thread.name for thread in threading.enumerate()) and time.monotonic() < until + 5:
        threading.Event().wait(0.01)
    return {
        "interrupted": times - len(said["committed"]),
        "lost": sorted(set(said["committed"]) - told),
        "made": sorted(set(said["nothing"]) & told),
        "counts": {verdict: len(numbers) for verdict, numbers in said.items()},
        "errors": sorted(set(errors)),
        "again": again,
        "threads": [thread.name for thread in threading.enumerate() if "confo" in thread.name],
    }


def settle() -> None:
    """Wait for the exception that is still to come from another thread."""
    try:
        while any(thread.name == "the test's own" for thread in threading.enumerate()):
            threading.Event().wait(0.0005)
        for _ in range(100):
            pass
    except Interruption:
        pass


if __name__ == "__main__":
    given = json.loads(sys.argv[2])
    sys.stdout.write(json.dumps(main(sys.argv[1], given, int(sys.argv[3]), float(sys.argv[4]), sys.argv[5])))
