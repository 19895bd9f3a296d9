"""A YAML text as a tree of nodes that know where they stand; parsed by ruamel.yaml, made of its events.

An alias is a node of its own, at the place where it is written: the nodes that ruamel.yaml composes know only where
their anchor is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import ScalarNode

from confo_file.texts.problem import Problem

MOST_VALUES = 200_000
"""In one document: a few lines with aliases can stand for more values than there is memory."""
DEEPEST = 100
_CORE = "tag:yaml.org,2002:"


@dataclass(slots=True, eq=False)
class Node:
    """A scalar, a mapping, a sequence or an alias, and where its text begins and ends."""

    kind: str
    start: int
    end: int
    line: int
    column: int
    value: str = ""
    tag: str = ""
    style: str = ""
    """Of a scalar: "", "'", '"', "|" or ">"."""
    flow: bool = False
    anchor: str = ""
    target: Node | None = None
    """What an alias stands for."""
    items: list[Node] = field(default_factory=list)
    pairs: list[tuple[Node, Node]] = field(default_factory=list)

    @property
    def resolved(self) -> Node:
        """The node that this one stands for."""
        return self if self.target is None else self.target

    def problem(self, reason: str) -> Problem:
        """Return the problem of this node."""
        return Problem(reason, self.line + 1, self.column + 1)


def parse(text: str) -> Node | None:
    """Return the tree of a text's one document, None if it has none; Problem says where it is no YAML."""
    if (tab := re.search(r"^ *\t[^\n]*\S", text, re.MULTILINE)) and _is_indentation(text, tab.start()):
        line = text.count("\n", 0, tab.start()) + 1
        raise Problem("YAML does not allow a tab here: indent by blanks", line, tab.group().index("\t") + 1)
    yaml = YAML(typ="safe", pure=True)
    try:
        return _Builder(yaml, text).document()
    except YAMLError as error:
        raise _told(error) from None


def plain(node: Node, left: list[int] | None = None) -> Any:
    """Return the JSON value that a node stands for; Problem for what JSON has no word for."""
    left = [MOST_VALUES] if left is None else left
    left[0] -= 1
    if left[0] < 0:
        raise node.problem(f"the document stands for more than {MOST_VALUES:,} values")
    here = node.resolved
    if here.kind == "mapping":
        return members(here, left)
    if here.kind == "sequence":
        return [plain(item, left) for item in here.items]
    return _scalar(here)


def members(node: Node, left: list[int]) -> dict[str, Any]:
    """Return a mapping's members: its own, then those that it inherits by ``<<`` and has not."""
    own: dict[str, Any] = {}
    inherited: dict[str, Any] = {}
    for key, value in node.pairs:
        if is_merge(key):
            for base in bases(value):
                for name, item in members(base, left).items():
                    inherited.setdefault(name, item)
            continue
        name = key_of(key)
        if name in own:
            raise key.problem(f"the key {name[:80]!r} is there twice")
        own[name] = plain(value, left)
    return {**own, **{name: item for name, item in inherited.items() if name not in own}}


def is_merge(key: Node) -> bool:
    """Tell whether a key takes over another mapping's members."""
    return key.kind == "scalar" and key.value == "<<" and key.style == ""


def bases(value: Node) -> list[Node]:
    """Return the mappings whose members are taken over."""
    here = value.resolved
    found = [item.resolved for item in here.items] if here.kind == "sequence" else [here]
    for node in found:
        if node.kind != "mapping":
            raise value.problem("'<<' takes a mapping, or a list of mappings")
    return found


def key_of(key: Node) -> str:
    """Return a key as the name of a field: a number is the text that stands there."""
    here = key.resolved
    if here.kind != "scalar":
        raise key.problem("a key is a text, not a list or a mapping")
    word = here.tag.removeprefix(_CORE)
    if word in ("bool", "null"):
        raise key.problem(f"{'a boolean' if word == 'bool' else 'null'} is no key: put the key in quotes")
    return here.value


def _scalar(node: Node) -> Any:
    word = node.tag.removeprefix(_CORE)
    text = node.value
    if word in ("str", "timestamp"):  # a date is the text that stands there
        return text
    if word == "null":
        return None
    if word == "bool":
        return text.lower() in ("true", "yes", "on", "y")  # but "true" by a directive of YAML 1.1 only
    if word == "int":
        return _integer(node)
    if word == "float":
        return _float(node)
    if word == "binary":
        raise node.problem("JSON has no word for !!binary: write it as a text")
    shown = node.tag if node.tag.startswith("!") else f"!!{word}"
    raise node.problem(f"the tag {shown[:80]} is unknown here: only plain values are read")


