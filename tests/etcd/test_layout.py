"""Keys and what they mean."""

from __future__ import annotations

import gc
from types import SimpleNamespace

import pytest

from confo import Entry, InvalidName
from confo_etcd.layout import Layout, entries_of, past

LAYOUT = Layout("/confo/")


def kv(key: bytes) -> SimpleNamespace:
    """Return a key-value as a server sends it."""
    return SimpleNamespace(key=key, value=b"{}", mod_revision=7)


def test_keys():
    """A configuration lies under its namespace, and the namespace's marker is what its keys begin with."""
    assert LAYOUT.key("sales", "database") == b"/confo/sales/database"
    assert LAYOUT.marker("sales") == b"/confo/sales/"
    assert past(b"/confo/sales/") == b"/confo/sales0"


@pytest.mark.parametrize("name", ["", "a/b", "/"])
def test_a_name_is_one_segment(name):
    """A name that would lie somewhere else is refused."""
    with pytest.raises(InvalidName, match="cannot be a part of a key"):
        LAYOUT.key("sales", name)
    with pytest.raises(InvalidName, match="cannot be a part of a key"):
        LAYOUT.marker(name)


@pytest.mark.parametrize(
    ("key", "namespace", "following"),
    [
        (b"/confo/sales/database", "sales", b"/confo/sales0"),
        (b"/confo/sales/", "sales", b"/confo/sales0"),
        (b"/confo/sales/a/b", "sales", b"/confo/sales0"),
        (b"/confo/sales", None, b"/confo/sales\0"),
        (b"/confo/sa les/x", None, b"/confo/sa les0"),
        (b"/confo/\xff/x", None, b"/confo/\xff0"),
        (b"/confo/" + b"n" * 129 + b"/x", None, b"/confo/" + b"n" * 129 + b"0"),
    ],
)
def test_namespace_of_a_key(key, namespace, following):
    """A key tells its namespace if that has a valid name, and where the next one may begin."""
    assert LAYOUT.namespace_of(key) == (namespace, following)


def test_the_core_s_own_namespaces_are_before_the_first():
    """Listing starts past the core's namespaces, and before any that a user can make."""
    assert LAYOUT.marker(".history.sales") < LAYOUT.first <= LAYOUT.marker("0")
    assert LAYOUT.marker("zzz") < LAYOUT.end


def test_entries():
    """The marker and deeper keys are no entries; a key that is not UTF-8 keeps a name that no grammar allows."""
    found = entries_of([kv(b"ns/"), kv(b"ns/a"), kv(b"ns/a/b"), kv(b"ns/\xff")], 3)
    assert found == {"a": Entry(b"{}", 7), "\\xff": Entry(b"{}", 7)}
    assert type(found["a"]) is Entry


@pytest.mark.parametrize("enabled", [True, False])
def test_the_collector_is_as_it_was(enabled):
    """Whether the garbage collector runs is the program's choice, also after an error."""
    before = gc.isenabled()
    (gc.enable if enabled else gc.disable)()
    try:
        entries_of([kv(b"ns/a")], 3)
        with pytest.raises(AttributeError):
            entries_of([None], 3)
        assert gc.isenabled() is enabled
    finally:
        (gc.enable if before else gc.disable)()
