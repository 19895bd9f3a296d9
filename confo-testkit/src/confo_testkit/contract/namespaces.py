"""Namespaces: made, listed, deleted, and never mixed up; names at the grammar's extremes."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import pytest

from confo import Backend, ConfoError, Entry, NamespaceExists, NamespaceNotFound, Write
from confo_testkit.contract.base import Contract, fill, put

NAMES: Final = (
    *("a", "aa", "aaa", "ab", "a0", "a.b", "a-b", "a_b", "a.", "a-", "a_", "a..b", "a--b"),
    *("0", "00", "9" * 128, "007", "1e9", "0x1f", "x" * 127, "x" * 128, "x" + "." * 127, "Z" + "-" * 127),
    *("a.json", "a.json.json", "a.tmp", "a.lock", "a.history", "history", "null", "true", "README", "sales.", "sales-"),
)
"""Names that the grammar allows and that stores like to trip over; no two differ in case only."""


class NamespacesContract(Contract):
    """A namespace is there from ``create_namespace`` to ``delete_namespace``, and shares nothing with any other."""

    def test_namespaces_are_listed_sorted(self, opened: Callable[[], Backend], backend: Backend) -> None:
        """Namespaces are listed by name, from every handle, and the core's own are not among them."""
        backend.create_namespace("analytics")
        backend.commit([Write(".history.sales", "1", b"{}", 0)])
        for handle in (backend, opened()):
            assert handle.namespaces() == ["analytics", "sales"]

    def test_similar_names_do_not_mix(self, backend: Backend) -> None:
        """A namespace whose name begins like another's shares nothing with it."""
        similar = ("sales2", "sale", "sales.eu", "sales-eu")
        for name in similar:
            backend.create_namespace(name)
            backend.commit([Write(name, "database", name.encode(), 0)])
        assert dict(backend.load("sales").entries) == {}, "it has the entries of a namespace that begins like it"
        backend.delete_namespace("sales")
        assert backend.namespaces() == ["sale", "sales-eu", "sales.eu", "sales2"]
        for name in similar:
            assert backend.read(name, ["database"])["database"].data == name.encode()

    def test_hostile_namespaces(self, backend: Backend) -> None:
        """Every name that the grammar allows is a namespace of its own, and so is its history."""
        for name in NAMES:
            backend.create_namespace(name)
            put(backend, name.encode(), "a", name)
            put(backend, b"history of " + name.encode(), "a", f".history.{name}")
        assert backend.namespaces() == sorted([*NAMES, "sales"])
        for name in NAMES[::2]:
            backend.delete_namespace(name)
        assert backend.namespaces() == sorted([*NAMES[1::2], "sales"])
        for name in NAMES[1::2]:
            assert {n: e.data for n, e in backend.load(name).entries.items()} == {"a": name.encode()}
        for name in NAMES:
            assert backend.read(f".history.{name}", ["a"])["a"].data == b"history of " + name.encode()

    def test_hostile_configurations(self, backend: Backend) -> None:
        """Every name that the grammar allows is a configuration of its own, in order of its characters' numbers."""
        written = fill(backend, {name: name.encode() for name in NAMES})
        assert backend.load("sales").entries == written
        assert backend.read("sales", NAMES) == written
        assert backend.scan("sales") == sorted(written.items())
        for name in NAMES[::2]:
            put(backend, None, name)
        assert set(backend.load("sales").entries) == set(NAMES[1::2]), "deleting one deleted another, or did not"

    def test_names_that_differ_in_case(self, backend: Backend) -> None:
        """A name that differs in case only is another name, or is refused: it is never the same one."""
        put(backend, b"small", "database")
        try:
            put(backend, b"large", "Database")
        except ConfoError:
            expected = {"database": b"small"}
        else:
            expected = {"database": b"small", "Database": b"large"}
        assert {name: entry.data for name, entry in backend.load("sales").entries.items()} == expected

    def test_create_twice(self, backend: Backend) -> None:
        """Creating a namespace that is there is an error, not a reset."""
        put(backend, name="database")
        with pytest.raises(NamespaceExists, match="sales"):
            backend.create_namespace("sales")
        assert "database" in backend.load("sales").entries, "creating it again emptied it"

    def test_create_at_once(self, opened: Callable[[], Backend]) -> None:
        """Of several who create one namespace at the same time, one does it, and the others are told."""

        def create(handle: Backend) -> bool:
            try:
                handle.create_namespace("new")
            except NamespaceExists:
                return False
            return True

        with ThreadPoolExecutor(4) as pool:
            done = list(pool.map(create, [opened() for _ in range(4)]))
        assert sum(done) == 1, f"{sum(done)} of 4 were told that they made it"

    def test_delete_namespace(self, backend: Backend) -> None:
        """Deleting a namespace deletes all in it; what is not there cannot be deleted."""
        backend.commit([Write("sales", "a", b"{}", 0), Write("sales", "b", b"{}", 0)])
        backend.delete_namespace("sales")
        assert backend.namespaces() == []
        with pytest.raises(NamespaceNotFound, match="sales"):
            backend.delete_namespace("sales")
        backend.create_namespace("sales")
        assert dict(backend.load("sales").entries) == {}, "what was deleted with its namespace came back"

    def test_delete_namespace_is_a_commit(self, backend: Backend) -> None:
        """Time goes on over the deletion of a namespace: what is made anew has greater revisions."""
        before = put(backend).revision
        backend.delete_namespace("sales")
        backend.create_namespace("sales")
        assert backend.load("sales").revision > before
        assert backend.commit([Write("sales", "a", b"{}", 0)]) > before

    def test_the_history_outlives_its_namespace(self, backend: Backend) -> None:
        """Deleting a namespace leaves the core's own beside it."""
        put(backend, b"record", "1", ".history.sales")
        backend.delete_namespace("sales")
        assert backend.read(".history.sales", ["1"])["1"].data == b"record"

    def test_unknown_namespace(self, backend: Backend) -> None:
        """Loading what is not there names it and lists what is."""
        with pytest.raises(NamespaceNotFound, match=r"nowhere(.|\n)*sales"):
            backend.load("nowhere")

    def test_unknown_namespace_has_nothing(self, backend: Backend) -> None:
        """Reading in a namespace that is not there finds nothing or says so, and does not make it."""
        for read in (lambda: backend.read("nowhere", ["a"]), lambda: backend.scan("nowhere")):
            try:
                assert not read()
            except NamespaceNotFound:
                continue
        assert backend.namespaces() == ["sales"]

    def test_core_namespaces_need_no_creation(self, backend: Backend) -> None:
        """The core's own namespaces are there when first written, and empty before."""
        assert dict(backend.load(".history.sales").entries) == {}
        assert backend.scan(".history.sales") == []
        assert backend.read(".history.sales", ["1"]) == {}
        revision = backend.commit([Write(".history.sales", "1", b"{}", 0)])
        assert backend.load(".history.sales").entries == {"1": Entry(b"{}", revision)}
