"""The local copy of a namespace: loaded once, and brought up to date."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from confo.backend import Backend, Write
from confo.changes import Draft
from confo.model import Entry
from confo.view import View


class Replica:
    """A namespace's view, and the backend that it comes from."""

    def __init__(self, backend: Backend, namespace: str) -> None:
        self.backend = backend
        self.namespace = namespace
        self.view = View(backend.load(namespace))

    def reload(self) -> None:
        """Load the whole state anew; drafts stay, laid over it."""
        self.view.replace(self.backend.load(self.namespace))

    def refresh(self, names: Sequence[str]) -> None:
        """Take over these names as the store has them now."""
        if not names:
            return
        before = {name: self.view.entries.get(name) for name in names}
        entries = self.backend.read(self.namespace, names)
        self.view.refresh(before, entries)

    def take_own(self, revision: int, writes: Sequence[Write], drafts: Mapping[str, Draft]) -> None:
        """Take over what this process committed at this revision."""
        entries = {w.name: None if w.data is None else Entry(w.data, revision) for w in writes}
        self.view.apply(entries, revision, own=drafts)
        self.view.revision = max(self.view.revision, revision)
