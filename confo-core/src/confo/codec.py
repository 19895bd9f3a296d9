"""Bytes to documents and back: strict JSON with limits, and documents that refuse to change.

Python's json takes too much: duplicate keys, NaN, numbers beyond a float, lone surrogates, any depth. A store is
shared with programs in other languages, so here a document is what RFC 8259 calls interoperable, or an error.
"""

from __future__ import annotations

import functools
import json
import math
import sys
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn, TypeAlias

from confo import yaml_dumpers
from confo.errors import FieldNotFound, InvalidDocument, UnreadableDocument
from confo.hints import instead

MOST_NAMES = 10_000
"""Names of fields that are kept once for all documents; a store that makes names up cannot fill the memory."""
JSON: TypeAlias = Any
"""None, bool, int, float, str, FrozenList or FrozenDict; recursive, which annotations cannot say usefully."""

MAX_DEPTH = 64
"""Levels of nesting, the document itself the first: copying and comparing recurse, so the limit must be low."""
MAX_BYTES = 1024 * 1024
"""Bytes of a document: etcd takes requests of 1.5 MiB, ZooKeeper requests of a little less than 1 MiB."""
SMALL_BYTES = 16 * 1024
"""Documents up to this size are decoded once for all who look at the same bytes soon after one another."""


def _refuse(_self: object, *_args: object, **_kwargs: object) -> NoReturn:
    raise TypeError("this document is frozen: change it with set(), or take a copy with plain()")


def _refuse_list(_self: object, *_args: object, **_kwargs: object) -> NoReturn:
    raise TypeError(
        "this list is frozen: assign another one in its place, [*old, item], with set() or in edit(); "
        "or take a copy with copy.deepcopy()"
    )


class FrozenDict(dict[str, Any]):
    """A dict that refuses to change; equal to, printed and JSON-encoded as the plain dict.

    ``plain()`` and ``copy.deepcopy`` give plain, changeable dicts and lists all the way down, ``copy()`` a plain dict.
    """

    __slots__ = ()
    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def plain(self) -> dict[str, Any]:
        """Return a plain, changeable copy: dicts and lists all the way down."""
        return {key: thaw(value) for key, value in self.items()}

    def __missing__(self, field: object) -> NoReturn:
        """Say what there is: the same FieldNotFound, a KeyError, as from ``get``."""
        raise FieldNotFound(
            f"no field {field!r} in this document{instead(field, self)}",
            field=field if isinstance(field, str) else None,
        )

    def __copy__(self) -> dict[str, Any]:
        """Return a plain dict of the same members."""
        return dict(self)

    def __deepcopy__(self, memo: object) -> dict[str, Any]:
        """Return a plain dict, plain all the way down."""
        return self.plain()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by value."""
        return type(self), (dict(self),)


class FrozenList(list[Any]):
    """A list that refuses to change; equal to, printed and JSON-encoded as the plain list."""

    __slots__ = ()
    __setitem__ = __delitem__ = __imul__ = _refuse_list
    append = clear = extend = insert = pop = remove = reverse = sort = _refuse_list

    def __iadd__(self, items: Iterable[Any]) -> list[Any]:  # type: ignore[override,misc] # not in place
        """Return a plain list with these items as well: so ``draft["database"]["tags"] += ["new"]`` assigns one."""
        return [*self, *items]

    def plain(self) -> list[Any]:
        """Return a plain, changeable copy: dicts and lists all the way down."""
        return [thaw(item) for item in self]

    def __copy__(self) -> list[Any]:
        """Return a plain list of the same items."""
        return list(self)

    def __deepcopy__(self, memo: object) -> list[Any]:
        """Return a plain list, plain all the way down."""
        return self.plain()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by value."""
        return type(self), (list(self),)


yaml_dumpers.teach(FrozenDict, FrozenList)


def thaw(value: JSON) -> JSON:
    """Return a plain, changeable copy of a frozen value."""
    if isinstance(value, dict):
        return {key: thaw(item) for key, item in value.items()}
    if isinstance(value, list):
        return [thaw(item) for item in value]
    return value


