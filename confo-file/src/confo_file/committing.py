"""Committing: guards against the files themselves, new contents beside them, and one rename that decides."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence
from typing import NamedTuple
from uuid import uuid4

from confo import (
    ANY,
    BackendFailure,
    BackendUnavailable,
    Conflict,
    InvalidCommit,
    InvalidName,
    NamespaceExists,
    TooLarge,
    Write,
)
from confo_file import formats, index, journal, layout
from confo_file.errors import doubtful, translated
from confo_file.folder import FILE_MODE, Folder, stamp
from confo_file.held import Held
from confo_file.journal import Change, Head, Journal

MAX_WRITES = 1024
MAX_VALUE_BYTES = 1536 * 1024
"""Bytes of one entry: as much as etcd takes, so that it can be copied there."""
TICK = 20_000_000
"""Nanoseconds by which the kernel's clock of files may be behind."""
_NEW_LOG = ".new"  # no namespace has this name


class Target(NamedTuple):
    """A file that a commit writes or deletes, as it is before."""

    write: Write
    suffix: str
    status: os.stat_result | None


def check_size(writes: Sequence[Write]) -> None:
    """Refuse, before anything is looked at, what makes no sense and what is too much."""
    if not writes or len({write[:2] for write in writes}) != len(writes):
        raise InvalidCommit("a commit is one or more writes, each of a name of its own")
    if len(writes) > MAX_WRITES:
        raise TooLarge(
            f"{len(writes):,} writes in one commit, the file backend takes {MAX_WRITES:,}; nothing was written"
        )
    for write in writes:
        if write.data is not None and len(write.data) > MAX_VALUE_BYTES:
            raise TooLarge(
                f"{write.namespace}/{write.name} is {len(write.data):,} bytes, the file backend takes "
                f"{MAX_VALUE_BYTES:,}; nothing was written",
                namespace=write.namespace,
                configuration=write.name,
            )


def commit(held: Held, writes: Sequence[Write], asked: str) -> int:
    """Check every guard, then write; either all of it or nothing. Return the new revision."""
    decided = time.time_ns() - TICK
    targets = [_target(held, write) for write in writes]
    moved = [target.write[:2] for target in targets if not _holds(held, target)]
    if moved:
        raise Conflict(
            f"changed since they were read: {', '.join(map('/'.join, moved))}; nothing was written", keys=moved
        )
    _refuse_similar(held, targets)
    state = _state(held)
    try:
        if not held.store.is_clean:
            journal.clean(state)
            held.store.is_clean = True
        changes = [_stage(held, state, target, f"new-{number}") for number, target in enumerate(targets)]
    except BaseException:
        held.store.is_clean = False
        with contextlib.suppress(OSError):
            journal.clean(state)
        raise
    return carry_out(held, changes, asked, decided=decided)


def carry_out(held: Held, changes: list[Change], asked: str, *, decided: int = 0, removed: Sequence[str] = ()) -> int:
    """Do what is staged, as the next revision."""
    state, sync = _state(held), held.store.durable
    head = Head(held.head.store or uuid4().hex, held.head.revision + 1)
    decision = Journal(head, decided, changes, list(removed))
    is_read = not decided and all(change.what == "seen" for change in changes) and not removed
    failing = translated if is_read else doubtful  # who only reads has nothing in doubt
    with journal.Places(
        held.root, state, dict.fromkeys(change.namespace for change in changes), held.opened()
    ) as places:
        try:
            journal.decide(state, decision, sync=sync)
        except OSError as error:
            with failing(asked):
                _undo(state, error)
            raise
        with failing(asked):
            journal.finish(decision, places, sync=sync, again=False)
    held.head = head
    held.store.identity = head.store
    for namespace in {change.namespace for change in changes}:
        tidy(held, namespace)
    return held.revision


def create(held: Held, namespace: str, asked: str) -> None:
    """Make a namespace's folder."""
    layout.check_namespace(namespace)
    if held.root.status(namespace) is not None:
        raise NamespaceExists(f"namespace {namespace!r} exists already", namespace=namespace)
    if other := layout.similar(namespace, held.namespaces()):
        raise InvalidName(f"{namespace!r} and {other!r} differ in case only: they would be one folder elsewhere")
    held.root.make_folder(namespace)
    if held.store.durable:
        with doubtful(asked):
            held.root.sync()
    carry_out(held, [], asked)  # a revision of its own; with the first, the store has its identity


