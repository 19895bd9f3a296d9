"""Edits of one document: what is staged or written, checked before anything changes. Pure functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from confo.changes import Document
from confo.codec import MAX_BYTES, FrozenDict, freeze
from confo.errors import InvalidDocument
from confo.model import MISSING
from confo.names import check_configuration
from confo.paths import Field, NotAnObject, as_field, as_path, put, shown

Edit: TypeAlias = Callable[[Document | None], Document | None]


def with_field(namespace: str, configuration: str, field: Field, value: object, most: int = MAX_BYTES) -> Edit:
    """Return the edit that sets a field, or what stands at a path; InvalidName or InvalidDocument.

    Objects on the way that are not there are made. What is there and no object is not written over. ``most`` is how
    many bytes the store takes.
    """
    check_configuration(configuration)
    path = as_path(field)
    place: Any = {"namespace": namespace, "configuration": configuration, "field": as_field(path)}
    frozen = freeze(value, **place, most=most)
    for name in path:
        if not name.isascii():  # its name is text of the document too
            freeze({name: None}, namespace=namespace, configuration=configuration)
    if len(path) == 1:
        name = path[0]
        return lambda document: {**(document or {}), name: frozen}

    def edit(document: Document | None) -> Document:
        try:
            return put(document, path, frozen)
        except NotAnObject as way:
            raise InvalidDocument(
                f"{namespace}/{configuration} {shown(field)} cannot be set: {shown(way.path)} holds a value that is "
                "no object; set that one to an object first",
                **place,
            ) from None

    return edit


def with_document(
    namespace: str, configuration: str, document: object, value: object = None, most: int = MAX_BYTES
) -> Edit:
    """Return the edit that replaces the whole document; ``value`` is what stood where a field's value would.

    ``most`` is how many bytes the store takes; InvalidDocument beyond.
    """
    check_configuration(configuration)
    place: Any = {"namespace": namespace, "configuration": configuration}
    where, kind = f"{namespace}/{configuration}", type(document).__name__
    if not isinstance(document, Mapping):
        raise InvalidDocument(
            f"{where}: a document is a mapping of fields, and a field is a str or a tuple of str (a path); "
            f"this is {kind}{_as_mapping(document)}",
            **place,
        )
    if value is not None and value is not MISSING:
        raise InvalidDocument(
            f"{where}: a whole document takes no value: set(configuration, document), or "
            "set(configuration, field, value)",
            **place,
        )
    frozen: FrozenDict = freeze(document, **place, most=most)
    return lambda _: frozen


def without_field(field: Field) -> Edit:
    """Return the edit that deletes a field, or what stands at a path."""
    path = as_path(field)
    return lambda document: put(document, path, MISSING)


def without_document(_: Document | None) -> None:
    """Delete the document: an edit."""


def _as_mapping(document: object) -> str:
    """Return the hint how to make a mapping of a model or a dataclass; "" for what is neither."""
    if hasattr(document, "__dataclass_fields__"):
        return ": give dataclasses.asdict() of it"
    if hasattr(document, "model_dump"):
        return ": give its model_dump(mode='json')"
    return ""
