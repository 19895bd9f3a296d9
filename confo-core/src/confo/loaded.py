"""A backend under its name in a registry, with the namespaces of it that are in use."""

from __future__ import annotations

import threading
import time
from typing import Any

from confo.backend import Backend
from confo.model import State
from confo.names import check_namespace
from confo.namespace import Namespace
from confo.replica import CLOSE_SECONDS, Replica


class Loaded:
    """A backend under its name, with the handles that were asked for."""

    def __init__(self, name: str, kind: str | type[Backend], backend: Backend, *, history: bool, follow: bool) -> None:
        self.name, self.backend = name, backend
        self.kind = kind if isinstance(kind, str) else kind.__name__
        self._history, self._follow = history, follow
        self.current: Namespace | None = None
        self._closing: list[Replica] = []
        self._namespaces: dict[str, Namespace] = {}
        self._lock = threading.RLock()

    def namespace(self, name: str) -> Namespace:
        """Return the one handle of this namespace, loaded when first asked for."""
        check_namespace(name)
        with self._lock:
            if name not in self._namespaces:
                self._namespaces[name] = Namespace(
                    self.name, self.backend, name, history=self._history, follow=self._follow
                )
            return self._namespaces[name]

    def opened(self) -> list[Namespace]:
        """Return the handles that exist."""
        return list(self._namespaces.values())

    def forget(self, namespace: str) -> None:
        """Drop the handle of a namespace that was deleted."""
        gone = self._namespaces.pop(namespace, None)
        if self.current is gone:
            self.current = None
        if gone is not None:
            gone.replica.close()

    def health(self) -> dict[str, Any]:
        """Return the state of every namespace in use, as plain data."""
        found = {one.name: one.status() for one in self.opened()}
        namespaces = {name: {**status._asdict(), "state": status.state.name} for name, status in found.items()}
        ready = all(status.state is State.READY for status in found.values())
        return {"kind": self.kind, "ready": ready, "namespaces": namespaces}

    def renew_lock(self) -> None:
        """Have a lock that no thread of a parent process holds."""
        self._lock = threading.RLock()

    def stop(self) -> None:
        """Begin to end the following of every namespace, all at once, and close the backend."""
        self._closing = [one.replica for one in self.opened()]
        self._namespaces.clear()
        self.current = None
        for replica in self._closing:
            replica.stop()
        self.backend.close()

    def join(self, until: float) -> None:
        """Wait for what ``stop`` ends, to this time of the monotonic clock at most."""
        for replica in self._closing:
            replica.join(until)

    def close(self) -> None:
        """End everything, within 2 seconds."""
        self.stop()
        self.join(time.monotonic() + CLOSE_SECONDS)
