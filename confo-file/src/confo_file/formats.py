"""Documents in other formats than JSON: read as JSON, and written back in their own with comments kept.

The seam carries JSON, so a YAML or TOML file is handed over as the JSON that it stands for. A commit changes in the
file what differs, and leaves the rest as somebody wrote it: comments, order, quotes. What JSON does not have is read
as text (dates) or makes the file unreadable (NaN, keys that are no texts); it is never written over unless its own
value changes. What the format cannot hold (TOML has no null) is refused.
"""

from __future__ import annotations

import datetime as dt
import importlib
import io
import json
from collections.abc import Mapping, MutableMapping
from typing import Any, Protocol

from confo import InvalidDocument, NotSupported

MOST_VALUES = 200_000
"""In one document: a few lines of YAML with aliases can stand for more values than there is memory."""


class Format(Protocol):
    """One way to write a document."""

    def load(self, data: bytes) -> Any:
        """Return the document, a mapping that can be changed in place and remembers its comments."""

    def dump(self, document: Any) -> bytes:
        """Return it as bytes."""

    def empty(self) -> Any:
        """Return a document with nothing in it."""


class Yaml:
    """YAML 1.2, by ruamel.yaml; safe: nothing but plain values is made."""

    def __init__(self) -> None:
        self._yaml = importlib.import_module("ruamel.yaml").YAML()
        self._yaml.preserve_quotes = True
        self._yaml.width = 4096  # no long text is folded that was not

    def load(self, data: bytes) -> Any:
        """Return the document; the indentation of its lists is kept."""
        util = importlib.import_module("ruamel.yaml.util")
        _, indent, dash = util.load_yaml_guess_indent(data.decode())
        self._yaml.indent(mapping=2 if dash is not None else indent, sequence=indent, offset=dash)
        return self._yaml.load(data)

    def dump(self, document: Any) -> bytes:
        """Return it as bytes."""
        stream = io.BytesIO()
        self._yaml.dump(document, stream)
        return stream.getvalue()

    def empty(self) -> Any:
        """Return a document with nothing in it."""
        return importlib.import_module("ruamel.yaml.comments").CommentedMap()


class Toml:
    """TOML 1.0, by tomlkit."""

    def __init__(self) -> None:
        self._toml = importlib.import_module("tomlkit")

    def load(self, data: bytes) -> Any:
        """Return the document."""
        return self._toml.parse(data)

    def dump(self, document: Any) -> bytes:
        """Return it as bytes."""
        return str(self._toml.dumps(document)).encode()

    def empty(self) -> Any:
        """Return a document with nothing in it."""
        return self._toml.document()


_FORMATS: dict[str, tuple[type[Format], str, str]] = {
    ".yaml": (Yaml, "yaml", "ruamel.yaml"),
    ".yml": (Yaml, "yaml", "ruamel.yaml"),
    ".toml": (Toml, "toml", "tomlkit"),
}


def is_document(suffix: str, data: bytes) -> bool:
    """Tell whether these bytes are a whole document, as far as one can tell."""
    if not data.strip():
        return False  # an editor has just truncated it
    try:
        json.loads(data if suffix == ".json" else to_json(suffix, data))
    except (ValueError, RecursionError, NotSupported):
        return False
    return True


def readable(suffix: str, data: bytes) -> bytes:
    """Return the JSON that a file's bytes stand for; those that stand for none as they are: the core refuses them."""
    try:
        return data if suffix == ".json" else to_json(suffix, data)
    except (ValueError, NotSupported):
        return data


def to_json(suffix: str, data: bytes) -> bytes:
    """Return the JSON that these bytes stand for; ValueError, or NotSupported if the format's package is missing."""
    document = _parse(_format(suffix), data)
    if not isinstance(document, Mapping):
        raise ValueError("it is no mapping")
    return _json(_plain(document, [MOST_VALUES]))


def merged(suffix: str, old: bytes | None, data: bytes, place: str) -> bytes:
    """Return a file's new bytes: the old ones, and in them what the JSON in ``data`` has otherwise.

    InvalidDocument when the format cannot hold it: what is written reads back as the same.
    """
    if suffix == ".json":
        return data
    form = _format(suffix)
    try:
        wanted = json.loads(data)
        document = _readable_or_empty(form, old)
        _merge(document, wanted)
        written = form.dump(document)
        if json.loads(to_json(suffix, written)) == wanted:
            return written
    except NotSupported:
        raise
    except Exception as error:  # two libraries' errors, and those of their depths
        raise InvalidDocument(f"{place}{suffix} cannot hold this document: {type(error).__name__}") from error
    raise InvalidDocument(f"{place}{suffix} would not read back as this document: {suffix[1:].upper()} has no null")


def _format(suffix: str) -> Format:
    form, extra, package = _FORMATS[suffix]
    try:
        return form()
    except ImportError as error:
        raise NotSupported(f"a {suffix} file needs {package}: pip install 'confo-file[{extra}]'") from error


def _parse(form: Format, data: bytes) -> Any:
    try:
        return form.load(data)
    except Exception as error:
        raise ValueError(type(error).__name__) from error  # its text may quote the document


def _readable_or_empty(form: Format, old: bytes | None) -> Any:
    document = form.load(old) if old is not None else None
    return document if isinstance(document, MutableMapping) else form.empty()


def _merge(document: Any, wanted: dict[str, Any]) -> None:
    """Make a mapping say what is wanted; what says so already is not touched."""
    for key in [key for key in document if key not in wanted]:
        del document[key]
    for key, value in wanted.items():
        if key not in document:
            document[key] = value
        else:
            _merge_item(document, key, value)


def _merge_item(holder: Any, key: Any, value: Any) -> None:
    old = holder[key]
    if _says(old, value):
        return
    if isinstance(old, MutableMapping) and isinstance(value, dict):
        _merge(old, value)
    elif isinstance(old, list) and isinstance(value, list):
        del old[len(value) :]
        for place in range(len(old)):
            _merge_item(old, place, value[place])
        for item in value[len(old) :]:
            old.append(item)
    else:
        holder[key] = value


def _says(old: Any, value: Any) -> bool:
    try:
        return _json(_plain(old, [MOST_VALUES])) == _json(value)
    except ValueError:
        return False


def _plain(value: Any, left: list[int]) -> Any:
    """Return plain JSON; ValueError for what JSON has not. ``left`` counts down over all of the document."""
    left[0] -= 1
    if left[0] < 0:
        raise ValueError("it stands for too many values")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, (int, float, str)):
        return next(kind(value) for kind in (int, float, str) if isinstance(value, kind))
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise ValueError("a key in it is no text")
        return {str(key): _plain(item, left) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item, left) for item in value]
    if isinstance(value, (dt.date, dt.time)):
        return value.isoformat()
    raise ValueError(f"{type(value).__name__} is not JSON")


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
