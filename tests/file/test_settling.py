"""When a foreign edit is taken."""

from __future__ import annotations

import pytest

from confo_file.settling import Found, is_gone, is_quiet, is_settled

NOW = 10**18


@pytest.mark.parametrize(
    ("suffix", "data", "age", "waited", "settled"),
    [
        (".json", b'{"a": 1}', 0.001, 0.0, False),
        (".json", b'{"a": 1}', 0.03, 0.0, True),
        (".json", b'{"a": ', 0.03, 0.0, False),
        (".json", b'{"a": ', 1.1, 0.0, True),
        (".json", b"", 0.5, 0.0, False),
        (".json", b"", 0.001, 2.1, True),
        (".yaml", b"a: 1", 0.03, 0.0, False),
        (".yaml", b"a: 1", 0.2, 0.0, True),
        (".toml", b"", 0.2, 0.0, False),
        (".json", b'{"a": ', -5.0, 0.0, True),
    ],
)
def test_is_settled(suffix, data, age, waited, settled):
    """A document is taken once it is quiet, anything else after a second, and all of it in the end."""
    found = Found(data, [suffix, 0, len(data), 1, NOW - int(age * 1e9)])
    assert is_settled(found, NOW, waited) is settled


def test_is_quiet():
    """What changed within a tick of the kernel's clock may change again without a trace."""
    assert not is_quiet([".json", 0, 0, 1, NOW - 5_000_000], NOW)
    assert is_quiet([".json", 0, 0, 1, NOW - 25_000_000], NOW)


def test_is_gone():
    """A file that is missing since a moment may be an editor's that is about to come back."""
    assert not is_gone(0.01, 0.0)
    assert is_gone(0.2, 0.0)
    assert is_gone(0.01, 0.2)
