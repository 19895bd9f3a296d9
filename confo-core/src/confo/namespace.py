"""The live handle of one namespace, where the draft and the local copy of the store meet."""

from __future__ import annotations

import getpass
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal, Self, overload

from confo import extensions
from confo.asynchronous import in_thread
from confo.changes import Draft, OnConflict
from confo.codec import FrozenDict
from confo.commits import Work, difference, persist, persist_split
from confo.editor import Editor, with_document, with_field, without_document, without_field
from confo.errors import (
    ConfigurationNotFound,
    FieldNotFound,
    InvalidCommit,
    InvalidDocument,
    InvalidName,
    InvalidOption,
    NotSupported,
    RevisionNotFound,
)
from confo.events import Changes, Event, Interest, Kind, Kinds, Subscription, kinds_of
from confo.history import Signature
from confo.model import MISSING, ChangeSet, Commit, Snapshot, Status
from confo.names import check_configuration
from confo.past import Past, between, differing
from confo.replica import Replica
from confo.retention import Ledger, Retention
from confo.staleness import OnStale, limit
from confo.travelling import stranded

if TYPE_CHECKING:
    from confo.backend import Backend

RAISE: Final = MISSING
"""The default of ``default``: raise when there is nothing to return."""


class Namespace(Mapping[str, FrozenDict]):
    """A namespace of a loaded backend: a mapping of configuration names to documents.

    Reads come from memory and see what was staged here. ``set`` and ``delete`` stage; ``persist`` commits.
    """

    def __init__(
        self,
        backend_name: str,
        backend: Backend,
        namespace: str,
        *,
        history: Retention | None = Retention(),  # noqa: B008 - a frozen value
        replica: Replica | None = None,
        follow: bool = True,
    ) -> None:
        self.backend_name = backend_name
        self.name = namespace
        self._backend = backend
        self._past = Past(backend, namespace)
        self.ledger = None if history is None else Ledger(backend, namespace, history)
        self._close: Callable[[], None] | None = None
        self._replica = replica or Replica(backend, namespace, follow=follow)
        self._view = self._replica.view
        if self._replica.follows and extensions.hears_events():
            self.on_change(extensions.event, kinds="all")

    # --- owning a backend ------------------------------------------------------------------------

    def owning(self, close: Callable[[], None]) -> Self:
        """Return itself, from now on the owner of its backend; ``close`` ends that. For ``confo.connect``."""
        self._close = close
        return self

    def close(self) -> None:
        """Close the backend that this namespace owns: the one of ``confo.connect``; idempotent, 2 seconds at most.

        NotSupported for a handle of a ``Confo``, which owns the backend: close that.
        """
        self._require_owning()()

    def __enter__(self) -> Self:
        """Return itself; NotSupported if it owns no backend that could be closed on leaving."""
        self._require_owning()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the backend."""
        self.close()

    async def __aenter__(self) -> Self:
        """Return itself; NotSupported if it owns no backend that could be closed on leaving."""
        self._require_owning()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the backend."""
        await self.aclose()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as what says in another process that a namespace does not travel."""
        return stranded, (repr(self),)

    def __copy__(self) -> Self:
        """Return itself: there is one handle a namespace."""
        return self

    def __deepcopy__(self, memo: object) -> Self:
        """Return itself: there is one handle a namespace."""
        return self

    # --- reading ---------------------------------------------------------------------------------

    def get(self, name: str, field: str | None = None, default: Any = RAISE) -> Any:  # type: ignore[override] # fields
        """Return a document, or one of its fields.

        Raises ConfigurationNotFound or FieldNotFound (both KeyErrors) unless a default is given, and
        UnreadableDocument when the store holds no document there; TooStale beyond a limit that was set.
        """
        try:
            if field is None:
                return self._view.document(name)
            return self._view.documents[name][field]
        except KeyError:
            return self._explain(name, field, default)

    def __getitem__(self, name: str) -> FrozenDict:
        """Return the document, frozen."""
        return self._view.document(name)

    def __iter__(self) -> Iterator[str]:
        """Iterate the names of the configurations."""
        return iter(self._view.names())

    def __len__(self) -> int:
        """Count the configurations."""
        return self._view.count()

    def get_all(self) -> dict[str, FrozenDict]:
        """Return all documents as they are at one moment."""
        with self._view.lock:
            self._view.check_age()
            return {name: self._view.document(name) for name in self._view.names()}

    all = get_all

    def get_count(self) -> int:
        """Return the number of configurations."""
        return len(self)

    def __contains__(self, name: object) -> bool:
        """Tell whether the configuration is there, readable or not."""
        return isinstance(name, str) and self._view.has(name)

    def snapshot(self) -> Snapshot:
        """Return the committed state as this process knows it: the same answers for as long as you hold it."""
        self._view.check_age()
        return self._view.snapshot()

    def limit_staleness(self, max_staleness: float | None, on_stale: OnStale | None = None) -> None:
        """Say how many seconds old what is read here may be, and what a read does beyond; for all who use the handle.

        "raise" (the default) raises TooStale, also where a default is given; "warn" logs a warning, once until it is
        fresh again; "serve" answers, as without a limit. A healthy store gives a sign of life every 10 seconds, so
        less than that is too little. None leaves it as it is. A read looks at the clock then, which takes longer.
        """
        found = limit(self.backend_name, self.name, max_staleness, on_stale, follows=self._replica.follows)
        if found is not None:
            self._view.keep_to(found)

    def reload(self) -> None:
        """Load the whole namespace anew; what is staged stays staged."""
        self._replica.reload()

    # --- following -------------------------------------------------------------------------------

    def on_change(
        self,
        callback: Callable[[Event], object],
        configuration: str | None = None,
        field: str | None = None,
        *,
        kinds: Kinds = None,
        config: str | None = None,
    ) -> Subscription:
        """Call back with an ``Event`` for every change: of the namespace, of one configuration, or of one field.

        Events come in order, in a thread of the subscription's own: a callback may call anything here, block or
        raise without hurting others. When it is slower than the changes, those of one configuration are folded into
        one event that says so. Close the subscription, or use it in a ``with`` block.

        It hears of documents, "changed" and "resync"; ``kinds`` asks for others: "stale", "ready", "alarm",
        "unreadable", or "all". ``config`` is the older spelling of ``configuration``. InvalidCallback for what cannot
        be called with one event, such as an async function.
        """
        self._require_following()
        hub, interest = self._replica.hub, _interest(_either(configuration, config), field, kinds_of(kinds))
        subscription = Subscription(hub, interest, callback, reached=self._replica.wait_for)
        hub.add(subscription)
        return subscription

    def changes(
        self,
        configuration: str | None = None,
        field: str | None = None,
        *,
        kinds: Kinds = None,
        config: str | None = None,
    ) -> Changes:
        """Return the same events as an asynchronous iterator, to be called in a running event loop."""
        self._require_following()
        hub = self._replica.hub
        changes = Changes(hub, _interest(_either(configuration, config), field, kinds_of(kinds)))
        hub.add(changes)
        return changes

    def drain(self, timeout: float = 5.0) -> bool:
        """Wait until every callback has run for all that is known here; False after ``timeout`` seconds.

        After ``persist()`` it has heard of the commit: what a test wants before it asserts.
        """
        return self._replica.hub.drain(time.monotonic() + timeout)

    def wait_for(self, revision: int, timeout: float = 5.0) -> bool:
        """Wait until the local copy has reached this revision; False after ``timeout`` seconds."""
        self._view.check_open()
        return self._replica.wait_for(revision, timeout)

    def status(self) -> Status:
        """Return how fresh the local copy is."""
        return self._replica.status()

    # --- staging ---------------------------------------------------------------------------------

    def set(self, config: str, field: str | Mapping[str, Any], value: Any = MISSING) -> None:
        """Stage a field's value, or a whole document: ``set("db", "host", "::1")``, ``set("db", {"host": "::1"})``.

        Raises InvalidName or InvalidDocument, and UnreadableDocument when what the store has there cannot be read.
        """
        if isinstance(field, str):
            if value is MISSING:
                raise InvalidDocument(
                    f"{self.name}/{config} field {field!r}: set() needs a value",
                    namespace=self.name,
                    configuration=config,
                    field=field,
                )
            self._view.stage(config, with_field(self.name, config, field, value))
        else:
            self._view.stage(config, with_document(self.name, config, field, value))

    def delete(self, config: str, field: str | None = None) -> None:
        """Stage the deletion of a field, or of the whole configuration."""
        check_configuration(config)
        if field is None:
            self._view.resolve(config)  # raises when there is nothing to delete
            self._view.stage(config, without_document)
        else:
            self.get(config, field)
            self._view.stage(config, without_field(field))

    def diff(self, old: int | None = None, new: int | None = None) -> ChangeSet:
        """Return what ``persist`` would change; or, with revisions, what differs from ``old`` to ``new`` (None: now).

        RevisionNotFound where one of the two states is not known whole.
        """
        if old is None:
            if new is not None:
                raise InvalidOption("diff(old, new): give the older revision as well")
            return difference(self._replica, self.staged)
        return between(self.at(old), self.snapshot() if new is None else self.at(new))

    def discard(self, config: str | None = None) -> None:
        """Drop what was staged, of one configuration or of all."""
        self._view.discard(self.staged if config is None else [check_configuration(config)])

    @property
    def staged(self) -> list[str]:
        """Names of the configurations that have something staged."""
        self._view.check_open()
        return list(self._view.drafts)

    # --- committing ------------------------------------------------------------------------------

    @overload
    def persist(
        self,
        message: str = "",
        author: str | None = None,
        *,
        config: str | None = None,
        on_conflict: OnConflict = "raise",
        split: Literal[False] = False,
    ) -> Commit | None: ...

    @overload
    def persist(
        self,
        message: str = "",
        author: str | None = None,
        *,
        config: str | None = None,
        on_conflict: OnConflict = "raise",
        split: Literal[True],
    ) -> list[Commit]: ...

    def persist(
        self,
        message: str = "",
        author: str | None = None,
        *,
        config: str | None = None,
        on_conflict: OnConflict = "raise",
        split: bool = False,
    ) -> Commit | list[Commit] | None:
        """Commit what is staged as one atomic commit and return it; None when nothing is staged.

        Only the fields that were set are changed. A field that somebody else changed meanwhile raises ConflictError,
        and nothing is written; ``on_conflict`` "mine" or "theirs" decides for a side instead. TooLarge when it is more
        than the backend takes at once, unless ``split`` says that several commits, each atomic, are fine: then their
        list is returned, and after an error calling again goes on where it stopped.
        """
        names = self.staged if config is None else [check_configuration(config)]
        return commit_together(self._backend, [self.work(names)], message, author, on_conflict, split=split)

    async def apersist(self, message: str = "", author: str | None = None, **options: Any) -> Any:
        """Do what ``persist`` does, without blocking the event loop."""
        import asyncio

        return await asyncio.to_thread(partial(self.persist, message, author, **options))

    @contextmanager
    def edit(
        self, message: str = "", author: str | None = None, *, on_conflict: OnConflict = "raise"
    ) -> Iterator[Editor]:
        """Edit documents like dicts: ``with ns.edit() as draft: draft["db"]["host"] = "::1"``.

        What the block reads is what is committed, and stays as it is. What it writes is based on that: a field that
        it wrote and somebody else changed since is a conflict. On leaving, what the block wrote is committed as one,
        and nothing else; what is staged by ``set`` stays staged. After an exception nothing of the block is left.
        """
        editor = Editor(self._view)
        yield editor
        commit_together(self._backend, [self.work(drafts=editor.written())], message, author, on_conflict)

    def __repr__(self) -> str:
        """Show place, revision and counts, never a value."""
        if self._view.closed:
            return f"<Namespace {self.name} on {self.backend_name}: CLOSED>"
        count, staged = self._view.count(), len(self._view.drafts)
        return (
            f"<Namespace {self.name} on {self.backend_name}: {self.status().state.name} at revision "
            f"{self._view.revision}, {count} configuration{'' if count == 1 else 's'}, {staged} staged>"
        )

    # --- the past --------------------------------------------------------------------------------

    def history(self, limit: int = 20, config: str | None = None, before: int | None = None) -> list[Commit]:
        """Return the last commits, newest first: of all configurations or of one, below the revision ``before``.

        Their changes have the fields that they changed. What was written outside Confo is a commit by
        ``<outside confo>``: with its documents where the store can still tell them, else with None for both.
        ``before=`` the last one's revision gives the next page. Asks the store.
        """
        if config is not None:
            check_configuration(config)
        _check_number("limit", limit)
        if before is not None:
            _check_number("before", before)
        return self._past.commits(self._present(), limit, config, before)

    def at(self, revision: int) -> Snapshot:
        """Return the state as it was at a revision, put together from the history. Asks the store.

        Configurations of which nothing tells any more what they were are in the snapshot's ``lost``, and raise when
        asked for. What other tools wrote and wrote over themselves left no trace. RevisionNotFound for a revision that
        has not come, or that the history does not reach.
        """
        _check_number("revision", revision)
        snapshot = self._present()
        if revision > snapshot.revision:
            self.reload()
            snapshot = self.snapshot()
        if revision > snapshot.revision:
            raise RevisionNotFound(
                f"{self.name} on {self.backend_name} is at revision {snapshot.revision}, not yet at {revision}",
                backend=self.backend_name,
                namespace=self.name,
                revision=revision,
            )
        return self._past.at(snapshot, revision)

    def blame(self, config: str) -> dict[str, Commit]:
        """Return, for each field of a configuration, the commit that gave it its value. Asks the store.

        Fields whose commit is not kept any more are left out.
        """
        check_configuration(config)
        return self._past.blame(self._present(), config)

    def rollback(
        self,
        revision: int,
        config: str | None = None,
        *,
        message: str | None = None,
        author: str | None = None,
        on_conflict: OnConflict = "raise",
    ) -> Commit | None:
        """Commit the state of a former revision anew, of all configurations or of one; None if it is the present one.

        Nothing is rewritten: it is one more commit, which may be rolled back too. What others change meanwhile is
        merged by field, or raises ConflictError. What is staged stays staged. NotSupported without history,
        RevisionNotFound where the former state is not known, TooLarge when more differs than one commit can hold.
        """
        if self.ledger is None:
            raise NotSupported(
                f"{self.name} on {self.backend_name} keeps no history to roll back by: load the backend with "
                "history=True",
                backend=self.backend_name,
                namespace=self.name,
            )
        past = self.at(revision)
        if config is not None and check_configuration(config) not in past and config not in self.snapshot():
            self.snapshot()[config]  # raises, with its name: it is neither here nor there
        view = self._view
        with view.lock:
            names = differing(past, view.entries, config)
            drafts = {name: Draft(view.committed(name), past.get(name)) for name in names}
        why = f"rollback to revision {revision}" if message is None else message
        return commit_together(self._backend, [self.work(drafts=drafts)], why, author, on_conflict)

    # --- inside ----------------------------------------------------------------------------------

    def work(self, names: Sequence[str] = (), drafts: Mapping[str, Draft] | None = None) -> Work:
        """Return what a commit is to take along of this namespace; for the core.

        Either what is staged in these configurations, or drafts that are handed over and staged nowhere.
        """
        return Work(self._replica, tuple(names if drafts is None else drafts), drafts, self.ledger)

    def _present(self) -> Snapshot:
        """Return the state to set out from: what does not follow may have any age, and own commits in between."""
        if not self._replica.follows:
            self.reload()
        return self.snapshot()

    @property
    def replica(self) -> Replica:
        """The local copy; for the core."""
        return self._replica

    def _require_owning(self) -> Callable[[], None]:
        if self._close is None:
            raise NotSupported(
                f"{self!r} does not own its backend: close the Confo that loaded it, or get a namespace of your own "
                "by confo.connect(url)",
                backend=self.backend_name,
                namespace=self.name,
            )
        return self._close

    def _require_following(self) -> None:
        if not self._replica.follows:
            raise NotSupported(
                f"{self.name} on {self.backend_name} is not followed, so there are no events: load the backend "
                "with follow=True, and one whose capability 'push' is true",
                backend=self.backend_name,
                namespace=self.name,
            )

    def _explain(self, name: str, field: str | None, default: Any) -> Any:
        """Decode what was not read before; return the field, the default, or say what is missing."""
        try:
            document = self._view.document(name)
        except ConfigurationNotFound:
            if default is RAISE:
                raise
            return default
        if field is None or field in document:
            return document if field is None else document[field]
        if default is not RAISE:
            return default
        raise FieldNotFound(
            f"no field {field!r} in {self.name}/{name}; it has: {', '.join(map(repr, document)) or 'none'}",
            namespace=self.name,
            configuration=name,
            field=field,
        )

    # --- asynchronous forms ----------------------------------------------------------------------

    aat = in_thread(at)
    ablame = in_thread(blame)
    aclose = in_thread(close)
    adiff = in_thread(diff)
    adrain = in_thread(drain)
    ahistory = in_thread(history)
    areload = in_thread(reload)
    arollback = in_thread(rollback)
    await_for = in_thread(wait_for)


@overload
def commit_together(
    backend: Backend,
    work: Sequence[Work],
    message: str,
    author: str | None,
    on_conflict: OnConflict,
    *,
    split: Literal[False] = False,
) -> Commit | None: ...


@overload
def commit_together(
    backend: Backend, work: Sequence[Work], message: str, author: str | None, on_conflict: OnConflict, *, split: bool
) -> Commit | list[Commit] | None: ...


def commit_together(
    backend: Backend,
    work: Sequence[Work],
    message: str,
    author: str | None,
    on_conflict: OnConflict,
    *,
    split: bool = False,
) -> Commit | list[Commit] | None:
    """Commit in several namespaces of one backend as one, or with ``split`` as several: every commit passes here."""
    signature, keep = sign(message, author), _checked(on_conflict)
    if split:
        again = partial(Signature.new, signature.author, message)
        return persist_split(backend, work, again, on_conflict=keep)
    return persist(backend, work, signature, on_conflict=keep)


def _checked(on_conflict: OnConflict) -> OnConflict:
    if on_conflict not in ("raise", "mine", "theirs"):
        raise InvalidOption(f"on_conflict is 'raise', 'mine' or 'theirs', not {on_conflict!r}")
    return on_conflict


def sign(message: str, author: str | None = None) -> Signature:
    """Return the signature of a commit made here and now; InvalidCommit for what is no text."""
    who = default_author() if author is None else author
    _check_text("message", message)
    _check_text("author", who)
    return Signature.new(who, message)


def _check_text(what: str, text: object) -> None:
    try:
        if isinstance(text, str) and text.encode() is not None:
            return
    except UnicodeEncodeError:
        pass
    raise InvalidCommit(f"a commit's {what} is a text that UTF-8 can carry")


def _check_number(what: str, number: object) -> None:
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise InvalidOption(f"{what} is a number of 1 or more")


def _either(configuration: str | None, config: str | None) -> str | None:
    """Return the configuration by its name of today, or by the older keyword."""
    return config if configuration is None else configuration


def _interest(configuration: str | None, field: str | None, kinds: tuple[Kind, ...]) -> Interest:
    if configuration is not None:
        check_configuration(configuration)
    elif field is not None:
        raise InvalidName(f"a field, {field!r}, of which configuration? give configuration= as well")
    return Interest(configuration, field, kinds)


@cache
def default_author() -> str:
    """Return who runs this process, as user@host; asked of the system once."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a container's user id may have no name
        user = str(os.getuid()) if hasattr(os, "getuid") else "unknown"
    return f"{user}@{socket.gethostname()}"
