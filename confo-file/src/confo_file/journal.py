"""A commit over several files, atomic over a crash: decided by one rename, and finished by whoever comes next.

First every new content is written beside, then the journal that says what is to become of them. The rename that puts
the journal in its place is the commit. Moving the files, noting them in the indexes and putting the journal away as
the new head can all be done again: ``finish`` does it, for the one who commits and for the one who finds a journal.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple, Self

from confo import BackendFailure
from confo_file import index
from confo_file.folder import Folder, Stamp, let_go, stamp

JOURNAL, HEAD, TEMPORARY, INDEX = "journal", "head", "new-journal", "index"
FIRST_REVISION = 1
_FIRST_LINE = 128  # bytes that the first line has at most


class Head(NamedTuple):
    """The last commit: its revision, and which store this is, as a folder can be made anew."""

    store: str
    revision: int


class Change(NamedTuple):
    """What becomes of one file.

    ``write`` moves ``staged`` over what had the stamp ``before``; ``delete`` deletes what had it; ``seen`` only notes
    the stamp ``after``: of a foreign edit, or of a file that is written as it is.
    """

    what: Literal["write", "delete", "seen"]
    namespace: str
    name: str
    suffix: str
    before: Stamp | None
    after: Stamp | None
    staged: str = ""


class Journal(NamedTuple):
    """A commit: its place in the order, when its guards were looked at, and all that it does."""

    head: Head
    decided: int  # nanoseconds since 1970
    changes: list[Change]
    removed: list[str]  # namespaces that end with it


NEVER = 0
"""In place of a time, a size or an inode: no file has it."""


def read_head(state: Folder) -> Head:
    """Return the last commit that is finished."""
    try:
        fd = state.open_file(HEAD)
    except FileNotFoundError:
        return Head("", FIRST_REVISION)
    try:
        return Head(*json.loads(os.read(fd, _FIRST_LINE).partition(b"\n")[0]))
    except (ValueError, TypeError) as error:
        raise _damaged(state, HEAD) from error
    finally:
        let_go(fd)


def read(state: Folder) -> Journal:
    """Return the commit that is decided and not finished."""
    data = state.read(JOURNAL).data
    try:
        first, second = (json.loads(line) for line in data.splitlines())
        decided, changes, removed = second
        return Journal(Head(*first), decided, [Change(*change) for change in changes], removed)
    except (ValueError, TypeError) as error:
        raise _damaged(state, JOURNAL) from error


def decide(state: Folder, journal: Journal, *, sync: bool) -> None:
    """Commit. An OSError of this says that it did not happen, unless the journal is there all the same."""
    rest = [journal.decided, journal.changes, journal.removed]
    lines = (json.dumps(line, separators=(",", ":")).encode() for line in (journal.head, rest))
    state.create(TEMPORARY, b"\n".join(lines), sync=sync)
    state.move(TEMPORARY, state, JOURNAL)
    if sync:
        state.sync()


def clean(state: Folder) -> None:
    """Delete what a commit that was never decided left behind."""
    for name in state.names():
        if name.startswith("new-"):
            state.remove(name)


class Places:
    """All that finishing needs, opened before it is decided: no later lack of descriptors or rights can stop it."""

    def __init__(
        self, root: Folder, state: Folder, namespaces: Iterable[str], opened: Mapping[str, Folder] | None = None
    ) -> None:
        self._stack = contextlib.ExitStack()
        self.root, self.state = root, state
        self.folders: dict[str, Folder] = dict(opened or {})
        self.has_new_logs = False
        self.logs: dict[str, int] = {}
        with contextlib.ExitStack() as opening:
            self.index = opening.enter_context(_open_or_make(state))
            for namespace in namespaces:
                self.logs[namespace] = index.open_log(self.index, namespace)
                opening.callback(let_go, self.logs[namespace])
                self.has_new_logs = self.has_new_logs or index.is_new(self.logs[namespace])
                if namespace not in self.folders:
                    with contextlib.suppress(FileNotFoundError):
                        self.folders[namespace] = opening.enter_context(root.folder(namespace))
            self._stack = opening.pop_all()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close all."""
        self._stack.close()


def finish(journal: Journal, places: Places, *, sync: bool, again: bool) -> None:
    """Do what was decided; ``again`` if somebody may have done some of it before."""
    moved = dict.fromkeys(change.namespace for change in journal.changes if change.what != "seen")
    noted: dict[str, dict[str, Stamp | None]] = {}
    for change in journal.changes:
        folder = places.folders.get(change.namespace)
        noted.setdefault(change.namespace, {})[change.name] = _carry_out(change, places.state, folder, journal.decided)
    for namespace in moved if sync else ():
        if namespace in places.folders:
            places.folders[namespace].sync()
    for namespace, changes in noted.items():
        log = places.logs[namespace]
        if again:
            index.take_back(log, journal.head.revision)  # written anew: a sync of it may have failed
        index.append(log, journal.head.revision, changes)
        if sync:
            os.fsync(log)
    if sync and (again or places.has_new_logs):
        places.index.sync()
    _remove(journal.removed, places.root, sync=sync)
    places.state.move(JOURNAL, places.state, HEAD)


def _carry_out(change: Change, state: Folder, folder: Folder | None, decided: int) -> Stamp | None:
    """Do one change and return the stamp to note.

    A file that somebody edited since the guards were looked at stays as it is: it is as if that had happened just
    after the commit. Its stamp is not the noted one, so it is found to be an edit.
    """
    if change.what == "seen" or folder is None:
        return change.after
    file = change.name + change.suffix
    status = folder.status(file)
    now = None if status is None else stamp(change.suffix, status)
    edited = now is not None and now != change.before and int(now[4]) >= decided
    if change.what == "delete":
        if now is not None and not edited:
            folder.remove(file)
        return None
    if state.status(change.staged) is None:  # it was moved already
        return _after(change, now)
    if edited:
        state.remove(change.staged)
    else:
        state.move(change.staged, folder, file)
        status = folder.status(file)
        now = None if status is None else stamp(change.suffix, status)
    return _after(change, now)


def _after(change: Change, now: Stamp | None) -> Stamp:
    """Return the stamp of what was written, with the ctime that the renaming gave it, if that is what is there."""
    assert change.after is not None  # noqa: S101 - a write has one
    if now is not None and now[:4] == change.after[:4]:
        return now
    return [change.suffix, NEVER, NEVER, NEVER, NEVER]


def _remove(namespaces: Iterable[str], root: Folder, *, sync: bool) -> None:
    for namespace in namespaces:
        try:
            os.rmdir(namespace, dir_fd=root.fd)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST):
                raise  # else somebody has just put something there, and it stays; or it was done before
        if sync:
            root.sync()


def _open_or_make(state: Folder) -> Folder:
    try:
        folder = state.folder(INDEX)
    except FileNotFoundError:
        state.make_folder(INDEX)
        folder = state.folder(INDEX)
        os.fchmod(folder.fd, os.fstat(state.fd).st_mode & 0o7777)
    folder.file_mode = state.file_mode
    return folder


def _damaged(state: Folder, name: str) -> BackendFailure:
    return BackendFailure(
        f"{state.path}/{name} is damaged, which no crash does: move {state.path} away, and Confo begins anew there"
    )
