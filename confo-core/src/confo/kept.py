"""What a cache file holds, as bytes: a namespace as it was last seen, and a digest that finds every damage. Pure.

The first line names the format and its version, and gives the sha256 and the length of all that follows: a line of
JSON (namespace, the store's identity, revision, when it was last known to be the store's state), then the entries as
the store has them, undecoded. Nothing in such a file is ever executed.
"""

from __future__ import annotations

import hashlib
import json
import re
import struct
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from confo.model import Entry

VERSION = 1
"""Of the format: a file of another version is not read."""
_FIRST = re.compile(rb"confo-cache (\d{1,9}) ([0-9a-f]{64}) (\d{1,15})\n")
_ENTRY = struct.Struct(">IIQ")
"""Lengths of the name and of the data, and the revision; name and data follow."""


class Damaged(ValueError):
    """A cache file cannot be used; the text says why, and has nothing of what is in it."""


class Kept(NamedTuple):
    """A namespace as a file keeps it; ``known_at`` is the wall clock (seconds since 1970) when it was last true."""

    namespace: str
    identity: str
    revision: int
    known_at: float
    packed: bytes

    def entries(self) -> dict[str, Entry]:
        """Return the entries; Damaged."""
        return dict(_unpacked(self.packed))

    def __repr__(self) -> str:
        """Show what it is of, never what is in it."""
        return f"<Kept {self.namespace} at revision {self.revision}, {len(self.packed)} bytes>"


def pack(entries: Mapping[str, Entry]) -> bytes:
    """Return entries as bytes."""
    parts: list[bytes] = []
    for name, (data, revision, _) in entries.items():
        encoded = name.encode("utf-8", "surrogatepass")  # other tools' names are not all by the grammar
        parts += (_ENTRY.pack(len(encoded), len(data), revision), encoded, data)
    return b"".join(parts)


def encode(kept: Kept) -> bytes:
    """Return the bytes of the file."""
    about = {"identity": kept.identity, "revision": kept.revision, "namespace": kept.namespace}
    head = json.dumps({**about, "known_at": kept.known_at}).encode() + b"\n"
    digest = hashlib.sha256(head)
    digest.update(kept.packed)
    first = f"confo-cache {VERSION} {digest.hexdigest()} {len(head) + len(kept.packed)}\n".encode()
    return b"".join((first, head, kept.packed))


def decode(data: bytes) -> Kept:
    """Return what the bytes of a file hold; Damaged unless every byte is as it was written."""
    first = _FIRST.match(data)
    if first is None:
        raise Damaged("it does not begin like a cache file")
    version, digest, length = int(first[1]), first[2].decode(), int(first[3])
    if version != VERSION:
        raise Damaged(f"it is of format {version}, and this version of confo reads {VERSION}")
    body = memoryview(data)[first.end() :]
    if len(body) != length:
        raise Damaged(f"it has {len(body)} bytes after its first line, and {length} were written")
    if hashlib.sha256(body).hexdigest() != digest:
        raise Damaged("its sha256 is not the one that was written")
    try:
        end = data.index(b"\n", first.end()) + 1
        head = json.loads(data[first.end() : end])
        return Kept(
            _typed(head, "namespace", str),
            _typed(head, "identity", str),
            _typed(head, "revision", int),
            float(_typed(head, "known_at", int | float)),
            data[end:],
        )
    except (ValueError, KeyError, TypeError):
        raise Damaged("its second line is not the one of a cache file") from None


def _typed(head: Any, name: str, kind: Any) -> Any:
    value = head[name]
    if not isinstance(value, kind):
        raise TypeError(name)
    return value


def _unpacked(packed: bytes) -> Iterator[tuple[str, Entry]]:
    at, end = 0, len(packed)
    try:
        while at < end:
            name_length, data_length, revision = _ENTRY.unpack_from(packed, at)
            name_end = at + _ENTRY.size + name_length
            name = packed[at + _ENTRY.size : name_end].decode("utf-8", "surrogatepass")
            at = name_end + data_length
            yield name, Entry(packed[name_end:at], revision)
    except (struct.error, UnicodeDecodeError):
        at = -1
    if at != end:
        raise Damaged("its entries do not end where they should")
