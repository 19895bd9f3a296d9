"""Paths: as in 2021, and no name leads out of its place."""

from __future__ import annotations

import pytest

from confo import InvalidName
from confo_zookeeper.layout import Layout

LAYOUT = Layout("/confo")


def test_paths():
    """A configuration lies below its namespace, below the prefix."""
    assert LAYOUT.namespace("sales") == "/confo/sales"
    assert LAYOUT.configuration(".history.sales", "1") == "/confo/.history.sales/1"


def test_what_is_a_namespace():
    """What is listed is a user's: sorted, without the core's own, and without what no name may be."""
    assert LAYOUT.namespaces(["b", ".history.b", "a", "ü", "-x", "a b"]) == ["a", "b"]


@pytest.mark.parametrize("name", ["", "a/b", ".", "..", "a\0b"])
def test_names_that_lead_elsewhere(name):
    """A name that would be another path, or none, is refused."""
    with pytest.raises(InvalidName):
        LAYOUT.configuration("sales", name)
