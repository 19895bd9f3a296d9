"""A program that is interrupted at random instructions, many times, and what became of its calls.

``python -m tests.core.interrupting KIND CREDENTIALS(JSON) TIMES HOW``: in each round it does one thing (a commit, an
edit, a deletion, a reload, a subscription, another backend) and an exception comes at a random moment of it, by a
signal's handler or by PyThreadState_SetAsyncExc. Afterwards what it was told is compared with the history, what is
read with what is stored and staged, and every call is tried once more. Prints one JSON object. ``--defect`` plants one.
"""

from __future__ import annotations

import argparse
import ctypes
import itertools
import json
import random
import signal
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import confo
from confo import Commit, Namespace, namespace, shield, view

SECONDS = 20.0


class Interruption(KeyboardInterrupt):
    """What comes from outside."""


def wait(seconds: float) -> None:
    """Wait on a lock that is made in C, of which an interrupt leaves nothing half done."""
    lock = threading.Lock()
    lock.acquire()
    lock.acquire(timeout=seconds)


class BySignal:
    """Interrupts by the handler of a signal, which runs in the main thread."""

    def __init__(self) -> None:
        signal.signal(signal.SIGALRM, self.raise_it)

    def raise_it(self, *_: object) -> None:
        raise Interruption

    def after(self, seconds: float) -> None:
        """Raise after so many seconds."""
        signal.setitimer(signal.ITIMER_REAL, seconds)

    def settle(self) -> None:
        """Let nothing come any more."""
        signal.setitimer(signal.ITIMER_REAL, 0)


class ByThread:
    """Interrupts by another thread, as a notebook's or a debugger's."""

    def __init__(self) -> None:
        self._target = threading.get_ident()
        self._asked, self._done = threading.Semaphore(0), threading.Semaphore(0)
        self._seconds = 0.0
        self.open = False
        threading.Thread(target=self._work, name="the test's own", daemon=True).start()

    def _work(self) -> None:
        while True:
            self._asked.acquire()
            wait(self._seconds)
            ident, error = ctypes.c_ulong(self._target), ctypes.py_object(Interruption)
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ident, error)
            self._done.release()

    def after(self, seconds: float) -> None:
        """Raise after so many seconds."""
        self._seconds, self.open = seconds, True
        self._asked.release()

    def settle(self) -> None:
        """Take what is still to come."""
        while self.open:
            try:
                wait(0.0005)
                if self._done.acquire(blocking=False):
                    self.open = False
                    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._target), None)
            except Interruption:
                pass


class Program:
    """What is interrupted, and what it was told."""

    def __init__(self, kind: str, credentials: dict[str, object]) -> None:
        self.kind, self.credentials = kind, credentials
        self.config = confo.Confo("interrupted")
        self.config.load_backend(credentials, "b", kind, history=confo.Retention(count=None))
        self.config.activate_backend("b")
        self.config.create_namespace("sales", exist_ok=True)
        self.sales: Namespace = self.config.namespace("sales")
        self.sales.set("doc", {"n": -1})
        self.sales.persist()
        self.things: list[Callable[[int], Commit | None]] = [
            *[self.persist, self.edit, self.transaction] * 3,
            *(self.delete, self.discard, self.reload, self.subscribe, self.read, self.other_backend),
        ]
        self.made = itertools.count()

    def persist(self, number: int) -> Commit | None:
        self.sales.set("doc", "n", number)
        self.sales.get("doc", "n")
        return self.sales.persist()

    def edit(self, number: int) -> Commit | None:
        with self.sales.edit() as draft:
            draft["doc"] = {"n": number}
        return draft.commit

    def transaction(self, number: int) -> Commit | None:
        return self.sales.transaction(lambda draft: draft.__setitem__("doc", {"n": number}))

    def delete(self, number: int) -> Commit | None:
        self.sales.set("gone", {"n": number})
        self.sales.delete("gone")
        self.sales.set("gone", {"n": number})
        return self.sales.persist()

    def discard(self, number: int) -> None:
        self.sales.set("doc", "x", number)
        self.sales.set("other", {"n": number})
        self.sales.discard()

    def reload(self, _: int) -> None:
        self.sales.reload()
        self.sales.history(limit=1)

    def subscribe(self, _: int) -> None:
        with self.sales.on_change(lambda _: None):
            self.sales.status()

    def read(self, _: int) -> None:
        self.sales.snapshot()
        self.sales.get_all()
        list(self.sales)
        self.sales.status()

    def other_backend(self, _: int) -> None:
        name = f"other {next(self.made)}"
        self.config.load_backend(self.credentials, name, self.kind)
        self.config.close_backend(name)

    def check(self, inside: str) -> Iterator[str]:
        """Say what is not as it is stored and staged; this runs where nothing interrupts."""
        sales = self.sales
        for change in sales.diff():
            if sales.get(change.configuration, default=None) != change.new:
                yield f"{change.configuration} is not read as it is staged"
        sales.discard()
        if sales.staged:
            yield "staged after a discard"
        read, stored = sales.get_all(), sales.snapshot()
        if {name: dict(stored[name]) for name in stored} != {name: dict(document) for name, document in read.items()}:
            yield "what is read is not what is stored"
        for name in self.config.get_backends()["all_backends"]:
            if name != "b":
                if inside == "load_backend":
                    yield f"a backend stayed whose loading was interrupted: {name}"
                self.config.close_backend(name)


