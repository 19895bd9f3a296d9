"""Committing: markers, guards and limits, as a real server takes them."""

from __future__ import annotations

import pytest

from confo import ANY, Conflict, NamespaceNotFound, TooLarge, Write
from confo_etcd import layout
from confo_etcd.committing import MAX_OPERATIONS, MAX_VALUE_BYTES
from tests.servers import EtcdServer, etcd_binary


def marker(server, prefix, namespace):
    """Return what etcdctl prints of a namespace's marker."""
    return server.ctl("get", f"{prefix}{namespace}/").splitlines()


def test_the_marker_is_empty(server, prefix, backend):
    """A new namespace is one key, ending in a slash, with an empty value."""
    assert marker(server, prefix, "sales") == [f"{prefix}sales/", ""]


def test_documents_are_where_other_tools_look(server, prefix, backend):
    """A configuration lies at prefix/namespace/name as it is."""
    backend.commit([Write("sales", "database", b'{"host": "h"}', 0)])
    assert server.ctl("get", f"{prefix}sales/database").splitlines()[1] == '{"host": "h"}'


def test_a_namespace_without_a_marker_gets_one(server, prefix, backend):
    """A first write into a namespace that another tool made works, and makes its marker."""
    server.ctl("put", f"{prefix}analytics/a", "{}")
    revision = backend.commit([Write("analytics", "b", b"1", 0)])
    assert backend.load("analytics").entries["b"].revision == revision
    assert marker(server, prefix, "analytics") == [f"{prefix}analytics/", ""]


def test_a_conflict_in_a_namespace_without_a_marker(server, prefix, backend):
    """A key that is in the way is a conflict also where the marker is missing."""
    server.ctl("put", f"{prefix}analytics/a", "{}")
    with pytest.raises(Conflict) as caught:
        backend.commit([Write("analytics", "a", b"1", 0)])
    assert caught.value.keys == (("analytics", "a"),)


def test_a_namespace_that_was_deleted_meanwhile(server, prefix, backend, monkeypatch):
    """A namespace that goes between the marker's writing and the commit does not come back."""
    server.ctl("put", f"{prefix}analytics/a", "{}")
    mark = backend._mark

    def mark_and_delete(namespace):
        mark(namespace)
        backend.delete_namespace(namespace)

    monkeypatch.setattr(backend, "_mark", mark_and_delete)
    with pytest.raises(NamespaceNotFound, match="'analytics'"):
        backend.commit([Write("analytics", "b", b"1", 0)])
    assert backend.namespaces() == ["sales"]


def test_a_namespace_that_was_deleted_before_the_marker(server, prefix, backend, monkeypatch):
    """The marker itself is guarded: a namespace deleted just before does not come back as an empty one."""
    server.ctl("put", f"{prefix}analytics/a", "{}")
    witness = backend._witness

    def witness_and_delete(namespace):
        key = witness(namespace)
        backend.delete_namespace(namespace)
        return key

    monkeypatch.setattr(backend, "_witness", witness_and_delete)
    with pytest.raises(NamespaceNotFound, match="'analytics'"):
        backend.commit([Write("analytics", "b", b"1", 0)])
    assert backend.namespaces() == ["sales"]


def test_the_most_writes_into_new_places(backend):
    """As many new configurations as a transaction has room for are one commit, also where markers find none."""
    revision = backend.commit([Write("sales", f"n{number}", b"1", 0) for number in range(MAX_OPERATIONS)])
    assert {entry.revision for entry in backend.load("sales").entries.values()} == {revision}
    with pytest.raises(NamespaceNotFound, match="'nowhere'"):
        backend.commit([Write("nowhere", f"n{number}", b"1", 0) for number in range(MAX_OPERATIONS)])
    assert backend.namespaces() == ["sales"]


def test_the_largest_value(backend):
    """The largest value that is declared is taken by the server."""
    revision = backend.commit([Write("sales", "n" * 128, b"x" * MAX_VALUE_BYTES, 0)])
    backend.commit([Write("sales", "n" * 128, b"y" * MAX_VALUE_BYTES, revision)])


def test_a_server_with_smaller_limits(label, opening):
    """What only the server's own settings refuse is refused as too large, and nothing is written."""
    with EtcdServer(etcd_binary(label), arguments=["--max-txn-ops=10", "--max-request-bytes=100000"]) as server:
        backend = opening(host="127.0.0.1", port=server.port)
        backend.create_namespace("sales")
        with pytest.raises(TooLarge, match="too many operations"):
            backend.commit([Write("sales", f"n{number}", b"1", 0) for number in range(11)])
        with pytest.raises(TooLarge, match="request is too large"):
            backend.commit([Write("sales", "a", bytes(200_000), 0)])
        assert dict(backend.load("sales").entries) == {}


def test_every_conflict_is_named(backend):
    """A refused commit names every key that moved: changed, gone, or there against expectation."""
    first = backend.commit([Write("sales", name, b"1", 0) for name in ("changed", "gone", "there", "same")])
    backend.commit([Write("sales", "changed", b"2", first), Write("sales", "gone", None, first)])
    with pytest.raises(Conflict, match="sales/changed, sales/gone, sales/there changed since it was read") as caught:
        backend.commit(
            [
                Write("sales", "changed", b"3", first),
                Write("sales", "gone", b"3", first),
                Write("sales", "there", b"3", 0),
                Write("sales", "same", b"3", first),
                Write("sales", "new", b"3", 0),
                Write("sales", "any", b"3", ANY),
            ]
        )
    assert caught.value.keys == (("sales", "changed"), ("sales", "gone"), ("sales", "there"))
    assert set(backend.load("sales").entries) == {"changed", "there", "same"}


def test_history_in_the_same_transaction(backend):
    """A commit's record among the core's own namespaces has the same revision as the commit."""
    revision = backend.commit([Write("sales", "a", b"1", 0), Write(".history.sales", "1-x", b"{}", 0)])
    assert backend.scan(".history.sales")[0][1].revision == revision


def test_deleting_a_namespace_leaves_its_history(backend):
    """The history of a namespace outlives it: what becomes of it is the core's decision."""
    backend.commit([Write("sales", "a", b"1", 0), Write(".history.sales", "1-x", b"{}", 0)])
    backend.delete_namespace("sales")
    assert [name for name, _ in backend.scan(".history.sales")] == ["1-x"]


def test_past_a_prefix():
    """The end of a range is past every key of it and before every other."""
    assert b"/a/\xff" < layout.past(b"/a/") < b"/a1"
