"""Confo, the registry of loaded backends, and the API of 2021.

The module has its users' spelling: ``from confo.Confo import Confo``.
"""

from __future__ import annotations

import atexit
import logging
import os
import secrets
import threading
import time
from collections.abc import Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias, TypedDict, overload

from confo import forks, plugins, shield
from confo.asynchronous import in_thread
from confo.backend import Backend
from confo.cache import Cache, prepare
from confo.changes import OnConflict
from confo.codec import FrozenDict
from confo.copying import Copied
from confo.errors import (
    BackendExists,
    BackendNotFound,
    Closed,
    ConfigurationNotFound,
    CredentialsError,
    InvalidName,
    InvalidOption,
    NamespaceExists,
    NoActiveBackend,
    NoNamespaceChosen,
)
from confo.guarded import open_guarded
from confo.loaded import Loaded
from confo.model import MISSING, Commit
from confo.names import check_namespace
from confo.namespace import RAISE, Namespace, commit_together, either
from confo.paths import Field
from confo.replica import CLOSE_SECONDS
from confo.retention import Retention
from confo.shield import shielded, shielded_end
from confo.staleness import OnStale
from confo.start import Start, StartPolicy, open_by
from confo.start import parse as parse_start
from confo.travelling import stranded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Unpack

    from confo.events import Event, Kinds, Subscription

logging.getLogger("confo").addHandler(logging.NullHandler())  # nothing on stderr unless the program asks for it

_registry: dict[str | None, Confo] = {}
_registry_lock = threading.RLock()
_PROCESS = secrets.token_hex(8)
"""Names this process, and its forks, which have its objects too."""
_all: set[Confo] = set()
"""Those with a loaded backend: what has threads is closed at exit, also when nobody holds it any more."""


WhenUnreadable: TypeAlias = Literal["last-good", "raise"]


class LoadOptions(TypedDict, total=False):
    """The options of ``load_backend``, for those who check types."""

    start: StartPolicy
    cache: str | os.PathLike[str] | None
    timeout: float | None
    history: bool | Retention
    follow: bool
    unreadable: WhenUnreadable


