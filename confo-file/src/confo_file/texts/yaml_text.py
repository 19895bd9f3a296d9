"""YAML as a person wrote it: an edit changes the lines of what differs, comments, quotes and anchors elsewhere stay.

An edit of a node with an anchor changes what its aliases stand for, and an edit of a mapping that others inherit by
``<<`` changes those. So the text is edited again until it says what is wanted: the second time the aliases are what
differs, and each is replaced by the value that it shall keep.
"""

from __future__ import annotations

import io
import itertools
import json
import re
from typing import Any

from ruamel.yaml import YAML

from confo_file.texts.changes import Change, apply
from confo_file.texts.comparing import alike, is_same
from confo_file.texts.problem import Problem
from confo_file.texts.yaml_tree import Node, is_merge, key_of, members, parse, plain

PASSES = 6
"""Edits of one text until it says what is wanted: chains of anchors are short."""
_PLAIN = re.compile(r"[A-Za-z_/][A-Za-z0-9_./@+ -]*(?<! )")


def load(text: str) -> dict[str, Any]:
    """Return the document of a text, {} for an empty one; Problem says where it is none."""
    root = parse(text)
    if root is None or (root.kind == "scalar" and root.value == "" and not root.style):
        return {}
    if root.kind != "mapping":
        raise root.problem(f"the top is a {'list' if root.kind == 'sequence' else 'single value'}, not a mapping")
    return members(root, [200_000])


def edit(text: str, wanted: dict[str, Any]) -> str:
    """Return the text with what differs from ``wanted`` changed, and all other lines as they are."""
    if not load(text):
        return _beside_comments(text, wanted)
    for _ in range(PASSES):
        root = parse(text)
        assert root is not None  # noqa: S101 - there was something in it
        if is_same(plain(root), wanted):
            return text
        if not wanted:
            return apply(text, [Change(root.start, root.end, "{}")])
        anchors = [node.anchor for node in _walk(root) if node.anchor]
        text = apply(text, _Edit(text).changes(root, wanted))
        try:
            parse(text)
        except Problem:
            _refuse_lost_anchors(text, anchors)
            raise
    raise Problem("its anchors and aliases do not let this be written: edit the file itself")


def _refuse_lost_anchors(text: str, anchors: list[str]) -> None:
    """Raise Problem, with its name, for an anchor that an edit took away and that an alias still needs."""
    for name in anchors:
        anchor, alias = (re.compile(rf"(?<![\w-]){mark}{re.escape(name)}(?![\w-])") for mark in (r"&", r"\*"))
        if alias.search(text) and not anchor.search(text):
            raise Problem(f"*{name} stands for what &{name} marks, which this takes away: write that out there first")


def _beside_comments(text: str, wanted: dict[str, Any]) -> str:
    """Return the text of a document that was empty: its comments stay above."""
    if not wanted:
        return text
    kept = "".join(line for line in text.splitlines(keepends=True) if line.strip() not in ("{}", "---"))
    return kept + ("\n" if kept and not kept.endswith("\n") else "") + _block(wanted, 0)


