"""When a foreign edit is taken: a pure decision about one file. Nobody tells when an editor has finished.

Many truncate a file and write it anew; others rename it away and write another. What is seen between is not the
document. So a change is taken once it is quiet; what is no document is waited for longer, and then reported as it is.
Times are the ctime of this machine's kernel, which nobody can set; one in the future is of another clock, and old.
"""

from __future__ import annotations

from typing import NamedTuple

from confo_file.folder import Stamp
from confo_file.formats import is_document
from confo_file.layout import JSON

QUIET_SECONDS = 0.02
"""Longer than a tick of the kernel's clock: whatever is written later has another mtime."""
QUIET_SECONDS_OTHERS = 0.1
"""For YAML and TOML: the beginning of a document is a document there."""
GONE_SECONDS = 0.1
"""Until a missing file is a deleted one; editors rename files away for milliseconds."""
HALF_SECONDS = 1.0
"""Until what is no document is no half of one."""
PATIENCE_SECONDS = 2.0
"""In all, for a file that changes on and on."""
LOOK_SECONDS = 0.02
"""Between two looks at what is not settled."""


class Found(NamedTuple):
    """A file that is not as it was known."""

    data: bytes
    stamp: Stamp
    problem: str = ""
    """Why it could not be read, or must not be."""
    is_linked: bool = False
    """It was read through a link: who switches a link has written what it leads to before."""


def is_settled(found: Found, now: int, waited: float) -> bool:
    """Tell whether a change is whole; ``now`` in nanoseconds, ``waited`` in seconds."""
    if waited >= PATIENCE_SECONDS:
        return True
    if found.problem:
        return True
    if found.is_linked and is_document(str(found.stamp[0]), found.data):
        return True  # all documents of one switch are one change, however fresh each is
    suffix, age = str(found.stamp[0]), _age(found.stamp, now)
    if age >= HALF_SECONDS:
        return True
    return age >= (QUIET_SECONDS if suffix == JSON else QUIET_SECONDS_OTHERS) and is_document(suffix, found.data)


def is_gone(folder_age: float, waited: float) -> bool:
    """Tell whether a missing file is a deleted one; ``folder_age`` is since a name in its folder changed."""
    return waited >= GONE_SECONDS or not 0 <= folder_age < GONE_SECONDS


def is_quiet(stamp: Stamp, now: int) -> bool:
    """Tell whether any later write is sure to give another stamp."""
    return _age(stamp, now) >= QUIET_SECONDS


def _age(stamp: Stamp, now: int) -> float:
    """Return the seconds since the file last changed."""
    age = (now - int(stamp[4])) / 1e9
    return age if age >= 0 else HALF_SECONDS
