"""Which documents of a namespace can be read, and which of an earlier revision are served in place of the others.

A save that does not parse takes nothing away: the last document that could be read goes on being served, until the next
good one. What is unreadable and was never good here is left out of whole readings and raises when it is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Literal, NamedTuple

from confo.codec import decode
from confo.errors import UnreadableDocument
from confo.model import Entry, Unreadable

CHECKED_AT_ONCE = 1000
"""Changed documents that are decoded to see whether they can be read; of more at once the brackets must do."""

News = Literal["changed", "unreadable", "still unreadable"]


class Judged(NamedTuple):
    """What a new entry means: whether it is a change, and the entry that was served until now."""

    news: News
    served: Entry | None


class Readable:
    """The unreadable documents of a namespace, and the last good entry of each; ``serve`` False serves none."""

    def __init__(self, namespace: str, *, serve: bool = True) -> None:
        self._namespace = namespace
        self._serve = serve
        self.known: dict[str, Unreadable] = {}
        self._good: dict[str, Entry] = {}

    def good(self, name: str) -> Entry | None:
        """Return the entry that is served in place of one that cannot be read, None if there is none."""
        return self._good.get(name)

    def hidden(self) -> set[str]:
        """Return the names of what can neither be read nor served from an earlier revision."""
        return {name for name in self.known if name not in self._good} if self._serve else set()

    def problem(self, name: str, entry: Entry) -> str | None:
        """Say why an entry is no document, by decoding it; None if it is one."""
        try:
            decode(entry.data, namespace=self._namespace, configuration=name, problem=entry.problem)
        except UnreadableDocument as error:
            return str(error)
        return None

    def judge(self, name: str, old: Entry | None, new: Entry | None, *, glance: bool = False) -> Judged:
        """Take note of a new entry in place of an old one; with ``glance`` it is decoded only if it looks odd."""
        served = self._good.get(name) if name in self.known else old
        skip = new is None or (glance and _looks_good(new))
        if new is None or skip or (problem := self.problem(name, new)) is None:
            self.forget(name)
            return Judged("changed", served)
        if name in self.known:
            self.note(name, new, problem, since=self.known[name].since)
            return Judged("still unreadable", served)
        if old is not None and self._serve and self.problem(name, old) is None:
            self._good[name] = old
        self.note(name, new, problem)
        return Judged("unreadable", served)

    def note(self, name: str, entry: Entry, problem: str, *, since: datetime | None = None) -> Unreadable:
        """Take note of an entry that cannot be read."""
        good = self._good.get(name)
        found = Unreadable(problem, since or datetime.now(UTC), entry.revision, good.revision if good else None)
        self.known[name] = found
        return found

    def forget(self, name: str) -> None:
        """Take note that a document can be read, or is gone."""
        if self.known.pop(name, None) is not None:
            self._good.pop(name, None)

    def look_at(self, entries: Iterable[tuple[str, Entry]], *, glance: bool) -> list[str]:
        """Take note of what cannot be read among entries that were just loaded; return the names that are new."""
        found = []
        for name, entry in entries:
            if name in self.known or (glance and _looks_good(entry)):
                continue
            if (problem := self.problem(name, entry)) is not None:
                self.note(name, entry, problem)
                found.append(name)
        return found

    def to_keep(self, entries: Mapping[str, Entry]) -> Mapping[str, Entry]:
        """Return entries for a file that stands in for the store: the last good ones, and none that cannot be read."""
        if not self.known:
            return entries
        kept = {name: entry for name, entry in entries.items() if name not in self.known}
        return {**kept, **self._good}


def _looks_good(entry: Entry) -> bool:
    """Tell whether an entry's first and last byte are an object's: enough for nearly everything that is none."""
    return not entry.problem and entry.data[:1] == b"{" and entry.data[-1:] == b"}"