def _integer(node: Node) -> int:
    text = node.value.replace("_", "")
    try:
        return int(text, 0) if re.match(r"[-+]?0[xo]", text) else int(text)
    except ValueError:
        raise node.problem("this is no number") from None


def _float(node: Node) -> float:
    text = node.value.replace("_", "").lower()
    if text.lstrip("+-") in (".inf", ".nan"):
        raise node.problem(f"JSON has no word for {text.lstrip('+-')}")
    try:
        found = float(text)
    except ValueError:
        raise node.problem("this is no number") from None
    if found in (float("inf"), float("-inf")):
        raise node.problem("this number is too large for JSON")
    return found


class _Builder:
    """Makes the tree of the events of a parser."""

    def __init__(self, yaml: YAML, text: str) -> None:
        self._resolver = yaml.resolver
        self._text = text
        self._events: Iterator[Any] = iter(yaml.parse(text))
        self._anchors: dict[str, Node] = {}

    def document(self) -> Node | None:
        """Return the root of the only document."""
        root: Node | None = None
        documents = 0
        for event in self._events:
            name = type(event).__name__
            if name == "DocumentStartEvent":
                documents += 1
                if documents > 1:
                    line = event.start_mark.line + 1
                    raise Problem("there are several documents in one file: a configuration is one", line, 1)
            elif name not in ("StreamStartEvent", "StreamEndEvent", "DocumentEndEvent", "CommentEvent"):
                root = self._node(event, 0)
        return root

    def _node(self, event: Any, depth: int) -> Node:
        name = type(event).__name__
        mark, end = event.start_mark, event.end_mark
        if depth > DEEPEST:
            raise Problem(f"it is nested deeper than {DEEPEST} levels", mark.line + 1, mark.column + 1)
        node = Node("", mark.index, end.index, mark.line, mark.column)
        if name == "AliasEvent":
            node.kind, node.target = "alias", self._anchors.get(event.anchor)
            if node.target is None:
                raise node.problem("this alias has no anchor before it; a text that begins with '*' needs quotes")
            return node
        node.anchor = event.anchor or ""
        if node.anchor:
            self._anchors[node.anchor] = node
        tag = str(event.tag) if getattr(event, "tag", None) else ""
        if name == "ScalarEvent":
            node.kind, node.value, node.style = "scalar", event.value, event.style or ""
            implicit = event.implicit
            node.tag = tag if tag and tag != "!" else str(self._resolver.resolve(ScalarNode, event.value, implicit))
            return node
        self._collect(node, event, depth)
        if tag and tag not in ("!", f"{_CORE}map", f"{_CORE}seq"):
            shown = tag.replace(_CORE, "!!")
            raise node.problem(f"the tag {shown[:80]} is unknown here: only plain values are read")
        return node

    def _collect(self, node: Node, event: Any, depth: int) -> None:
        """Read a collection's nodes up to its end."""
        node.kind = "mapping" if type(event).__name__ == "MappingStartEvent" else "sequence"
        node.flow = bool(event.flow_style)
        children: list[Node] = []
        while True:
            following = next(self._events)
            if type(following).__name__ in ("MappingEndEvent", "SequenceEndEvent"):
                break
            children.append(self._node(following, depth + 1))
        if node.kind == "mapping":
            node.pairs = list(zip(children[::2], children[1::2], strict=True))
            for key, value in node.pairs:
                if value.start == value.end and not value.anchor:  # nothing stands there: its place is behind the colon
                    value.start = value.end = self._text.find(":", key.end) + 1 or key.end
        else:
            node.items = children
        # A block has no end of its own: the parser finds it at the next token, behind comments and empty lines.
        node.end = following.end_mark.index if node.flow else max([node.start, *(child.end for child in children)])


def _is_indentation(text: str, position: int) -> bool:
    """Tell whether a line is not inside a block of text, where a tab is a letter like any other."""
    before = text[:position]
    opened = re.search(r"[|>][-+0-9]*[ \t]*(?:#[^\n]*)?\n(?:[ \t]+[^\n]*\n|[ \t]*\n)*$", before)
    return opened is None


def _told(error: YAMLError) -> Problem:
    """Return what a parser says without what it quotes, which may be a value."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    said = str(getattr(error, "problem", "") or "this is not YAML")
    if "'\\t'" in said:
        said = "YAML does not allow a tab here: indent by blanks"
    said = re.sub(r"'([^']*)'|\"[^\"]*\"", lambda quoted: quoted[0] if len(quoted[0]) <= 4 else "...", said)
    said = said.partition("\n")[0]
    reason = f"this is not YAML: {said}" if not said.startswith(("YAML", "this")) else said
    return Problem(reason, mark.line + 1, mark.column + 1) if mark else Problem(reason)
