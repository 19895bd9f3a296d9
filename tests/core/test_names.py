"""One grammar for names, on every backend."""

from __future__ import annotations

import pytest

from confo import InvalidName
from confo.names import check_configuration, check_namespace, history_of, is_reserved


@pytest.mark.parametrize("name", ["sales", "a", "0", "Sales_EU-2.json", "x" * 128, "console", "com10", "nulls"])
def test_valid_names_are_taken(name):
    """Letters, digits, dot, underscore and dash, up to 128 of them, are a name."""
    assert check_namespace(name) == check_configuration(name) == name


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../x", "dot are Confo's own"),
        ("a/b", "letters, digits"),
        ("", "this one is empty"),
        (".hidden", "names that begin with a dot are Confo's own"),
        ("-x", "beginning with a letter or a digit"),
        ("a b", "letters, digits"),
        ("a\n", "letters, digits"),
        ("é", "ASCII"),
        ("x" * 129, "129 characters"),
        ("x" * 200, "200 characters"),
        ("con", "Windows keeps 'con' for a device"),
        ("NUL.json", "Windows keeps 'NUL' for a device"),
        ("lpt9", "device"),
    ],
)
def test_invalid_names_say_why(name, reason):
    """A name outside the grammar is refused with the reason, and a long one is not repeated at length."""
    for check, what in ((check_namespace, "namespace"), (check_configuration, "configuration")):
        with pytest.raises(InvalidName, match=f"^{what} name") as caught:
            check(name)
        assert reason in str(caught.value)
        assert len(str(caught.value)) < 250


@pytest.mark.parametrize("name", [None, 3, b"sales", ["sales"]])
def test_names_are_text(name):
    """What is no text is refused by its type."""
    with pytest.raises(InvalidName, match=f"is a str, not {type(name).__name__}"):
        check_namespace(name)


def test_the_cores_own_namespaces_cannot_be_users_names():
    """The history's namespace begins with a dot, so no user's name can be it."""
    assert is_reserved(history_of("sales"))
    with pytest.raises(InvalidName):
        check_namespace(history_of("sales"))