def decode(data: bytes, *, namespace: str, configuration: str, problem: str = "") -> dict[str, JSON]:
    """Return the document in these bytes: a plain dict whose nested values are frozen; not to be changed.

    Raises UnreadableDocument with the place and the reason, never with a value. ``problem`` is what the backend has
    said already of why they are no document.
    """
    if problem:
        raise UnreadableDocument(problem, namespace=namespace, configuration=configuration)
    try:
        return _decode_again(data) if len(data) <= SMALL_BYTES else _decode(data)
    except _Refused as refused:
        reason = str(refused)
    raise UnreadableDocument(
        f"{namespace}/{configuration} in the store is not a document: {reason}. It is left untouched there: repair it "
        "with the store's own tool, or replace it by set() of a whole document, delete() or rollback()",
        namespace=namespace,
        configuration=configuration,
    )


def decode_record(data: bytes) -> dict[str, JSON]:
    """Return what a record of the core's own holds; InvalidDocument if it is none.

    A record has the old and the new values of documents inside it, so it may be larger and deeper than any of them.
    """
    try:
        return _decode(data, most_bytes=sys.maxsize, deepest=2 * MAX_DEPTH)
    except _Refused as refused:
        raise InvalidDocument(f"a record of the history cannot be read: {refused}") from None


def encode(document: Mapping[str, JSON], *, namespace: str, configuration: str) -> bytes:
    """Return the document as bytes of compact UTF-8 JSON; InvalidDocument beyond MAX_BYTES."""
    data = to_json(document)
    if len(data) > MAX_BYTES:
        raise InvalidDocument(
            f"{namespace}/{configuration} is too large: {len(data):,} bytes as JSON, the limit is {MAX_BYTES:,}; "
            "split it into several configurations",
            namespace=namespace,
            configuration=configuration,
        )
    return data


def to_json(value: JSON) -> bytes:
    """Return a value as compact UTF-8 JSON."""
    return _ENCODER.encode(value).encode()


def at_most(value: object, path: tuple[str, ...]) -> int:
    """Return how many bytes a value, and the names on its way, add to a document's JSON at most."""
    size = sum(6 * len(name) + 6 for name in path)  # a letter may need six; quotes, colon, comma, braces
    if isinstance(value, str):
        return size + 6 * len(value) + 2
    if isinstance(value, int):
        return size + value.bit_length() // 3 + 6
    return size + 32 if isinstance(value, float) or value is None else size + len(to_json(value))


def freeze(
    value: object,
    *,
    namespace: str,
    configuration: str,
    field: str | tuple[str, ...] | None = None,
    most: int = MAX_BYTES,
) -> JSON:
    """Return a frozen copy of a value that is JSON, of at most so many bytes; InvalidDocument names the place in it.

    Tuples become lists, as in json; subclasses (an enum of str, say) become the plain type they extend.
    """
    path = (field,) if isinstance(field, str) else field or ()
    try:
        if len(path) >= MAX_DEPTH:
            raise _Refused(f"it is nested deeper than {MAX_DEPTH} levels")
        frozen = _freeze(value, ".".join(path), len(path) + 1)
        size = len(to_json(frozen))
        if size > (limit := min(most, MAX_BYTES)):
            raise _Refused(f"{size:,} bytes as JSON, the limit is {limit:,}; split it into several configurations")
        return frozen
    except UnicodeEncodeError:
        reason = "a text in it has a lone surrogate, which UTF-8 cannot carry"
    except _Refused as refused:
        reason = str(refused)
    except ValueError:  # the only one left: CPython's limit on the digits of an int in text
        reason = "a number in it has too many digits"
    target = f"{namespace}/{configuration}" + (f" field {_shown(field)}" if field is not None else "")
    raise InvalidDocument(
        f"{target} cannot be set: {reason}",
        namespace=namespace,
        configuration=configuration,
        field=field,
    )


class _Refused(ValueError):
    """Why a value or a text is no document; the caller adds the place."""


def _decode(data: bytes, *, most_bytes: int = MAX_BYTES, deepest: int = MAX_DEPTH) -> dict[str, JSON]:
    if len(data) > most_bytes:
        raise _Refused(f"it is too large ({len(data):,} bytes, the limit is {most_bytes:,})")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _Refused(f"byte {error.start} is not UTF-8") from None
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        what = error.msg.partition(":")[0]  # what follows a colon may quote the text
        raise _Refused(f"not JSON: {what} at line {error.lineno} column {error.colno}") from None
    except RecursionError:
        raise _Refused(f"it is nested deeper than {deepest} levels") from None
    except _Refused:
        raise
    except ValueError:
        raise _Refused("a number in it has too many digits") from None
    if not isinstance(value, dict):
        raise _Refused(f"it is {_JSON_TYPE[type(value)]}, not an object")
    # No nesting without brackets: the walk is saved for nearly every document.
    if data.count(b"{") + data.count(b"[") > deepest and _depth(value) > deepest:
        raise _Refused(f"it is nested deeper than {deepest} levels")
    if "\\u" in text:  # only an escape can bring a lone surrogate into valid UTF-8
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise _Refused("a text in it has a lone surrogate") from None
    return dict(value)


