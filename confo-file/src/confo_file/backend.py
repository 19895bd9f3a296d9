"""The seam over a folder of files."""

from __future__ import annotations

import dataclasses
import os
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Self

from confo import Backend, Capabilities, CredentialsError, Entry, Snapshot, Watch, Write
from confo_file import committing, credentials, layout, reading
from confo_file.errors import translated
from confo_file.folder import FOLDER_MODE
from confo_file.held import Held
from confo_file.notifier import CHANGED, Notifier
from confo_file.store import Store
from confo_file.watch import FileWatch


class FileBackend(Backend):
    """Namespaces as folders, configurations as files, shared by the processes of a machine.

    All methods may be called from any thread, also after a fork.
    """

    capabilities = Capabilities(
        atomic_writes=committing.MAX_WRITES,
        max_value_bytes=committing.MAX_VALUE_BYTES,
        durable=True,
        push=True,
        resumable=True,
        every_commit=False,
        shared=True,
        keeps_bytes=False,  # new files are indented, and a person's layout stays
    )
    credential_names = credentials.ALLOWED
    create_credentials: ClassVar[Mapping[str, object]] = {"create": True}

    def __init__(self, store: Store) -> None:
        self._store = store
        self._notifier = Notifier(store.path)
        self.capabilities = dataclasses.replace(
            type(self).capabilities, durable=store.durable, writable=store.is_writable()
        )
        _backends.add(self)

    def __repr__(self) -> str:
        """Show where it is."""
        return f"<FileBackend at {self._store.path}{', closed' if self._store.closed else ''}>"

    @classmethod
    def open(cls, given: Mapping[str, object]) -> Self:
        """Open the folder ``config_path``, made if ``create``; finish what a crash left half done.

        Raises CredentialsError if there is no such folder, PermissionDenied if it cannot be read.
        """
        path, create, durable, follow_links = credentials.parse(given)
        with translated(f"open {path}"):
            if create:
                Path(path).mkdir(FOLDER_MODE, parents=True, exist_ok=True)
            if not Path(path).is_dir():
                if Path(path).exists():
                    raise CredentialsError(f"{path} is a file; config_path is the folder above the namespaces' folders")
                raise CredentialsError(
                    f"there is no folder {path}: make it, or give 'create': True (create=True in connect())"
                )
        backend = cls(Store(path, durable=durable, follow_links=follow_links))
        backend.namespaces()
        return backend

    @classmethod
    def url_credentials(cls, location: str, folder: str) -> dict[str, object]:
        """Return the folder's path: ``file:///etc/shop/sales`` is the namespace sales in ``/etc/shop``."""
        if location or not folder:
            raise CredentialsError("a URL of files is file:///absolute/path/namespace, with three slashes")
        return {"config_path": folder}

    @property
    def identity(self) -> str:
        """Return what tells this folder's store from every other one: another once somebody deleted its ``.confo``."""
        return self._store.identity

    def namespaces(self) -> list[str]:
        """Return the names of the folders, sorted."""
        with self._store.holding("list the namespaces") as held:
            return held.namespaces()

    def create_namespace(self, namespace: str) -> None:
        """Make the folder; InvalidName if there is one whose name differs in case only."""
        asked = f"create namespace {namespace!r}"
        with self._store.holding(asked, exclusive=True) as held:
            committing.create(held, namespace, asked)

    def delete_namespace(self, namespace: str) -> None:
        """Delete the folder and its configurations; BackendFailure if other files are in it."""
        asked = f"delete namespace {namespace!r}"
        with self._store.holding(asked, exclusive=True) as held:
            committing.delete(held, namespace, asked)
        self._changed()

    def load(self, namespace: str) -> Snapshot:
        """Return the namespace as it is; what somebody is writing this moment is waited for."""
        state = reading.read(self._store, namespace, lambda _: None, f"load {namespace!r}")
        return Snapshot(namespace, state.revision, state.entries)

    def read(self, namespace: str, names: Sequence[str]) -> dict[str, Entry]:
        """Return those of these names that have a file."""
        return reading.read(self._store, namespace, lambda _: names, f"read from {namespace!r}").entries

    def scan(
        self, namespace: str, *, start: str = "", limit: int = 100, reverse: bool = False
    ) -> list[tuple[str, Entry]]:
        """Return up to ``limit`` entries in order of name; no other file is read."""

        def page(held: Held) -> list[str]:
            names = sorted(held.files(namespace, None).suffixes, reverse=reverse)
            within = [name for name in names if not start or (name <= start if reverse else name >= start)]
            return within[: max(0, limit)]

        entries = reading.read(self._store, namespace, page, f"scan {namespace!r}").entries
        return [(name, entries[name]) for name in sorted(entries, reverse=reverse)]

    def commit(self, writes: Sequence[Write]) -> int:
        """Write all or nothing; guards are held against the files themselves."""
        committing.check_size(writes)
        asked = f"commit to {', '.join(sorted({repr(write.namespace) for write in writes}))}"
        with self._store.holding(asked, exclusive=True) as held:
            revision = committing.commit(held, writes, asked)
        self._changed()
        return revision

    def watch(self, namespace: str, after: int) -> Watch:
        """Tell what is committed or edited after this revision."""
        with self._store.holding(f"watch {namespace!r}"):
            return FileWatch(self._store, self._notifier, namespace, after)

    def left_out(self, namespace: str) -> Mapping[str, str]:
        """Return what lies in a namespace's folder and is no configuration's file, and why."""
        with self._store.holding(f"look at {namespace!r}") as held:
            folder = held.find_folder(namespace)
            return {} if folder is None else layout.left_out(folder.names())

    def compact(self, namespace: str) -> None:
        """Forget what changed at which revision before now, as happens by itself from time to time."""
        with self._store.holding(f"compact {namespace!r}", exclusive=True) as held:
            committing.tidy(held, namespace, forget=True)

    def close(self) -> None:
        """End every watch and the thread that hears of changes."""
        with CHANGED:
            self._store.closed = True
            CHANGED.notify_all()
        self._notifier.close()

    def after_fork_in_child(self) -> None:
        """Hear of changes anew when somebody watches: the parent's thread is not there."""
        self._notifier.renew()

    def _changed(self) -> None:
        with CHANGED:
            Store.commits += 1
            CHANGED.notify_all()


_backends: weakref.WeakSet[FileBackend] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for backend in list(_backends):
        backend.after_fork_in_child()


os.register_at_fork(before=CHANGED.acquire, after_in_parent=CHANGED.release, after_in_child=CHANGED.release)
os.register_at_fork(after_in_child=_after_fork_in_child)
