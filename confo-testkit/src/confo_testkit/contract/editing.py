"""Editing: what the core builds on guards, tried through the core, with several handles at once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from confo import Backend, ConflictError, Namespace
from confo_testkit.contract.base import Contract, put

EACH = 15
"""Increments of one thread: two threads on each of two handles meet often enough."""


class EditingContract(Contract):
    """An edit that was acknowledged is in the store, whoever edits the same at the same time."""

    def test_acknowledged_edits(self, opened: Callable[[], Backend], backend: Backend) -> None:
        """N increments in ``edit()`` that returned without an error are N, equal values included."""
        put(backend, b'{"n":0}', "counter")
        namespaces = [Namespace("store", handle, "sales") for handle in (backend, opened())]

        def increment(namespace: Namespace) -> int:
            acknowledged = 0
            for _ in range(100 * EACH):
                try:
                    with namespace.edit() as draft:
                        draft["counter"]["n"] += 1
                except ConflictError:
                    continue
                acknowledged += 1
                if acknowledged == EACH:
                    break
            return acknowledged

        try:
            with ThreadPoolExecutor(4) as pool:
                acknowledged = sum(pool.map(increment, namespaces * 2))
        finally:
            for namespace in namespaces:
                namespace._replica.close()
        found = backend.load("sales")["counter"]["n"]
        assert found == acknowledged, f"{acknowledged} increments were acknowledged, the counter says {found}"
        assert acknowledged == 4 * EACH, "increments that met conflicted for ever"
