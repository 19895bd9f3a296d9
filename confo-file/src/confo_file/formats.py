"""The formats of files: each is read as JSON, and an edit changes in its text what differs and nothing else.

The seam carries JSON, so a YAML or TOML file is handed over as the JSON that it stands for. What JSON has no word for
is read as text where that is what was written (a date), or makes the file unreadable: it is never written over unless
as a whole. What a format cannot hold (TOML has no null) is refused before anything is written.
"""

from __future__ import annotations

import contextlib
import importlib
import json
from types import ModuleType
from typing import Any

from confo import InvalidDocument, NotSupported
from confo_file.layout import JSON
from confo_file.texts import json_text
from confo_file.texts.problem import Problem, at
from confo_file.texts.wrapping import Wrapping, unwrap

LARGEST = 1024 * 1024
"""Bytes of the largest JSON text that the core reads as a document; its own, without blanks, are no larger."""
LARGEST_FILE = 16 * LARGEST
"""Bytes of the largest file that is read: comments, blanks and another format's words are no part of the document."""
_TEXTS = {".yaml": "yaml_text", ".yml": "yaml_text", ".toml": "toml_text"}


def is_document(suffix: str, data: bytes) -> bool:
    """Tell whether these bytes are a whole document, as far as one can tell; what is empty may be just truncated."""
    return bool(data.strip()) and not read(suffix, data)[1]


def read(suffix: str, data: bytes) -> tuple[bytes, str]:
    """Return the JSON that a file's bytes stand for, and "" or why they stand for none, with line and column.

    JSON is handed over as it is, but for a byte order mark.
    """
    try:
        text, wrapping = unwrap(data)
        if suffix == JSON:
            if not isinstance(json_text.load(text), dict):
                raise at(text, len(text) - len(text.lstrip()), "the top is no object")
            return (text.encode() if wrapping.mark else data), ""
        return _json(_module(suffix).load(text)), ""
    except (Problem, NotSupported) as problem:
        return data, str(problem)
    except RecursionError:
        return data, "it is nested too deeply"
    except Exception as error:  # noqa: BLE001 - a parser's defect costs this one document; its text may quote it
        return data, f"the parser failed on it ({type(error).__name__})"


def is_object(data: bytes) -> bool:
    """Tell whether bytes may be a document's: what the core commits begins with a brace."""
    return data[:1] == b"{"


def write(suffix: str, old: bytes | None, data: bytes, place: str) -> bytes:
    """Return a file's new bytes: the old ones, and in them what the JSON in ``data`` has otherwise.

    InvalidDocument when the format cannot hold it: what is written reads back as the same.
    """
    wanted = _object(data)
    if wanted is None:  # not a document: only tests and other tools write such, and get what they wrote
        return data
    if suffix == JSON:
        return _json_bytes(old, data, wanted)
    module = _module(suffix)
    try:
        written = _edited(module, old, wanted)
        if json.loads(_json(module.load(unwrap(written)[0]))) == wanted:
            return written
        reason = "it would not read back as this document"
    except Problem as problem:
        reason = problem.reason
    except Exception as error:  # two libraries' errors, and those of their depths
        raise InvalidDocument(f"{place} cannot hold this document: {type(error).__name__}") from error
    raise InvalidDocument(f"{place} cannot hold this document: {reason}")


def _json_bytes(old: bytes | None, data: bytes, wanted: dict[str, Any]) -> bytes:
    if not _is_the_cores(data, wanted):
        return data  # written by a tool as it wanted it
    text, wrapping, there = "", Wrapping(), None
    with contextlib.suppress(Problem):
        if old is not None:
            text, wrapping = unwrap(old)
            there = json_text.load(text)
    written = wrapping.wrap(json_text.edit(text, wanted) if isinstance(there, dict) else json_text.new(wanted))
    return written if len(written) <= LARGEST else data  # without blanks, as nobody could read it any more


def _is_the_cores(data: bytes, wanted: dict[str, Any]) -> bool:
    """Tell whether bytes are a document as the core writes it, without blanks."""
    try:
        return _json(wanted) == data
    except ValueError:  # half of a pair of surrogates
        return False


def _edited(module: ModuleType, old: bytes | None, wanted: dict[str, Any]) -> bytes:
    """Edit the old text, or write a new one where that is none that can be read."""
    text, wrapping = "", Wrapping()
    if old is not None:
        try:
            text, wrapping = unwrap(old)
            module.load(text)
        except Problem:
            text, wrapping = "", Wrapping()
    return wrapping.wrap(module.edit(text, wanted))


def _module(suffix: str) -> ModuleType:
    """Return what reads and edits this format's texts; NotSupported with the extra that is missing."""
    try:
        return importlib.import_module(f"confo_file.texts.{_TEXTS[suffix]}")
    except ImportError as error:
        name = suffix.lstrip(".").replace("yml", "yaml")
        raise NotSupported(f"reading it needs the extra: pip install 'confo-file[{name}]'") from error


def _object(data: bytes) -> dict[str, Any] | None:
    try:
        found = json_text.load(data.decode())
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _json(value: Any) -> bytes:
    return json_text.compact(value).encode()
