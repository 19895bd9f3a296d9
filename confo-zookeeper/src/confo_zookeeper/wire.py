"""The requests of ZooKeeper's protocol that kazoo has no call for, and the zxid of every answer, which it keeps.

This is the one module that uses the inside of kazoo: its queue (``submit``), its registry of watchers (``SetWatches``)
and its serializers. Sources: zookeeper.jute for the records, ZooDefs.OpCode for the numbers.

An answer's zxid is that of the state which it was taken from; for a write it is its own. Requests show no data in
their repr, as kazoo writes them into its log.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, Final, NamedTuple, Protocol, TypeAlias

from kazoo.client import KazooClient
from kazoo.exceptions import EXCEPTIONS, KazooException, ZookeeperError
from kazoo.protocol import serialization as jute
from kazoo.protocol.states import WatchedEvent, ZnodeStat

_ERRORS: Final = dict(EXCEPTIONS)  # a plain one: theirs raises for a number that it does not know
ERROR, CREATE, DELETE, GET_DATA, SET_DATA, GET_CHILDREN, CHECK = -1, 1, 2, 4, 5, 8, 13
Stat: TypeAlias = ZnodeStat
Pending: TypeAlias = Any
"""kazoo's AsyncResult: ``get(timeout=...)``, ``set_exception(...)``."""


class Znode(NamedTuple):
    """What a znode holds, and its stat: ``mzxid`` is the zxid that wrote it.

    ``problem`` says why the data could not be had; it is empty then.
    """

    data: bytes
    stat: Stat
    problem: str = ""

    def __repr__(self) -> str:
        """Show the size and the zxid, never the data."""
        return f"<Znode of {len(self.data)} bytes, mzxid {self.stat.mzxid}>"


Result: TypeAlias = Znode | list[str] | Stat | str | KazooException | None


class Answer(NamedTuple):
    """An answer: its zxid, and what became of each operation."""

    zxid: int
    results: list[Result]

    def __repr__(self) -> str:
        """Count the results: they hold data."""
        return f"<Answer of {len(self.results)} results at zxid {self.zxid}>"


class Request(Protocol):
    """What kazoo sends: it calls both methods in the thread that reads the connection."""

    type: ClassVar[int]

    def serialize(self) -> bytearray:
        """Return the request's record."""

    def deserialize(self, buffer: bytes, offset: int) -> Any:
        """Return what the answer says; its header stands before ``offset``."""


def submit(client: KazooClient, request: Request) -> Pending:
    """Hand a request over to be sent after all before it; return what waits for its answer."""
    pending = client.handler.async_result()
    client._call(request, pending)  # noqa: SLF001 - see above
    return pending


def zxid_of(buffer: bytes, offset: int) -> int:
    """Return the zxid in the header of an answer, which ends where its record begins."""
    return int(jute.reply_header_struct.unpack_from(buffer, offset - jute.reply_header_struct.size)[1])


class _Operations:
    """Several operations in one request."""

    type: ClassVar[int]

    def __init__(self, operations: Sequence[Any]) -> None:
        self.operations = operations

    def __repr__(self) -> str:
        """Count the operations."""
        return f"<{type(self).__name__} of {len(self.operations)} operations>"

    def serialize(self) -> bytearray:
        """Return the record: each operation after a header of its own, and a last header."""
        record = bytearray()
        for operation in self.operations:
            record += _header(operation.type) + operation.serialize()
        record += jute.multiheader_struct.pack(-1, True, -1)
        return record

    @staticmethod
    def deserialize(buffer: bytes, offset: int) -> Any:
        """Return the Answer."""
        return Answer(zxid_of(buffer, offset), list(_results(buffer, offset)))


class MultiRead(_Operations):
    """Reads of one state: no write comes between them (ZooKeeper 3.6 and later, ZOOKEEPER-1260)."""

    type: ClassVar[int] = 22


class Multi(_Operations):
    """Writes and checks, all of them or none, at one zxid."""

    type: ClassVar[int] = 14

    @staticmethod
    def deserialize(buffer: bytes, offset: int) -> list[Any]:
        """Return the Answer's parts as a list, which is what kazoo expects of a request of this type."""
        return [zxid_of(buffer, offset), *_results(buffer, offset)]


class Get(jute.GetData):  # type: ignore[misc] # kazoo has no types
    """A plain read, for servers that know no other: like a ``MultiRead`` of one."""

    def deserialize(self, buffer: bytes, offset: int) -> Answer:
        """Return the Answer."""
        data, stat = jute.GetData.deserialize(buffer, offset)
        return Answer(zxid_of(buffer, offset), [Znode(data or b"", stat)])


class List(jute.GetChildren):  # type: ignore[misc] # kazoo has no types
    """A plain list of children, likewise."""

    def deserialize(self, buffer: bytes, offset: int) -> Answer:
        """Return the Answer."""
        return Answer(zxid_of(buffer, offset), [jute.GetChildren.deserialize(buffer, offset)])


