"""Whether a plugin says that it was made for another version of the core: a pure function.

pip refuses such a pair, but other ways to install do not look, and what follows is an AttributeError somewhere. Only
the release numbers of the one requirement ``confo-core`` are compared, as ordinary version specifiers
(PyPA specification "Version specifiers") have them; what is not understood is not held against the plugin.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

_LINE = re.compile(r"confo[-_.]core(?![-_.\w])\s*(?:\[[^\]]*\])?\s*\(?\s*([^;)]*)", re.IGNORECASE)
_CLAUSE = re.compile(r"(~=|==|!=|<=|>=|<|>)\s*v?(\d+(?:\.\d+)*)(\.\*)?")

Release = tuple[int, ...]
_COMPARE: dict[str, Callable[[Release, Release], bool]] = {
    "==": lambda have, want: have == want,
    "!=": lambda have, want: have != want,
    "<=": lambda have, want: have <= want,
    ">=": lambda have, want: have >= want,
    "<": lambda have, want: have < want,
    ">": lambda have, want: have > want,
}


def refusal(requirements: Iterable[str], core_version: str) -> str | None:
    """Return the requirement that this version of the core does not meet, None if there is none."""
    have = _release(core_version)
    for line in requirements:
        found = _LINE.match(line.strip())
        if found and not all(_meets(have, *clause) for clause in _CLAUSE.findall(found.group(1))):
            return line.partition(";")[0].strip()
    return None


def _meets(have: Release, operator: str, version: str, wildcard: str) -> bool:
    want = _release(version)
    if operator == "~=":
        have = _padded(have, len(want))
        return have >= want and have[: len(want) - 1] == want[:-1]
    if wildcard:
        have = have[: len(want)]
    length = max(len(have), len(want))
    return _COMPARE[operator](_padded(have, length), _padded(want, length))


def _release(version: str) -> Release:
    found = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(map(int, found.group().split("."))) if found else ()


def _padded(release: Release, length: int) -> Release:
    return release + (0,) * (length - len(release))