class Confo:
    """The loaded backends of a program, one of them active, and its namespaces, one of them in use.

    ``Confo()`` is the process-wide one and ``Confo("tests")`` another, by name, as with loggers: the same name gives
    the same object everywhere. All methods may be called from any thread.
    """

    name: str | None

    def __new__(cls, name: str | None = None) -> Self:
        """Return the one of this name, made when first asked for."""
        with _registry_lock:
            if name is not None and type(name) is not str:
                raise InvalidName(
                    f"a Confo's name is a str, or None for the one of this process; not {type(name).__name__}"
                )
            found = _registry.get(name)
            if not isinstance(found, cls):
                found = _registry[name] = cls._new(name)
            return found

    @classmethod
    def _new(cls, name: str | None) -> Self:
        self = object.__new__(cls)
        self.name = name
        self._lock = threading.RLock()
        self._loaded = {}
        self._active = None
        self._documents = {}
        self._was_closed = False
        self._hooks = forks.InChild(self._renew_locks)
        forks.add(self._hooks)
        return self

    _lock: threading.RLock
    _loaded: dict[str, Loaded]
    _active: Loaded | None
    _documents: Mapping[str, Mapping[str, Any]]
    _was_closed: bool
    _hooks: forks.InChild

    # --- backends --------------------------------------------------------------------------------

    def load_backend(
        self,
        credentials: Mapping[str, object],
        name: str,
        backend_type: str | type[Backend],
        *,
        start: StartPolicy = "require",
        cache: str | os.PathLike[str] | None = None,
        timeout: float | None = None,
        history: bool | Retention = True,
        follow: bool = True,
        unreadable: WhenUnreadable = "last-good",
    ) -> None:
        """Open a store and keep it under a name of your choice.

        ``backend_type`` is a constant of ``confo.Backends``, or a backend's class. With ``history`` every commit
        leaves a record beside the documents. With ``follow`` a namespace is kept up to date from its first use on;
        without, it is read once, and again by ``reload()``. ``unreadable`` is what reads get where the store holds
        what is no document: "last-good" the last one that could be read, or "raise" UnreadableDocument.

        ``start`` is for this call and for the first use of each namespace: "require" has the store's own state, or
        raises; "wait" tries again until ``timeout`` is over, also for a namespace that is not made yet, and then
        raises; "last-known-good" takes what was kept of a namespace when the store is not there, says so in
        ``status()``, and goes on trying by itself. ``timeout`` is how many seconds the program waits for the store
        (None: the backend's own timeout, and 5 seconds with "last-known-good"; "wait" needs a number). ``cache`` is the
        folder where each namespace is kept from then on, documents in plain text, for this user only;
        "last-known-good" uses the platform's cache folder when none is given.

        Raises BackendNotInstalled, CredentialsError, BackendUnavailable, PermissionDenied, BackendExists,
        InvalidOption or CacheError. With "last-known-good" a store that cannot be reached raises nothing here: a
        namespace of which nothing was kept raises NotReadyError when it is used.
        """
        if not name or type(name) is not str:
            kind = "an empty one" if name == "" else type(name).__name__
            raise InvalidOption(
                f"a backend's name is a text that is not empty, not {kind}: "
                "load_backend(credentials, name, backend_type)"
            )
        if not isinstance(credentials, Mapping):
            raise CredentialsError(
                f"credentials of backend {name!r} are a dict, not {type(credentials).__name__}", backend=name
            )
        if unreadable not in ("last-good", "raise"):
            raise InvalidOption(f"unreadable is 'last-good' or 'raise', not {type(unreadable).__name__}")
        policy = parse_start(start, timeout)
        given = dict(credentials)
        with self._lock:
            self._refuse_twice(name)
        found = _class(backend_type)
        kept = None
        if cache is not None or policy.falls_back:
            kind = backend_type if isinstance(backend_type, str) else found.__qualname__
            kept = Cache(prepare(cache), kind, name, given)
        call = partial(self._load, name, backend_type, found, given, policy, kept)
        shield.run(
            partial(call, history=_retention(history), follow=follow, serve_last_good=unreadable == "last-good"),
            undo=lambda _: self.close_backend(name),
            locks=self._locks(),
        )

    def _load(
        self,
        name: str,
        backend_type: str | type[Backend],
        found: type[Backend],
        given: dict[str, object],
        policy: Start,
        kept: Cache | None,
        *,
        history: Retention | None,
        follow: bool,
        serve_last_good: bool,
    ) -> None:
        opening = partial(open_guarded, found, given, _described(backend_type))
        backend = open_by(policy, found, opening, _where(found, given) if policy.seconds else "")
        with self._lock:
            try:
                self._refuse_twice(name)
            except BackendExists:
                backend.close()
                raise
            _all.add(self)
            self._loaded[name] = Loaded(
                name,
                backend_type,
                backend,
                history=history,
                follow=follow,
                start=policy,
                cache=kept,
                serve_last_good=serve_last_good,
            )

    async def aload_backend(
        self,
        credentials: Mapping[str, object],
        name: str,
        backend_type: str | type[Backend],
        **options: Unpack[LoadOptions],
    ) -> None:
        """Do what ``load_backend`` does, without blocking the event loop."""
        import asyncio

        await asyncio.to_thread(self.load_backend, credentials, name, backend_type, **options)

    def get_backends(self) -> dict[str, Any]:
        """Return {"all_backends": [names], "active_backend": name or None}."""
        return {
            "all_backends": list(self._loaded),
            "active_backend": self._active.name if self._active else None,
        }

    def activate_backend(self, backend_name: str) -> None:
        """Make a loaded backend the one that the calls below work on; it remembers its namespace in use."""
        with self._lock:
            self._active = self._get_loaded(backend_name)
            self._show()

    @shielded_end
    def close_backend(self, name: str) -> None:
        """Close one backend and forget it; what was staged and not persisted is gone."""
        with self._lock:
            loaded = self._get_loaded(name)
            del self._loaded[name]
            if not self._loaded:
                _all.discard(self)
            if self._active is loaded:
                self._active = None
                self._show()
        loaded.close()

    @shielded_end
    def close(self) -> None:
        """Close all backends, from any thread and from a callback too; idempotent.

        Takes 2 seconds at most, also when a callback does not return. The object can load others afterwards.
        """
        with self._lock:
            closing = list(self._loaded.values())
            self._was_closed = self._was_closed or bool(closing)
            self._loaded.clear()
            _all.discard(self)
            self._active = None
            self._show()
        until = time.monotonic() + CLOSE_SECONDS
        for loaded in closing:
            loaded.stop()
        for loaded in closing:
            loaded.join(until)

    aclose = in_thread(close)

    def health(self) -> dict[str, Any]:
        """Return plain data for a readiness probe: is every namespace in use followed and fresh, and what of each.

        {"ready": bool, "serving": bool, "backends": {name: {"kind", "ready", "serving", "namespaces": {name: {"state",
        "revision", "age", "source", "error", "unreadable"}}}}}; ``age`` in seconds; "unreadable" {configuration:
        reason}; no values. Asks no store. A document that cannot be read is listed and does not make it unready, as the
        last good one is served. "serving" is true also for what is stale: it is false when a read would raise, beyond a
        limit of staleness or when closed.
        """
        backends = {name: loaded.health() for name, loaded in self._loaded.copy().items()}
        return {
            "ready": all(one["ready"] for one in backends.values()),
            "serving": all(one["serving"] for one in backends.values()),
            "backends": backends,
        }

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close all backends."""
        self.close()

    async def __aenter__(self) -> Self:
        """Return itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close all backends, without blocking the event loop."""
        await self.aclose()

    # --- namespaces ------------------------------------------------------------------------------

    @shielded
    def create_namespace(self, namespace: str, *, exist_ok: bool = False) -> None:
        """Create a namespace in the active backend; NamespaceExists if it is there, unless ``exist_ok``."""
        try:
            self._backend().create_namespace(check_namespace(namespace))
        except NamespaceExists as error:
            if not exist_ok:
                raise NamespaceExists(
                    f"{error}: use_namespace({namespace!r}) uses it; with exist_ok=True that is no error",
                    namespace=namespace,
                ) from None

    @shielded
    def delete_namespace(self, namespace: str) -> None:
        """Delete a namespace of the active backend and all its configurations; its history stays."""
        loaded = self._require_active()
        loaded.delete_namespace(namespace)
        with self._lock:
            self._show()

    @shielded
    def use_namespace(
        self, system_name: str, *, max_staleness: float | None = None, on_stale: OnStale | None = None
    ) -> None:
        """Choose the namespace that get, set and the like work on; see ``namespace`` for the options."""
        loaded = self._require_active()
        chosen = loaded.namespace(system_name, max_staleness=max_staleness, on_stale=on_stale)
        with self._lock:
            loaded.current = chosen
            self._show()

    use_namespaces = use_namespace

    @shielded
    def get_namespaces(self) -> dict[str, Any]:
        """Return {"all_namespaces": [names], "current_namespace": name}; "*" before one is chosen."""
        loaded = self._require_active()
        current = "*" if loaded.current is None else loaded.current.name
        return {"all_namespaces": loaded.backend.namespaces(), "current_namespace": current}

    def namespace(
        self,
        namespace: str,
        backend: str | None = None,
        *,
        max_staleness: float | None = None,
        on_stale: OnStale | None = None,
    ) -> Namespace:
        """Return a handle that stays at this namespace; of the active backend, of the one named, or of the only one.

        There is one handle a namespace. ``max_staleness`` is how many seconds old what it reads may be, and
        ``on_stale`` what a read does beyond: "raise" (the default), "warn" or "serve"; see
        ``Namespace.limit_staleness``.
        """
        loaded = self._active_or_only() if backend is None else self._get_loaded(backend)
        known = loaded.known(namespace)
        if known is not None and max_staleness is None and on_stale is None:
            return known
        call = partial(loaded.namespace, namespace, max_staleness=max_staleness, on_stale=on_stale)
        return shield.run(call, locks=self._locks())

    @shielded
    def copy(
        self,
        from_backend: str,
        to_backend: str,
        namespaces: Sequence[str] | None = None,
        *,
        overwrite: bool = False,
        author: str | None = None,
        unreadable: Literal["raise", "skip"] = "raise",
    ) -> dict[str, Copied]:
        """Copy namespaces from one loaded backend to another, with their history; all of them if none is named.

        Documents are copied, read back and compared. Commits are done again, each with its op id,
        author, message and time, unless the target has a history of its own there. What only the target has stays.
        A copy that was cut short goes on when it is asked for again. Returns {namespace: Copied(revision of the source,
        documents written, commits made, and what was not copied)}.

        UnreadableDocument, with every name and reason and before anything is written, when the source has what is no
        document; with ``unreadable="skip"`` the rest is copied: ``Copied.unreadable`` has them. ConfigurationExists,
        with every name and before anything is written, when the target has other documents of the same names and
        ``overwrite`` does not say to replace them.
        """
        source, target = self._get_loaded(from_backend), self._get_loaded(to_backend)
        if source is target:
            raise InvalidOption(f"copy from {from_backend!r} to itself: name two backends")
        message = f"copy from {from_backend}"
        if unreadable not in ("raise", "skip"):
            raise InvalidOption(f"unreadable is 'raise' or 'skip', not {type(unreadable).__name__}")
        skip = unreadable == "skip"
        return source.copy_to(target, namespaces, message, author, overwrite=overwrite, skip_unreadable=skip)

    acreate_namespace = in_thread(create_namespace)
    adelete_namespace = in_thread(delete_namespace)
    ause_namespace = in_thread(use_namespace)
    anamespace = in_thread(namespace)
    acopy = in_thread(copy)

    # --- configurations of the namespace in use --------------------------------------------------

    def get(self, name: str, field: Field | None = None, default: Any = RAISE) -> Any:
        """Return a document, or one of its fields; from memory, and with what was staged here.

        A tuple of names is a path into nested objects. Raises ConfigurationNotFound or FieldNotFound (both KeyErrors)
        unless a default is given.
        """
        if field is None:
            return self._current().get(name, None, default)
        try:
            return self._documents[name][field]  # type: ignore[index] # a path is looked up below
        except (KeyError, TypeError):
            pass  # and what is raised below is not told as a consequence of this
        return self._current().get(name, field, default)

    def get_all(self) -> dict[str, FrozenDict]:
        """Return {name: document} of the namespace."""
        return self._current().all()

    all = get_all

    def __getitem__(self, configuration: str) -> FrozenDict:
        """Return a document of the namespace in use: ``config["database"]["host"]``."""
        return self._current()[configuration]

    def __iter__(self) -> Iterator[str]:
        """Iterate the names of the configurations of the namespace in use."""
        return iter(self._current())

    def __len__(self) -> int:
        """Count the configurations of the namespace in use."""
        return len(self._current())

    def __contains__(self, configuration: object) -> bool:
        """Tell whether the namespace in use has this configuration."""
        return configuration in self._current()

    def __bool__(self) -> bool:
        """Tell that it is there, with configurations or without."""
        return True

    def on_change(
        self,
        callback: Callable[[Event], object],
        configuration: str | None = None,
        field: str | None = None,
        *,
        kinds: Kinds = None,
    ) -> Subscription:
        """Call back for every change of the namespace that is in use now; see ``Namespace.on_change``."""
        return self._current().on_change(callback, configuration, field, kinds=kinds)

    def get_count(self) -> int:
        """Return the number of configurations in the namespace."""
        return len(self._current())

    def set(self, config: str, field: Field | Mapping[str, Any], value: Any = MISSING) -> None:
        """Stage a field's value, or with a mapping in place of the field a whole document; memory only.

        What is staged is the process's, for all its threads; in a server write in ``Namespace.edit()``.
        """
        self._current().set(config, field, value)

    def delete(self, config: str, field: Field | None = None) -> None:
        """Stage the deletion of a field, of what stands at a path, or of the whole configuration; memory only."""
        self._current().delete(config, field)

    def reload(self) -> None:
        """Load the namespace anew; what is staged stays staged."""
        self._current().reload()

    areload = in_thread(reload)

    @overload
    def persist(
        self,
        configuration: str | None = None,
        *,
        namespace: str | None = None,
        config: str | None = None,
        message: str = "",
        author: str | None = None,
        on_conflict: OnConflict = "raise",
        split: Literal[False] = False,
    ) -> Commit | None: ...

    @overload
    def persist(
        self,
        configuration: str | None = None,
        *,
        namespace: str | None = None,
        config: str | None = None,
        message: str = "",
        author: str | None = None,
        on_conflict: OnConflict = "raise",
        split: Literal[True],
    ) -> list[Commit]: ...

    def persist(
        self,
        configuration: str | None = None,
        *,
        namespace: str | None = None,
        config: str | None = None,
        message: str = "",
        author: str | None = None,
        on_conflict: OnConflict = "raise",
        split: bool = False,
    ) -> Commit | list[Commit] | None:
        """Commit what was staged in the active backend as one: in all namespaces, in one, or of one configuration.

        Returns the commit, None when nothing was staged. A configuration without a namespace is one of the
        namespace in use; ``config`` is its older spelling. See ``Namespace.persist`` for what it raises and for
        ``on_conflict`` and ``split``.
        """
        only = either(configuration, config)
        loaded = self._require_active()
        if namespace is not None:
            chosen = [loaded.namespace(namespace)]
        elif only is None:
            chosen = loaded.opened()
        elif loaded.known(only) is not None and only not in self._current().staged:
            raise ConfigurationNotFound(
                f"{only!r} is a namespace: persist(namespace={only!r}) commits what is staged there",
                namespace=only,
            )
        else:
            chosen = [self._current()]
        work = [one._staged_work(only) for one in chosen]
        return commit_together(loaded.backend, work, message, author, on_conflict, split=split)

    @overload
    async def apersist(
        self,
        configuration: str | None = None,
        *,
        namespace: str | None = None,
        config: str | None = None,
        message: str = "",
        author: str | None = None,
        on_conflict: OnConflict = "raise",
        split: Literal[False] = False,
    ) -> Commit | None: ...

    @overload
    async def apersist(
        self,
        configuration: str | None = None,
        *,
        namespace: str | None = None,
        config: str | None = None,
        message: str = "",
        author: str | None = None,
        on_conflict: OnConflict = "raise",
        split: Literal[True],
    ) -> list[Commit]: ...

    async def apersist(self, configuration: str | None = None, **options: Any) -> Commit | list[Commit] | None:
        """Do what ``persist`` does, without blocking the event loop."""
        import asyncio

        return await asyncio.to_thread(partial(self.persist, configuration, **options))

    def __repr__(self) -> str:
        """Show the name and the backends, never a credential."""
        active = f", {self._active.name} active" if self._active else ""
        count = len(self._loaded)
        closed = ", closed" if self._was_closed and not count else ""
        backends = "1 backend" if count == 1 else f"{count} backends"
        return f"<Confo {self.name or 'of this process'}: {backends}{active}{closed}>"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by name: in this process it is this one, in another what says there that a Confo does not travel."""
        return _arrive, (self.name, _PROCESS, repr(self))

    def __copy__(self) -> Self:
        """Return itself: it is one by its name."""
        return self

    def __deepcopy__(self, memo: object) -> Self:
        """Return itself: it is one by its name."""
        return self

    # --- inside ----------------------------------------------------------------------------------

    def _locks(self) -> Iterator[threading.RLock]:
        """Yield the locks that a thread may hold when a signal handler or a finalizer calls in it."""
        yield self._lock
        for loaded in tuple(self._loaded.values()):
            yield from loaded.locks()

    def _active_or_only(self) -> Loaded:
        """Return the active backend; where none was activated, the only one that is loaded."""
        if self._active is None and len(self._loaded) == 1:
            return next(iter(self._loaded.values()))
        return self._require_active()

    def _require_active(self) -> Loaded:
        if self._active is None:
            self._check_open()
            loaded = ", ".join(self._loaded) or "none, call load_backend() first"
            raise NoActiveBackend(f"no backend is active: call activate_backend(name); loaded: {loaded}")
        return self._active

    def _backend(self) -> Backend:
        return self._require_active().backend

    def _current(self) -> Namespace:
        loaded = self._require_active()
        if loaded.current is None:
            raise NoNamespaceChosen(
                f"no namespace of {loaded.name} is in use: call use_namespace(name)", backend=loaded.name
            )
        return loaded.current

    def _check_open(self) -> None:
        if self._was_closed and not self._loaded:
            raise Closed(f"{self!r} was closed: load_backend() again before it is used")

    def _get_loaded(self, name: str) -> Loaded:
        try:
            return self._loaded[name]
        except (KeyError, TypeError):
            self._check_open()
            loaded = ", ".join(self._loaded) or "none"
            raise BackendNotFound(f"no backend was loaded as {name!r}; loaded: {loaded}") from None

    def _refuse_twice(self, name: str) -> None:
        if name in self._loaded:
            raise BackendExists(
                f"a backend is loaded as {name!r} already: choose another name, or close_backend({name!r}) first",
                backend=name,
            )

    def _show(self) -> None:
        """Put the documents of the namespace in use where ``get`` looks first."""
        current = self._active.current if self._active else None
        self._documents = {} if current is None else current._replica.view.documents

    def _renew_locks(self) -> None:
        """Have locks that no thread of the parent holds."""
        global _registry_lock  # noqa: PLW0603 - a lock cannot be released by another thread than its owner
        _registry_lock = threading.RLock()
        self._lock = threading.RLock()
        for loaded in self._loaded.values():
            loaded.renew_lock()


