"""What other tools put below the prefix costs itself: znodes that may not be read, and znodes below configurations."""

from __future__ import annotations

import time
from contextlib import closing

import pytest
from kazoo.client import KazooClient
from kazoo.security import OPEN_ACL_UNSAFE, make_acl, make_digest_acl

from confo import ANY, BackendFailure, Conflict, Confo, PermissionDenied, State, UnreadableDocument, Write
from confo_zookeeper import watch as watching
from confo_zookeeper.attempts import Attempts
from tests.zookeeper.servers import ZooServer
from tests.zookeeper.sessions import wait_until

PRIVATE = [make_digest_acl("owner", "hunter2", all=True)]
"""An ACL that lets nobody here read."""


@pytest.fixture
def admin(server):
    """Give another tool, which has the passwords of all."""
    client = KazooClient(server.host, auth_data=[("digest", "owner:hunter2")])
    client.start()
    yield client
    client.stop()
    client.close()


@pytest.fixture
def program(server, prefix, backend):
    """Give a namespace that a program follows."""
    with Confo(prefix) as config:
        config.load_backend({"hosts": [server.host], "prefix": prefix}, "store", "zookeeper")
        yield config.namespace("sales", backend="store")


def put(backend, **documents):
    """Write these documents; None deletes."""
    return backend.commit([Write("sales", name, data, ANY) for name, data in documents.items()])


def test_a_forbidden_znode_costs_itself(way, backend, admin, prefix):
    """A znode that this user may not read is named with its path and the reason; all others are read as ever.

    In each way of reading, with its true revision, by all calls that read.
    """
    revision = put(backend, **{f"n{number:02d}": b"{}" for number in range(20)})
    admin.create(f"{prefix}/sales/n07x", b'{"password":"hunter2"}', acl=PRIVATE)
    snapshot = backend.load("sales")
    entry = snapshot.entries["n07x"]
    assert entry.problem.startswith(f"cannot read {prefix}/sales/n07x without a user: the ACL")
    assert entry.data == b""
    assert entry.revision == admin.exists(f"{prefix}/sales/n07x").mzxid
    assert {one.revision for name, one in snapshot.entries.items() if name != "n07x"} == {revision}
    assert backend.read("sales", ["n07x", "n01"])["n07x"] == entry
    assert dict(backend.scan("sales"))["n07x"] == entry
    assert "hunter2" not in repr(snapshot.entries)


def test_the_user_is_named(server, prefix, opening, backend, admin):
    """Who gave a user is told as whom the znode could not be read, and never the password."""
    admin.create(f"{prefix}/sales/secret", b"{}", acl=PRIVATE)
    theirs = opening(hosts=[server.host], prefix=prefix, user="shop", password="hunter3")
    problem = theirs.load("sales").entries["secret"].problem
    assert f"cannot read {prefix}/sales/secret as user 'shop'" in problem
    assert "hunter3" not in problem


def test_live_updates_go_on_beside_it(program, admin, prefix):
    """A running program hears of all others while one znode is forbidden, and reads that one once it may."""
    admin.create(f"{prefix}/sales/secret", b'{"x":1}', acl=PRIVATE)
    wait_until(lambda: "secret" in program, 5.0)
    admin.create(f"{prefix}/sales/db", b'{"host":"a"}')
    wait_until(lambda: program.get("db", "host", None) == "a", 5.0)
    admin.set(f"{prefix}/sales/db", b'{"host":"b"}')
    wait_until(lambda: program.get("db", "host", None) == "b", 5.0)
    assert program.status().state is State.READY
    with pytest.raises(UnreadableDocument, match=f"cannot read {prefix}/sales/secret"):
        program.get("secret")
    admin.set_acls(f"{prefix}/sales/secret", OPEN_ACL_UNSAFE)  # which fires no watch
    wait_until(lambda: "secret" in program.snapshot() and _read(program, "secret") == {"x": 1}, 10.0)


def _read(program, name):
    try:
        return program.get(name, default=None)
    except UnreadableDocument:
        return None


