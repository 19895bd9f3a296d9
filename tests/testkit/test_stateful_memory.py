"""The state machine on memory: whatever happens in whichever order, no edit is lost."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

from confo import Backend
from confo_memory import MemoryBackend
from confo_testkit.stateful import BackendStateMachine


class MemoryMachine(BackendStateMachine):
    """On a store of its own in this process."""

    def open_backend(self) -> Backend:
        """Open that store once more."""
        return MemoryBackend.open({"store": self.store_name})

    def compact(self) -> None:
        """Forget all commits up to now."""
        assert isinstance(self.tool, MemoryBackend)
        self.tool.store.compact()


TestMemory = pytest.mark.slow(MemoryMachine.TestCase)
TestMemory.settings = settings(
    max_examples=300,
    stateful_step_count=30,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
