"""Fields and paths, as pure functions."""

from __future__ import annotations

from typing import Any

import pytest

from confo import MISSING, InvalidName
from confo.paths import NotAnObject, as_field, as_path, look, put, shown

DOCUMENT: dict[str, Any] = {"host": "a", "opts": {"pool": {"size": 5}, "tags": ["x"]}, "a.b": 1}


def test_a_field_is_a_name_or_a_path():
    """A str is the name of a field, dots included; a tuple of str is a path into nested objects."""
    assert as_path("a.b") == ("a.b",)
    assert as_path(("opts", "pool")) == ("opts", "pool")
    assert [as_field(path) for path in ((), ("a",), ("a", "b"))] == [None, "a", ("a", "b")]
    assert [shown(field) for field in (None, "a", ("a",), ("a", "b"))] == [
        "as a whole", "field 'a'", "field 'a'", "field ('a', 'b')"
    ]  # fmt: skip


@pytest.mark.parametrize("field", [(), ["a"], ("a", 1), 5, None, {"a": 1}, b"a"])
def test_what_is_no_field_is_refused(field):
    """Anything else is InvalidName, which says what is wanted."""
    with pytest.raises(InvalidName, match="a field is a str, or a tuple of str"):
        as_path(field)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("host",), "a"),
        (("a.b",), 1),
        (("opts", "pool", "size"), 5),
        (("opts", "tags"), ["x"]),
        (("a", "b"), MISSING),
        (("host", "x"), MISSING),
        (("opts", "tags", "0"), MISSING),
        (("opts", "nope", "size"), MISSING),
        ((), DOCUMENT),
    ],
)
def test_looking(path, value):
    """A path is looked up through objects; a list is one value, and a name with a dot one name."""
    assert look(DOCUMENT, path) == value
    assert look(None, path) is MISSING


def test_putting_changes_one_path_and_no_other_object():
    """A value is put into a copy; objects on the way are made; what was there stays as it is."""
    assert put(None, ("a", "b"), 1) == {"a": {"b": 1}}
    changed = put(DOCUMENT, ("opts", "pool", "size"), 6)
    assert changed["opts"] == {"pool": {"size": 6}, "tags": ["x"]}
    assert DOCUMENT["opts"]["pool"]["size"] == 5
    assert put(changed, ("opts", "pool"), MISSING)["opts"] == {"tags": ["x"]}
    assert put({"a": 1}, ("x", "y"), MISSING) == {"a": 1}


@pytest.mark.parametrize(("path", "way"), [(("host", "x"), ("host",)), (("opts", "tags", "0"), ("opts", "tags"))])
def test_a_value_in_the_way(path, way):
    """What is no object in the way of a path is not written over: the error says where it stands."""
    with pytest.raises(NotAnObject) as caught:
        put(DOCUMENT, path, 1)
    assert caught.value.path == way
