"""A backend whose defects are told as such: the core works with plugins through this.

A backend raises Confo's errors and no others. When something else comes out of one, the program is told which
distribution is to blame instead of a stack trace of a driver.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import NoReturn

from confo.backend import Backend, Batch, Capabilities, Watch, Write
from confo.errors import ConfoError, PluginError
from confo.model import Entry, Snapshot
from confo.names import foreign_names

log = logging.getLogger("confo")


class _Blame:
    """Turns what is no error of Confo's into a PluginError that names the plugin."""

    def __init__(self, plugin: str) -> None:
        self.plugin = plugin

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, Exception) and not isinstance(error, (ConfoError, StopIteration)):
            # Its text is a driver's and may quote what was sent.
            raise PluginError(f"the plugin {self.plugin} has a defect: it raised {type(error).__name__}") from error


class GuardedBackend(Backend):
    """The backend inside, with its defects explained."""

    def __init__(self, inner: Backend, plugin: str) -> None:
        self.inner = inner
        self._blame = _Blame(plugin)
        self._foreign: dict[str, dict[str, str]] = {}

    @classmethod
    def open(cls, credentials: Mapping[str, object]) -> NoReturn:
        """Refuse: it is made around a backend, by ``open_guarded``."""
        raise NotImplementedError("use open_guarded()")

    @property
    def capabilities(self) -> Capabilities:  # type: ignore[override] # an attribute there, and read only here
        """The inner one's."""
        with self._blame:
            return self.inner.capabilities

    @property
    def identity(self) -> str:
        """The inner one's."""
        with self._blame:
            return self.inner.identity

    def namespaces(self) -> list[str]:
        """Pass on."""
        with self._blame:
            return self.inner.namespaces()

    def create_namespace(self, namespace: str) -> None:
        """Pass on."""
        with self._blame:
            self.inner.create_namespace(namespace)

    def delete_namespace(self, namespace: str) -> None:
        """Pass on."""
        with self._blame:
            self.inner.delete_namespace(namespace)

    def load(self, namespace: str) -> Snapshot:
        """Pass on, without names that Confo does not take; the log says once which those are."""
        with self._blame:
            snapshot = self.inner.load(namespace)
        foreign = foreign_names(snapshot.entries)
        if not foreign:
            return snapshot
        self._tell(namespace, foreign)
        entries = {name: entry for name, entry in snapshot.entries.items() if name not in foreign}
        return Snapshot(namespace, snapshot.revision, entries, since=time.monotonic() - snapshot.age)

    def left_out(self, namespace: str) -> Mapping[str, str]:
        """Return the inner one's, and the names that Confo does not take."""
        with self._blame:
            return {**self.inner.left_out(namespace), **self._foreign.get(namespace, {})}

    def _tell(self, namespace: str, foreign: Iterable[str]) -> None:
        known = self._foreign.setdefault(namespace, {})
        for name in foreign:
            if name not in known:
                known[name] = "another tool made it under a name that is no configuration's"
                log.debug("%s/%s is left out: its name is no configuration's", namespace, name)

    def read(self, namespace: str, names: Sequence[str]) -> dict[str, Entry]:
        """Pass on."""
        with self._blame:
            return self.inner.read(namespace, names)

    def scan(
        self, namespace: str, *, start: str = "", limit: int = 100, reverse: bool = False
    ) -> list[tuple[str, Entry]]:
        """Pass on."""
        with self._blame:
            return self.inner.scan(namespace, start=start, limit=limit, reverse=reverse)

    def read_at(self, namespace: str, names: Sequence[str], revision: int) -> dict[str, Entry]:
        """Pass on."""
        with self._blame:
            return self.inner.read_at(namespace, names, revision)

    def commit(self, writes: Sequence[Write]) -> int:
        """Pass on."""
        with self._blame:
            return self.inner.commit(writes)

    def watch(self, namespace: str, after: int) -> Watch:
        """Pass on."""
        with self._blame:
            return GuardedWatch(self.inner.watch(namespace, after), self._blame, partial(self._tell, namespace))

    def close(self) -> None:
        """Pass on."""
        with self._blame:
            self.inner.close()


class GuardedWatch(Watch):
    """The watch inside, with its defects explained, and without names that Confo does not take."""

    def __init__(self, inner: Watch, blame: _Blame, tell: Callable[[Iterable[str]], None]) -> None:
        self._inner, self._blame, self._tell = inner, blame, tell

    def __next__(self) -> Batch:
        """Pass on; a batch of which nothing is left is a bookmark."""
        with self._blame:
            batch = next(self._inner)
        foreign = foreign_names(batch.entries) if batch.entries else ()
        if not foreign:
            return batch
        self._tell(foreign)
        return batch._replace(entries={name: entry for name, entry in batch.entries.items() if name not in foreign})

    def close(self) -> None:
        """Pass on."""
        with self._blame:
            self._inner.close()


def open_guarded(backend: type[Backend], credentials: Mapping[str, object], plugin: str) -> GuardedBackend:
    """Open a backend; a defect is a PluginError that names ``plugin``."""
    with _Blame(plugin):
        return GuardedBackend(backend.open(credentials), plugin)
