"""What can be seen and done while a root is held still: the files of a namespace, beside what is known of them."""

from __future__ import annotations

import contextlib
import errno
import os
import stat as modes
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from confo import BackendFailure, Entry, NamespaceNotFound, PermissionDenied
from confo_file import formats, layout
from confo_file.folder import Folder, Stamp, stamp
from confo_file.index import Index
from confo_file.journal import INDEX, Head, read_head
from confo_file.layout import Files
from confo_file.settling import Found

if TYPE_CHECKING:
    from confo_file.store import Store

_UNREADABLE = {errno.EFBIG, errno.ELOOP, errno.EACCES, errno.EPERM, errno.ENXIO}
_SHOWN = 20  # namespaces that an error lists; a message is to be read


class Collected(NamedTuple):
    """Files as they are: those that are as they were known, and those that are not (None: gone)."""

    entries: dict[str, Entry]
    strange: dict[str, Found | None]


class Held:
    """A root that is held still; a context manager."""

    def __init__(self, store: Store, root: Folder, state: Folder | None) -> None:
        self.store, self.root, self.state = store, root, state
        self.head = Head("", 1) if state is None else read_head(state)
        store.come_to(self.head.store)
        self._stack = contextlib.ExitStack()
        self._folders: dict[str, Folder | None] = {}
        self._index: Folder | None = None

    @property
    def revision(self) -> int:
        """The store's revision, as this process tells it."""
        return self.head.revision + self.store.ahead

    # --- places ----------------------------------------------------------------------------------

    def namespaces(self) -> list[str]:
        """Return the users' namespaces, sorted."""
        return layout.namespaces(self.root.folders())

    def folder(self, namespace: str) -> Folder | None:
        """Return a namespace's folder; None for one of the core's own that is not there. NamespaceNotFound."""
        found = self.find_folder(namespace)
        if found is None and not namespace.startswith("."):
            names = self.namespaces()
            there = ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
            raise NamespaceNotFound(
                f"no namespace {namespace!r} in {self.root.path}; there are: {there or 'none'}", namespace=namespace
            )
        return found

    def find_folder(self, namespace: str) -> Folder | None:
        """Return a namespace's folder, None if it is not there."""
        if namespace not in self._folders:
            self._folders[namespace] = self._open(layout.check_namespace(namespace))
        return self._folders[namespace]

    def opened(self) -> dict[str, Folder]:
        """Return the folders of namespaces that are open."""
        return {namespace: folder for namespace, folder in self._folders.items() if folder is not None}

    def forget_folder(self, namespace: str) -> None:
        """Look for a namespace's folder anew."""
        self._folders.pop(namespace, None)

    def _open(self, namespace: str) -> Folder | None:
        try:
            return self._stack.enter_context(self.root.folder(namespace))
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.ENOTDIR):
                raise
            raise PermissionDenied(
                f"{self.root.path}/{namespace} is no folder, or a symbolic link that leads out of {self.root.path}; "
                "the credential follow_links=True follows such links",
                namespace=namespace,
            ) from error

    def has_links(self, namespace: str) -> bool:
        """Tell whether a namespace or something in it is a link, so that what changes it may lie elsewhere."""
        folder = self.find_folder(namespace)
        return self.root.is_link(namespace) or (folder is not None and folder.has_links())

    def index(self, namespace: str) -> Index:
        """Return what is known of a namespace's files, up to now."""
        index = self.store.indexes.setdefault(namespace, Index())
        folder = self.index_folder()
        if folder is not None:
            index.catch_up(folder, namespace, self.store.ahead)
        return index

    def index_folder(self) -> Folder | None:
        """Return the folder of the indexes, None if there is none yet."""
        if self._index is None and self.state is not None:
            with contextlib.suppress(FileNotFoundError):
                self._index = self._stack.enter_context(self.state.folder(INDEX))
                self._index.file_mode = self.state.file_mode
        return self._index

    # --- files -----------------------------------------------------------------------------------

    def files(self, namespace: str, names: Collection[str] | None) -> Files:
        """Return the suffix of each configuration that has a file, of all or of these, and which are twins."""
        folder = self.folder(namespace)
        if folder is None:
            return Files({}, {})
        if names is None:
            return layout.configurations(folder.names())
        alike = self.index(namespace).alike  # what differs in case only is looked at together
        wanted = {name for asked in names for name in (asked, *alike.get(asked.lower(), ()))}
        files = (name + suffix for name in wanted for suffix in layout.suffixes(namespace))
        found = layout.configurations([file for file in files if folder.status(file) is not None])
        return Files({name: suffix for name, suffix in found.suffixes.items() if name in names}, found.twins)

    def collect(self, namespace: str, names: Collection[str] | None, *, removed: bool = False) -> Collected:
        """Read the namespace's files, all or these, and tell which are not as they were known.

        With ``removed`` a namespace that is not there is one whose files are all gone.
        """
        if removed and self.find_folder(namespace) is None:
            gone = self.index(namespace).known
            return Collected({}, {name: None for name in gone if names is None or name in names})
        files, known, folder = self.files(namespace, names), self.index(namespace).known, self.folder(namespace)
        found = Collected({}, {})
        for name, suffix in files.suffixes.items():
            read = _read(folder, name, suffix, files.twins) if folder is not None else None
            if read is None:
                continue
            was = known.get(name)
            if was is not None and was.stamp == read.stamp:
                found.entries[name] = self.entry(namespace, name, read, was.revision)
            else:
                found.strange[name] = read
        for name in known if names is None else names:
            if name in known and name not in found.entries and name not in found.strange:
                found.strange[name] = None
        return found

    def strangers(self, namespace: str, names: Collection[str] | None) -> set[str]:
        """Return those that are not as they were known, by what the system says of them: no file is read."""
        known = self.index(namespace).known
        try:
            files, folder = self.files(namespace, names), self.folder(namespace)
        except NamespaceNotFound:
            files, folder = Files({}, {}), None
        here = files.suffixes
        strange = {name for name in (known if names is None else names) if name in known and name not in here}
        for name, suffix in here.items():
            status = folder.status(name + suffix) if folder is not None else None
            was = known.get(name)
            if status is None or was is None or was.stamp != _stamp(name, suffix, status, files.twins):
                strange.add(name)
        return strange

    def entry(self, namespace: str, name: str, found: Found, revision: int) -> Entry:
        """Return a file as an entry: its document, or why it is none. The core's own records are as they are."""
        suffix = str(found.stamp[0])
        if found.problem:
            return Entry(b"", revision, f"{self.path_of(namespace, name, suffix)}: {found.problem}")
        if namespace.startswith("."):
            return Entry(found.data, revision)
        data, problem = formats.read(suffix, found.data)
        if problem:
            colon = "" if problem.startswith("line ") else ":"
            problem = f"{self.path_of(namespace, name, suffix)}{colon} {problem}"
        return Entry(data, revision, problem)

    def path_of(self, namespace: str, name: str, suffix: str) -> str:
        """Return a configuration's path, for texts."""
        return f"{self.root.path}/{namespace}/{name}{suffix}"

    def status_of(self, namespace: str, name: str) -> tuple[str, os.stat_result | None]:
        """Return a configuration's suffix and what the system knows of its file, which is about to be replaced.

        BackendFailure if it is no file or one of two; PermissionDenied for a link: what it leads to is somebody else's.
        """
        folder = self.folder(namespace)
        if folder is None:
            return layout.JSON, None
        place: Any = {"namespace": namespace, "configuration": name}
        files = {suffix: folder.status(name + suffix) for suffix in layout.suffixes(namespace)}
        there = [suffix for suffix, status in files.items() if status is not None]
        if len(there) > 1:
            twins = layout.configurations([name + suffix for suffix in there]).twins
            raise BackendFailure(f"{self.root.path}/{namespace}: {twins[name]}", **place)
        suffix = there[0] if there else layout.JSON
        status = files[suffix]
        if status is not None and folder.is_link(name + suffix):
            raise PermissionDenied(
                f"{self.path_of(namespace, name, suffix)} is a symbolic link, as Kubernetes mounts a ConfigMap: write "
                "to what it leads to",
                **place,
            )
        if status is not None and not modes.S_ISREG(status.st_mode):
            raise BackendFailure(
                f"{self.path_of(namespace, name, suffix)} is no regular file and is left alone", **place
            )
        return suffix, status

    def close(self) -> None:
        """Let go of the folders."""
        self._stack.close()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close it."""
        self.close()


def _read(folder: Folder, name: str, suffix: str, twins: Mapping[str, str]) -> Found | None:
    """Read a file; None if it is not there. What must not or cannot be opened is there, and is no document."""
    file = name + suffix
    try:
        if name in twins:
            status = folder.status(file)
            return None if status is None else Found(b"", _stamp(name, suffix, status, twins), problem=twins[name])
        read = folder.read(file, formats.LARGEST_FILE)
        return Found(read.data, stamp(suffix, read.status), is_linked=read.is_linked)
    except FileNotFoundError:
        found = folder.status(file)  # a link that leads nowhere is there
        return None if found is None else Found(b"", stamp(suffix, found), problem="it is a link that leads nowhere")
    except OSError as error:
        if error.errno not in _UNREADABLE:
            raise
        found = folder.status(file)
        return None if found is None else Found(b"", stamp(suffix, found), problem=_why(error))


def _stamp(name: str, suffix: str, status: os.stat_result, twins: Mapping[str, str]) -> Stamp:
    """Return a file's stamp; of one that has a twin another one than it has alone."""
    return [*stamp(suffix, status)[:-1], -1] if name in twins else stamp(suffix, status)


def _why(error: OSError) -> str:
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"it cannot be read as uid {os.geteuid()}: {error.strerror}"
    if error.errno == errno.ENXIO:
        return "it is no regular file"
    if error.errno == errno.EFBIG:
        return f"{error.strerror}: {formats.LARGEST:,} as JSON"
    if "leads out" in str(error.strerror):
        return f"{error.strerror}, which the credential follow_links=True allows"
    return f"it cannot be opened: {error.strerror}"
