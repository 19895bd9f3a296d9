"""Edits of one document, and documents as dicts to write to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any, TypeAlias

from confo.changes import Document, Draft
from confo.codec import FrozenDict, freeze
from confo.errors import ConfigurationNotFound, FieldNotFound, InvalidDocument
from confo.model import MISSING
from confo.names import check_configuration
from confo.view import View

Edit: TypeAlias = Callable[[Document | None], Document | None]


def with_field(namespace: str, configuration: str, field: str, value: object) -> Edit:
    """Return the edit that sets a field; InvalidName or InvalidDocument."""
    check_configuration(configuration)
    frozen = freeze(value, namespace=namespace, configuration=configuration, field=field)
    freeze({field: None}, namespace=namespace, configuration=configuration)  # its name is text of the document too
    return lambda document: {**(document or {}), field: frozen}


def with_document(namespace: str, configuration: str, document: object, value: object = None) -> Edit:
    """Return the edit that replaces the whole document; ``value`` is what stood where a field's value would."""
    check_configuration(configuration)
    place: Any = {"namespace": namespace, "configuration": configuration}
    where = f"{namespace}/{configuration}"
    if value is not None and value is not MISSING:
        raise InvalidDocument(f"{where}: a field's name is a str, not {type(document).__name__}", **place)
    if not isinstance(document, Mapping):
        raise InvalidDocument(f"{where}: a document is a mapping of fields, not {type(document).__name__}", **place)
    frozen: FrozenDict = freeze(document, **place)
    return lambda _: frozen


def without_field(field: str) -> Edit:
    """Return the edit that deletes a field."""
    return lambda document: {name: value for name, value in (document or {}).items() if name != field}


def without_document(_: Document | None) -> None:
    """Delete the document: an edit."""


class Editor(MutableMapping[str, Any]):
    """The documents of a namespace as dicts to write to, apart from it until they are committed.

    A document stays as it was when the block first looked at it.
    """

    def __init__(self, view: View) -> None:
        self._view = view
        self._before: dict[str, Draft] = {}
        self._drafts: dict[str, Draft] = {}

    def __getitem__(self, name: str) -> DocumentEditor:
        """Return the document to write to; one that is not there begins empty with its first field."""
        check_configuration(name)
        self.document(name)
        return DocumentEditor(self, name)

    def __setitem__(self, name: str, document: Mapping[str, Any]) -> None:
        """Replace a whole document."""
        self.edit(name, with_document(self._view.namespace, name, document))

    def __delitem__(self, name: str) -> None:
        """Delete a configuration; ConfigurationNotFound."""
        if self.document(name) is None:
            raise ConfigurationNotFound(
                f"no configuration {name!r} in namespace {self._view.namespace!r}",
                namespace=self._view.namespace,
                configuration=name,
            )
        self.edit(name, without_document)

    def __iter__(self) -> Iterator[str]:
        """Iterate the names."""
        with self._view.lock:
            names = dict.fromkeys([*self._view.entries, *self._drafts])
        return (name for name in names if name not in self._drafts or self._drafts[name].mine is not None)

    def __len__(self) -> int:
        """Count the configurations."""
        return sum(1 for _ in self)

    def document(self, name: str) -> Document | None:
        """Return a document as the block sees it, None if there is none."""
        if name not in self._drafts:
            with self._view.lock:
                committed = self._view.committed(name)
            self._drafts[name] = self._before[name] = Draft(committed, committed)
        return self._drafts[name].mine

    def edit(self, name: str, edit: Edit) -> None:
        """Edit a document."""
        mine = edit(self.document(name))
        self._drafts[name] = self._drafts[name]._replace(mine=mine)

    def written(self) -> dict[str, Draft]:
        """Return the drafts of the documents that were written to."""
        return {name: draft for name, draft in self._drafts.items() if draft is not self._before[name]}

    @property
    def namespace(self) -> str:
        """The namespace's name."""
        return self._view.namespace


class DocumentEditor(MutableMapping[str, Any]):
    """One document's fields to write to."""

    def __init__(self, editor: Editor, name: str) -> None:
        self._editor, self._name = editor, name

    def __getitem__(self, field: str) -> Any:
        """Return a field; what is inside it is frozen. FieldNotFound."""
        document = self._editor.document(self._name) or {}
        if field not in document:
            raise FieldNotFound(
                f"no field {field!r} in {self._editor.namespace}/{self._name}",
                namespace=self._editor.namespace,
                configuration=self._name,
                field=field,
            )
        return document[field]

    def __setitem__(self, field: str, value: Any) -> None:
        """Set a field."""
        self._editor.edit(self._name, with_field(self._editor.namespace, self._name, field, value))

    def __delitem__(self, field: str) -> None:
        """Delete a field; FieldNotFound."""
        self[field]
        self._editor.edit(self._name, without_field(field))

    def __iter__(self) -> Iterator[str]:
        """Iterate the fields; none when the configuration is not there."""
        return iter(self._editor.document(self._name) or {})

    def __len__(self) -> int:
        """Count the fields."""
        return len(self._editor.document(self._name) or {})