def delete(held: Held, namespace: str, asked: str) -> None:
    """Delete a namespace's files and its folder, as one commit; BackendFailure if other files are there."""
    decided = time.time_ns() - TICK
    folder = held.folder(namespace)
    if folder is None:
        return
    here = folder.names()
    files = {file: parts for file in here if (parts := layout.split(file)) is not None}
    others = sorted(set(here) - set(files))
    if others:
        raise BackendFailure(
            f"namespace {namespace!r} has files that are no configurations: {', '.join(others[:5])}; move them away "
            "first, as they would be lost",
            namespace=namespace,
        )
    known = {(name, layout.JSON) for name in held.index(namespace).known} - set(files.values())
    changes = [
        Change("delete", namespace, name, suffix, _before(suffix, folder.status(name + suffix)), None)
        for name, suffix in [*sorted(known), *files.values()]
    ]
    carry_out(held, changes, asked, decided=decided, removed=[namespace])


def tidy(held: Held, namespace: str, *, forget: bool = False) -> None:
    """Write a log anew that is mostly outdated; it may stay long if that fails."""
    if not forget and namespace not in held.store.indexes:
        return
    with contextlib.suppress(OSError):
        folder, known = held.index_folder(), held.index(namespace)
        if folder is not None and (forget or known.is_long):
            index.rewrite(folder, namespace, known, _NEW_LOG, forget=forget, sync=held.store.durable)


def _target(held: Held, write: Write) -> Target:
    held.folder(write.namespace)
    layout.check_configuration(write.name)
    return Target(write, *held.status_of(write.namespace, write.name))


def _holds(held: Held, target: Target) -> bool:
    """Tell whether the file is the one that the writer saw; an edit that nobody noticed yet is another one."""
    write, suffix, status = target
    if write.expected is ANY:
        return True
    if status is None or write.expected == 0:
        return status is None and write.expected == 0
    known = held.index(write.namespace).known.get(write.name)
    return known is not None and known.revision == write.expected and known.stamp == stamp(suffix, status)


def _refuse_similar(held: Held, targets: Sequence[Target]) -> None:
    made: dict[str, set[str]] = {}
    for write, _, status in targets:
        if status is None and write.data is not None and not write.namespace.startswith("."):
            made.setdefault(write.namespace, set()).add(write.name)
    for namespace, names in made.items():
        lower: dict[str, str] = {}
        for name in [*held.files(namespace, None).suffixes, *names]:
            other = lower.setdefault(name.lower(), name)
            if other != name:
                raise InvalidName(
                    f"{namespace}/{name} and {namespace}/{other} differ in case only: they would be one file elsewhere",
                    namespace=namespace,
                    configuration=name,
                )


def _stage(held: Held, state: Folder, target: Target, staged: str) -> Change:
    """Write a new content beside, and say what is to become of it."""
    (namespace, name, data, _), suffix, status = target
    before = _before(suffix, status)
    if data is None:
        return Change("delete", namespace, name, suffix, before, None)
    folder = held.folder(namespace) or _make(held, namespace)
    if namespace.startswith("."):
        content = data  # the core's own are nobody's to read
    else:
        content = data
        if formats.is_object(data):  # what is no document, only another tool writes, and gets what it wrote
            is_read = status is not None and status.st_size <= formats.LARGEST_FILE
            old = folder.read(name + suffix).data if is_read else None
            content = formats.write(suffix, old, data, held.path_of(namespace, name, suffix))
            known = held.index(namespace).known.get(name)
            if content == old and known is not None and known.stamp == before:
                return Change("seen", namespace, name, suffix, before, before)  # a new revision, and nobody's file
    made = state.create(staged, content, sync=held.store.durable, mode=FILE_MODE, like=status)
    return Change("write", namespace, name, suffix, before, stamp(suffix, made), staged)


def _make(held: Held, namespace: str) -> Folder:
    """Make one of the core's own namespaces."""
    held.root.make_folder(namespace)
    if held.store.durable:
        held.root.sync()
    held.forget_folder(namespace)
    folder = held.folder(namespace)
    assert folder is not None  # noqa: S101 - it was just made
    return folder


def _before(suffix: str, status: os.stat_result | None) -> list[str | int] | None:
    return None if status is None else stamp(suffix, status)


def _state(held: Held) -> Folder:
    if held.state is None:
        raise BackendUnavailable(f"{held.root.path} has no {layout.STATE}, and none can be made")
    return held.state


def _undo(state: Folder, error: OSError) -> None:
    """Take back what may have been decided: after a sync that failed nobody knows what is on the disk."""
    if state.status(journal.JOURNAL) is None:
        with contextlib.suppress(OSError):
            journal.clean(state)
        return
    with contextlib.suppress(OSError):
        state.remove(journal.JOURNAL)
        journal.clean(state)
    raise error
