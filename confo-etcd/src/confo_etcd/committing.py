"""A commit as one etcd transaction: what to send, and what the answer says. Pure, nothing here calls a server."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from confo import ANY, Conflict, InvalidCommit, TooLarge, Write
from confo_etcd.layout import Layout
from confo_etcd.schema import Message, schema

MAX_OPERATIONS = 128  # etcd's --max-txn-ops by default; it counts writes and guards each by themselves
# etcd's --max-request-bytes by default, less the envelope (user's name, request id) that it adds and counts.
MAX_BYTES = 1536 * 1024 - 1024
# The largest value that fits into a commit by itself: prefix, names and guard take the rest.
MAX_VALUE_BYTES = MAX_BYTES - 3 * 1024


class Plan(NamedTuple):
    """A transaction and how to read its answer.

    The answer to a failed guard lists ``guarded`` first, then the markers of ``marked``. ``unmarked`` are
    the namespaces for whose marker there was no room: look whether they exist before sending this.
    """

    request: Message
    guarded: tuple[Write, ...]
    marked: tuple[str, ...]
    unmarked: tuple[str, ...]


def plan(writes: Sequence[Write], layout: Layout) -> Plan:
    """Put writes into one transaction; TooLarge with both numbers if etcd would not take it.

    A namespace's existence is guarded by its marker, unless a write's own guard implies it: a key that
    is there shows that its namespace is.
    """
    check(writes)
    guarded = tuple(write for write in writes if write.expected is not ANY)
    shown = {write.namespace for write in guarded if write.expected}
    needing = tuple(
        dict.fromkeys(w.namespace for w in writes if w.namespace not in shown and not w.namespace.startswith("."))
    )
    fits = len(guarded) + len(needing) <= MAX_OPERATIONS
    marked = needing if fits else ()
    request = _transaction(writes, guarded, marked, layout)
    size = request.ByteSize()
    if size > MAX_BYTES:
        raise TooLarge(
            f"this commit is {size:,} bytes with its keys, and etcd takes {MAX_BYTES:,} in one transaction; "
            "nothing was sent: commit less at once"
        )
    return Plan(request, guarded, marked, () if fits else needing)


def check(writes: Sequence[Write]) -> None:
    """Refuse what cannot be one commit: no writes, too many, the same key twice, or a value that is too large."""
    if not writes:
        raise InvalidCommit("a commit needs at least one write")
    if len(writes) > MAX_OPERATIONS:
        raise TooLarge(
            f"this commit has {len(writes):,} writes, and etcd takes {MAX_OPERATIONS:,} in one transaction; "
            "nothing was sent: commit less at once"
        )
    seen: set[tuple[str, str]] = set()
    for write in writes:
        place = (write.namespace, write.name)
        if place in seen:
            raise InvalidCommit(
                f"configuration {write.name!r} of namespace {write.namespace!r} is written twice in one commit",
                namespace=write.namespace,
                configuration=write.name,
            )
        seen.add(place)
        if write.data is not None and len(write.data) > MAX_VALUE_BYTES:
            raise TooLarge(
                f"{write.namespace}/{write.name} is {len(write.data):,} bytes, and etcd takes {MAX_VALUE_BYTES:,} "
                "in one value; nothing was sent: split it",
                namespace=write.namespace,
                configuration=write.name,
            )


def _transaction(writes: Iterable[Write], guarded: Iterable[Write], marked: Iterable[str], layout: Layout) -> Message:
    """Build the request in place: a message made apart and copied in takes three times as long."""
    wire = schema()
    request = wire.TxnRequest()
    for write in guarded:
        guard, key = request.compare.add(), layout.key(write.namespace, write.name)
        guard.key, guard.target, guard.result, guard.mod_revision = (
            key,
            wire.Compare.MOD,
            wire.Compare.EQUAL,
            write.expected,
        )
        _look(request, key)
    for namespace in marked:
        guard, key = request.compare.add(), layout.marker(namespace)
        guard.key, guard.target, guard.result, guard.version = key, wire.Compare.VERSION, wire.Compare.GREATER, 0
        _look(request, key)
    for write in writes:
        operation, key = request.success.add(), layout.key(write.namespace, write.name)
        if write.data is None:
            operation.request_delete_range.key = key
        else:
            put = operation.request_put
            put.key, put.value = key, write.data
    return request


def _look(request: Message, key: bytes) -> None:
    """Have a failed transaction answer what is there, without its value."""
    found = request.failure.add().request_range
    found.key, found.keys_only = key, True


def refused(planned: Plan, answer: Message) -> list[str]:
    """Return the namespaces whose marker was missing; raise Conflict if a write's own guard failed."""
    ranges = [response.response_range.kvs for response in answer.responses]
    moved = [
        (write.namespace, write.name)
        for write, kvs in zip(planned.guarded, ranges, strict=False)
        if (kvs[0].mod_revision if kvs else 0) != write.expected
    ]
    if moved:
        first = moved[0]
        raise Conflict(
            f"{', '.join('/'.join(place) for place in moved)} changed since it was read: nothing was written",
            keys=moved,
            namespace=first[0],
            configuration=first[1],
            revision=answer.header.revision,
        )
    return [
        namespace for namespace, kvs in zip(planned.marked, ranges[len(planned.guarded) :], strict=False) if not kvs
    ]