class _Edit:
    """Finds what to change in one text."""

    def __init__(self, text: str) -> None:
        self._text = text

    def changes(self, node: Node, wanted: Any) -> list[Change]:
        """Return the changes that make a node say what is wanted."""
        if is_same(plain(node), wanted):
            return []
        if node.kind == "mapping" and isinstance(wanted, dict) and wanted and node.pairs:
            return self._flow(node, wanted) if node.flow else self._mapping(node, wanted)
        if node.kind == "sequence" and isinstance(wanted, list) and wanted and node.items:
            return self._flow(node, wanted) if node.flow else self._sequence(node, wanted)
        return [self._replaced(node, wanted)]

    # --- block mappings --------------------------------------------------------------------------

    def _mapping(self, node: Node, wanted: dict[str, Any]) -> list[Change]:
        changes: list[Change] = []
        inherited = {}
        own = {key_of(key): (key, value) for key, value in node.pairs if not is_merge(key)}
        merges = [(key, value) for key, value in node.pairs if is_merge(key)]
        if merges:
            full = members(node, [200_000])
            inherited = {name: item for name, item in full.items() if name not in own}
        if any(name not in wanted for name in inherited):  # what is inherited cannot be left out: write out the rest
            changes += [self._without(key, value, node) for key, value in merges]
            inherited = {}
        gone = [name for name in own if name not in wanted]
        changes += [self._without(*own[name], node) for name in gone]
        for name, (_, value) in own.items():
            if name in wanted:
                changes += self.changes(value, wanted[name])
        added = {
            name: item
            for name, item in wanted.items()
            if name not in own and not (name in inherited and is_same(inherited[name], item))
        }
        if added:
            stays = [pair for pair in node.pairs if is_merge(pair[0]) or key_of(pair[0]) not in gone]
            key, value = (stays or node.pairs)[-1]
            changes.append(self._behind(max(key.end, value.end), _block(added, node.column, _step(node))))
        return changes

    def _without(self, key: Node, value: Node, node: Node) -> Change:
        """Return the change that takes a member away, with the comment lines right above it."""
        return self._lines_gone(key.start, max(key.end, value.end), key.column, first=node.start)

    # --- block sequences -------------------------------------------------------------------------

    def _sequence(self, node: Node, wanted: list[Any]) -> list[Change]:
        old, changes = [plain(item) for item in node.items], list[Change]()
        head, tail = alike(old, wanted)
        dashes = self._dashes(node)
        column = dashes[0] - (self._text.rfind("\n", 0, dashes[0]) + 1)
        here = range(head, len(old) - tail)
        there = range(head, len(wanted) - tail)
        behind = here[-1] if here else head - 1
        new: list[Any] = []
        for place, value in itertools.zip_longest(here, there):
            if value is None:
                item = node.items[place]
                changes.append(self._lines_gone(dashes[place], max(item.end, dashes[place] + 1), column))
            elif place is None:
                new.append(wanted[value])
            else:
                changes += self.changes(node.items[place], wanted[value])
        if new:
            text = _block(new, column)
            if behind >= 0:
                changes.append(self._behind(max(node.items[behind].end, dashes[behind] + 1), text))
            else:
                start = self._text.rfind("\n", 0, dashes[0]) + 1
                changes.append(Change(start, start, text))
        return changes

    def _dashes(self, node: Node) -> list[int]:
        """Return where the dash of each item stands."""
        found, at = [], node.start
        for item in node.items:
            at = self._skip(at)
            found.append(at)
            at = max(item.end, at + 1)
        return found

    # --- flow collections ------------------------------------------------------------------------

    def _flow(self, node: Node, wanted: Any) -> list[Change]:
        """Change the members of a collection in brackets; one that gains or loses some is written anew in its place."""
        if isinstance(wanted, dict):
            own = {key_of(key): value for key, value in node.pairs if not is_merge(key)}
            if len(own) == len(node.pairs) and set(own) <= set(wanted) and "#" not in self._text[node.start : node.end]:
                changes = [change for name, value in own.items() for change in self.changes(value, wanted[name])]
                added = {name: item for name, item in wanted.items() if name not in own}
                if added:
                    last = max(node.pairs[-1][0].end, node.pairs[-1][1].end)
                    changes.append(Change(last, last, f", {_inline(added)[1:-1]}"))
                return changes
        elif len(wanted) == len(node.items):
            pairs = zip(node.items, wanted, strict=True)
            return [change for item, value in pairs for change in self.changes(item, value)]
        return [Change(node.start, node.end, _inline(wanted))]

    # --- values ----------------------------------------------------------------------------------

    def _replaced(self, node: Node, wanted: Any) -> Change:
        """Return the change that puts another value in the place of a node."""
        start, end = node.start, node.end
        anchor = f"&{node.anchor} " if node.anchor else ""
        if node.kind == "scalar" and node.style in ("|", ">"):
            end = start + len(self._text[start:end].rstrip("\n"))
        if not isinstance(wanted, (dict, list)) or not wanted or self._is_inside_brackets(node):
            value = _inline(wanted) if isinstance(wanted, (dict, list)) else _scalar(wanted, node.style)
            if start == end:  # nothing stood there: "key:"
                return Change(start, end, f" {anchor}{value}")
            if node.kind in ("mapping", "sequence") and not node.flow and not self._is_behind_a_dash(start):
                return self._on_the_keys_line(node, f" {anchor}{value}")
            return Change(start, end, anchor + value)
        line = self._text[self._text.rfind("\n", 0, start) + 1 : start]
        margin = len(line) - len(line.lstrip(" "))
        step = 2
        if node.kind in ("mapping", "sequence") and not node.flow:
            before = self._text.rfind("\n", 0, start) + 1
            if not self._text[before:start].strip():
                return Change(before, end, _block(wanted, node.column).rstrip("\n"))
        if not line.strip() or line.strip().startswith("- ") or line.strip() == "-":
            inner = start - (self._text.rfind("\n", 0, start) + 1)
            return Change(start, end, _block(wanted, inner).strip("\n").removeprefix(" " * inner))
        text = _block(wanted, margin + (0 if isinstance(wanted, list) else step)).rstrip("\n")
        begin = start - (len(line) - len(line.rstrip(" "))) if start != end else start
        tail = self._text[end : self._end_of_line(end)]
        return Change(begin, end + len(tail), f"{' ' + anchor.rstrip() if anchor else ''}{tail.rstrip()}\n{text}")

    def _on_the_keys_line(self, node: Node, value: str) -> Change:
        """Return the change that puts a value behind a key whose lines below it go."""
        at = self._text.rfind(":", 0, node.start)
        colon = self._text.rfind("\n", 0, node.start)
        if colon != -1 and not self._text[colon : node.start].strip(" \n"):
            at = colon
            while at > 0 and (self._text[:at].rpartition("\n")[2].strip() == "" or self._is_comment_line(at)):
                at = self._text.rfind("\n", 0, at)
            line = self._text[self._text.rfind("\n", 0, at) + 1 : at]
            bare = re.sub(r"\s+#.*$", "", line)
            begin = at - len(line) + len(bare)
            return Change(begin, node.end, value + self._text[begin:at])
        return Change(at + 1, node.end, value)

    def _is_behind_a_dash(self, start: int) -> bool:
        """Tell whether an item of a list begins there, on the line of its dash."""
        before = self._text[self._text.rfind("\n", 0, start) + 1 : start]
        return before.strip() != "" and before.replace("-", "").strip() == ""

    def _is_comment_line(self, end: int) -> bool:
        return self._text[:end].rpartition("\n")[2].lstrip().startswith("#")

    def _is_inside_brackets(self, node: Node) -> bool:
        """Tell whether a node is inside of a collection in brackets, by the brackets that are open before it."""
        root = parse(self._text)
        return root is not None and any(
            one.flow and one.start < node.start and node.end <= one.end for one in _walk(root)
        )

    # --- lines -----------------------------------------------------------------------------------

    def _lines_gone(self, start: int, end: int, column: int, *, first: int = -1) -> Change:
        """Return the change that takes whole lines away, with the comment lines right above that belong to them."""
        begin = self._text.rfind("\n", 0, start) + 1
        until = min(self._end_of_line(end) + 1, len(self._text))
        if self._text[begin:start].strip():  # it begins behind a dash: its own line stays
            following = self._skip(until - 1) if until <= len(self._text) else until
            return Change(start, min(following, len(self._text)), "")
        while begin > 0:
            above = self._text.rfind("\n", 0, begin - 1) + 1
            line = self._text[above : begin - 1]
            if not line.lstrip().startswith("#") or len(line) - len(line.lstrip()) != column:
                break
            if above == 0 or (first >= 0 and above < first and self._is_heading(above)):
                break
            begin = above
        return Change(begin, until, "")

    def _is_heading(self, start: int) -> bool:
        """Tell whether a comment stands at the top of the file, for all of it."""
        return not self._text[:start].strip()

    def _behind(self, end: int, lines: str) -> Change:
        """Return the change that adds lines behind the line of what ends here."""
        at = self._end_of_line(end)
        if at >= len(self._text):
            return Change(at, at, "\n" + lines.rstrip("\n"))
        return Change(at + 1, at + 1, lines)

    def _end_of_line(self, position: int) -> int:
        if position and self._text[position - 1 : position] == "\n":  # a block of text ends with its line
            return position - 1
        found = self._text.find("\n", position)
        return len(self._text) if found < 0 else found

    def _skip(self, at: int) -> int:
        """Return the position of the next token: behind blanks, empty lines and comments."""
        return re.compile(r"(?:\s+|#[^\n]*)*").match(self._text, at).end()  # type: ignore[union-attr] # it matches ""