class GetOrStat(jute.GetData):  # type: ignore[misc] # kazoo has no types
    """The read of a znode of which at least the stat is told: where its ACL forbids the data, ZooKeeper gives that."""


class HasStat(jute.Exists):  # type: ignore[misc] # kazoo has no types
    """A znode's stat, which no ACL forbids. Of a znode that is not there kazoo makes None, not an answer."""

    def deserialize(self, buffer: bytes, offset: int) -> Answer:
        """Return the Answer."""
        return Answer(zxid_of(buffer, offset), [_stat(buffer, offset)[0]])


class CatchUp(jute.Sync):  # type: ignore[misc] # kazoo has no types
    """Has the server catch up with its leader before it answers what comes next on this connection."""

    def deserialize(self, buffer: bytes, offset: int) -> Answer:
        """Return the Answer, which has a zxid only."""
        return Answer(zxid_of(buffer, offset), [])


class SetWatches:
    """Watches on many znodes at once. What changed after ``since`` fires before the answer, the rest is armed.

    So a watch is armed again without a gap, and without reading anything. The watcher is registered as the request
    leaves, in the thread that takes a fired watcher out again: anywhere else the two could miss each other.
    """

    type: ClassVar[int] = 101

    def __init__(
        self,
        client: KazooClient | None,
        watcher: Callable[[WatchedEvent], None],
        since: int,
        *,
        data: Sequence[str] = (),
        absent: Sequence[str] = (),
        children: Sequence[str] = (),
    ) -> None:
        self._client, self._watcher, self._since = client, watcher, since
        self._data, self._absent, self._children = data, absent, children

    def __repr__(self) -> str:
        """Count the paths."""
        count = len(self._data) + len(self._absent) + len(self._children)
        return f"<SetWatches on {count} paths since zxid {self._since}>"

    def serialize(self) -> bytearray:
        """Register the watcher and return the record."""
        client: Any = self._client
        for path in (*self._data, *self._absent):
            client._data_watchers[path].add(self._watcher)  # noqa: SLF001 - see above
        for path in self._children:
            client._child_watchers[path].add(self._watcher)  # noqa: SLF001 - see above
        record = bytearray(jute.long_struct.pack(self._since))
        for paths in (self._data, self._absent, self._children):
            record += jute.int_struct.pack(len(paths)) + b"".join(map(jute.write_string, paths))
        return record

    @staticmethod
    def deserialize(buffer: bytes, offset: int) -> Answer:
        """Return the Answer, which has a zxid only."""
        return Answer(zxid_of(buffer, offset), [])


class Probe(SetWatches):
    """Asks for nothing: its answer is the zxid of the state that the server has."""

    def __init__(self) -> None:
        super().__init__(None, lambda _: None, 0)


def forget(client: KazooClient, watcher: Callable[[WatchedEvent], None], paths: Sequence[str]) -> None:
    """Take a watcher away from these paths; what the server still has armed fires into nothing, once."""
    for registry in (client._data_watchers, client._child_watchers):  # noqa: SLF001 - see above
        for path in paths:
            registry.get(path, set()).discard(watcher)


def size_of(request: Request) -> int:
    """Return the bytes of a request as the server counts them: xid and type come before the record."""
    return len(request.serialize()) + 8


def _header(kind: int) -> bytes:
    header: bytes = jute.multiheader_struct.pack(kind, False, -1)
    return header


def _results(buffer: bytes, offset: int) -> Iterator[Result]:
    """Yield the result of each operation in an answer to several."""
    while True:
        kind, done, _ = jute.multiheader_struct.unpack_from(buffer, offset)
        offset += jute.multiheader_struct.size
        if done:
            return
        result, offset = _RESULTS[kind](buffer, offset)
        yield result


def _znode(buffer: bytes, offset: int) -> tuple[Znode, int]:
    data, offset = jute.read_buffer(buffer, offset)
    stat, offset = _stat(buffer, offset)
    return Znode(data or b"", stat), offset


def _stat(buffer: bytes, offset: int) -> tuple[Stat, int]:
    return Stat._make(jute.stat_struct.unpack_from(buffer, offset)), offset + jute.stat_struct.size


def _children(buffer: bytes, offset: int) -> tuple[list[str], int]:
    (count,) = jute.int_struct.unpack_from(buffer, offset)
    offset += jute.int_struct.size
    names = []
    for _ in range(count):
        name, offset = jute.read_string(buffer, offset)
        names.append(name)
    return names, offset


def _error(buffer: bytes, offset: int) -> tuple[KazooException, int]:
    (code,) = jute.int_struct.unpack_from(buffer, offset)
    return _ERRORS.get(code, ZookeeperError)(), offset + jute.int_struct.size


def _nothing(_: bytes, offset: int) -> tuple[None, int]:
    return None, offset


_RESULTS: Final[dict[int, Callable[[bytes, int], tuple[Result, int]]]] = {
    ERROR: _error,
    CREATE: jute.read_string,
    DELETE: _nothing,
    GET_DATA: _znode,
    SET_DATA: _stat,
    GET_CHILDREN: _children,
    CHECK: _nothing,
}
