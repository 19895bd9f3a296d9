"""What people read of a change: one line a commit, and old -> new of each path, only when asked. Pure."""

from __future__ import annotations

import json
from typing import Any


def said(value: Any) -> str:
    """Return a JSON value as one printable line; what is none speaks for itself."""
    if value is None or isinstance(value, (dict, list, str, int, float, bool)):
        text = json.dumps(value, ensure_ascii=False)
        return text if text.isprintable() else json.dumps(value)
    return str(value)


def at(path: tuple[str, ...]) -> str:
    """Return a path: a field's name as it is, if it is printable; what lies deeper as a tuple."""
    if len(path) == 1:
        return path[0] if path[0].isprintable() and path[0].strip() == path[0] != "" else ascii(path[0])
    return repr(path)


def counted(configurations: int) -> str:
    """Return "1 configuration", "2 configurations"."""
    return f"{configurations:,} configuration{'' if configurations == 1 else 's'}"


def one_line(text: str) -> str:
    """Return a text without line breaks and without what a terminal would obey."""
    line = " ".join(text.split())
    return line if line.isprintable() else ascii(line)[1:-1]
