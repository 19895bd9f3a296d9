"""A store for every test of the core: memory, the reference."""

from __future__ import annotations

import sys
import uuid

import pytest

from confo import Backends
from confo_memory import MemoryBackend
from tests.stores import config, options, other, sales, theirs  # noqa: F401 - fixtures


@pytest.fixture
def kind():
    """Return the kind of backend."""
    return "memory"


@pytest.fixture
def credentials():
    """Return the credentials of a store that only this test knows."""
    return {"store": uuid.uuid4().hex}


@pytest.fixture
def store(credentials):
    """Return a backend of its own on the store, to write there around Confo."""
    return MemoryBackend.open(credentials)


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install a distribution by hand: its metadata, its entry point and its module."""

    def do(distribution, kind, source, *, version="1.2", value=None, group="confo.backends"):
        module = distribution.replace("-", "_")
        folder = tmp_path / distribution
        info = folder / f"{module}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[{group}]\n{kind} = {value or module}\n")
        (folder / f"{module}.py").write_text(source)
        monkeypatch.syspath_prepend(str(folder))
        monkeypatch.delitem(sys.modules, module, raising=False)

    yield do
    for name in [name for name in sys.modules if name.startswith("confo.Backends.Third")]:
        del sys.modules[name]
        vars(Backends).pop(name.rpartition(".")[2], None)
