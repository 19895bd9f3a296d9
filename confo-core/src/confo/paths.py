"""Fields and paths: what names a place in a document, and looking there. Pure functions.

Where a field is accepted, a ``str`` is the name of a field, dots included, and a tuple of str is a path into nested
objects. The empty path stands for the whole document. A list is one value: no path goes into it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from confo.codec import FrozenDict
from confo.errors import InvalidName
from confo.model import MISSING

Path: TypeAlias = tuple[str, ...]
Field: TypeAlias = str | tuple[str, ...]
"""What callers give: a field's name, or a path of at least one name."""

ITSELF = "\0"
"""As the last name of a guarded path: that there is an object, whatever is in it."""


def as_path(field: object) -> Path:
    """Return a field's name, or a path, as a path; InvalidName for what is neither."""
    if isinstance(field, str):
        return (field,)
    if isinstance(field, tuple) and field and all(isinstance(name, str) for name in field):
        return field
    what = "an empty tuple" if field == () else type(field).__name__
    raise InvalidName(f"a field is a str, or a tuple of str for a path into nested objects; this is {what}")


def as_field(path: Path) -> Field | None:
    """Return a path as callers say it: the name alone where it has but one, None for the whole document."""
    return path[0] if len(path) == 1 else path or None


def shown(field: Field | None) -> str:
    """Return how a text names it: "field 'host'", "field ('opts', 'pool')", or "as a whole"."""
    return "as a whole" if field is None else f"field {as_field(as_path(field))!r}"


def look(document: Any, path: Path) -> Any:
    """Return what stands at a path, MISSING if nothing does; a document of None is one that is not there."""
    found = MISSING if document is None else document
    for name in path:
        if not isinstance(found, dict):
            return MISSING
        found = found.get(name, MISSING)
    return found


def dotted_path(field: object, document: Any) -> Path | None:
    """Return the path that is there and that a text with dots was meant for; None if there is none."""
    path = tuple(field.split(".")) if isinstance(field, str) else ()
    return path if len(path) > 1 and look(document, path) is not MISSING else None


def leaves(document: Mapping[str, Any]) -> Iterator[Path]:
    """Yield the path of each value that is no object; of an object without members its own."""
    for name, value in document.items():
        if isinstance(value, dict) and value:
            yield from ((name, *path) for path in leaves(value))
        else:
            yield (name,)


def put(document: Mapping[str, Any] | None, path: Path, value: Any) -> dict[str, Any]:
    """Return a copy of a document with a value at a path; MISSING takes away what stands there.

    Objects on the way that are not there are made. NotAnObject if something else is in the way.
    """
    name, rest = path[0], path[1:]
    copy = dict(document or {})
    if rest:
        inner = copy.get(name, MISSING)
        if inner is MISSING and value is MISSING:
            return copy
        if inner is not MISSING and not isinstance(inner, dict):
            raise NotAnObject((name,))
        try:
            value = FrozenDict(put(None if inner is MISSING else inner, rest, value))
        except NotAnObject as deeper:
            raise NotAnObject((name, *deeper.path)) from None
    if value is MISSING:
        copy.pop(name, None)
    else:
        copy[name] = value
    return copy


class NotAnObject(ValueError):
    """Something that is no object stands in the way of a path; ``path`` is where."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.path = path
