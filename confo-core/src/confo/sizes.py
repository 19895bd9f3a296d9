"""What a commit weighs: its records shrink to what the store takes beside the documents; what is too large is named."""

from __future__ import annotations

from collections.abc import Sequence

from confo.backend import Backend, Write
from confo.errors import TooLarge
from confo.names import is_reserved
from confo.packing import fit

NAMED = 3
"""Configurations that an error names."""
WRITE_BYTES = 512
"""What a store is reckoned to add to a write: its key some times over, guards, access lists."""


def fitted(backend: Backend, writes: Sequence[Write], *, tight: bool = False) -> list[Write]:
    """Return the writes with records that have room beside the documents; ``tight`` makes them as small as can be."""
    can = backend.capabilities
    records = {write: len(write.data) for write in writes if _is_record(write) and write.data is not None}
    if not records:
        return list(writes)
    room = can.max_value_bytes
    if can.max_commit_bytes is not None:
        others = sum(len(write.data or b"") for write in writes if write not in records)
        names = sum(4 * (len(write.namespace) + len(write.name)) for write in writes)
        room = min(room, can.max_commit_bytes - others - names - WRITE_BYTES * len(writes))
    total = sum(records.values())
    share = can.max_commit_bytes is not None and len(records) > 1  # they go into one request
    return [
        write._replace(data=fit(write.data, 0 if tight else room * records[write] // total if share else room))
        if write in records and write.data is not None
        else write
        for write in writes
    ]


def _is_record(write: Write) -> bool:
    return is_reserved(write.namespace) and write.expected == 0


def largest(writes: Sequence[Write]) -> str:
    """Return the largest configurations of a commit and their bytes, in words."""
    documents = [write for write in writes if not is_reserved(write.namespace) and write.data]
    top = sorted(documents, key=lambda write: -len(write.data or b""))[:NAMED]
    return ", ".join(f"{write.namespace}/{write.name} ({len(write.data or b''):,} bytes)" for write in top)


def named(error: TooLarge, writes: Sequence[Write]) -> TooLarge:
    """Return the error with the largest configurations named."""
    shown = largest(writes)
    return (
        error
        if not shown
        else type(error)(
            f"{error}. The largest of this commit: {shown}",
            namespace=error.namespace,
            configuration=error.configuration,
        )
    )
