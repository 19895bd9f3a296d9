"""A TOML text as its statements, each with where it stands: headers of tables, and keys with their values.

What is parsed is parsed by the standard library; here is only where a statement, its value and the items of an array
begin and end.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from typing import NamedTuple

Path = tuple[str | int, ...]
_STRINGS = (r'"""(?:\\.|[^\\])*?"{3,5}', r"'''.*?'{3,5}", r'"(?:\\.|[^"\\\n])*"', r"'[^'\n]*'")
_STRING = re.compile("|".join(_STRINGS), re.DOTALL)
_KEY = re.compile(
    r"[ \t]*(?:[A-Za-z0-9_-]+|\"(?:\\.|[^\"\\\n])*\"|'[^'\n]*')[ \t]*(?:\.[ \t]*(?:[A-Za-z0-9_-]+|"
    r"\"(?:\\.|[^\"\\\n])*\"|'[^'\n]*')[ \t]*)*"
)


@dataclass(slots=True)
class Statement:
    """A header or a key with its value; ``path`` is the whole path, with the number of an array's table in it."""

    path: Path
    start: int
    """Of its line."""
    end: int
    """Of its line or lines, without the line end."""
    is_header: bool
    is_array: bool = False
    """It begins one more table of an array."""
    value: int = 0
    value_end: int = 0
    table: Path = ()
    """The path of the header above a key."""


class Item(NamedTuple):
    """An item of an array: its value, and the span that goes when it goes."""

    start: int
    end: int
    begin: int
    """Behind the item before, or the bracket."""
    until: int
    """Behind its comma and the comment on its line."""


def statements(text: str) -> list[Statement]:
    """Return the statements of a text that is valid TOML."""
    found: list[Statement] = []
    counts: dict[Path, int] = {}
    prefix: Path = ()
    at = 0
    while at < len(text):
        line_end = _line_end(text, at)
        line = text[at:line_end].strip()
        if not line or line.startswith("#"):
            at = line_end + 1
            continue
        begin = at + len(text[at:line_end]) - len(text[at:line_end].lstrip())
        if line.startswith("["):
            is_array = line.startswith("[[")
            key = _KEY.match(text, begin + 1 + is_array)
            assert key is not None  # noqa: S101 - it is valid
            prefix = _numbered(_names(key[0]), counts, is_array=is_array)
            found.append(Statement(prefix, at, line_end, True, is_array))
            at = line_end + 1
            continue
        key = _KEY.match(text, begin)
        assert key is not None  # noqa: S101 - it is valid
        value = skip_blanks(text, key.end() + 1)
        value_end = value_at(text, value)
        end = _line_end(text, value_end)
        found.append(Statement((*prefix, *_names(key[0])), at, end, False, False, value, value_end, prefix))
        at = end + 1
    return found


def value_at(text: str, at: int) -> int:
    """Return where the value that begins here ends."""
    depth, start = 0, at
    while at < len(text):
        letter = text[at]
        if letter in "\"'":
            at = _string_end(text, at)
        elif letter == "#":
            if depth == 0:
                break
            at = _line_end(text, at)
            continue
        elif letter in "[{":
            depth += 1
            at += 1
        elif letter in "]}":
            if depth == 0:
                break
            depth -= 1
            at += 1
        elif depth == 0 and letter in ",\n":
            break
        else:
            at += 1
        if depth == 0 and at > start and text[at - 1] in "\"']}":
            return at
    return start + len(text[start:at].rstrip())


def items(text: str, start: int) -> list[Item]:
    """Return the items of the array whose bracket stands here."""
    found: list[Item] = []
    begin = start + 1
    at = _next(text, begin)
    while text[at] != "]":
        end = value_at(text, at)
        comma = _next(text, end)
        until = end
        if text[comma] == ",":
            until = comma + 1
            line_end = _line_end(text, until)
            if text[until:line_end].lstrip().startswith("#"):
                until = line_end
        elif text[end : _line_end(text, end)].lstrip().startswith("#"):
            until = _line_end(text, end)
        found.append(Item(at, end, begin, until))
        begin = until
        at = _next(text, until)
    return found


def members(text: str, start: int) -> dict[str, tuple[int, int]]:
    """Return where the values of an inline table's plain keys begin and end."""
    found: dict[str, tuple[int, int]] = {}
    at = _next(text, start + 1)
    while text[at] != "}":
        key = _KEY.match(text, at)
        assert key is not None  # noqa: S101 - it is valid
        value = skip_blanks(text, key.end() + 1)
        end = value_at(text, value)
        names = _names(key[0])
        if len(names) == 1:
            found[str(names[0])] = (value, end)
        at = _next(text, end)
        if text[at] == ",":
            at = _next(text, at + 1)
    return found


def skip_blanks(text: str, at: int) -> int:
    """Return the position behind blanks."""
    while text[at : at + 1] in (" ", "\t"):
        at += 1
    return at


def _next(text: str, at: int) -> int:
    """Return the position of the next letter that is no blank, line end or comment."""
    while True:
        if text[at] in " \t\n\r":
            at += 1
        elif text[at] == "#":
            at = _line_end(text, at)
        else:
            return at


def _string_end(text: str, at: int) -> int:
    found = _STRING.match(text, at)
    assert found is not None  # noqa: S101 - it is valid
    return found.end()


def _line_end(text: str, at: int) -> int:
    found = text.find("\n", at)
    return len(text) if found < 0 else found


def _names(key: str) -> Path:
    """Return the parts of a key, by the parser itself."""
    found, parts = tomllib.loads(f"{key}=0"), []
    while isinstance(found, dict):
        ((name, found),) = found.items()
        parts.append(name)
    return tuple(parts)


def _numbered(names: Path, counts: dict[Path, int], *, is_array: bool) -> Path:
    """Return the path of a header, with the number of the table of each array on the way."""
    path: Path = ()
    for place, name in enumerate(names):
        path = (*path, name)
        if is_array and place == len(names) - 1:
            counts[path] = counts.get(path, -1) + 1
            for below in [one for one in counts if one[: len(path) + 1] == (*path, counts[path])]:
                del counts[below]
        if path in counts:
            path = (*path, counts[path])
    return path
