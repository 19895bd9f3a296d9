"""Where things lie in etcd: ``<prefix><namespace>/<configuration>``, and ``<prefix><namespace>/`` as marker.

The marker keeps an empty namespace in being. Other tools write here too, so a namespace is there when any
key is; keys that are deeper, or whose names are outside Confo's grammar, belong to somebody else.
"""

from __future__ import annotations

import gc
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from confo import Entry, InvalidName
from confo_etcd.schema import Message

# A name's grammar as the core defines it (confo.names): what is listed as a namespace must be one.
_GRAMMAR = re.compile("[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class Layout:
    """The keys of one prefix; pure."""

    __slots__ = ("end", "first", "prefix")

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix.encode()
        # The core's own namespaces begin with "."; no name begins with "/", and "0" comes next in ASCII.
        self.first = self.prefix + b"0"
        self.end = past(self.prefix)

    def marker(self, namespace: str) -> bytes:
        """Return the marker's key, with which all keys of the namespace begin."""
        return self.prefix + _segment(namespace) + b"/"

    def key(self, namespace: str, name: str) -> bytes:
        """Return a configuration's key."""
        return self.marker(namespace) + _segment(name)

    def namespace_of(self, key: bytes) -> tuple[str | None, bytes]:
        """Return the namespace that a key lies in (None: in none of ours) and the first key past it."""
        segment, slash, _ = key[len(self.prefix) :].partition(b"/")
        if not slash:
            return None, key + b"\0"
        name = segment.decode("ascii", "replace")
        return name if _GRAMMAR.fullmatch(name) else None, past(self.prefix + segment + b"/")


def past(prefix: bytes) -> bytes:
    """Return the first key that is greater than all keys with this prefix, which ends in "/"."""
    return prefix[:-1] + bytes([prefix[-1] + 1])


def entries_of(kvs: Sequence[Message], cut: int) -> dict[str, Entry]:
    """Return the entries among these key-values, by name; ``cut`` is the length of the namespace's marker.

    This runs once per configuration of a load, hence its shape: the key's bytes are sliced once, and the
    tuple is made without Entry's own constructor in Python (a fifth of the time). The marker's name is
    empty; a deeper key has a slash. A key that is not UTF-8 keeps a name that no grammar allows.
    """
    make, kind = tuple.__new__, Entry
    with _collector_paused():
        found = {
            kv.key[cut:].decode("utf-8", "backslashreplace"): make(kind, (kv.value, kv.mod_revision, "")) for kv in kvs
        }
    for name in [name for name in found if "/" in name or not name]:
        del found[name]
    return found


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Keep the cyclic garbage collector from walking a page's tuples a dozen times while they are made.

    None of them can be garbage yet, and it costs a fifth of a large load. A few milliseconds at a time, so
    that the rest of the program hardly notices.
    """
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()


def _segment(name: str) -> bytes:
    if not name or "/" in name:
        raise InvalidName(f"{name!r} cannot be a part of a key in etcd: it is empty or has a slash")
    return name.encode()
