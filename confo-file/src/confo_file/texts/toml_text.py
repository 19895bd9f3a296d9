"""TOML as a person wrote it: an edit changes the statements of what differs; comments and layout elsewhere stay.

Reading is the standard library's; tomlkit writes values, and what is edited in the text is read again before it counts.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import tomllib
from typing import Any

from confo_file.texts.changes import Change, apply
from confo_file.texts.comparing import alike, is_same
from confo_file.texts.problem import Problem
from confo_file.texts.toml_lines import Item, Path, Statement, items, members, statements


def load(text: str) -> dict[str, Any]:
    """Return the document of a text, {} for an empty one; Problem says where it is none."""
    try:
        return _plain(tomllib.loads(text), ())  # type: ignore[no-any-return] # a table
    except tomllib.TOMLDecodeError as error:
        raise _told(str(error), text) from None


def edit(text: str, wanted: dict[str, Any]) -> str:
    """Return the text with what differs from ``wanted`` changed, and all other lines as they are."""
    _refuse_null(wanted, ())
    found = load(text)
    return apply(text, _Edit(text).table((), found, wanted))


class _Edit:
    """Finds what to change in one text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._statements = statements(text)
        self._raw = tomllib.loads(text)

    def table(self, path: Path, old: dict[str, Any], wanted: dict[str, Any]) -> list[Change]:
        """Return the changes that make a table say what is wanted."""
        changes: list[Change] = []
        for name, item in old.items():
            place = (*path, name)
            if name not in wanted:
                changes += self._gone(place)
            elif not is_same(item, wanted[name]):
                changes += self._changed(place, item, wanted[name])
        added = {name: item for name, item in wanted.items() if name not in old}
        if added:
            changes += self._added(path, added)
        return changes

    def _changed(self, path: Path, old: Any, wanted: Any) -> list[Change]:
        own = self._statement(path)
        if own is not None:  # "key = value"
            return self._value(own.value, own.value_end, old, wanted)
        if isinstance(old, dict) and isinstance(wanted, dict) and (wanted or self._has_header(path)):
            return self.table(path, old, wanted)
        if isinstance(old, list) and isinstance(wanted, list) and _is_table(wanted):
            return self._tables(path, old, wanted)
        return [*self._gone(path), *self._added(path[:-1], {str(path[-1]): wanted})]

    def _tables(self, path: Path, old: list[Any], wanted: list[Any]) -> list[Change]:
        """Return the changes of an array of tables, each under a header of its own."""
        changes: list[Change] = []
        head, tail = alike(old, wanted)
        here, there = range(head, len(old) - tail), range(head, len(wanted) - tail)
        both = min(len(here), len(there))
        for place in range(head, head + both):
            changes += self.table((*path, place), old[place], wanted[place])
        for place in range(head + both, len(old) - tail):
            changes += self._gone((*path, place))
        new = wanted[head + both : len(wanted) - tail]
        if new:
            at = self._behind((*path, head + both - 1)) if head + both else self._first((*path, 0))
            text = "".join(f"\n[[{_header(path)}]]\n{_lines(one, path)}" for one in new)
            changes.append(Change(at, at, text if head + both else text.lstrip("\n") + "\n"))
        return changes

    def _value(self, start: int, end: int, old: Any, wanted: Any) -> list[Change]:
        """Return the changes of a value that stands in one piece."""
        if is_same(old, wanted):
            return []
        if isinstance(old, list) and isinstance(wanted, list) and old and wanted and self._text[start] == "[":
            return self._array(start, old, wanted)
        if isinstance(old, dict) and isinstance(wanted, dict) and self._text[start] == "{":
            places = members(self._text, start)
            if set(places) == set(old) == set(wanted):
                spans = [(places[name], old[name], wanted[name]) for name in old]
                return [change for span, before, after in spans for change in self._value(*span, before, after)]
        return [Change(start, end, _value(wanted))]

    def _array(self, start: int, old: list[Any], wanted: list[Any]) -> list[Change]:
        """Return the changes of an array: what an item has beside it, a comment, goes and stays with it."""
        parts = items(self._text, start)
        head, tail = alike(old, wanted)
        here, there = range(head, len(old) - tail), range(head, len(wanted) - tail)
        both = min(len(here), len(there))
        changes: list[Change] = []
        for place in range(head, head + both):
            changes += self._value(parts[place].start, parts[place].end, old[place], wanted[place])
        for place in range(head + both, len(old) - tail):
            changes.append(Change(parts[place].begin, parts[place].until, ""))
        new = wanted[head + both : len(wanted) - tail]
        if new and head + both:
            changes += self._behind_item(parts[head + both - 1], self._lead(parts[min(1, len(parts) - 1)]), new)
        elif new:
            lead = self._lead(parts[min(1, len(parts) - 1)])
            changes.append(Change(parts[0].start, parts[0].start, "".join(f"{_value(one)},{lead}" for one in new)))
        elif head + both and head + both == len(wanted) < len(old) and "\n" not in self._text[start : parts[-1].end]:
            return [*changes[:both], Change(parts[head + both - 1].end, parts[-1].end, "")]
        return changes

    def _behind_item(self, item: Item, lead: str, new: list[Any]) -> list[Change]:
        """Return the changes that add items behind one, and behind the comment on its line."""
        text = f",{lead}".join(map(_value, new))
        if item.until == item.end:
            return [Change(item.end, item.end, f",{lead}{text}")]
        if "," in self._text[item.end : item.until].partition("#")[0]:
            return [Change(item.until, item.until, f"{lead}{text},")]
        return [Change(item.end, item.end, ","), Change(item.until, item.until, f"{lead}{text}")]

    def _lead(self, item: Item) -> str:
        """Return what stands before an item: a line end and blanks, or one blank."""
        before = self._text[item.begin : item.start]
        return "\n" + before.rpartition("\n")[2] if "\n" in before else " "

    def _gone(self, path: Path) -> list[Change]:
        """Return the changes that take a key or a whole table away, with the comments right above each statement."""
        own = self._statement(path)
        if own is None and (inline := self._inside(path)):
            return [Change(inline.value, inline.value_end, _value(self._without(inline, path)))]
        return [self._lines_gone(one) for one in self._below(path)]

    def _added(self, path: Path, added: dict[str, Any]) -> list[Change]:
        """Return the changes that add keys to a table: behind its last key, tables as tables of their own."""
        if (inline := self._inside((*path, ""))) is not None:
            return [Change(inline.value, inline.value_end, _value({**self._found(inline.path), **added}))]
        simple = {name: item for name, item in added.items() if not _is_table(item)}
        tables = {name: item for name, item in added.items() if _is_table(item)}
        changes: list[Change] = []
        if simple:
            changes.append(self._keys_added(path, simple))
        if tables:
            text = "".join(f"\n{_section((*path, name), item)}" for name, item in tables.items())
            end = len(self._text)
            if changes and changes[0].start == end:  # keys stand above tables
                text, changes = changes[0].text + text, []
            lead = "" if not self._text or self._text.endswith("\n") else "\n"
            changes.append(Change(end, end, (lead + text) if self._text.strip() else text.lstrip("\n")))
        return changes

    def _keys_added(self, path: Path, simple: dict[str, Any]) -> Change:
        header = next((one for one in self._statements if one.is_header and one.path == path), None)
        section = self._section_of(header)
        lines = "".join(f"{_key(name)} = {_value(item)}\n" for name, item in simple.items())
        if path and header is None:  # a table that only dotted keys or its sub-tables make
            dotted_keys = [one for one in self._below(path) if not one.is_header and len(one.table) < len(path)]
            if not dotted_keys:
                at = self._first(path)
                return Change(at, at, f"[{_header(path)}]\n{lines}\n")
            owner, last = dotted_keys[0], dotted_keys[-1]
            dotted = self._text[owner.start : owner.value].partition("=")[0].strip()
            depth = len(owner.path) - len(path)
            prefix = ".".join(_split(dotted)[:-depth])
            lines = "".join(f"{prefix}.{_key(name)} = {_value(item)}\n" for name, item in simple.items())
            return self._behind_line(last.end, lines)
        if section:
            return self._behind_line(section[-1].end, lines)
        if header is not None:
            return self._behind_line(header.end, lines)
        first = self._statements[0].start if self._statements else len(self._text)
        while (
            self._statements
            and first > 0
            and self._text[:first].rstrip(" ").endswith("\n")
            and self._is_comment_above(first)
        ):
            first = self._text.rfind("\n", 0, first - 1) + 1
        if not self._statements and self._text and not self._text.endswith("\n"):
            lines = "\n" + lines
        return Change(first, first, lines + ("\n" if self._statements else ""))

    def _section_of(self, header: Statement | None) -> list[Statement]:
        """Return the keys below a header, or those above the first one."""
        begin = 0 if header is None else self._statements.index(header) + 1
        section: list[Statement] = []
        for one in self._statements[begin:]:
            if one.is_header:
                break
            section.append(one)
        return section

    def _behind_line(self, end: int, lines: str) -> Change:
        if end >= len(self._text):
            return Change(end, end, "\n" + lines.rstrip("\n"))
        return Change(end + 1, end + 1, lines)

    def _behind(self, path: Path) -> int:
        """Return the position behind the last statement of a table and what is below it."""
        return min(max(one.end for one in self._below(path)) + 1, len(self._text))

    def _first(self, path: Path) -> int:
        """Return where the first statement of a table begins."""
        return min((one.start for one in self._below(path)), default=len(self._text))

    def _below(self, path: Path) -> list[Statement]:
        return [one for one in self._statements if one.path[: len(path)] == path]

    def _has_header(self, path: Path) -> bool:
        return any(one.is_header and one.path == path for one in self._statements)

    def _statement(self, path: Path) -> Statement | None:
        return next((one for one in self._statements if one.path == path and not one.is_header), None)

    def _inside(self, path: Path) -> Statement | None:
        """Return the statement whose inline table or array a path leads into."""
        return next(
            (
                one
                for one in self._statements
                if not one.is_header and len(one.path) < len(path) and one.path == path[: len(one.path)]
            ),
            None,
        )

    def _found(self, path: Path) -> Any:
        here: Any = _plain(self._raw, ())
        for step in path:
            here = here[step]
        return here

    def _without(self, inline: Statement, path: Path) -> Any:
        whole = json.loads(json.dumps(self._found(inline.path)))
        here = whole
        for step in path[len(inline.path) : -1]:
            here = here[step]
        del here[path[-1]]
        return whole

    def _lines_gone(self, one: Statement) -> Change:
        begin = one.start
        while begin > 0 and self._is_comment_above(begin):
            above = self._text.rfind("\n", 0, begin - 1) + 1
            if above == 0:
                break  # at the top of the file it may stand for all of it
            begin = above
        return Change(begin, min(one.end + 1, len(self._text)), "")

    def _is_comment_above(self, start: int) -> bool:
        return self._text[self._text.rfind("\n", 0, start - 1) + 1 : start].lstrip().startswith("#")


