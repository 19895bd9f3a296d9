"""Documents as dicts to write to: what a block sees, what it wrote, and what it read.

A block stands on one committed state, apart from everything that is staged. What it wrote is guarded by what it saw,
so that a value that was computed from what stood there is never lost and never wins over somebody else's in silence.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any, overload

from confo.changes import UNREADABLE, Document, Draft
from confo.codec import MAX_BYTES, thaw
from confo.edits import Edit, with_document, with_field, without_document, without_field
from confo.errors import Closed, ConfigurationNotFound, FieldNotFound, InvalidName
from confo.hints import instead, listed
from confo.model import MISSING, Commit, Snapshot
from confo.names import check_configuration
from confo.paths import ITSELF, Field, Path, as_field, as_path, look, shown
from confo.pretty import counted


class Editor(MutableMapping[str, Any]):
    """The documents of a namespace as dicts to write to: ``draft["database"]["opts"]["pool"] = 9``.

    All of it is of one committed revision, whatever is committed or staged meanwhile. A look-up of what is not there
    raises; ``draft["new"] = {...}`` and ``setdefault`` create. Objects are dicts to write to at any depth. A list
    is one value: it is frozen, and another one is assigned in its place. After the block ``commit`` is the Commit;
    ``already_so`` is True of one that was not made, as the block wrote nothing new.
    """

    def __init__(self, snapshot: Snapshot, *, reads: bool = False, most: int = MAX_BYTES) -> None:
        self._snapshot = snapshot
        self.most = most
        self._reads = reads
        self._pages: dict[str, _Page] = {}
        self._over = False
        self.commit: Commit | None = None

    @property
    def namespace(self) -> str:
        """The namespace's name."""
        return self._snapshot.namespace

    @property
    def revision(self) -> int:
        """The revision of the state that the block sees."""
        return self._snapshot.revision

    def __getitem__(self, name: str) -> DocumentEditor:
        """Return the document to write to; ConfigurationNotFound."""
        page = self._page(name)
        if page.mine is None:
            page.read.add(())
            raise ConfigurationNotFound(
                f"no configuration {name!r} in namespace {self.namespace!r}{instead(name, self, 'there are')}; "
                "to create one, assign a whole document",
                namespace=self.namespace,
                configuration=name,
            )
        page.read.add((ITSELF,))
        return DocumentEditor(self, name, ())

    def __setitem__(self, name: str, document: Mapping[str, Any]) -> None:
        """Replace a whole document, also one that cannot be read, or create it."""
        self.write(name, (), with_document(self.namespace, name, document, most=self.most))

    def __delitem__(self, name: str) -> None:
        """Delete a configuration, also one that cannot be read; ConfigurationNotFound."""
        if name not in self._snapshot.unreadable:
            self[name]
        self.write(name, (), without_document)

    def __iter__(self) -> Iterator[str]:
        """Iterate the names."""
        names = dict.fromkeys([*self._snapshot, *self._pages])
        return iter([name for name in names if name not in self._pages or self._pages[name].mine is not None])

    def __len__(self) -> int:
        """Count the configurations."""
        return sum(1 for _ in self)

    def __contains__(self, name: object) -> bool:
        """Tell whether there is such a configuration."""
        try:
            page = self._page(name)  # type: ignore[arg-type] # and InvalidName says so
        except InvalidName:
            return False
        page.read.add(() if page.mine is None else (ITSELF,))
        return page.mine is not None

    @overload
    def get(self, name: str) -> DocumentEditor | None: ...

    @overload
    def get(self, name: str, default: Any) -> Any: ...

    def get(self, name: str, default: Any = None) -> Any:
        """Return the document to write to, or the default if there is none."""
        page = self._page(name)
        if page.mine is None:
            page.read.add(())
            return default
        page.read.add((ITSELF,))
        return DocumentEditor(self, name, ())

    def setdefault(self, name: str, default: Any = None) -> DocumentEditor:
        """Return the document to write to; the configuration is created with this one if it is not there."""
        if name not in self:
            self[name] = {} if default is None else default
        return self[name]

    def pop(self, name: str, default: Any = MISSING) -> Any:
        """Delete a configuration and return its document as a plain dict."""
        if name not in self and default is not MISSING:
            return default
        document = self[name].plain()
        del self[name]
        return document

    def popitem(self) -> tuple[str, Any]:
        """Delete the last configuration and return it; KeyError when there is none."""
        name = _last(self)
        return name, self.pop(name)

    def __repr__(self) -> str:
        """Show the place and what was written to, never a value."""
        written = [name for name, page in self._pages.items() if page.written]
        return (
            f"<Editor of {self.namespace} at revision {self.revision}: {counted(len(self))}, "
            f"written to: {listed(written)}>"
        )

    # --- for the core ----------------------------------------------------------------------------

    def value(self, name: str, path: Path) -> Any:
        """Return what the block sees at a path, MISSING for nothing; it counts as read, of an object that it is one."""
        page = self._page(name)
        found = look(page.mine, path)
        page.read.add((*path, ITSELF) if isinstance(found, dict) else path)
        return found

    def members(self, name: str, path: Path) -> dict[str, Any]:
        """Return the object at a path, all of which counts as read."""
        page = self._page(name)
        page.read.add(path)
        return self.object(name, path)

    def object(self, name: str, path: Path) -> dict[str, Any]:
        """Return the object at a path; ConfigurationNotFound or FieldNotFound where there is none any more."""
        mine = self._page(name).mine
        if mine is None:
            self[name]
        found = look(mine, path)
        if not isinstance(found, dict):
            raise FieldNotFound(
                f"{shown(as_field(path))} of {self.namespace}/{name} is no object any more",
                namespace=self.namespace,
                configuration=name,
                field=as_field(path),
            )
        return found

    def write(self, name: str, path: Path, edit: Edit) -> None:
        """Write at a path of a document."""
        if self._over:
            raise Closed(f"this edit of {self.namespace} is over: begin another", namespace=self.namespace)
        if not path and name in self._snapshot.unreadable:  # what is written replaces it as a whole
            self._pages[name] = _Page(UNREADABLE)
        page = self._page(name)
        page.mine = edit(page.mine)
        page.written.add(path)

    def end(self) -> dict[str, Draft]:
        """Take no more, and return the drafts: of the documents written to, or with ``reads`` read, with their guards.

        What was written is guarded, and with ``reads`` what was read as well.
        """
        self._over = True
        guards = {name: page.written | (page.read if self._reads else set()) for name, page in self._pages.items()}
        return {
            name: Draft(self._pages[name].base, self._pages[name].mine, frozenset(paths))
            for name, paths in guards.items()
            if paths
        }

    def _page(self, name: str) -> _Page:
        page = self._pages.get(name) if isinstance(name, str) else None
        if page is None:
            check_configuration(name)
            page = self._pages[name] = _Page(self._snapshot.get(name))
        return page


