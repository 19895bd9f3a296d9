"""Sending a transaction again when something moved since it was looked at, and only then.

ZooKeeper refuses a transaction with the same words when another was quicker and when it cannot be done at all: a znode
with children, for one. Which of the two it is shows in what a new look finds: after a race it is something else.
"""

from __future__ import annotations

import random
import threading
import time
from typing import Any

from kazoo.exceptions import (
    BadVersionError,
    KazooException,
    NodeExistsError,
    NoNodeError,
    NotEmptyError,
    RolledBackError,
    RuntimeInconsistency,
)

from confo import BackendUnavailable
from confo_zookeeper.outcome import translate
from confo_zookeeper.session import Session
from confo_zookeeper.wire import Answer, Multi

RACES = (BadVersionError, NoNodeError, NodeExistsError, NotEmptyError)
"""Refusals that may mean: something moved since it was looked at."""
LONGEST_PAUSE = 0.2
"""Seconds between two attempts, the most: who lost three races in a row lets the others through."""


class Attempts:
    """The attempts at one change of the store, within the credentials' timeout."""

    def __init__(self, session: Session, asked: str) -> None:
        self._session, self._asked = session, asked
        self._until = time.monotonic() + session.credentials.timeout
        self._failures = 0
        self._based_on: Any = None
        self.not_empty: list[str] = []
        """The path of the znode that the last attempt could not delete, as it has children."""

    def send(self, multi: Multi, based_on: object) -> int | None:
        """Send a transaction made of what a look found, and return its zxid; None if it is to be looked at again.

        A second refusal over the same state is no race, and raises what it means.
        """
        answer = self._session.call(multi, self._asked, write=True)
        refused, at = _refused(answer)
        if refused is None:
            return answer.zxid
        path = getattr(multi.operations[at], "path", "")
        self.not_empty = [path] if isinstance(refused, NotEmptyError) else []
        if not isinstance(refused, RACES) or self._based_on == based_on:
            where = f"{self._asked}, at {path}" if path else self._asked
            raise translate(refused, where, self._session.where, write=True) from None
        if time.monotonic() > self._until:
            raise BackendUnavailable(f"cannot {self._asked}: others wrote there all the time; nothing was written")
        self._based_on = based_on
        self._pause()
        return None

    def _pause(self) -> None:
        self._failures += 1
        if self._failures > 2:  # the first ones are cheap, and mostly the last ones
            bound = min(LONGEST_PAUSE, 0.001 * 2.0 ** min(self._failures, 20))
            _PAUSE.wait(bound * random.random())  # noqa: S311 - spreading, not hiding


_PAUSE = threading.Event()  # never set: a wait that a signal can interrupt


def refusal(answer: Answer) -> KazooException | None:
    """Return why a transaction was refused: the others of its operations were rolled back, or not tried."""
    return _refused(answer)[0]


def _refused(answer: Answer) -> tuple[KazooException | None, int]:
    for place, result in enumerate(answer.results):
        if isinstance(result, KazooException) and not isinstance(result, RolledBackError | RuntimeInconsistency):
            return result, place
    return None, 0
