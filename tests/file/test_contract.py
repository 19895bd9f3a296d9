"""The file backend keeps the contract of the seam, and so do its folders that other tools write to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from confo import Backend
from confo_file import FileBackend
from confo_testkit.contract import (
    BackendContract,
    CompactionContract,
    CredentialsContract,
    HeartbeatContract,
    OutOfBandContract,
)


class Shell:
    """Reaches the files as ``echo >``, ``rm`` and ``cat`` do: in place, with no lock."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, namespace: str, name: str, data: bytes) -> None:
        """Write these bytes."""
        self._path(namespace, name).write_bytes(data)

    def delete(self, namespace: str, name: str) -> None:
        """Delete what is there."""
        self._path(namespace, name).unlink()

    def get(self, namespace: str, name: str) -> bytes | None:
        """Return the bytes that are there, or None."""
        path = self._path(namespace, name)
        return path.read_bytes() if path.exists() else None

    def _path(self, namespace: str, name: str) -> Path:
        return self._root / namespace / f"{name}.json"


class TestFileContract(BackendContract, OutOfBandContract, CompactionContract, CredentialsContract, HeartbeatContract):
    """Every promise of the seam, on a folder of the test's own."""

    @pytest.fixture
    def heartbeat(self, monkeypatch: pytest.MonkeyPatch) -> float:
        """Give signs of life more often."""
        monkeypatch.setattr("confo_file.watch.HEARTBEAT_SECONDS", 0.1)
        return 0.1

    @pytest.fixture
    def credentials(self, root: Path) -> Mapping[str, object]:
        """Name it, and all else that can be said."""
        return {"config_path": str(root), "create": False, "durable": True}

    @pytest.fixture
    def open_backend(self, credentials: Mapping[str, object]) -> Callable[[], Backend]:
        """Open it once more."""
        return lambda: FileBackend.open(credentials)

    @pytest.fixture
    def outside(self, root: Path) -> Shell:
        """Reach it around the backend."""
        return Shell(root)

    @pytest.fixture
    def compact(self, backend: FileBackend) -> Callable[[], None]:
        """Let it forget its past."""
        return lambda: backend.compact("sales")


class TestWithoutSync(BackendContract):
    """Every promise of the seam but that of surviving a power cut."""

    @pytest.fixture
    def open_backend(self, root: Path) -> Callable[[], Backend]:
        """Open a folder whose commits do not wait for the disk."""
        return lambda: FileBackend.open({"config_path": root, "durable": False})