def _plain(value: Any, path: Path) -> Any:
    """Return what was parsed as JSON: dates and times are the text of RFC 3339."""
    if isinstance(value, dict):
        return {name: _plain(item, (*path, name)) for name, item in value.items()}
    if isinstance(value, list):
        return [_plain(item, (*path, place)) for place, item in enumerate(value)]
    if isinstance(value, (dt.date, dt.time)):
        return value.isoformat()
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):  # noqa: PLR0124 - NaN
        raise Problem(f"{_shown(path)} is a number that JSON has no word for (nan or inf)")
    return value


def _refuse_null(value: Any, path: Path) -> None:
    if value is None:
        raise Problem(f"TOML has no null: {_shown(path)}")
    if isinstance(value, dict):
        for name, item in value.items():
            _refuse_null(item, (*path, name))
    elif isinstance(value, list):
        for place, item in enumerate(value):
            _refuse_null(item, (*path, place))


def _told(said: str, text: str) -> Problem:
    """Return what the parser says, without what it quotes."""
    found = re.search(r"\(at (?:line (\d+), column (\d+)|end of document)\)", said)
    reason = re.sub(r"'[^']{3,}'|\"[^\"]*\"", "...", said.partition(" (at ")[0])
    if found and found[1]:
        return Problem(f"this is not TOML: {reason}", int(found[1]), int(found[2]))
    return Problem(f"this is not TOML: {reason}", text.count("\n") + 1)


