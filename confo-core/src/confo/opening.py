"""A backend whose store cannot be reached yet: it is opened when it can, and nobody else needs to know.

Every call first sees to it that the real backend is there: one attempt to open it at a time, whoever asks. While that
fails every call raises what the attempt raised; replicas and commits know what to do with it.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NoReturn

from confo import forks
from confo.backend import Backend, Capabilities, Watch, Write
from confo.errors import BackendUnavailable, Closed
from confo.model import Entry, Snapshot

UNKNOWN: Final = Capabilities(
    atomic_writes=sys.maxsize,
    max_value_bytes=sys.maxsize,
    durable=True,
    push=True,
    resumable=True,
    every_commit=False,
    shared=True,
)
"""Stands for capabilities that a class does not tell before it is opened: what the store may take is not refused."""


class Silence(Exception):
    """Nothing was heard in the time that there was; ``error`` says so where no better reason is known."""

    def __init__(self, error: BackendUnavailable) -> None:
        super().__init__(str(error))
        self.error = error


class _Attempt:
    """One try to open the backend, in a thread of its own as it may take as long as the backend's timeout."""

    def __init__(self) -> None:
        self.ended = False
        self.error: BaseException | None = None


class OpeningBackend(Backend):
    """Stands for a backend until it is open, and passes on to it from then on."""

    def __init__(self, backend: type[Backend], open_it: Callable[[], Backend], where: str = "") -> None:
        self._where = f" from {where}" if where else ""
        told = getattr(backend, "capabilities", None)  # an attribute of the class or of its instances
        self._assumed = told if isinstance(told, Capabilities) else UNKNOWN
        self._open_it = open_it
        self._changed = threading.Condition()
        self._backend: Backend | None = None
        self._attempt: _Attempt | None = None
        self._failed: tuple[float, BaseException] | None = None
        self._closed = False
        forks.add(self)

    @classmethod
    def open(cls, credentials: Mapping[str, object]) -> NoReturn:
        """Refuse: it is made around what opens a backend."""
        raise NotImplementedError("use OpeningBackend(...)")

    def opened(self, seconds: float | None = None) -> Backend:
        """Return the backend inside, opened now if it is not.

        Raises what the attempt raised, and Silence after so many seconds; the attempt then goes on.
        """
        if self._backend is not None:
            return self._backend
        with self._changed:
            attempt = self._attempt or self._begin()
            self._changed.wait_for(lambda: attempt.ended or self._closed, seconds)
            if self._backend is not None:
                return self._backend
            if self._closed:
                raise Closed("the backend was closed before its store could be reached")
            if attempt.error is not None:
                self._failed = time.monotonic(), attempt.error
                raise attempt.error.with_traceback(None)
            silence = BackendUnavailable(
                f"cannot open the store: no answer{self._where} within {seconds or 0.0:.3g} seconds; is it what it is "
                "taken for, and does a firewall stand between?"
            )
            self._failed = time.monotonic(), silence
            raise Silence(silence)

    def failure(self, seconds: float) -> BaseException | None:
        """Return why it could not be opened, if that was tried so short a time ago and has not come through since."""
        failed = self._failed
        if self._backend is not None or failed is None or time.monotonic() - failed[0] > seconds:
            return None
        return failed[1]

    def close(self) -> None:
        """Close what is inside; an attempt that is under way ends by the backend's own timeout, and opens nothing."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._backend is not None:
            self._backend.close()

    # --- passing on ------------------------------------------------------------------------------

    @property
    def capabilities(self) -> Capabilities:  # type: ignore[override] # an attribute there, and read only here
        """The inner one's; before it is open, what its class says."""
        return self._assumed if self._backend is None else self._backend.capabilities

    @property
    def identity(self) -> str:
        """The inner one's; empty before it is open."""
        return "" if self._backend is None else self._backend.identity

    def namespaces(self) -> list[str]:
        """Pass on."""
        return self.opened().namespaces()

    def create_namespace(self, namespace: str) -> None:
        """Pass on."""
        self.opened().create_namespace(namespace)

    def delete_namespace(self, namespace: str) -> None:
        """Pass on."""
        self.opened().delete_namespace(namespace)

    def load(self, namespace: str) -> Snapshot:
        """Pass on."""
        return self.opened().load(namespace)

    def read(self, namespace: str, names: Sequence[str]) -> dict[str, Entry]:
        """Pass on."""
        return self.opened().read(namespace, names)

    def read_at(self, namespace: str, names: Sequence[str], revision: int) -> dict[str, Entry]:
        """Pass on."""
        return self.opened().read_at(namespace, names, revision)

    def left_out(self, namespace: str) -> Mapping[str, str]:
        """Pass on."""
        return self.opened().left_out(namespace)

    def scan(
        self, namespace: str, *, start: str = "", limit: int = 100, reverse: bool = False
    ) -> list[tuple[str, Entry]]:
        """Pass on."""
        return self.opened().scan(namespace, start=start, limit=limit, reverse=reverse)

    def commit(self, writes: Sequence[Write]) -> int:
        """Pass on."""
        return self.opened().commit(writes)

    def watch(self, namespace: str, after: int) -> Watch:
        """Pass on."""
        return self.opened().watch(namespace, after)

    # --- forking ---------------------------------------------------------------------------------

    def before_fork(self) -> None:
        """Nothing: what is under the lock is set in single steps."""

    def after_fork_in_parent(self) -> None:
        """Nothing."""

    def after_fork_in_child(self) -> None:
        """Try anew: the parent's attempt runs in a thread that is not there."""
        self._changed = threading.Condition()
        self._attempt = None

    # --- inside ----------------------------------------------------------------------------------

    def _begin(self) -> _Attempt:
        self._attempt = attempt = _Attempt()
        if not self._closed:
            threading.Thread(target=self._try, args=(attempt,), name="confo-open", daemon=True).start()
        return attempt

    def _try(self, attempt: _Attempt) -> None:
        backend: Backend | None = None
        try:
            backend = self._open_it()
        except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
            attempt.error = error
        with self._changed:
            attempt.ended, self._attempt = True, None
            if not self._closed:
                self._backend, backend = backend, None
            self._changed.notify_all()
        if backend is not None:  # it came after close()
            backend.close()