def inside_of(interrupt: BaseException) -> str:
    """Return which call of the program's was interrupted."""
    names = [frame.f_code.co_name for frame, _ in traceback.walk_tb(interrupt.__traceback__)]
    return next((name for name in ("load_backend",) if name in names), "")


def verdict_of(interrupt: BaseException) -> str:
    """Return what an interrupt's note says of the commit."""
    notes = " ".join(getattr(interrupt, "__notes__", []))
    for said, words in (("committed", "it was committed"), ("nothing", "nothing was"), ("unknown", "not known yet")):
        if words in notes:
            return said
    return "no note"


def plant(defect: str) -> None:
    """Make something wrong that must be found."""
    if defect == "unshielded":
        shield.run = lambda call, **_: call()
    elif defect == "lying":
        namespace._what_became = lambda job: "Confo: nothing was committed"
    elif defect == "stale":
        view.View._show = lambda *_: None  # type: ignore[method-assign]


def main(kind: str, credentials: dict[str, object], times: int, how: str) -> dict[str, object]:
    """Interrupt, and count."""
    program = Program(kind, credentials)
    source: Any = BySignal() if how == "signal" else ByThread()
    said: dict[str, list[int]] = {word: [] for word in ("committed", "nothing", "unknown", "no note")}
    counts: Counter[str] = Counter()
    errors: Counter[str] = Counter()
    interrupted, usual = 0, dict.fromkeys((thing.__name__ for thing in program.things), 0.01)
    for number in range(times):
        thing = random.choice(program.things)
        began, verdict, inside = time.perf_counter(), "", ""
        try:
            try:
                source.after(random.random() * 1.2 * usual[thing.__name__] + 1e-6)
                if thing(number) is not None:
                    verdict = "committed"
                usual[thing.__name__] += (min(time.perf_counter() - began, 0.5) - usual[thing.__name__]) / 10
            finally:
                source.settle()
        except Interruption as interrupt:
            interrupted += 1
            verdict, inside = verdict or verdict_of(interrupt), inside_of(interrupt)
        except confo.ConflictError:
            counts["conflicts"] += 1  # with the commit of the round before, which went on
        except BaseException as error:
            errors[f"{thing.__name__}: {type(error).__name__}: {error}"[:300]] += 1
        if verdict:
            counts[verdict] += 1
            said[verdict].append(number)
        try:
            errors.update(f"after {thing.__name__}: {what}" for what in program.check(inside))
        except BaseException as error:
            errors[f"after {thing.__name__}: {type(error).__name__}: {error}"[:300]] += 1
        if sum(errors.values()) > 20:
            break
    return {
        "interrupted": interrupted,
        "counts": dict(counts),
        "errors": dict(errors),
        **ending(program, said, number + 1),
    }


def ending(program: Program, said: dict[str, list[int]], times: int) -> dict[str, object]:
    """Compare what was said with the history, then close; return what is wrong."""
    found: dict[str, object] = {"lost": [], "made": [], "silent": 0, "again": False, "threads": []}
    program.sales.reload()
    program.sales.set("doc", {"n": -2 - times})
    found["again"] = program.sales.persist() is not None
    told: set[int] = set()
    for commit in program.sales.history(limit=4 * times + 10):
        told.update(change.new["n"] for change in commit.changes if change.new and "n" in change.new)
    found["lost"] = sorted(set(said["committed"]) - told)
    found["made"] = sorted(set(said["nothing"]) & told)
    found["silent"] = len(set(said["no note"]) & told)
    program.config.close()
    until = time.monotonic() + SECONDS
    while (left := [one.name for one in threading.enumerate() if "confo" in one.name]) and time.monotonic() < until:
        wait(0.01)
    found["threads"] = left
    return found


def problems(found: dict[str, Any]) -> list[str]:
    """Say what is wrong in what was counted."""
    wrong = [f"{what} ({times} times)" for what, times in found["errors"].items()]
    if found["lost"]:
        wrong.append(f"told as committed, and not in the history: {found['lost'][:5]}")
    if found["made"]:
        wrong.append(f"told as not committed, and in the history: {found['made'][:5]}")
    if found["silent"] > 2 + found["interrupted"] / 50:  # some come just after the last instruction of ours
        wrong.append(f"committed, and nothing said so: {found['silent']} of {found['interrupted']}")
    if not found["again"]:
        wrong.append("no commit afterwards")
    if found["interrupted"] < 5:
        wrong.append(f"hardly interrupted: {found['interrupted']} times")
    return wrong + [f"a thread is left: {name}" for name in found["threads"]]


def arguments() -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("kind")
    parser.add_argument("credentials", type=json.loads)
    parser.add_argument("times", type=int)
    parser.add_argument("how", choices=["signal", "thread"])
    parser.add_argument("--defect", default="")
    return parser.parse_args()


if __name__ == "__main__":
    given = arguments()
    plant(given.defect)
    run = partial(main, given.kind, given.credentials, given.times, given.how)
    sys.stdout.write(json.dumps(run()))
