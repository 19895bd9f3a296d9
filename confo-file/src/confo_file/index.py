"""What is known of a namespace's files: which revision wrote each, and the stamp that it had then.

A log of JSON lines in ``.confo/index/<namespace>``, one for each commit: ``[revision, {name: stamp, or null}]``. A
file whose stamp is another than the one known was changed by somebody else. Written anew, the log has the last line of
each name only, which is all that a watch needs to resume; of deleted names it forgets the oldest. Its first line says
when it was written, and up to which revision it has forgotten some.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import NamedTuple

from confo_file.folder import Folder, Stamp, let_go, read_all, write_all

Changes = Mapping[str, Stamp | None]
SLACK = 1000
"""Names in lines that may be outdated before the log is written anew, beside as many as there are."""
MOST_GONE = 1000
"""Deleted names that are remembered."""
_HEADER = 80  # bytes that a first line has at most


class Known(NamedTuple):
    """A file as it was last seen or written."""

    revision: int
    stamp: Stamp


class Index:
    """The log of one namespace, read as far as it goes; whoever reads it further holds the store's lock."""

    def __init__(self) -> None:
        self.known: dict[str, Known] = {}
        self.alike: dict[str, set[str]] = {}  # the names of it that differ in case only, by their small letters
        self.gone: dict[str, int] = {}  # and the revision that deleted it
        self.forgotten = 0
        self.noted = 0  # names in all lines, outdated ones included
        self._lines: list[tuple[int, tuple[str, ...]]] = []
        self._header = b""
        self._offset = 0

    @property
    def revision(self) -> int:
        """The last one in it."""
        return self._lines[-1][0] if self._lines else 0

    @property
    def is_long(self) -> bool:
        """Tell whether most of it is outdated."""
        return self.noted > 2 * (len(self.known) + len(self.gone)) + SLACK

    def since(self, revision: int) -> set[str]:
        """Return the names that changed after this revision."""
        names: set[str] = set()
        for number, changed in reversed(self._lines):
            if number <= revision:
                break
            names.update(changed)
        return names

    def note(self, revision: int, changes: Changes) -> None:
        """Know these files' stamps; None for what is gone."""
        for name, stamp in changes.items():
            if stamp is None:
                self.known.pop(name, None)
                self.alike.get(name.lower(), set()).discard(name)
                self.gone[name] = revision
            else:
                self.gone.pop(name, None)
                self.known[name] = Known(revision, stamp)
                self.alike.setdefault(name.lower(), set()).add(name)
        self._lines.append((revision, tuple(changes)))
        self.noted += len(changes)

    def catch_up(self, folder: Folder, namespace: str, ahead: int = 0) -> bool:
        """Read on where it was left; False if there is no log. ``ahead`` is added to each revision."""
        try:
            fd = folder.open_file(namespace)
        except FileNotFoundError:
            self.__init__()  # type: ignore[misc]
            return False
        try:
            self._read(fd, ahead)
        finally:
            let_go(fd)
        return True

    def _read(self, fd: int, ahead: int) -> None:
        size = os.fstat(fd).st_size
        header = os.pread(fd, _HEADER, 0).partition(b"\n")[0]
        if header != self._header or size < self._offset:  # another log, or none before: the first line grows with each
            self.__init__()  # type: ignore[misc]
            self._header, self._offset = header, len(header) + 1
            self.forgotten = json.loads(header)["forgotten"] + ahead if header else 0
        if size > self._offset:
            os.lseek(fd, self._offset, os.SEEK_SET)
            text = read_all(fd, size - self._offset)
            text = text[: text.rfind(b"\n") + 1]
            for line in text.splitlines():
                revision, changes = json.loads(line)
                self.note(revision + ahead, changes)
            self._offset += len(text)


def open_log(folder: Folder, namespace: str) -> int:
    """Open a log to append to, made if need be; return its descriptor. A line that a crash cut off is cut away."""
    fd = folder.open_or_make_file(namespace)
    try:
        _mend(fd)
    except BaseException:
        let_go(fd)
        raise
    return fd


def is_new(fd: int) -> bool:
    """Tell whether a log has no line yet but the first."""
    return os.fstat(fd).st_size == len(_first_line(0, 0))


def append(fd: int, revision: int, changes: Changes) -> None:
    """Add a line."""
    write_all(fd, _line(revision, changes))


def take_back(fd: int, revision: int) -> None:
    """Cut the last line off if it is this revision's."""
    text = os.pread(fd, os.fstat(fd).st_size, 0)
    start = text.rfind(b"\n", 0, -1) + 1
    if start and json.loads(text[start:])[0] == revision:
        os.ftruncate(fd, start)
        os.lseek(fd, start, os.SEEK_SET)


def rewrite(folder: Folder, namespace: str, index: Index, temporary: str, *, forget: bool, sync: bool) -> None:
    """Write the log anew, without what is outdated; ``forget`` all deleted names, not the oldest only."""
    gone = sorted(index.gone.items(), key=lambda item: item[1])
    dropped = gone if forget else gone[: -MOST_GONE // 2] if len(gone) > MOST_GONE else []
    forgotten = index.revision if forget else max([index.forgotten, *(revision for _, revision in dropped)])
    by_revision: dict[int, dict[str, Stamp | None]] = {}
    for name, known in index.known.items():
        by_revision.setdefault(known.revision, {})[name] = known.stamp
    for name, revision in gone[len(dropped) :]:
        by_revision.setdefault(revision, {})[name] = None
    lines = [_line(revision, changes) for revision, changes in sorted(by_revision.items())]
    folder.create(temporary, _first_line(forgotten, index.revision) + b"".join(lines), sync=sync)
    folder.move(temporary, folder, namespace)


def _mend(fd: int) -> None:
    size = os.fstat(fd).st_size
    whole = _whole(fd, size)
    if whole < size:
        os.ftruncate(fd, whole)
    os.lseek(fd, whole, os.SEEK_SET)
    if whole == 0:
        write_all(fd, _first_line(0, 0))


def _whole(fd: int, size: int) -> int:
    """Return the length of the lines that are whole."""
    if size and os.pread(fd, 1, size - 1) == b"\n":
        return size
    return os.pread(fd, size, 0).rfind(b"\n") + 1


def _first_line(forgotten: int, written: int) -> bytes:
    return b'{"forgotten":%d,"written":%d}\n' % (forgotten, written)


def _line(revision: int, changes: Changes) -> bytes:
    return json.dumps([revision, changes], separators=(",", ":")).encode() + b"\n"
