"""How much of a history is kept: commits take along what is due to go, a few records at a time.

What a commit costs does not depend on how long the history is. A ledger knows the names of the records that are kept,
as far as this process has seen them; each commit deletes as many of the oldest as it adds. Now and then the ledger
looks what others have added.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from confo.backend import ANY, Backend, Write
from confo.errors import InvalidOption
from confo.history import TRIMMED, is_record, parse
from confo.model import Entry
from confo.names import history_of

BATCH = 32
"""Most records that one commit lets go of."""
PAGE = 250
"""Records that are read at once."""
LOOK_SECONDS = 60.0
"""How often at most a bound of age is compared with what is there."""


@dataclass(frozen=True, slots=True)
class Retention:
    """What is kept of a namespace's history: the last ``count`` commits, none older than ``age`` seconds.

    None stands for no bound. Who writes trims: give the same to all programs. While several write at once, up to a
    tenth more for each may be there. Ages are by the writers' clocks. Keep as many as others commit within half a
    minute, at least: a commit of unknown outcome is looked for among them.
    """

    count: int | None = 1000
    age: float | None = None

    def check(self) -> Retention:
        """Return itself; InvalidOption for a bound that is none."""
        for what, bound, kinds in (("count", self.count, int), ("age", self.age, (int, float))):
            if bound is not None and (isinstance(bound, bool) or not isinstance(bound, kinds) or not bound > 0):
                raise InvalidOption(f"a retention's {what} is a number above 0, or None for no bound")
        return self


class Ledger:
    """Which records of a namespace's history are there, and which of them are due to go.

    ``_kept`` has the newest, in order of name; ``_due`` has older ones, those that go next. While there are ``_more``
    of these, nothing of ``_kept`` goes.
    """

    def __init__(self, backend: Backend, namespace: str, retention: Retention) -> None:
        self.namespace = history_of(namespace)
        self._backend = backend
        self._retention = retention
        self._kept: deque[str] = deque()
        self._due: list[str] = []
        self._trimmed = False
        self._more = False
        self._commits = sys.maxsize  # since the last look, which was never
        self._looked = 0.0

    def deletions(self, room: int) -> list[Write]:
        """Return the writes, at most ``room``, that trim the history by as much as the next commit can take along."""
        count = self._retention.count
        if count is None and self._retention.age is None:
            return []
        if self._is_time_to_look():
            self._look()
        elif self._more and not self._due:
            self._look_at_the_oldest()
        surplus = 0 if count is None or self._more else max(0, len(self._kept) + 1 - count)
        most = min(BATCH, room - (not self._trimmed))
        names = list(dict.fromkeys([*self._due, *islice(self._kept, surplus)]))[: max(0, most)]
        said = [] if self._trimmed or not names else [Write(self.namespace, TRIMMED, b'{"trimmed":true}', ANY)]
        return said + [Write(self.namespace, name, None, ANY) for name in names]

    def committed(self, record: str, deletions: Iterable[Write]) -> None:
        """Take note of a commit: its record is there, and what it deleted is not."""
        gone = {write.name for write in deletions}
        self._trimmed = self._trimmed or bool(gone)
        self._due = [name for name in self._due if name not in gone]
        while self._kept and self._kept[0] in gone:
            self._kept.popleft()
        if self._retention.count is not None:
            self._kept.append(record)
        self._commits += 1

    def _is_time_to_look(self) -> bool:
        if self._retention.age is not None and time.monotonic() - self._looked > LOOK_SECONDS:
            return True
        return self._commits >= max(1, (self._retention.count or 1000) // 10)

    def _look(self) -> None:
        """Learn which records are within the bounds, and which of the oldest are not."""
        self._kept.clear()
        self._kept.extend(reversed(self._newest()))
        self._look_at_the_oldest()
        self._commits, self._looked = 0, time.monotonic()

    def _newest(self) -> list[str]:
        """Return the names of the newest records, as many as may be kept, newest first."""
        names: list[str] = []
        start, more = "", True
        while more and len(names) < (self._retention.count or 0):
            page = [name for name, _ in self._backend.scan(self.namespace, start=start, limit=PAGE, reverse=True)]
            more = len(page) == PAGE
            names += [name for name in page if name != start and is_record(name)]
            start = page[-1] if page else ""
        return names[: self._retention.count]

    def _look_at_the_oldest(self) -> None:
        oldest = self._backend.scan(self.namespace, limit=BATCH + 1)
        self._trimmed = any(name == TRIMMED for name, _ in oldest)
        count = self._retention.count
        first = self._kept[-count] if count and len(self._kept) >= count else ""
        self._due = [name for name, entry in oldest if is_record(name) and (name < first or self._is_old(name, entry))]
        self._more = len(self._due) >= BATCH

    def _is_old(self, name: str, entry: Entry) -> bool:
        record = None if self._retention.age is None else parse(name, entry)
        return record is not None and record.signature.time < time.time() - (self._retention.age or 0.0)
