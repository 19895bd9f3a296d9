"""The memory backend keeps the contract of the seam."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping

import pytest

from confo import ANY, Backend, Write
from confo_memory import MemoryBackend
from confo_memory.store import Store, open_store
from confo_testkit.contract import (
    BackendContract,
    CompactionContract,
    CredentialsContract,
    HeartbeatContract,
    OutOfBandContract,
)


class StoreItself:
    """Reaches a store without a backend."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def put(self, namespace: str, name: str, data: bytes) -> None:
        """Write these bytes."""
        self._store.commit([Write(namespace, name, data, ANY)])

    def delete(self, namespace: str, name: str) -> None:
        """Delete what is there."""
        self._store.commit([Write(namespace, name, None, ANY)])

    def get(self, namespace: str, name: str) -> bytes | None:
        """Return the bytes that are there, or None."""
        entry = self._store.entries(namespace).get(name)
        return None if entry is None else entry.data


class TestMemoryContract(
    BackendContract, OutOfBandContract, CompactionContract, CredentialsContract, HeartbeatContract
):
    """Every promise of the seam, on a shared store of its own."""

    @pytest.fixture
    def heartbeat(self, monkeypatch: pytest.MonkeyPatch) -> float:
        """Give signs of life more often."""
        monkeypatch.setattr("confo_memory.backend.HEARTBEAT_SECONDS", 0.1)
        return 0.1

    @pytest.fixture
    def credentials(self) -> Mapping[str, object]:
        """Name a store that only this test knows."""
        return {"store": uuid.uuid4().hex, "history": 1000}

    @pytest.fixture
    def open_backend(self, credentials: Mapping[str, object]) -> Callable[[], Backend]:
        """Open that store once more."""
        return lambda: MemoryBackend.open(credentials)

    @pytest.fixture
    def store(self, credentials: Mapping[str, object]) -> Store:
        """Return the store itself."""
        return open_store(str(credentials["store"]), 1000)

    @pytest.fixture
    def outside(self, store: Store) -> StoreItself:
        """Reach it around the backend."""
        return StoreItself(store)

    @pytest.fixture
    def compact(self, store: Store) -> Callable[[], None]:
        """Let it forget its past."""
        return store.compact
