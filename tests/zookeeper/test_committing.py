"""Commits: what a transaction is guarded by, and what comes between a look and the transaction."""

from __future__ import annotations

import pytest
from kazoo.client import KazooClient
from kazoo.protocol.serialization import CheckVersion, Create, Delete, SetData
from kazoo.protocol.states import ZnodeStat
from kazoo.security import OPEN_ACL_UNSAFE

from confo import ANY, Conflict, OutcomeUnknown, TooLarge, Write
from confo_zookeeper import committing
from confo_zookeeper.attempts import Attempts
from confo_zookeeper.layout import Layout
from confo_zookeeper.wire import Multi, Znode, size_of

LAYOUT = Layout("/confo")


def znode(mzxid: int = 7, version: int = 3, data: bytes = b"") -> Znode:
    """Return a znode as a look finds it."""
    return Znode(data, ZnodeStat(1, mzxid, 0, 0, version, 0, 0, 0, len(data), 0, 1))


def operations(write: Write, seen: Znode | None) -> list[object]:
    """Return the operations of a commit of one write."""
    plan = committing.plan([write], LAYOUT)
    above = dict.fromkeys(plan.above, znode(version=5, data=b"note"))
    return list(committing.transaction([write], plan, above, [seen], OPEN_ACL_UNSAFE).operations)


CHECKS = [CheckVersion("/confo", 5), CheckVersion("/confo/sales", 5)]
COUNTED = [CheckVersion("/confo", 5), SetData("/confo/sales", b"note", 5)]


@pytest.mark.parametrize(
    ("write", "seen", "expected"),
    [
        (Write("sales", "a", b"1", 0), None, [*CHECKS, Create("/confo/sales/a", b"1", OPEN_ACL_UNSAFE, 0)]),
        (Write("sales", "a", b"1", 7), znode(), [*CHECKS, SetData("/confo/sales/a", b"1", 3)]),
        (Write("sales", "a", b"1", ANY), znode(), [*CHECKS, SetData("/confo/sales/a", b"1", -1)]),
        (Write("sales", "a", None, 7), znode(), [*COUNTED, Delete("/confo/sales/a", 3)]),
        (Write("sales", "a", None, ANY), znode(), [*COUNTED, Delete("/confo/sales/a", -1)]),
        (Write("sales", "a", None, ANY), None, COUNTED),
        (
            Write("sales", "a", None, 0),
            None,
            [*COUNTED, Create("/confo/sales/a", b"", OPEN_ACL_UNSAFE, 0), Delete("/confo/sales/a", -1)],
        ),
    ],
    ids=["create", "set", "set any", "delete", "delete any", "delete nothing", "nothing must be there"],
)
def test_a_transaction(write, seen, expected):
    """A write becomes the operation for what was seen, after checks of the versions above; deletions count up."""
    assert operations(write, seen) == expected


def test_conflicts_name_every_key():
    """Each guard that does not hold for what was seen is named, and no other."""
    writes = [Write("s", "a", b"", 7), Write("s", "b", b"", 6), Write("s", "c", b"", 0), Write("s", "d", b"", ANY)]
    with pytest.raises(Conflict) as caught:
        committing.conflicts(writes, [znode(), znode(), znode(), None])
    assert caught.value.keys == (("s", "b"), ("s", "c"))