def _section(path: Path, value: Any) -> str:
    """Return the lines of a new table, or of an array of tables."""
    if isinstance(value, list):
        return "\n".join(f"[[{_header(path)}]]\n{_lines(one, path)}" for one in value)
    return f"[{_header(path)}]\n{_lines(value, path)}"


def _lines(table: dict[str, Any], path: Path) -> str:
    simple = "".join(f"{_key(name)} = {_value(item)}\n" for name, item in table.items() if not _is_table(item))
    below = (f"\n{_section((*path, name), item)}" for name, item in table.items() if _is_table(item))
    return simple + "".join(below)


def _is_table(value: Any) -> bool:
    return isinstance(value, dict) or (
        isinstance(value, list) and bool(value) and all(isinstance(one, dict) for one in value)
    )


def _value(value: Any) -> str:
    """Return a value on one line."""
    if isinstance(value, dict):
        inner = ", ".join(f"{_key(name)} = {_value(item)}" for name, item in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, str):
        shown = json.dumps(value, ensure_ascii=False)
        return shown.replace("\x7f", "\\u007f")
    return json.dumps(value)


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name, ensure_ascii=False)


def _header(path: Path) -> str:
    return ".".join(_key(name) for name in path if isinstance(name, str))


def _split(dotted: str) -> list[str]:
    """Return the parts of a dotted key as they are written."""
    return re.findall(r"\"(?:\\.|[^\"\\])*\"|'[^']*'|[A-Za-z0-9_-]+", dotted)


def _shown(path: Path) -> str:
    return f"field {path[0]!r}" if len(path) == 1 else f"field {path!r}"
