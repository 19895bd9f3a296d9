"""confo-shelf keeps the contract that every backend of Confo keeps."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest
from hypothesis import settings

from confo import Backend, plugins
from confo_testkit.contract import BackendContract, HeartbeatContract
from confo_testkit.stateful import BackendStateMachine


class TestShelf(BackendContract, HeartbeatContract):
    """Every promise of the seam."""

    @pytest.fixture
    def open_backend(self) -> Callable[[], Backend]:
        """Return a function that opens the test's own, empty store; called again, the same store once more."""
        store = uuid.uuid4().hex  # REPLACE: a server of the test's own, or a prefix that no other test uses
        return lambda: plugins.load("shelf").open({"store": store})

    @pytest.fixture
    def heartbeat(self, monkeypatch: pytest.MonkeyPatch) -> float:
        """Have a quiet watch give signs of life more often, and return how many seconds are between two."""
        monkeypatch.setattr("confo_shelf.backend.HEARTBEAT_SECONDS", 0.1)
        return 0.1


class ShelfMachine(BackendStateMachine):
    """Sequences of edits, races and faults, made up by Hypothesis: none loses, doubles or misreports an edit."""

    def open_backend(self) -> Backend:
        """Open the store of one run once more."""
        return plugins.load("shelf").open({"store": self.store_name})


TestShelfMachine = ShelfMachine.TestCase
TestShelfMachine.settings = settings(max_examples=20, stateful_step_count=20, deadline=None)
