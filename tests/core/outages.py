"""A store in memory that a test takes down and brings back: refusing, silent, or saying no."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Mapping
from typing import Self

from confo import ANY, Backend, BackendUnavailable, Write
from confo_memory import MemoryBackend
from confo_testkit.faults import FaultyBackend

SECONDS = 10.0


class Outage:
    """A store and the kind of backend that opens it, as long as it is not down."""

    def __init__(self) -> None:
        self.name = uuid.uuid4().hex
        self.tool = MemoryBackend.open({"store": self.name})
        self.tool.create_namespace("sales")
        self.opened: list[FaultyBackend] = []
        self.refusal: Exception | None = None
        self.answering = threading.Event()
        self.answering.set()
        self.kind = self._kind()

    def _kind(self) -> type[Backend]:
        outage = self

        class Sometimes(FaultyBackend):
            @classmethod
            def open(cls, credentials: Mapping[str, object]) -> Self:  # type: ignore[override] # the faulty one has none
                assert outage.answering.wait(SECONDS)
                if outage.refusal is not None:
                    raise outage.refusal
                backend = cls(MemoryBackend.open({"store": outage.name}))
                outage.opened.append(backend)
                return backend

        return Sometimes

    def put(self, **documents: bytes | None) -> int:
        """Write around Confo, as another tool would: None deletes."""
        return self.tool.commit([Write("sales", name, data, ANY) for name, data in documents.items()])

    def refuse(self, error: Exception | None = None) -> None:
        """Refuse every connection, those there included."""
        self.refusal = error or BackendUnavailable("nobody is there")
        for backend in self.opened:
            backend.go_down()

    def fall_silent(self) -> None:
        """Answer nobody who opens."""
        self.answering.clear()

    def come_back(self) -> None:
        """Answer again."""
        self.refusal = None
        self.answering.set()
        for backend in self.opened:
            backend.come_back()

    def replace(self) -> MemoryBackend:
        """Put another store in its place, with the namespace and as many revisions."""
        revision = self.tool.store.revision
        self.name = uuid.uuid4().hex
        self.tool = MemoryBackend.open({"store": self.name})
        self.tool.create_namespace("sales")
        while self.tool.store.revision < revision:
            self.put(filler=b"{}")
        return self.tool

    def set_back(self, revision: int, **documents: bytes) -> None:
        """Restore the store from an old backup: this is all there is, at this revision."""
        with self.tool.store.changed:
            self.tool.store.namespaces["sales"].clear()
            self.tool.store.revision = revision - 1
            self.tool.store._history.clear()
            self.tool.store._compacted = 0
        self.put(**documents)