class DocumentEditor(MutableMapping[str, Any]):
    """A document, or an object inside it, to write to."""

    def __init__(self, editor: Editor, name: str, path: Path) -> None:
        self._editor, self._name, self._path = editor, name, path

    def __getitem__(self, field: Field) -> Any:
        """Return a field, or what stands at a path: an object to write to, a frozen list, or a value. FieldNotFound."""
        path = (*self._path, *as_path(field))
        here = self._editor.object(self._name, self._path)
        found = self._editor.value(self._name, path)
        if found is MISSING:
            raise FieldNotFound(
                f"no {shown(as_field(path))} in {self._editor.namespace}/{self._name}{instead(path[-1], here)}",
                namespace=self._editor.namespace,
                configuration=self._name,
                field=as_field(path),
            )
        return DocumentEditor(self._editor, self._name, path) if isinstance(found, dict) else found

    def __setitem__(self, field: Field, value: Any) -> None:
        """Set a field, or what stands at a path."""
        path = (*self._path, *as_path(field))
        self._editor.object(self._name, self._path)
        editor = self._editor
        editor.write(self._name, path, with_field(editor.namespace, self._name, path, value, editor.most))

    def __delitem__(self, field: Field) -> None:
        """Delete a field; FieldNotFound."""
        self[field]
        path = (*self._path, *as_path(field))
        self._editor.write(self._name, path, without_field(path))

    def __iter__(self) -> Iterator[str]:
        """Iterate the names of the fields."""
        return iter(list(self._editor.members(self._name, self._path)))

    def __len__(self) -> int:
        """Count the fields."""
        return len(self._editor.members(self._name, self._path))

    def __contains__(self, field: object) -> bool:
        """Tell whether there is such a field."""
        try:
            path = (*self._path, *as_path(field))
        except InvalidName:
            return False
        return self._editor.value(self._name, path) is not MISSING

    def get(self, field: Field, default: Any = None) -> Any:
        """Return a field, or what stands at a path, or the default if there is nothing."""
        path = (*self._path, *as_path(field))
        self._editor.object(self._name, self._path)
        found = self._editor.value(self._name, path)
        if found is MISSING:
            return default
        return DocumentEditor(self._editor, self._name, path) if isinstance(found, dict) else found

    def setdefault(self, field: Field, default: Any = None) -> Any:
        """Return a field, which is set to this value if it is not there: an object is one to write to."""
        if field not in self:
            self[field] = default
        return self[field]

    @overload
    def pop(self, field: Field) -> Any: ...

    @overload
    def pop(self, field: Field, default: Any) -> Any: ...

    def pop(self, field: Field, default: Any = MISSING) -> Any:
        """Delete a field and return its plain value."""
        if field not in self and default is not MISSING:
            return default
        value = self[field]
        value = value.plain() if isinstance(value, DocumentEditor) else thaw(value)
        del self[field]
        return value

    def popitem(self) -> tuple[str, Any]:
        """Delete the last field and return it; KeyError when there is none."""
        field = _last(self)
        return field, self.pop(field)

    def plain(self) -> dict[str, Any]:
        """Return what stands here now as a plain dict of its own."""
        found: dict[str, Any] = thaw(self._editor.members(self._name, self._path))
        return found

    def __copy__(self) -> dict[str, Any]:
        """Return a plain dict."""
        return self.plain()

    def __deepcopy__(self, memo: object) -> dict[str, Any]:
        """Return a plain dict."""
        return self.plain()

    def __repr__(self) -> str:
        """Show the place and the names of the fields, never a value."""
        found = look(self._editor._page(self._name).mine, self._path)  # noqa: SLF001 - its own, and no read
        where = f" {shown(as_field(self._path))}" if self._path else ""
        fields = listed(found) if isinstance(found, dict) else "nothing any more"
        return f"<DocumentEditor of {self._editor.namespace}/{self._name}{where}: {fields}>"


class _Page:
    """One document: what the block saw, what it shall be, and the paths that were written and read."""

    __slots__ = ("base", "mine", "read", "written")

    def __init__(self, base: Document | None) -> None:
        self.base = self.mine = base
        self.read: set[Path] = set()
        self.written: set[Path] = set()


def _last(names: Mapping[str, Any]) -> str:
    found = list(names)
    if not found:
        raise KeyError("there is nothing to pop")
    return found[-1]
