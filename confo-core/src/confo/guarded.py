"""A backend whose defects are told as such: the core works with plugins through this.

A backend raises Confo's errors and no others. When something else comes out of one, the program is told which
distribution is to blame instead of a stack trace of a driver.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import NoReturn

from confo.backend import Backend, Batch, Capabilities, Watch, Write
from confo.errors import ConfoError, PluginError
from confo.model import Entry, Snapshot


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
        """Pass on."""
        with self._blame:
            return self.inner.load(namespace)

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
            return GuardedWatch(self.inner.watch(namespace, after), self._blame)

    def close(self) -> None:
        """Pass on."""
        with self._blame:
            self.inner.close()


class GuardedWatch(Watch):
    """The watch inside, with its defects explained."""

    def __init__(self, inner: Watch, blame: _Blame) -> None:
        self._inner, self._blame = inner, blame

    def __next__(self) -> Batch:
        """Pass on."""
        with self._blame:
            return next(self._inner)

    def close(self) -> None:
        """Pass on."""
        with self._blame:
            self._inner.close()


def open_guarded(backend: type[Backend], credentials: Mapping[str, object], plugin: str) -> GuardedBackend:
    """Open a backend; a defect is a PluginError that names ``plugin``."""
    with _Blame(plugin):
        return GuardedBackend(backend.open(credentials), plugin)
