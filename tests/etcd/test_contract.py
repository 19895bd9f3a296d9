"""The etcd backend keeps the contract of the seam."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from confo import Backend
from confo_etcd import EtcdBackend
from confo_testkit.contract import BackendContract
from tests.servers import EtcdServer


class TestEtcdContract(BackendContract):
    """Every promise of the seam, on each version of etcd."""

    @pytest.fixture
    def open_backend(self, server: EtcdServer, prefix: str) -> Callable[[], Backend]:
        """Open the test's own part of the shared server."""
        return lambda: EtcdBackend.open({"host": "127.0.0.1", "port": server.port, "prefix": prefix})
