"""Whether a plugin was made for this core."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet

from confo.requirement import refusal


@pytest.mark.parametrize(
    ("requirements", "refused"),
    [
        (["confo-core<0.5"], "confo-core<0.5"),
        (["grpcio>=1", "confo_core (>=2)"], "confo_core (>=2)"),
        (["Confo.Core[etcd]~=0.9.0 ; python_version > '3'"], "Confo.Core[etcd]~=0.9.0"),
        (["confo-core~=1.0.0.dev0"], None),
        (["confo-core"], None),
        (["confo-core @ file:///somewhere"], None),
        (["confo-core-extras<0.5"], None),
        ([], None),
    ],
)
def test_what_is_refused(requirements, refused):
    """The requirement on the core that is not met is returned as it was written, and nothing else is looked at."""
    assert refusal(requirements, "1.0.0.dev0") == refused


release = st.lists(st.integers(0, 3), min_size=2, max_size=3).map(lambda parts: ".".join(map(str, parts)))


@given(release, st.lists(st.tuples(st.sampled_from(["~=", "==", "!=", "<=", ">=", "<", ">"]), release), max_size=3))
def test_it_agrees_with_packaging(version, clauses):
    """Release numbers are compared as the packaging library compares them."""
    specifier = ",".join(operator + want for operator, want in clauses)
    assert (refusal([f"confo-core{specifier}"], version) is None) is (version in SpecifierSet(specifier))