def test_allowed_and_forbidden_while_watched(backend, admin, prefix, monkeypatch):
    """A watch tells of a forbidden znode once, of what becomes of it, and of what it holds once it may be read."""
    monkeypatch.setattr(watching, "QUIET_SECONDS", 0.1)
    watch = backend.watch("sales", backend.load("sales").revision)

    def told():
        return next(batch.entries for batch in watch if batch.entries)

    with closing(watch):
        admin.create(f"{prefix}/sales/secret", b"1", acl=PRIVATE)
        created = told()["secret"]
        assert created.problem
        for _ in range(5):  # it is tried again, and there is nothing to tell
            assert not next(watch).entries
        admin.set(f"{prefix}/sales/secret", b"2")
        changed = told()["secret"]
        assert changed.problem
        assert changed.revision > created.revision
        admin.set_acls(f"{prefix}/sales/secret", OPEN_ACL_UNSAFE)
        assert told() == {"secret": (b"2", changed.revision, "")}
        admin.set_acls(f"{prefix}/sales/secret", PRIVATE)
        admin.delete(f"{prefix}/sales/secret")
        assert told() == {"secret": None}


def test_a_watch_that_goes_on_tries_again_too(backend, admin, prefix):
    """What was forbidden when it was loaded is read by a watch that begins after the ACL was changed."""
    admin.create(f"{prefix}/sales/secret", b"1", acl=PRIVATE)
    snapshot = backend.load("sales")
    admin.set_acls(f"{prefix}/sales/secret", OPEN_ACL_UNSAFE)
    with closing(backend.watch("sales", snapshot.revision)) as watch:
        entries = next(batch.entries for batch in watch if batch.entries)
    assert entries["secret"] == (b"1", snapshot.entries["secret"].revision, "")


def test_it_may_be_written_blindly(backend, admin, prefix):
    """A znode that may be written and not read can be replaced and deleted, guarded by its revision."""
    acl = [make_acl("world", "anyone", write=True)]
    admin.create(f"{prefix}/sales/inbox", b"1", acl=acl)
    revision = backend.load("sales").entries["inbox"].revision
    later = backend.commit([Write("sales", "inbox", b"2", revision)])
    with pytest.raises(Conflict):
        backend.commit([Write("sales", "inbox", b"3", revision)])
    admin.add_auth("digest", "owner:hunter2")
    assert backend.load("sales").entries["inbox"].revision == later
    backend.commit([Write("sales", "inbox", None, later)])
    assert "inbox" not in backend.load("sales").entries


def test_what_may_not_be_written(backend, admin, prefix):
    """A commit that the ACL of one znode forbids is refused at once, names its path, and writes nothing."""
    put(backend, a=b"1")
    admin.create(f"{prefix}/sales/b", b"1", acl=[make_acl("world", "anyone", read=True)])
    with pytest.raises(PermissionDenied, match=f"at {prefix}/sales/b: nothing was written"):
        put(backend, a=b"2", b=b"2")
    assert backend.read("sales", ["a"])["a"].data == b"1"


def test_a_prefix_that_may_not_be_read(server, prefix, opening, backend, admin):
    """Who may read a namespace reads it, also where the prefix above is not for everybody's eyes."""
    put(backend, a=b"{}")
    backend.load("sales")
    admin.set_acls(prefix, PRIVATE)
    there = opening(hosts=[server.host], prefix=prefix)
    assert there.load("sales").entries.keys() == {"a"}
    assert there.identity == backend.identity != ""
    with pytest.raises(PermissionDenied, match=f"at {prefix}"):
        put(there, a=b"1")


def test_a_forbidden_namespace(backend, admin, prefix):
    """A namespace that may not be read is PermissionDenied, with its path."""
    admin.set_acls(f"{prefix}/sales", PRIVATE)
    with pytest.raises(PermissionDenied, match=f"at {prefix}/sales"):
        backend.load("sales")