def _walk(node: Node) -> list[Node]:
    below = [*node.items, *(part for pair in node.pairs for part in pair)]
    return [node, *(one for child in below for one in _walk(child))]


def _step(node: Node) -> int:
    """Return by how many blanks the mappings below a mapping are indented."""
    for _, value in node.pairs:
        if value.kind == "mapping" and not value.flow and value.column > node.column:
            return value.column - node.column
    return 2


def _block(value: Any, margin: int, step: int = 2) -> str:
    """Return the lines of a mapping or list, each indented by the margin."""
    yaml = YAML()
    yaml.width = 4096  # no long text is folded
    yaml.indent(mapping=step, sequence=step + 2 if step == 2 else step, offset=2 if step == 2 else 0)
    if isinstance(value, list):
        yaml.indent(mapping=2, sequence=2, offset=0)
    stream = io.StringIO()
    yaml.dump(_quoted(value), stream)
    return "".join(f"{' ' * margin}{line}\n" if line else "\n" for line in stream.getvalue().splitlines())


def _quoted(value: Any) -> Any:
    """Return a value for the dumper: texts with letters that end lines are put in quotes by hand."""
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString

    if isinstance(value, dict):
        return {key: _quoted(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_quoted(item) for item in value]
    if isinstance(value, str) and not _PLAIN.fullmatch(value):
        return DoubleQuotedScalarString(value)
    return value


def _inline(value: Any) -> str:
    """Return a value on one line, in brackets: JSON is YAML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_scalar(key, '')}: {_inline(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_inline, value)) + "]"
    return _scalar(value, '"' if isinstance(value, str) and not re.fullmatch(r"[A-Za-z][\w.-]*", value) else "")


def _scalar(value: Any, style: str) -> str:
    """Return a scalar's text, in the quotes that stood there before if it can be."""
    if not isinstance(value, str):
        return json.dumps(value)
    if style == "'" and value.isprintable():
        return "'" + value.replace("'", "''") + "'"
    if style != '"' and _PLAIN.fullmatch(value) and _is_text(value):
        return value
    shown = json.dumps(value, ensure_ascii=False)
    # JSON writes what lies beyond 16 bits as two halves, which YAML does not put together again.
    return "".join(letter if letter.isprintable() else f"\\U{ord(letter):08X}" for letter in shown)


def _is_text(value: str) -> bool:
    """Tell whether a text without quotes is read as a text."""
    node = parse(value)
    return node is not None and node.kind == "scalar" and node.tag.endswith(":str") and node.value == value
