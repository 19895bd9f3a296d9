"""The versions of one configuration, put together from the records of its commits: pure functions, no I/O.

A record tells what a commit changed and which revision it replaced. Records that follow one another are a chain; what a
document was anywhere along a chain is known as soon as it is known at one place: now, before it was created, or when it
was deleted. Where a chain is broken somebody wrote without a record, and what stood there is not guessed. Of several
writes without a record in a row only the last leaves a trace, so that before it nothing is certain either.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from enum import Enum
from typing import Any, Final, NamedTuple, TypeAlias

from confo.changes import Document
from confo.history import Record, Step
from confo.model import MISSING, same
from confo.packing import Digest
from confo.paths import Path, look


class Unknown(Enum):
    """The type of UNKNOWN."""

    UNKNOWN = "UNKNOWN"


UNKNOWN: Final = Unknown.UNKNOWN
"""Stands for a document of which nothing tells any more what it was."""
Known: TypeAlias = Document | Unknown | None


class Version(NamedTuple):
    """What a configuration was from this revision on; None if it was not there.

    Without a ``record`` it was written outside Confo, or its record is not kept any more.
    """

    revision: int
    document: Known
    record: Record | None = None
    step: Step | None = None

    @property
    def stands(self) -> bool:
        """Tell whether the configuration is there, known or not."""
        return self.document is not None if self.step is None else self.step.exists

    def __repr__(self) -> str:
        """Show when it came, never what it was."""
        what = "unknown" if self.document is UNKNOWN else "known" if self.stands else "absent"
        return f"<Version of revision {self.revision}: {what}>"


def versions(name: str, records: Sequence[Record], now: Version | None) -> list[Version]:
    """Return the versions of a configuration, oldest first.

    ``records`` are those of its namespace in order of revision; ``now`` is what the store has, None for nothing.
    """
    found: list[Version] = []
    for record in records:
        step = record.steps.get(name)
        if step is not None:
            _bridge(found, step.was)
            found.append(Version(record.revision, UNKNOWN, record, step))
        elif record.kind == "end" and found:
            found.append(Version(record.revision, None, record))
    if now is None:
        if found:
            _bridge(found, 0)
    elif found and found[-1].revision == now.revision:
        found[-1] = found[-1]._replace(document=now.document)
    else:
        found.append(now)
    _go_forward(found)
    _go_back(found)
    return found


def version_at(versions: Sequence[Version], revision: int, told: Sequence[int] = ()) -> Version:
    """Return the version that stood at this revision; before the first, an unknown one.

    It is unknown also where the next one was written without a record: others may have been before it, unless each
    revision between is ``told`` of (in order), and was a write of something else.
    """
    at = _index(versions, revision)
    if at < 0:
        return Version(0, UNKNOWN)
    version = versions[at]
    follows = versions[at + 1].step is not None if at + 1 < len(versions) else True
    if follows or version.document is UNKNOWN or is_told(told, version.revision, revision):
        return version
    return Version(version.revision, UNKNOWN)


def is_told(told: Sequence[int], after: int, until: int) -> bool:
    """Tell whether each revision after one, up to another, is among these, which are in order and without doubles."""
    return bisect_right(told, until) - bisect_right(told, after) == until - after


def _index(versions: Sequence[Version], revision: int) -> int:
    return next((at for at in range(len(versions) - 1, -1, -1) if versions[at].revision <= revision), -1)


def is_cut(versions: Sequence[Version], revision: int) -> bool:
    """Tell whether a version is unknown because a value near it was too large for its record."""
    at = max(0, _index(versions, revision))
    if versions[at].document is not UNKNOWN:
        return False  # it is known what it was, and not for how long
    first = last = at
    while first > 0 and versions[first - 1].document is UNKNOWN:
        first -= 1
    while last + 1 < len(versions) and versions[last].document is UNKNOWN:
        last += 1
    steps = [one.step for one in versions[first : last + 1] if one.step is not None]
    return any(step.is_cut(side) for step in steps for side in ("old", "new"))


def writer(versions: Sequence[Version], path: Path) -> Version:
    """Return the version that gave a path the value that it has in the last one."""
    value = _value(versions[-1], path)
    for before, version in zip(versions[-2::-1], versions[:0:-1], strict=True):
        told = None if version.step is None or version.step.bare else _told(version.step, path)
        if told is None:  # nothing but the documents can tell; one that is unknown is taken for another
            told = not same(_value(before, path), value)
        if told:
            return version
    return versions[0]


def _told(step: Step, path: Path) -> bool | None:
    """Tell by its record whether a commit changed what stands at a path; None if its values were not kept."""
    sides = step.fields.get(path[0])
    if sides is None or len(path) == 1:
        return sides is not None
    old, new = sides.get("old", MISSING), sides.get("new", MISSING)
    if isinstance(old, Digest) or isinstance(new, Digest):
        return None
    return not same(look(old, path[1:]), look(new, path[1:]))


def _bridge(found: list[Version], was: int) -> None:
    """Put in what stood between the last version and a commit that replaced revision ``was`` (0: nothing)."""
    last = found[-1] if found else None
    if was and (last is None or last.revision != was):
        found.append(Version(was, UNKNOWN))
    elif not was and last is None:
        found.append(Version(0, None))
    elif not was and last is not None and last.stands:
        # Deleted without a record, nobody knows when: from the next revision on it may be there or not.
        found.append(Version(last.revision + 1, UNKNOWN))


def _go_forward(found: list[Version]) -> None:
    for at, version in enumerate(found):
        step = version.step
        if step is None or version.document is not UNKNOWN:
            continue
        if not step.exists:
            found[at] = version._replace(document=None)
        elif not step.was:
            found[at] = version._replace(document=_moved({}, step, "new"))
        else:
            found[at] = version._replace(document=_moved(found[at - 1].document, step, "new"))


def _go_back(found: list[Version]) -> None:
    for at in range(len(found) - 1, 0, -1):
        step, before = found[at].step, found[at - 1]
        if step is not None and step.was == before.revision and before.document is UNKNOWN:
            after = {} if not step.exists else found[at].document
            found[at - 1] = before._replace(document=_moved(after, step, "old"))


def _moved(document: Known, step: Step, side: str) -> Document | Unknown:
    """Return a document with the fields of a step as they were on one of its sides."""
    if document is UNKNOWN or document is None or step.is_cut(side):
        return UNKNOWN
    moved = step.side(side)
    stays = (name for name in document if name in moved or name not in step.fields)  # in the order of the fields
    return {**{name: moved.get(name, document[name]) for name in stays}, **moved}


def _value(version: Version, path: Path) -> Any:
    """Return what stands at a path in a version: MISSING, or UNKNOWN where not even the version's own step tells it."""
    if version.document is UNKNOWN:
        told = None if version.step is None else version.step.fields.get(path[0])
        value = UNKNOWN if told is None else told.get("new", MISSING)
        return UNKNOWN if value is UNKNOWN or isinstance(value, Digest) else look(value, path[1:])
    return look(version.document, path)
