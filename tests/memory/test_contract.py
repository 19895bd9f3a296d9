"""The memory backend keeps the contract of the seam."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest

from confo import Backend
from confo_memory import MemoryBackend
from confo_testkit.contract import BackendContract


class TestMemoryContract(BackendContract):
    """Every promise of the seam, on a shared store of its own."""

    @pytest.fixture
    def open_backend(self) -> Callable[[], Backend]:
        """Open a store that only this test knows the name of."""
        name = uuid.uuid4().hex
        return lambda: MemoryBackend.open({"store": name})
