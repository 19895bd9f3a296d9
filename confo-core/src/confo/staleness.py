"""How old a namespace's copy may be for a program that reads it, and what a read does beyond."""

from __future__ import annotations

import logging
from typing import Literal, TypeAlias

from confo.backend import HEARTBEAT_SECONDS
from confo.errors import InvalidOption, TooStale

log = logging.getLogger("confo")

OnStale: TypeAlias = Literal["serve", "warn", "raise"]


class Limit:
    """The greatest age, in seconds, and what a read does beyond it."""

    def __init__(self, backend: str, namespace: str, seconds: float, on_stale: OnStale) -> None:
        self._backend, self._namespace = backend, namespace
        self.seconds, self.on_stale = seconds, on_stale
        self._warned = False

    def check(self, age: float) -> None:
        """Raise TooStale, or warn once, if a copy of this age is too old."""
        if age <= self.seconds:
            self._warned = False
        elif self.on_stale == "raise":
            raise TooStale(
                f"{self._text(age)}; look at status() for what keeps the store away, or allow more",
                backend=self._backend,
                namespace=self._namespace,
                age=age,
                limit=self.seconds,
            )
        elif not self._warned:
            self._warned = True
            log.warning("%s, and is served", self._text(age))

    def refuses(self, age: float) -> bool:
        """Tell whether a read of a copy of this age raises."""
        return self.on_stale == "raise" and age > self.seconds

    def _text(self, age: float) -> str:
        place = f"{self._namespace} on {self._backend}"
        return f"what is here of {place} is {age:.1f} s old, over max_staleness={self.seconds:g}"


def limit(backend: str, namespace: str, max_staleness: object, on_stale: object, *, follows: bool) -> Limit | None:
    """Return the limit that these options of a namespace stand for, None if none was asked for; InvalidOption."""
    if max_staleness is None:
        if on_stale is not None:
            raise InvalidOption("on_stale says what happens beyond max_staleness: give that as well")
        return None
    if isinstance(max_staleness, bool) or not isinstance(max_staleness, int | float) or not max_staleness > 0:
        raise InvalidOption("max_staleness is a number of seconds greater than 0")
    if on_stale is None:
        on_stale = "raise"
    if on_stale not in ("serve", "warn", "raise"):
        raise InvalidOption(f"on_stale is 'serve', 'warn' or 'raise', not {on_stale!r:.40}")
    if follows and max_staleness < HEARTBEAT_SECONDS:
        log.warning(
            "max_staleness=%g of %s is less than the %g seconds between two signs of life of a healthy store",
            max_staleness, namespace, HEARTBEAT_SECONDS,
        )  # fmt: skip
    return Limit(backend, namespace, float(max_staleness), on_stale)