def _arrive(name: str | None, process: str, shown: str) -> object:
    """Return the Confo of this name if it was pickled here, or what says that it did not travel."""
    here = _registry.get(name)
    return here if here is not None and process == _PROCESS else stranded(shown)


@atexit.register
def _close_all() -> None:
    """End the threads while the interpreter is whole."""
    for config in list(_all):
        config.close()


def _retention(history: object) -> Retention | None:
    if isinstance(history, Retention):
        return history.check()
    if isinstance(history, bool):
        return Retention() if history else None
    raise InvalidOption(f"history is True, False or a confo.Retention, not {type(history).__name__}")


def _where(backend: type[Backend], credentials: Mapping[str, object]) -> str:
    """Return the address of a store, empty where its credentials are wrong: opening it says why."""
    try:
        return backend.where(credentials)
    except Exception:  # noqa: BLE001 - a plugin's
        return ""


def _described(backend_type: str | type[Backend]) -> str:
    return plugins.describe(backend_type) if isinstance(backend_type, str) else backend_type.__qualname__


def _class(backend_type: object) -> type[Backend]:
    if isinstance(backend_type, type) and issubclass(backend_type, Backend):
        return backend_type
    if isinstance(backend_type, str):
        return plugins.load(backend_type)
    raise InvalidOption(
        "backend_type is a kind, such as confo.Backends.MEMORY_BACKEND, or a backend's class, "
        f"not {type(backend_type).__name__}"
    )
