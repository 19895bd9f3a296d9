"""How a commit's record is put into bytes: as JSON, compressed when it is large, digests in place of what does not fit.

A record holds old and new values, so it may be twice as large as the document beside which it has to fit. Small ones
are plain JSON. In larger ones the member "changes" is "packed": base85 of its JSON, compressed; op id, author, message
and time stand as they are, for whoever looks with the store's own tool.
"""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from confo.codec import decode_record, to_json
from confo.errors import InvalidDocument

PLAIN_BYTES = 4096
"""Records up to this size stay plain."""
MOST_UNPACKED = 64 * 1024 * 1024
"""Most bytes of JSON that are compressed, or taken out of a record: a few bytes must not fill the memory."""
WORTH_IT = 128
"""Compressed bytes from which on a digest is smaller than the value."""


@dataclass(frozen=True, slots=True)
class Digest:
    """Stands in a commit's changes for a value that was too large for the record: its sha256 and size, as JSON."""

    sha256: str
    size: int

    def __str__(self) -> str:
        """Say what it is, for people."""
        return f"<{self.size:,} bytes, too large to be kept, sha256 {self.sha256}>"


def digest(value: Any) -> Digest:
    """Return the digest of a JSON value."""
    data = to_json(value)
    return Digest(hashlib.sha256(data).hexdigest(), len(data))


def unpack(data: bytes) -> dict[str, Any]:
    """Return the record in these bytes; InvalidDocument if there is none."""
    record = decode_record(data)
    packed = record.get("packed")
    if not isinstance(packed, str):
        return record
    try:
        inflate = zlib.decompressobj()
        changes = inflate.decompress(base64.b85decode(packed), MOST_UNPACKED)
    except (ValueError, zlib.error):
        raise InvalidDocument("a record of the history cannot be read: what is packed in it is damaged") from None
    if not inflate.eof:
        raise InvalidDocument("a record of the history cannot be read: what is packed in it is cut or too large")
    return {**{key: value for key, value in record.items() if key != "packed"}, "changes": decode_record(changes)}


def fit(data: bytes, most: int) -> bytes:
    """Return a record in at most so many bytes, if that can be, with as many of its values as have room.

    The largest fields go first, and of each the new value before the old: what a field became is known from the
    document, or from the next record. Where not even digests of fields have room, a configuration is only said to have
    changed.
    """
    if len(data) <= min(most, PLAIN_BYTES):
        return data
    record = unpack(data)
    changes = record["changes"]
    whole = _packed(record, changes)
    if len(whole) <= most:
        return whole
    sides = _largest_first(changes)
    count = _fewest(len(sides), lambda count: len(_packed(record, _without(changes, sides[:count]))) <= most)
    changes = _without(changes, sides[:count])
    names = sorted(changes, key=lambda name: -len(to_json(changes[name])))

    def bare(count: int) -> dict[str, Any]:
        gone = set(names[:count])
        return {name: _bare(step) if name in gone else step for name, step in changes.items()}

    return _packed(record, bare(_fewest(len(names), lambda count: len(_packed(record, bare(count))) <= most)))


def _fewest(most: int, fits: Callable[[int], bool]) -> int:
    """Return the least number that fits, ``most`` if none does."""
    low, high = 0, most
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(middle) else (middle + 1, high)
    return low


def _packed(record: Mapping[str, Any], changes: Mapping[str, Any]) -> bytes:
    plain = to_json({**record, "changes": changes})
    if len(plain) <= PLAIN_BYTES:
        return plain
    told = to_json(changes)
    if len(told) > MOST_UNPACKED:
        return plain
    packed = base64.b85encode(zlib.compress(told, 6)).decode()
    compressed = to_json({**{key: value for key, value in record.items() if key != "changes"}, "packed": packed})
    return min(compressed, plain, key=len)


def _largest_first(changes: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return configuration, field and side of each value that a digest is smaller than, in the order of leaving."""
    sizes = {
        (name, field): {side: len(zlib.compress(to_json(sides[side]), 1)) for side in ("new", "old") if side in sides}
        for name, step in changes.items()
        for field, sides in step["fields"].items()
    }
    fields = sorted(sizes, key=lambda place: -sum(sizes[place].values()))
    return [(*place, side) for place in fields for side, size in sizes[place].items() if size > WORTH_IT]


def _without(changes: Mapping[str, Any], sides: list[tuple[str, str, str]]) -> dict[str, Any]:
    """Return the changes with digests in place of these values."""
    less = {name: {**step, "fields": dict(step["fields"])} for name, step in changes.items()}
    for name, field, side in sides:
        told = less[name]["fields"][field]
        stays = {key: value for key, value in told.items() if key != side}
        found = digest(told[side])
        stays["digests"] = {**stays.get("digests", {}), side: [found.sha256, found.size]}
        less[name]["fields"][field] = stays
    return less


def _bare(step: Mapping[str, Any]) -> dict[str, Any]:
    return {**step, "fields": {}, "bare": True} if step["fields"] else dict(step)
