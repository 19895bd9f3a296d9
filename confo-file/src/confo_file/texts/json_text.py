"""JSON as a person wrote it: an edit changes the text of what differs, and nothing else.

What is parsed is parsed by the standard library; here is only where each member of an object begins and ends.
"""

from __future__ import annotations

import itertools
import json
import json.decoder
import re
from typing import Any, NamedTuple

from confo_file.texts.comparing import alike
from confo_file.texts.problem import Problem, at

INDENT = "  "
"""Of files that are made new."""
_BLANK = re.compile(r"[ \t\n\r]*")
_TOKEN = re.compile(r'(?P<key>"(?:[^"\\]|\\.)*")(?=[ \t\n\r]*:)|"(?:[^"\\]|\\.)*"|[{}]|[^\s"{}\[\],:]+')
"""A key, another string, the begin or end of an object, or a word or number."""
_DECODER = json.JSONDecoder()
_scan: Any = json.decoder.scanstring  # type: ignore[attr-defined] # in C; it gives a string and where it ends


class Style(NamedTuple):
    """How a document's text is laid out."""

    indent: str | None = INDENT
    """What a level is indented by; None for a document on one line."""
    comma: str = ", "
    colon: str = ": "
    ascii: bool = False

    def dump(self, value: Any, margin: str = "") -> str:
        """Return a value's text, whose lines after the first are indented by the margin."""
        text = json.dumps(
            value,
            ensure_ascii=self.ascii,
            allow_nan=False,
            indent=self.indent,
            separators=(self.comma if self.indent is None else ",", self.colon),
        )
        return text.replace("\n", f"\n{margin}")


class Part(NamedTuple):
    """A member of an object or an item of a list: where its parts are in the text; ``key`` is None for an item."""

    key: str | None
    lead: str
    start: int
    value: int
    end: int
    trail: str


class Piece(NamedTuple):
    """A member or an item as it shall be, with the blanks around it."""

    lead: str
    body: str
    trail: str = ""


def load(text: str) -> Any:
    """Return the value of a text; Problem says where it is not JSON."""
    if not text.strip():
        raise Problem("the file is empty; an empty JSON document is {}")
    try:
        return _STRICT.decode(text)
    except json.JSONDecodeError as error:
        raise Problem(f"this is not JSON: {error.msg}", error.lineno, error.colno) from None
    except RecursionError:
        raise Problem("it is nested too deeply") from None
    except _Twice as key:
        raise at(text, _second_of(text), f"the key {str(key)[:80]!r} stands twice in one object") from None
    except _NoNumber as number:
        raise at(text, _first_of(text, number.word), f"JSON has no number {number}") from None


def new(document: Any) -> str:
    """Return the text of a new file."""
    return Style().dump(document) + "\n" if document else "{}"


def edit(text: str, wanted: Any) -> str:
    """Return the text with what differs from ``wanted`` changed, and all else as it is."""
    found = json.loads(text)
    if not found and text.strip() == "{}":  # nobody has laid it out yet
        return new(wanted)
    start = _BLANK.match(text).end()  # type: ignore[union-attr] # it matches the empty text
    end = len(text.rstrip(" \t\n\r"))
    return text[:start] + _edited(text, start, end, found, wanted, _style_of(text)) + text[end:]


def _edited(text: str, start: int, end: int, old: Any, wanted: Any, style: Style) -> str:
    """Return the text of a value after the edit."""
    if _same(old, wanted):
        return text[start:end]
    margin = _margin(text, start)
    if isinstance(old, dict) and isinstance(wanted, dict) and old and wanted:
        return _edited_object(text, start, end, old, wanted, style)
    if isinstance(old, list) and isinstance(wanted, list) and old and wanted:
        return _edited_list(text, start, end, old, wanted, style)
    return _laid_out(text[start:end], style).dump(wanted, margin)


def _edited_object(text: str, start: int, end: int, old: Any, wanted: Any, style: Style) -> str:
    parts = _parts(text, start)
    inner = _laid_out(text[start:end], style)
    kept: list[Piece] = []
    for part in parts:
        key = str(part.key)
        if key in wanted:
            value = _edited(text, part.value, part.end, old[key], wanted[key], inner)
            kept.append(_piece(part, text[part.start : part.value] + value, parts))
    colon = text[_after_key(text, parts[0]) : parts[0].value]
    for key in wanted:
        if key not in old:
            lead = _lead(parts, inner)
            name = json.dumps(key, ensure_ascii=style.ascii)
            kept.append(Piece(lead, name + colon + inner.dump(wanted[key], _margin_of(lead))))
    return _joined("{", kept, parts, "}")


def _edited_list(text: str, start: int, end: int, old: list[Any], wanted: list[Any], style: Style) -> str:
    """Return the text of a list: items at its beginning and its end that are as they were stay as they are."""
    parts, inner = _parts(text, start), _laid_out(text[start:end], style)
    head, tail = alike(old, wanted, _same)
    kept = [_piece(part, text[part.start : part.end], parts) for part in parts[:head]]
    between = itertools.zip_longest(range(head, len(old) - tail), range(head, len(wanted) - tail))
    for here, there in between:
        if there is None:
            continue
        if here is not None:
            part = parts[here]
            value = _edited(text, part.value, part.end, old[here], wanted[there], inner)
            kept.append(_piece(part, value, parts))
        else:
            lead = _lead(parts, inner)
            kept.append(Piece(lead, inner.dump(wanted[there], _margin_of(lead))))
    kept += [_piece(part, text[part.start : part.end], parts) for part in parts[len(parts) - tail :]]
    return _joined("[", kept, parts, "]")


