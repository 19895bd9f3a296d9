"""A commit as one ZooKeeper transaction: what to look at, what to send, what a refusal means. Pure.

A guard of Confo's is a revision, the zxid that wrote the znode. ZooKeeper guards by a znode's own version, a count that
begins again when the znode is made anew. So the znodes are looked at first: another zxid than expected is a conflict,
and the transaction is guarded by the versions that were seen.

Between the look and the transaction a znode could be deleted and made again with the same version. Hence each deletion
also counts up the version of the znode above, and each guarded transaction checks the versions above that it saw: of
the namespace, and of the prefix, where namespaces are deleted. They stand still but for deletions, so commits beside
each other do not meet there. Only another tool that deletes and makes anew within that moment goes unseen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from kazoo.protocol.serialization import CheckVersion, Create, Delete, SetData
from kazoo.security import ACL

from confo import ANY, Conflict, InvalidCommit, TooLarge, Write
from confo_zookeeper.layout import Layout
from confo_zookeeper.wire import Multi, Znode, size_of

MAX_WRITES = 1000
"""ZooKeeper has no limit but the bytes; a thousand takes it some 30 ms, in which it does nothing else."""
MAX_BYTES = 0xFFFFF
"""The largest request that a server takes, jute.maxbuffer by default; it drops the connection for a larger one."""
MAX_VALUE_BYTES = MAX_BYTES - 8 * 1024
"""The largest value that fits into a commit by itself: paths, ACL and the other operations take the rest."""
ANY_VERSION = -1


class Plan(NamedTuple):
    """What to look at before a commit: the znodes above the writes, then those of the writes, by their paths."""

    above: tuple[str, ...]
    paths: tuple[str, ...]


def plan(writes: Sequence[Write], layout: Layout) -> Plan:
    """Return what to look at; InvalidCommit or TooLarge if this cannot be one commit, whatever is there."""
    check(writes)
    namespaces = dict.fromkeys(layout.namespace(write.namespace) for write in writes)
    paths = tuple(layout.configuration(write.namespace, write.name) for write in writes)
    return Plan((layout.prefix, *namespaces), paths)


def check(writes: Sequence[Write]) -> None:
    """Refuse what cannot be one commit: no writes, too many, the same key twice, or a value that is too large."""
    if not writes:
        raise InvalidCommit("a commit needs at least one write")
    if len(writes) > MAX_WRITES:
        raise TooLarge(
            f"this commit has {len(writes):,} writes, and the ZooKeeper backend takes {MAX_WRITES:,} at once; "
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
                f"{write.namespace}/{write.name} is {len(write.data):,} bytes, and ZooKeeper takes "
                f"{MAX_VALUE_BYTES:,} in one znode; nothing was sent: split it",
                namespace=write.namespace,
                configuration=write.name,
            )


def conflicts(writes: Sequence[Write], seen: Sequence[Znode | None]) -> None:
    """Raise Conflict with every key whose guard does not hold for what was seen."""
    moved = [
        (write.namespace, write.name)
        for write, znode in zip(writes, seen, strict=True)
        if write.expected is not ANY and write.expected != (znode.stat.mzxid if znode else 0)
    ]
    if moved:
        raise Conflict(
            f"{', '.join('/'.join(place) for place in moved)} changed since it was read: nothing was written",
            keys=moved,
            namespace=moved[0][0],
            configuration=moved[0][1],
        )


def with_znodes_below(writes: Sequence[Write], planned: Plan, seen: Sequence[Znode | None]) -> tuple[Write, str] | None:
    """Return the first deletion that ZooKeeper will refuse, as another tool put znodes below it, and its path."""
    for write, path, znode in zip(writes, planned.paths, seen, strict=True):
        if write.data is None and znode is not None and znode.stat.numChildren:
            return write, path
    return None


def transaction(
    writes: Sequence[Write], planned: Plan, above: Mapping[str, Znode], seen: Sequence[Znode | None], acl: list[ACL]
) -> Multi:
    """Return the commit, guarded by what was seen; TooLarge, with both numbers, if a server would not take it."""
    losing = {path.rpartition("/")[0] for path, write in zip(planned.paths, writes, strict=True) if write.data is None}
    operations: list[Any] = [
        count_up(path, znode) if path in losing else CheckVersion(path, znode.stat.version)
        for path, znode in above.items()
    ]
    for write, path, znode in zip(writes, planned.paths, seen, strict=True):
        operations += _operations(write, path, znode, acl)
    return fitting(Multi(operations), "commit less at once")


def _operations(write: Write, path: str, znode: Znode | None, acl: list[ACL]) -> list[Any]:
    if znode is None:
        if write.data is not None:
            return [Create(path, write.data, acl, 0)]
        # Nothing to delete. A guard that nothing is there has no operation of its own: to create it fails if it is.
        return [] if write.expected is ANY else [Create(path, b"", acl, 0), Delete(path, ANY_VERSION)]
    version = ANY_VERSION if write.expected is ANY else znode.stat.version
    return [Delete(path, version) if write.data is None else SetData(path, write.data, version)]


def count_up(path: str, znode: Znode) -> SetData:
    """Return what counts up a znode's version, if that is still the one seen, and leaves its data."""
    return SetData(path, znode.data, znode.stat.version)


def fitting(multi: Multi, advice: str) -> Multi:
    """Return the transaction, or raise TooLarge if a server would not take it."""
    size = size_of(multi)
    if size > MAX_BYTES:
        raise TooLarge(
            f"this commit is {size:,} bytes with its paths, and ZooKeeper takes {MAX_BYTES:,} in one request "
            f"(jute.maxbuffer); nothing was sent: {advice}"
        )
    return multi
