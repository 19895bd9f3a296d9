"""A folder with a commit to make in it, and the verdict on what a crash left of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from confo import Backend, Confo, NamespaceNotFound, Write
from confo_file import FileBackend
from confo_file.store import Store

State = dict[str, dict[str, Any]]
OLD, NEW = "old", "new"


def opened(root: Path) -> Confo:
    """Return a Confo whose active backend is this folder, and follows nothing."""
    config = Confo(f"reliability {root}")
    config.load_backend({"config_path": root}, "files", "file", follow=False)
    config.activate_backend("files")
    return config


def template(root: Path) -> None:
    """Make a folder with two namespaces of some configurations, as persists made them."""
    root.mkdir()
    config = opened(root)
    for namespace in ("sales", "analytics"):
        config.create_namespace(namespace)
        config.use_namespace(namespace)
        for name in ("a", "b", "gone"):
            config.set(name, {"n": 1, "text": "x" * 100}, None)
        config.persist()
    config.close()


def persist(root: Path) -> Callable[[], object]:
    """Prepare to persist changes of two configurations, a new one and a deletion."""
    config = opened(root)
    sales = config.namespace("sales")
    for name in ("a", "b", "fresh"):
        sales.set(name, "n", 2)
    sales.delete("gone")
    return sales.persist


def commit(root: Path) -> Callable[[], object]:
    """Prepare the same change as one call of the backend, which the core cannot send again."""
    backend = FileBackend.open({"config_path": root})
    entries = backend.load("sales").entries
    data = json.dumps({"n": 2}).encode()
    writes = [Write("sales", name, data, entries[name].revision) for name in ("a", "b")]
    writes += [Write("sales", "gone", None, entries["gone"].revision), Write(".history.sales", "1", b"{}", 0)]
    return lambda: backend.commit(writes)


def first_commit(root: Path) -> Callable[[], object]:
    """Prepare the first commit that there is, where the backend has nothing of its own yet."""
    shutil.rmtree(root / ".history.sales", ignore_errors=True)
    backend = FileBackend.open({"config_path": root})
    shutil.rmtree(root / ".confo")
    names = [Write("sales", name, json.dumps({"n": 2}).encode(), 0) for name in ("c", "d")]
    record = Write(".history.sales", "1", b"{}", 0)
    return lambda: backend.commit([*names, record])


def delete_namespace(root: Path) -> Callable[[], object]:
    """Prepare to delete a namespace."""
    backend = FileBackend.open({"config_path": root})
    return lambda: backend.delete_namespace("sales")


def finish(root: Path) -> Callable[[], object]:
    """Prepare to finish what a killed process had decided: this folder has such a journal."""
    backend = FileBackend(Store(str(root), durable=True))  # open() would finish it
    return lambda: backend.load("sales")


def state(root: Path) -> State:
    """Return all that is in the users' namespaces and how many records, by a backend that was just opened."""
    backend = FileBackend.open({"config_path": root})
    try:
        found = {name: documents(backend, name) for name in backend.namespaces()}
        found["records"] = {name: len(backend.load(f".history.{name}").entries) for name in ("sales", "analytics")}
        return found
    finally:
        backend.close()


def documents(backend: Backend, namespace: str) -> dict[str, Any]:
    """Return a namespace's documents; ValueError for one that is torn."""
    try:
        entries = backend.load(namespace).entries
    except NamespaceNotFound:
        return {}
    return {name: json.loads(entry.data) for name, entry in entries.items()}


def check_files(root: Path) -> None:
    """See that every file of a configuration is a whole document, whoever looks at it without Confo."""
    for path in root.glob("*/*.json"):
        json.loads(path.read_bytes())


def check_goes_on(root: Path) -> None:
    """See that the folder takes commits, and keeps nothing of those that never came to be."""
    backend = FileBackend.open({"config_path": root})
    try:
        if "later" not in backend.namespaces():
            backend.create_namespace("later")
        before = backend.load("later").revision
        assert backend.commit([Write("later", "x", b"{}", 0)]) > before
        assert not [path.name for path in (root / ".confo").iterdir() if path.name.startswith("new-")]
        assert not (root / ".confo/journal").exists()
    finally:
        backend.close()


def verdict(root: Path, old: State, new: State) -> str:
    """Return which of the two states a folder is in; AssertionError if it is neither."""
    check_files(root)
    found = state(root)
    assert found in (old, new), f"neither old nor new: {found}"
    check_goes_on(root)
    return NEW if found == new else OLD
