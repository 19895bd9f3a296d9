"""The state machine on etcd, with a small budget: each version, a store of its own for every run."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from confo import Backend
from confo_etcd import EtcdBackend
from confo_testkit.stateful import NAMESPACE, BackendStateMachine
from tests.servers import EtcdServer, etcd_binary

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("label", ["etcd-3.5", "etcd-3.4"])
def test_no_edit_is_lost_on_etcd(label):
    """Whatever happens in whichever order, a real etcd included: no edit is lost, doubled or misreported."""
    with EtcdServer(etcd_binary(label)) as server:

        class EtcdMachine(BackendStateMachine):
            """On a part of the server that only this run uses."""

            compacted = 0

            def open_backend(self) -> Backend:
                """Connect once more."""
                return EtcdBackend.open({"host": "127.0.0.1", "port": server.port, "prefix": f"/{self.store_name}/"})

            def compact(self) -> None:
                """Let the server forget everything up to now."""
                revision = self.tool.load(NAMESPACE).revision
                if revision > self.compacted:
                    server.ctl("compact", str(revision))
                    self.compacted = revision

        run_state_machine_as_test(
            EtcdMachine,
            settings=settings(
                max_examples=40,
                stateful_step_count=20,
                deadline=None,
                print_blob=True,
                suppress_health_check=[HealthCheck.too_slow],
            ),
        )