# A change is looked at by the reader, by each subscriber, and once more as what was before the next change.
_decode_again = functools.lru_cache(maxsize=64)(_decode)


def _object(pairs: list[tuple[str, Any]]) -> FrozenDict:
    members = FrozenDict([(_name(key), _frozen_list(v) if type(v) is list else v) for key, v in pairs])
    if len(members) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise _Refused(f"the key {_shown(twice)} stands twice in one object")
    return members


def _name(key: str) -> str:
    """Return the program's own object for a field's name: a look-up that finds the same object compares no text."""
    known = _NAMES.get(key)
    if known is None and len(_NAMES) < MOST_NAMES:
        known = _NAMES[key] = sys.intern(key)
    return known or key


def _frozen_list(items: list[Any]) -> FrozenList:
    return FrozenList([_frozen_list(item) if type(item) is list else item for item in items])


def _float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise _Refused("a number in it is beyond the range of a double")
    return number


def _constant(text: str) -> NoReturn:
    raise _Refused(f"{text} is not JSON")


_NAMES: dict[str, str] = {}
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_float=_float, parse_constant=_constant)
_JSON_TYPE = {
    list: "an array",
    str: "a text",
    int: "a number",
    float: "a number",
    bool: "a boolean",
    type(None): "null",
}


def _depth(value: JSON) -> int:
    """Return the levels of nesting; iterative, as the value may be deeper than Python's stack."""
    deepest, level = 0, [value]
    while level:
        containers = [v for v in level if isinstance(v, (dict, list))]
        deepest += bool(containers)
        level = [item for v in containers for item in (v.values() if isinstance(v, dict) else v)]
    return deepest


def _freeze(value: object, place: str, depth: int) -> JSON:
    if value is None or value is True or value is False:
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise _Refused(f"{_at(place)} is NaN or infinite, which JSON has no word for")
        return float(value)
    if depth > MAX_DEPTH:
        raise _Refused(f"it is nested deeper than {MAX_DEPTH} levels, or contains itself")
    if isinstance(value, Mapping):
        return FrozenDict(
            (_key(key, place), _freeze(item, f"{place}.{key}" if place else str(key), depth + 1))
            for key, item in value.items()
        )
    if isinstance(value, (list, tuple)):
        return FrozenList(_freeze(item, f"{place}[{index}]", depth + 1) for index, item in enumerate(value))
    raise _Refused(f"{_at(place)} is of type {type(value).__name__}, which is not JSON ({_instead(value)})")


def _instead(value: object) -> str:
    """Return what to do with a value that is not JSON."""
    if hasattr(value, "__dataclass_fields__"):
        return "give dataclasses.asdict() of it"
    if hasattr(value, "model_dump"):
        return "give its model_dump(mode='json')"
    names = {kind.__name__ for kind in type(value).__mro__}
    said = (say for name, say in _SAY.items() if name in names)
    return next(said, "use None, bool, int, float, str, list and dict")


_SAY = {  # by the names of classes, so that none of their modules is imported
    "Enum": "give its value",
    "date": "give its isoformat()",
    "time": "give its isoformat()",
    "timedelta": "give its total_seconds()",
    "Decimal": "give str() or float() of it",
    "UUID": "give str() of it",
    "PurePath": "give str() of it",
    "set": "give a list of it",
    "frozenset": "give a list of it",
    "bytes": "give its decode(), or base64 text of it",
    "bytearray": "give its decode(), or base64 text of it",
}


def _key(key: object, place: str) -> str:
    if not isinstance(key, str):
        raise _Refused(f"{_at(place)} has a key of type {type(key).__name__}; keys are str")
    return str.__str__(key)


def _at(place: str) -> str:
    return _shown(place) if place else "the document"


def _shown(name: str | tuple[str, ...]) -> str:
    if isinstance(name, tuple):
        return f"({', '.join(map(_shown, name))})"
    return repr(name if len(name) <= 80 else name[:77] + "...")