def test_a_znode_beyond_the_limit():
    """A znode of 2 MiB, on a server that takes such, is too large by its own name; all others are read and followed."""
    with ZooServer(java=["-Djute.maxbuffer=4194304"]) as server, closing(KazooClient(server.host)) as admin:
        admin.start()
        admin.create("/confo/sales/large", b'{"x":"%s"}' % (b"x" * 2**21), makepath=True)
        with Confo("large") as config:
            config.load_backend({"hosts": [server.host]}, "store", "zookeeper")
            sales = config.namespace("sales", backend="store")
            with pytest.raises(UnreadableDocument, match="sales/large.*2,097,160 bytes"):
                sales.get("large")
            admin.create("/confo/sales/db", b'{"host":"a"}')
            wait_until(lambda: sales.get("db", "host", None) == "a", 5.0)
        admin.stop()


@pytest.mark.parametrize("children", [["child"], ["first", "second", "third"]])
def test_a_znode_below_a_configuration(backend, admin, prefix, monkeypatch, children):
    """Deleting a configuration below which another tool put znodes is one quick error that names them."""
    revision = put(backend, db=b"1", other=b"1")
    for child in children:
        admin.create(f"{prefix}/sales/db/{child}")
    sent = counted(monkeypatch)
    began = time.monotonic()
    with pytest.raises(
        BackendFailure, match=f"{prefix}/sales/db/{children[0]}.*nothing was written.*delete it"
    ) as said:
        backend.commit([Write("sales", "other", b"2", ANY), Write("sales", "db", None, revision)])
    assert time.monotonic() - began < 2
    assert not sent
    assert (said.value.namespace, said.value.configuration) == ("sales", "db")
    assert ("and 2 more" in str(said.value)) == (len(children) == 3)
    assert {entry.revision for entry in backend.load("sales").entries.values()} == {revision}
    put(backend, db=b"2")  # it may still be written
    for child in children:
        admin.delete(f"{prefix}/sales/db/{child}")
    put(backend, db=None)


def test_a_znode_put_below_it_meanwhile(backend, admin, prefix, monkeypatch):
    """One that comes between a commit's look and its transaction is told as well, after a single attempt."""
    revision = put(backend, db=b"1")
    plain, sent = Attempts.send, []

    def between(self, multi, based_on):
        if not sent:
            admin.create(f"{prefix}/sales/db/child")
        sent.append(multi)
        return plain(self, multi, based_on)

    monkeypatch.setattr(Attempts, "send", between)
    with pytest.raises(BackendFailure, match=f"{prefix}/sales/db/child"):
        backend.commit([Write("sales", "db", None, revision)])
    assert len(sent) == 1


def test_a_namespace_with_znodes_below_its_configurations(backend, admin, prefix, monkeypatch):
    """Deleting a namespace likewise: one error that names what is in the way, and nothing is deleted."""
    put(backend, a=b"1", b=b"1", c=b"1")
    admin.create(f"{prefix}/sales/b/child")
    sent = counted(monkeypatch)
    with pytest.raises(BackendFailure, match=f"cannot delete namespace 'sales': below it lies {prefix}/sales/b/child"):
        backend.delete_namespace("sales")
    assert len(sent) == 1
    assert len(backend.load("sales").entries) == 3
    admin.delete(f"{prefix}/sales/b/child")
    backend.delete_namespace("sales")
    assert backend.namespaces() == []


def test_a_refusal_that_no_race_explains(backend, monkeypatch):
    """A transaction that is refused twice over the same state is told with the server's word, not tried for seconds."""
    put(backend, a=b"1")
    sent = counted(monkeypatch)
    monkeypatch.setattr("confo_zookeeper.committing.ANY_VERSION", 77)  # a guard of our own that never holds
    with pytest.raises(BackendFailure, match="BadVersionError") as said:
        put(backend, a=b"2")
    assert "nothing was written" in str(said.value)
    assert len(sent) == 2


def counted(monkeypatch):
    """Return the list of the transactions that are sent from now on."""
    plain, sent = Attempts.send, []

    def send(self, *given):
        sent.append(given)
        return plain(self, *given)

    monkeypatch.setattr(Attempts, "send", send)
    return sent
