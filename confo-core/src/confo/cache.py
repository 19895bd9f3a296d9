"""The last-known-good files: where they lie, who may read them, and how one is replaced without ever being half.

One file a namespace, and the generation before it. A file is written beside its place, flushed to the disk and
renamed; a process that is killed at any moment leaves the old or the new one. Files are 0600 in a folder that is 0700
and this user's; what belongs to somebody else, or is a link, is not read.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import logging
import os
import re
import stat
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from confo.errors import CacheError
from confo.kept import Damaged, Kept, decode, encode

if sys.platform != "win32":
    import fcntl

log = logging.getLogger("confo")

REFRESH_SECONDS = 300.0
"""How far the time in a file, when its state was last known to be true, may lie behind."""
_SAFE = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)
"""Follow no link, leave it to no other program, and do not wait for the other end of a pipe that lies there."""
# Whatever a backend calls its secrets: a new password is the same store, and a name is no place for a digest of one.
_SECRET = re.compile("pass|secret|token|key|pwd|auth|cert|credential", re.IGNORECASE)
_WAYS = frozenset({"timeout"})
"""How the store is asked, not which one."""


class Cache:
    """The files of one loaded backend."""

    def __init__(self, folder: Path, kind: str, name: str, credentials: Mapping[str, object]) -> None:
        self.folder = folder
        self._key = (kind, name, _location(credentials))

    def file(self, namespace: str) -> CacheFile:
        """Return the file of a namespace.

        It is named after the backend's kind and name in the program and a digest of the credentials without secrets:
        a program that starts while the store is down cannot ask which store it is. Which one it was is in the file.
        """
        digest = hashlib.sha256(json.dumps([*self._key, namespace]).encode()).hexdigest()
        return CacheFile(self.folder, namespace, f"{namespace}-{digest[:32]}")


class CacheFile:
    """The two generations of one namespace's file."""

    def __init__(self, folder: Path, namespace: str, name: str) -> None:
        self.namespace = namespace
        self.path = folder / f"{name}.cache"
        self.older = folder / f"{name}.cache.1"
        self._fresh = folder / f"{name}.cache.new"
        self._lock = folder / f"{name}.lock"

    def read(self) -> Kept | None:
        """Return what the newest generation holds that is whole, None if there is no file; else CacheError."""
        reasons = []
        for path in (self.path, self.older):
            try:
                kept = self._read(path)
            except FileNotFoundError:
                continue
            except Damaged as error:
                reasons.append(f"{path}: {error}")
            else:
                if reasons:
                    log.warning("the older generation of a cache file is read: %s", reasons[0])
                return kept
        if reasons:
            raise CacheError(
                f"nothing that was kept of {self.namespace} can be used: {'; '.join(reasons)}", namespace=self.namespace
            )
        return None

    def write(self, kept: Kept, *, replaces: bool = False) -> bool:
        """Put this in the place of the newest generation, unless another process wrote something newer.

        ``replaces`` says that the store was set back or replaced: then nothing of before is kept. Return whether it
        was written. Raises BlockingIOError while another process writes, and any other OSError.
        """
        with _locked(self._lock):
            there = self._there()
            if there is not None and not replaces and not is_news(there, kept):
                return False
            _write(self._fresh, encode(kept))
            if replaces or (there is not None and there.identity != kept.identity):
                self.older.unlink(missing_ok=True)
            elif there is not None:  # what is damaged must not take the place of what is whole
                self.path.replace(self.older)
            self._fresh.replace(self.path)
            _flush(self.path.parent)
        return True

    def remove(self) -> None:
        """Forget what was kept of a namespace that was deleted."""
        for path in (self.path, self.older):
            path.unlink(missing_ok=True)

    def _there(self) -> Kept | None:
        try:
            return self._read(self.path)
        except (FileNotFoundError, Damaged):
            return None

    def _read(self, path: Path) -> Kept:
        try:
            kept = decode(_content(path))
        except FileNotFoundError:
            raise
        except OSError as error:
            why = "it is a symbolic link" if error.errno == errno.ELOOP else os.strerror(error.errno or 0)
            raise Damaged(why) from error
        if kept.namespace != self.namespace:
            raise Damaged("it is of another namespace")
        return kept


def is_news(there: Kept, kept: Kept) -> bool:
    """Tell whether something is to take the place of what is in the file."""
    if there.identity != kept.identity:
        return True
    return (kept.revision, kept.known_at) > (there.revision, there.known_at + 1.0)


def prepare(folder: str | os.PathLike[str] | None) -> Path:
    """Return the folder of the cache files, made if it is not there; None: the platform's for this user.

    Raises CacheError if it cannot be made, or is another user's, or others may look into it.
    """
    path = _platform_folder() if folder is None else Path(folder).expanduser().absolute()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700)
        about = path.lstat()
    except OSError as error:
        raise CacheError(
            f"the cache folder {path} cannot be used: {error.strerror}; give another, cache=..."
        ) from error
    if not stat.S_ISDIR(about.st_mode):
        raise CacheError(f"the cache folder {path} is no folder (a link is not followed); give another, cache=...")
    if sys.platform != "win32" and (about.st_uid != os.geteuid() or about.st_mode & 0o077):
        raise CacheError(
            f"the cache folder {path} must be this user's and closed to others, as documents may hold secrets: "
            "chmod 700, or give one that does not exist yet, cache=..."
        )
    return path


def _platform_folder() -> Path:
    """Return where this platform keeps a user's caches (XDG Base Directory Specification; Apple's and Microsoft's)."""
    try:
        home = Path.home()
    except RuntimeError as error:
        raise CacheError("this user has no home folder to keep a cache in; give one, cache=...") from error
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = home / "Library" / "Caches"
    else:
        given = Path(os.environ.get("XDG_CACHE_HOME", ""))
        base = given if given.is_absolute() else home / ".cache"
    return base / "confo"


def _location(credentials: Mapping[str, object]) -> str:
    kept = {name: value for name, value in credentials.items() if name not in _WAYS and not _SECRET.search(str(name))}
    return json.dumps(kept, sort_keys=True, default=lambda value: str(value) if isinstance(value, os.PathLike) else "")


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Let one writer at a time in, of all processes; BlockingIOError for the others. Not on Windows, which has none."""
    if sys.platform == "win32":
        yield
        return
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | _SAFE, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _content(path: Path) -> bytes:
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | _SAFE)) as file:
        about = os.fstat(file.fileno())
        if not stat.S_ISREG(about.st_mode):
            raise Damaged("it is no regular file")
        if sys.platform != "win32" and about.st_uid != os.geteuid():
            raise Damaged("it belongs to another user")
        if sys.platform != "win32" and about.st_mode & 0o077:
            raise Damaged("others may read or write it")
        return file.read()


def _write(path: Path, data: bytes) -> None:
    path.unlink(missing_ok=True)  # what a killed writer left
    with open(path, "xb", opener=lambda name, flags: os.open(name, flags | _SAFE, 0o600)) as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _flush(folder: Path) -> None:
    """Have the renames on the disk."""
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY | _SAFE)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