def _piece(part: Part, body: str, parts: list[Part]) -> Piece:
    """Return a part as it stays; what stood behind the last one stays before the closing bracket."""
    return Piece(part.lead, body, "" if part is parts[-1] else part.trail)


def _joined(opening: str, kept: list[Piece], parts: list[Part], closing: str) -> str:
    """Return the text between two brackets; what stood behind the first and before the second one stays there."""
    trails = [piece.trail for piece in kept[:-1]] + [parts[-1].trail]
    leads = [parts[0].lead if "\n" not in kept[0].lead else kept[0].lead] + [piece.lead for piece in kept[1:]]
    lines = (lead + piece.body + trail for lead, piece, trail in zip(leads, kept, trails, strict=True))
    return opening + ",".join(lines) + closing


def _parts(text: str, start: int) -> list[Part]:
    """Return the members or items of what begins here with a bracket."""
    is_object, at = text[start] == "{", start + 1
    parts: list[Part] = []
    while True:
        begin = _skip(text, at)
        if text[begin] in "}]":
            return parts
        lead, key, value = text[at:begin], None, begin
        if is_object:
            key, colon = _scan(text, begin + 1)
            value = _skip(text, _skip(text, colon) + 1)
        end = _DECODER.raw_decode(text, value)[1]
        after = _skip(text, end)
        parts.append(Part(key, lead, begin, value, end, text[end:after]))
        if text[after] != ",":
            return parts
        at = after + 1


def _after_key(text: str, part: Part) -> int:
    return int(_scan(text, part.start + 1)[1])


def _lead(parts: list[Part], style: Style) -> str:
    """Return what stands before a part that is added."""
    if len(parts) > 1 or "\n" in parts[-1].lead:
        return parts[-1].lead
    return style.comma[1:] if not parts[-1].lead else parts[-1].lead


def _laid_out(text: str, style: Style) -> Style:
    """Return the style of a value: what is on one line stays on one line."""
    if text[:1] in ("{", "[") and "\n" not in text and len(text) > 2:
        return style._replace(indent=None)
    return style


def _style_of(text: str) -> Style:
    """Return how a document is laid out."""
    indent = re.search(r"[\[{,][ \t]*\n([ \t]+)", text)
    is_ascii = text.isascii() and re.search(r"\\u(?!00[01])", text) is not None
    colon = ":" if re.search(r'":\S', text) else ": "
    comma = "," if re.search(r'[\w"\]}],[^\s]', text) or (colon == ":" and ", " not in text) else ", "
    return Style(indent[1] if indent else None if "\n" not in text.strip() else INDENT, comma, colon, is_ascii)


def _margin(text: str, start: int) -> str:
    """Return the blanks at the beginning of the line."""
    line = text[text.rfind("\n", 0, start) + 1 : start]
    return line[: len(line) - len(line.lstrip(" \t"))]


def _margin_of(lead: str) -> str:
    """Return the blanks at the beginning of the line that a lead begins, if it begins one."""
    return lead.rpartition("\n")[2] if "\n" in lead else ""


def _skip(text: str, at: int) -> int:
    return _BLANK.match(text, at).end()  # type: ignore[union-attr] # it matches the empty text


def _same(old: Any, new: Any) -> bool:
    return json.dumps(old) == json.dumps(new)


def _float(text: str) -> float:
    found = float(text)
    if found in (float("inf"), float("-inf")):
        raise _NoNumber("as large as that", text)
    return found


def _second_of(text: str) -> int:
    """Return where the first key stands that its object has had already; the text is JSON otherwise."""
    objects: list[set[str]] = []
    for token in _TOKEN.finditer(text):
        if token["key"]:
            key = json.loads(token["key"])
            if key in objects[-1]:
                return token.start()
            objects[-1].add(key)
        elif token[0] == "{":
            objects.append(set())
        elif token[0] == "}":
            objects.pop()
    return 0


def _first_of(text: str, word: str) -> int:
    """Return where a word first stands outside of strings."""
    return next((token.start() for token in _TOKEN.finditer(text) if token[0] == word), 0)


class _Twice(Exception):
    """A key that one object has twice: nobody knows which of the two is meant."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        raise _Twice(next(key for key, _ in pairs if key in seen or seen.add(key)))  # type: ignore[func-returns-value]
    return found


class _NoNumber(Exception):
    """NaN, an infinity or what is as large as one stands where a number should; ``word`` is how it is written."""

    def __init__(self, said: str, word: str) -> None:
        super().__init__(said)
        self.word = word


def _refuse(word: str) -> None:
    raise _NoNumber(word, word)


def compact(value: Any) -> str:
    """Return a value's JSON without blanks, as the core writes it."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


_STRICT = json.JSONDecoder(parse_constant=_refuse, parse_float=_float, object_pairs_hook=_object)
