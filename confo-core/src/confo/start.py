"""How long a program waits for its store when it starts, and what it does without it.

"require": the store's own state, or an error. "wait", with ``timeout=10``: the same, tried again for 10 seconds.
"last-known-good": the store's state if it comes in time, else what was kept of it.
"""

from __future__ import annotations

import logging
import math
import random
import re
import threading
import time
from collections.abc import Callable
from typing import Generic, Literal, NamedTuple, TypeAlias, TypeVar

from confo.backend import Backend
from confo.errors import BackendUnavailable, ConfoError, InvalidOption, NamespaceNotFound
from confo.opening import OpeningBackend, Silence
from confo.replica import pause

T = TypeVar("T")
StartPolicy: TypeAlias = Literal["require", "wait", "last-known-good"]

log = logging.getLogger("confo")

PATIENCE_SECONDS = 5.0
"""How long "last-known-good" waits for a store that does not answer, when no ``timeout`` is given."""


class Start(NamedTuple):
    """A start policy; ``seconds`` bounds the wait (None: the backend's own timeout does).

    ``for_namespaces``: "wait" waits also for a namespace that is not made yet.
    """

    how: Literal["require", "wait", "last-known-good"] = "require"
    seconds: float | None = None
    for_namespaces: bool = True

    @property
    def falls_back(self) -> bool:
        """Tell whether what was kept is good enough."""
        return self.how == "last-known-good"


def parse(start: object, timeout: object) -> Start:
    """Return the policy that these options of ``load_backend`` stand for; InvalidOption."""
    seconds = None if timeout is None else _seconds(timeout)
    if start == "require":
        return Start("require", seconds)
    if start == "last-known-good":
        return Start("last-known-good", PATIENCE_SECONDS if seconds is None else seconds)
    if start == "wait":
        if seconds is None:
            raise InvalidOption("start='wait' needs to know how long: timeout=10 is 10 seconds")
        return Start("wait", seconds)
    # The older spelling has the seconds in it.
    waiting = re.fullmatch(r"wait:(\d{1,9}(?:\.\d{1,9})?)", start) if isinstance(start, str) else None
    if waiting is None:
        shown = repr(start) if isinstance(start, str) and len(start) < 40 else type(start).__name__
        raise InvalidOption(
            f"start is 'require', 'wait' (with timeout=10, in seconds) or 'last-known-good', not {shown}"
        )
    if seconds is not None:
        raise InvalidOption(
            f"start={start!r} says how long to wait, and so does timeout=: write start='wait', timeout=10"
        )
    return Start("wait", _seconds(float(waiting[1])))


def _seconds(given: object) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 < given < math.inf:
        raise InvalidOption("timeout is a number of seconds greater than 0, or None")
    return float(given)


def attempt(start: Start, what: str, call: Callable[[float | None], T]) -> T:
    """Return what a call returns, called with the seconds that it may take, and again as often as the policy says.

    ``what`` goes after "cannot". In the end it raises the last error that says why; that nothing was heard in the
    moment left is no reason.
    """
    if start.seconds is None:
        return call(None)
    until, failures = time.monotonic() + start.seconds, 0
    silence: BackendUnavailable | None = None
    reason: ConfoError | None = None
    while True:
        try:
            return call(max(0.0, until - time.monotonic()))
        except Silence as heard_nothing:
            silence = heard_nothing.error
        except BackendUnavailable as error:
            reason = error
        except NamespaceNotFound as error:
            if start.how != "wait" or not start.for_namespaces:
                raise
            reason = error
        left = until - time.monotonic()
        if start.how != "wait" or left <= 0:
            break
        _PAUSE.wait(min(left, pause(failures, random.random())))  # noqa: S311 - spreading, not hiding
        failures += 1
    raise _in_the_end(start, what, reason or silence)


def _in_the_end(start: Start, what: str, reason: ConfoError | None) -> ConfoError:
    """Return the error that a start ends with: how long was waited, and why in vain."""
    assert reason is not None  # noqa: S101 - it does not end without one
    if start.how != "wait":
        return reason
    kind = NamespaceNotFound if isinstance(reason, NamespaceNotFound) else BackendUnavailable
    seconds = "1 second" if start.seconds == 1 else f"{start.seconds:g} seconds"
    error = kind(f"cannot {what} within {seconds} (start='wait'): {reason}", namespace=reason.namespace)
    error.__context__, error.__suppress_context__ = reason, True
    return error


def open_by(start: Start, backend: type[Backend], open_it: Callable[[], Backend], where: str = "") -> Backend:
    """Return the backend opened, or one that opens when its store can be reached if the policy is content with that.

    ``where`` is the store's address, for messages.
    """
    if start.seconds is None:
        return open_it()
    opening = OpeningBackend(backend, open_it, where)
    try:
        return attempt(start, "open the store", opening.opened)
    except BackendUnavailable as error:
        if start.falls_back:
            log.warning("the store cannot be reached yet: %s", error)
            return opening
        opening.close()
        raise
    except BaseException:
        opening.close()
        raise


_PAUSE = threading.Event()  # never set: an interruptible wait


class _Answer(Generic[T]):
    """What a call in another thread returned or raised."""

    def __init__(self, call: Callable[[], T]) -> None:
        self._call = call
        self._came = threading.Event()
        self._result: list[T] = []
        self._error: BaseException | None = None

    def fetch(self) -> None:
        """Call."""
        try:
            self._result.append(self._call())
        except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
            self._error = error
        self._came.set()

    def wait(self, seconds: float) -> bool:
        """Tell whether the call has ended, after so many seconds at most."""
        return self._came.wait(max(0.0, seconds))

    def get(self) -> T:
        """Return or raise what came."""
        if self._error is not None:
            raise self._error
        return self._result[0]


def within(seconds: float | None, what: str, call: Callable[[], T]) -> T:
    """Return or raise what a call does; Silence when it does neither in so many seconds (None: any number).

    With a bound it is called in a thread of its own, which ends with the call: by its backend's own timeout, or when
    that is closed.
    """
    if seconds is None:
        return call()
    answer = _Answer(call)
    threading.Thread(target=answer.fetch, name="confo-start", daemon=True).start()
    if not answer.wait(seconds):
        raise Silence(BackendUnavailable(f"cannot {what}: no answer within {seconds:.3g} seconds"))
    return answer.get()