def test_the_largest_request(backend, server):
    """What is just below the limit is taken by a real server, and one byte more would lose the connection."""
    room = committing.MAX_BYTES - size_of(Multi([])) - 2000
    revision = backend.commit([Write("sales", f"n{n}", b"x" * (room // 2), 0) for n in range(2)])
    assert {entry.revision for entry in backend.load("sales").entries.values()} == {revision}
    with pytest.raises(TooLarge, match=rf"(.|\n)*{committing.MAX_BYTES:,}"):
        backend.commit([Write("sales", f"m{n}", b"x" * (room // 2 + 1000), 0) for n in range(2)])
    assert set(backend.load("sales").entries) == {"n0", "n1"}


def between(monkeypatch, backend, act):
    """Have something happen between the look of the next commit and its transaction."""
    plain, done = backend._look_at, []

    def look(*arguments, **options):
        seen = plain(*arguments, **options)
        if not done:
            done.append(True)
            act()
        return seen

    monkeypatch.setattr(backend, "_look_at", look)


def test_deleted_and_made_again(monkeypatch, backend, opening, server, prefix):
    """A configuration that was deleted and made again with the same version is not taken for the one that was seen."""
    other = opening(hosts=server.host, prefix=prefix)
    revision = backend.commit([Write("sales", "a", b"1", 0)])

    def replace():
        other.commit([Write("sales", "a", None, revision)])
        other.commit([Write("sales", "a", b"theirs", 0)])

    between(monkeypatch, backend, replace)
    with pytest.raises(Conflict):
        backend.commit([Write("sales", "a", b"mine", revision)])
    assert backend.read("sales", ["a"])["a"].data == b"theirs"


def test_a_namespace_deleted_and_made_again(monkeypatch, backend, opening, server, prefix):
    """Nor is one in a namespace that was deleted and made again."""
    other = opening(hosts=server.host, prefix=prefix)
    revision = backend.commit([Write("sales", "a", b"1", 0)])

    def replace():
        other.delete_namespace("sales")
        other.create_namespace("sales")
        other.commit([Write("sales", "a", b"theirs", 0)])

    between(monkeypatch, backend, replace)
    with pytest.raises(Conflict):
        backend.commit([Write("sales", "a", b"mine", revision)])
    assert backend.read("sales", ["a"])["a"].data == b"theirs"


def test_without_the_count_it_is_lost(monkeypatch, backend, opening, server, prefix):
    """The control: by the version alone, the other's configuration would be overwritten."""
    monkeypatch.setattr(committing, "count_up", lambda path, znode: CheckVersion(path, -1))
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        test_deleted_and_made_again(monkeypatch, backend, opening, server, prefix)


def test_commits_beside_each_other(monkeypatch, backend, opening, server, prefix):
    """Commits to other configurations, and deletions of them, come between without a conflict."""
    other = opening(hosts=server.host, prefix=prefix)
    revision = backend.commit([Write("sales", "a", b"1", 0), Write("sales", "b", b"1", 0)])
    between(monkeypatch, backend, lambda: other.commit([Write("sales", "b", None, revision)]))
    assert backend.commit([Write("sales", "a", b"2", revision)]) > revision
    assert {name: entry.data for name, entry in backend.load("sales").entries.items()} == {"a": b"2"}


def test_data_of_the_namespace_stays(backend, server, prefix):
    """What another tool keeps in the znode of a namespace is not touched by the counting."""
    client = KazooClient(server.host)
    client.start()
    client.set(f"{prefix}/sales", b"a note")
    backend.commit([Write("sales", "a", b"1", 0)])
    backend.commit([Write("sales", "a", None, ANY)])
    assert client.get(f"{prefix}/sales")[0] == b"a note"
    client.stop()
    client.close()


def test_a_namespace_of_many_is_deleted_at_once(backend):
    """A namespace is deleted at one revision, or refused with nothing deleted if its names are too many."""
    for part in range(8):
        backend.commit([Write("sales", f"{part}{number:03d}" + "x" * 120, b"", 0) for number in range(1000)])
    with pytest.raises(TooLarge, match="some at a time"):
        backend.delete_namespace("sales")
    assert len(backend.load("sales").entries) == 8000
    for part in range(4):
        backend.commit([Write("sales", f"{part}{number:03d}" + "x" * 120, None, ANY) for number in range(1000)])
    revision = backend.load("sales").revision
    watch = backend.watch("sales", revision)
    next(watch)
    backend.delete_namespace("sales")
    gone = next(batch.entries for batch in watch if batch.entries)
    assert len(gone) == 4000
    assert set(gone.values()) == {None}
    watch.close()


def test_a_commit_without_an_answer(own_server, opening, monkeypatch):
    """A commit that was sent to a server which then hangs is of unknown outcome, and was done once or not at all."""
    backend = opening(hosts=own_server.host, timeout=1)
    backend.create_namespace("sales")
    write = Write("sales", "a", b"1", 0)
    plain = Attempts.send
    monkeypatch.setattr(Attempts, "send", lambda *arguments: (own_server.pause(), plain(*arguments))[1])
    with pytest.raises(OutcomeUnknown, match="commit to namespace 'sales': it may or may not have happened"):
        backend.commit([write])
    own_server.resume()
    assert set(backend.load("sales").entries) <= {"a"}
