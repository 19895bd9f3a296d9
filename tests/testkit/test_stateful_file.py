"""The state machine on a folder of files, with a small budget: a folder of its own for every run."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from confo import Backend
from confo_file import FileBackend
from confo_testkit.stateful import NAMESPACE, BackendStateMachine

pytestmark = pytest.mark.slow


def test_no_edit_is_lost_in_files(tmp_path):
    """Whatever happens in whichever order, in a folder of files: no edit is lost, doubled or misreported."""

    class FileMachine(BackendStateMachine):
        """On a folder that only this run uses."""

        def open_backend(self) -> Backend:
            """Open it once more."""
            return FileBackend.open({"config_path": tmp_path / self.store_name, "create": True, "durable": False})

        def compact(self) -> None:
            """Forget what watches could resume from."""
            assert isinstance(self.tool, FileBackend)
            self.tool.compact(NAMESPACE)

    run_state_machine_as_test(
        FileMachine,
        settings=settings(
            max_examples=40,
            stateful_step_count=20,
            deadline=None,
            print_blob=True,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
