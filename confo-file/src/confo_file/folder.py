"""One folder, held open: every name is looked up inside of it, and links are followed to what lies below the root only.

Kubernetes and Docker mount configurations as links: ``db.json -> ..data/db.json -> ..2026_1/db.json``. Names with a
slash never come here (``layout``). What is opened is a regular file or is refused: to open a pipe would wait for who
writes to it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time
from collections.abc import Iterator
from typing import Final, NamedTuple, Self

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FILE: Final = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
FILE_MODE: Final = 0o600
FOLDER_MODE: Final = 0o700
"""Of what is made new: configurations hold passwords. What is there keeps the mode that it has."""

Stamp = list[str | int]
"""What tells one state of a file from another: its suffix, then mtime_ns, size, inode and ctime_ns."""


def stamp(suffix: str, status: os.stat_result) -> Stamp:
    """Return a file's stamp; a list, as the index reads it back from JSON."""
    return [suffix, status.st_mtime_ns, status.st_size, status.st_ino, status.st_ctime_ns]


class Read(NamedTuple):
    """A file's bytes, what the system knew of it when they were read, and whether a link led to it."""

    data: bytes
    status: os.stat_result
    is_linked: bool


class Folder:
    """An open folder; a context manager."""

    __slots__ = ("fd", "file_mode", "limit", "path")

    def __init__(self, fd: int, path: str, limit: str, file_mode: int = FILE_MODE) -> None:
        self.fd, self.path, self.limit, self.file_mode = fd, path, limit, file_mode

    @classmethod
    def open(cls, path: str, *, follow_links: bool = False) -> Self:
        """Open a folder by its path; links in it lead to what is below it, or with ``follow_links`` anywhere."""
        return cls(os.open(path, _FOLDER), path, "/" if follow_links else os.path.realpath(path))

    def folder(self, name: str) -> Folder:
        """Open a folder in this one, or one that a link in this one leads to."""
        try:
            fd = os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=self.fd)
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.ENOTDIR) or not self.is_link(name):
                raise
            fd = os.open(self._target(name), _FOLDER | os.O_NOFOLLOW)
        return Folder(fd, f"{self.path}/{name}", self.limit)

    def is_link(self, name: str) -> bool:
        """Tell whether a name is a symbolic link."""
        try:
            return stat.S_ISLNK(os.stat(name, dir_fd=self.fd, follow_symlinks=False).st_mode)
        except FileNotFoundError:
            return False

    def _target(self, name: str) -> str:
        """Return what a link leads to in the end; OSError (ELOOP) if that is outside, or nowhere."""
        found = os.path.realpath(f"{self.path}/{name}", strict=True)
        if self.limit != "/" and not found.startswith(f"{self.limit}/"):
            raise OSError(errno.ELOOP, f"it is a symbolic link that leads out of {self.limit}", name)
        return found

    def make_folder(self, name: str) -> None:
        """Make a folder in this one; FileExistsError."""
        os.mkdir(name, FOLDER_MODE, dir_fd=self.fd)

    def names(self) -> list[str]:
        """Return the names of all that is in it."""
        return os.listdir(self.fd)  # noqa: PTH208 - pathlib knows no descriptors

    def folders(self) -> list[str]:
        """Return the names of the folders in it."""
        with os.scandir(self.fd) as entries:
            return [entry.name for entry in entries if self._is_folder(entry)]

    def has_links(self) -> bool:
        """Tell whether something in it is a symbolic link."""
        with os.scandir(self.fd) as entries:
            return any(entry.is_symlink() for entry in entries)

    def _is_folder(self, entry: os.DirEntry[str]) -> bool:
        if not entry.is_symlink():
            return entry.is_dir(follow_symlinks=False)
        with contextlib.suppress(OSError):
            return os.path.isdir(self._target(entry.name))  # noqa: PTH112 - quicker for many
        return False

    def status(self, name: str) -> os.stat_result | None:
        """Return what the system knows of a file, None if it is not there; of a link that is followed, its target's."""
        try:
            found = os.stat(name, dir_fd=self.fd, follow_symlinks=False)
            if not stat.S_ISLNK(found.st_mode):
                return found
            try:
                return os.stat(self._target(name))  # noqa: PTH116 - pathlib knows no descriptors
            except OSError:
                return found
        except FileNotFoundError:
            return None

    def open_file(self, name: str, flags: int = os.O_RDONLY) -> int:
        """Open a file that is there and return its descriptor."""
        return os.open(name, flags | _FILE, dir_fd=self.fd)

    def open_or_make_file(self, name: str) -> int:
        """Open a file to read and write, made if need be, and return its descriptor."""
        with contextlib.suppress(FileNotFoundError):
            return self.open_file(name, os.O_RDWR)
        fd = os.open(name, os.O_RDWR | os.O_CREAT | _FILE, self.file_mode, dir_fd=self.fd)
        os.fchmod(fd, self.file_mode)  # whatever the umask
        return fd

    def read(self, name: str, most: int | None = None) -> Read:
        """Read a file; OSError of EFBIG, and nothing is read, where there are more bytes than ``most``."""
        is_linked = False
        try:
            fd = os.open(name, os.O_RDONLY | _FILE, dir_fd=self.fd)
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            is_linked, fd = True, os.open(self._target(name), os.O_RDONLY | _FILE)
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                raise OSError(errno.ENXIO, "it is no regular file", name)
            if most is not None and status.st_size > most:
                raise OSError(errno.EFBIG, f"its {status.st_size:,} bytes are more than a document may have", name)
            return Read(read_all(fd, status.st_size), status, is_linked)
        finally:
            let_go(fd)

    def create(
        self, name: str, data: bytes, *, sync: bool, mode: int | None = None, like: os.stat_result | None = None
    ) -> os.stat_result:
        """Write a new file, with this mode or the owner and mode of another, and return what the system knows of it.

        Its mtime is the moment to the nanosecond. The kernel's own are those of a clock that ticks some hundred times
        a second: a later write of as many bytes in place, within one tick even, shows by its mtime.
        """
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FILE
        try:
            fd = os.open(name, flags, FILE_MODE, dir_fd=self.fd)
        except FileExistsError:  # of a process that was killed
            self.remove(name)
            fd = os.open(name, flags, FILE_MODE, dir_fd=self.fd)
        try:
            if like is None:
                os.fchmod(fd, self.file_mode if mode is None else mode)
            else:
                _be_like(fd, like)
            write_all(fd, data)
            now = time.time_ns()
            os.utime(fd, ns=(now, now))
            if sync:
                os.fsync(fd)  # never again if it fails: the system may have dropped what it could not write
            return os.fstat(fd)
        finally:
            os.close(fd)

    def move(self, name: str, target: Folder, new: str) -> None:
        """Rename a file into a folder, over what is there."""
        os.rename(name, new, src_dir_fd=self.fd, dst_dir_fd=target.fd)

    def remove(self, name: str) -> None:
        """Delete a file, if it is there."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self.fd)

    def age(self) -> float:
        """Return the seconds since a name in it changed, by the clock of files."""
        return (time.time_ns() - os.fstat(self.fd).st_ctime_ns) / 1e9

    def sync(self) -> None:
        """Wait until the names in it are on the disk."""
        os.fsync(self.fd)

    def close(self) -> None:
        """Let go of it."""
        let_go(self.fd)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close it."""
        self.close()


def let_go(fd: int) -> None:
    """Close a descriptor. An error of that says nothing: what was written to it is known to be on the disk, or not."""
    with contextlib.suppress(OSError):
        os.close(fd)


def read_all(fd: int, size: int) -> bytes:
    """Return all that is to be read from here on; ``size`` is what to expect."""
    data = os.read(fd, size + 1)
    if len(data) == size:
        return data
    return b"".join([data, *_chunks(fd)])


def write_all(fd: int, data: bytes) -> None:
    """Write all of it: a disk that is nearly full takes a part first."""
    left = memoryview(data)
    while left:
        left = left[os.write(fd, left) :]


def _chunks(fd: int) -> Iterator[bytes]:
    while chunk := os.read(fd, 1 << 20):
        yield chunk


def _be_like(fd: int, like: os.stat_result) -> None:
    if like.st_uid != os.geteuid():
        with contextlib.suppress(PermissionError):  # who is not root owns what he writes
            os.fchown(fd, like.st_uid, like.st_gid)
    os.fchmod(fd, stat.S_IMODE(like.st_mode))
