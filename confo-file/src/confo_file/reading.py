"""Reading: the files as they are, each with the revision that wrote it, foreign edits included."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from typing import NamedTuple

from confo import Entry, PermissionDenied
from confo_file.committing import carry_out
from confo_file.folder import Stamp
from confo_file.held import Held
from confo_file.journal import NEVER, Change
from confo_file.layout import JSON
from confo_file.settling import LOOK_SECONDS, Found, is_gone, is_quiet, is_settled
from confo_file.store import Store

Choose = Callable[[Held], Collection[str] | None]
"""Which names, once the root is held; None for all."""
_never = threading.Event()  # never set: an interruptible wait


class State(NamedTuple):
    """A namespace, or some of it, at one revision; ``waiting`` names what is being edited just now."""

    revision: int
    entries: dict[str, Entry]
    waiting: set[str]


def read(store: Store, namespace: str, choose: Choose, asked: str) -> State:
    """Return one state of these names. What somebody is writing this moment is waited for, two seconds at most."""
    began = time.monotonic()
    with store.holding(asked) as held:
        if held.index(namespace).known:  # else all is strange
            collected = held.collect(namespace, choose(held))
            if not collected.strange:
                return State(held.revision, collected.entries, set())
    while True:
        state = take_in(store, namespace, choose, asked, time.monotonic() - began)
        if not state.waiting:
            return state
        _never.wait(LOOK_SECONDS)


def take_in(store: Store, namespace: str, choose: Choose, asked: str, waited: float, *, removed: bool = False) -> State:
    """Read these names and give what others wrote a revision, the same for every process.

    Who may only read counts for himself: his revisions are greater by ``store.ahead``.
    """
    try:
        with store.holding(asked, exclusive=True) as held:
            state, seen = _sort_out(held, namespace, choose, waited, removed=removed)
            if seen:
                carry_out(held, [_change(namespace, name, stamp) for name, stamp in seen.items()], asked)
    except PermissionDenied:
        with store.holding(asked) as held:
            state, seen = _sort_out(held, namespace, choose, waited, removed=removed)
            if seen:
                store.ahead += 1
                held.index(namespace).note(state.revision, seen)
    return state


def _sort_out(
    held: Held, namespace: str, choose: Choose, waited: float, *, removed: bool
) -> tuple[State, dict[str, Stamp | None]]:
    """Return the state as it is once what is settled is taken in, and the stamps to take in."""
    collected, now = held.collect(namespace, choose(held), removed=removed), time.time_ns()
    folder = held.find_folder(namespace)
    gone = folder is None or is_gone(folder.age(), waited)
    taken = {
        name: found
        for name, found in collected.strange.items()
        if (gone if found is None else is_settled(found, now, waited))
    }
    revision = held.revision + bool(taken)
    for name, found in taken.items():
        if found is not None:
            collected.entries[name] = held.entry(namespace, name, found, revision)
    stamps = {name: None if found is None else _stamp(found, now) for name, found in taken.items()}
    return State(revision, collected.entries, set(collected.strange) - set(taken)), stamps


def _stamp(found: Found, now: int) -> Stamp:
    """Return the stamp to know a file by; one that no file has while it changes on and on."""
    return found.stamp if found.problem or is_quiet(found.stamp, now) else [found.stamp[0], NEVER, NEVER, NEVER, NEVER]


def _change(namespace: str, name: str, stamp: Stamp | None) -> Change:
    return Change("seen", namespace, name, str(stamp[0]) if stamp else JSON, None, stamp)
