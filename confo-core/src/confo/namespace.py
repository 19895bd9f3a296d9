"""The live handle of one namespace, where the draft and the local copy of the store meet."""

from __future__ import annotations

import getpass
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal, NoReturn, Self, overload

from confo import extensions, shield
from confo.asynchronous import in_thread
from confo.changes import Draft, OnConflict
from confo.codec import FrozenDict, at_most
from confo.commits import Work, already_so, difference, persist, persist_split
from confo.editor import Editor
from confo.edits import with_document, with_field, without_document, without_field
from confo.errors import (
    ConfigurationNotFound,
    FieldNotFound,
    InvalidCommit,
    InvalidDocument,
    InvalidName,
    InvalidOption,
    NotSupported,
    OutcomeUnknown,
    RevisionNotFound,
)
from confo.events import Changes, Event, Interest, Kind, Kinds, Subscription, check_wait, kinds_of
from confo.hints import did_you_mean, instead
from confo.history import Signature
from confo.model import MISSING, ChangeSet, Commit, Snapshot, Status
from confo.names import check_configuration
from confo.past import Past, between, differing
from confo.paths import Field, as_field, as_path, dotted_path, look, shown
from confo.replica import Replica
from confo.retention import Ledger, Retention
from confo.shield import shielded, shielded_end
from confo.staleness import OnStale, limit
from confo.transaction import AsyncEdit, Edit, Finish, atransact, transact
from confo.travelling import stranded

if TYPE_CHECKING:
    from confo.backend import Backend

log = logging.getLogger("confo")

RAISE: Final = MISSING
"""The default of ``default``: raise when there is nothing to return."""
LONGEST_TEXT: Final = 65_536
"""Bytes of a commit's message, and of its author: a twentieth of what a store's value may have, as the record of a
commit holds both beside what changed."""


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
        self._ledger = None if history is None else Ledger(backend, namespace, history)
        self._close: Callable[[], None] | None = None
        self._replica = replica or Replica(backend, namespace, follow=follow)
        self._view = self._replica.view
        if self._replica.follows and extensions.hears_events():
            self.on_change(extensions.event, kinds="all")

    # --- owning a backend ------------------------------------------------------------------------

    def _owning(self, close: Callable[[], None]) -> Self:
        """Return itself, from now on the owner of its backend; ``close`` ends that. For ``confo.connect``."""
        self._close = close
        return self

    @shielded_end
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

    def get(self, name: str, field: Field | None = None, default: Any = RAISE) -> Any:  # type: ignore[override] # fields
        """Return a document, or one of its fields; a tuple of names goes into nested objects: ``("opts", "pool")``.

        Raises ConfigurationNotFound or FieldNotFound (both KeyErrors) unless a default is given, and
        UnreadableDocument when the store holds no document there; TooStale beyond a limit that was set. Values are as
        JSON has them: there is no ``type=`` here, as giving types is what a binding of a whole configuration is for.
        """
        try:
            if field is None:
                return self._view.document(name)
            return self._view.documents[name][field]  # type: ignore[index] # a path is looked up below
        except (KeyError, TypeError):
            pass  # and what is raised below is not told as a consequence of this
        return self._explain(name, field, default)

    def __getitem__(self, name: str) -> FrozenDict:
        """Return the document, frozen."""
        return self._document(name)

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
            return {name: self._view.document(name) for name in self._view.names()}  # what can be read

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
        self._view.check_open()
        found = limit(self.backend_name, self.name, max_staleness, on_stale, follows=self._replica.follows)
        if found is not None:
            self._view.keep_to(found)

    @shielded
    def reload(self) -> None:
        """Load the whole namespace anew; what is staged stays staged."""
        self._replica.reload()

    # --- following -------------------------------------------------------------------------------

    def on_change(
        self,
        callback: Callable[[Event], object],
        configuration: str | None = None,
        field: Field | None = None,
        *,
        kinds: Kinds = None,
        config: str | None = None,
    ) -> Subscription:
        """Call back with an ``Event`` for every change: of the namespace, one configuration, one field or path.

        Events come in order, in a thread of the subscription's own: a callback may call anything here, block or
        raise without hurting others. When it is slower than the changes, those of one configuration are folded into
        one event that says so. Close the subscription, or use it in a ``with`` block.

        It hears of documents, "changed" and "resync"; ``kinds`` asks for others: "stale", "ready", "alarm",
        "unreadable", or "all". ``config`` is the older spelling of ``configuration``. InvalidCallback for what cannot
        be called with one event, such as an async function.
        """
        self._require_following()
        hub, interest = self._replica.hub, self._interest(either(configuration, config), field, kinds)

        def subscribe() -> Subscription:
            subscription = Subscription(hub, interest, callback, reached=self._replica.wait_for)
            hub.add(subscription)
            return subscription

        return shield.run(subscribe, undo=Subscription.close, locks=self._locks())

    def changes(
        self,
        configuration: str | None = None,
        field: Field | None = None,
        *,
        kinds: Kinds = None,
        config: str | None = None,
    ) -> Changes:
        """Return the same events as an asynchronous iterator, to be called in a running event loop."""
        self._require_following()
        hub = self._replica.hub
        changes = Changes(hub, self._interest(either(configuration, config), field, kinds))
        hub.add(changes)
        return changes

    @shielded
    def drain(self, timeout: float = 5.0) -> bool:
        """Wait until every callback has run for all that is known here; False after ``timeout`` seconds.

        After ``persist()`` it has heard of the commit: what a test wants before it asserts.
        """
        return self._replica.hub.drain(time.monotonic() + timeout)

    @shielded
    def wait_for(self, revision: int, timeout: float = 5.0) -> bool:
        """Wait until the local copy has reached this revision; False after ``timeout`` seconds.

        InvalidOption for what is no revision.
        """
        check_wait(revision, timeout)
        self._view.check_open()
        return self._replica.wait_for(revision, timeout)

    def status(self) -> Status:
        """Return how fresh the local copy is."""
        return self._replica.status()

    # --- staging ---------------------------------------------------------------------------------

    @overload
    def set(self, configuration: str, field: Mapping[str, Any], value: None = None) -> None: ...

    @overload
    def set(self, configuration: str, field: Field, value: Any) -> None: ...

    @overload
    def set(self, *, config: str, field: Field | Mapping[str, Any], value: Any = ...) -> None: ...

    def set(
        self,
        configuration: str | None = None,
        field: Field | Mapping[str, Any] | None = None,
        value: Any = MISSING,
        *,
        config: str | None = None,
    ) -> None:
        """Stage a field's value, or a whole document: ``set("db", "host", "::1")``, ``set("db", {"host": "::1"})``.

        A tuple of names is a path into nested objects, ``set("db", ("opts", "pool"), 9)``; objects on the way are made.
        What is staged is the process's: all its threads read it, and whoever calls ``persist`` commits it. In a server,
        and for a value that is computed from another, write in ``edit()`` instead. ``set`` declares a value: when
        somebody else commits the same one meanwhile, the two agree, and there is no conflict.

        Raises InvalidName or InvalidDocument, and UnreadableDocument when what the store has there cannot be read.
        ``config`` is the older spelling of ``configuration``.
        """
        name = configuration if config is None else config
        if isinstance(field, (str, tuple)):
            if value is MISSING:  # and what stands for the field may be a value, a secret even: it is not told
                raise InvalidDocument(
                    f"{self.name}/{name}: the value is missing: set(configuration, field, value); a whole document is "
                    "a mapping of fields",
                    namespace=self.name,
                    configuration=name,
                )
            most = self._most()
            edit = with_field(self.name, name, field, value, most)  # type: ignore[arg-type] # checked in it
            self._view.stage(name, edit, grows=at_most(value, as_path(field)), most=most)  # type: ignore[arg-type]
        else:
            edit = with_document(self.name, name, field, value, self._most())  # type: ignore[arg-type] # checked in it
            self._view.stage(name, edit, whole=True)  # type: ignore[arg-type] # checked in it

    def setdefault(self, configuration: str, document: Mapping[str, Any]) -> FrozenDict:
        """Stage a whole document if there is none of this name, and return the one that is there then."""
        edit = with_document(self.name, configuration, document, most=self._most())
        self._view.stage(configuration, lambda found: edit(None) if found is None else found)
        return self._view.document(configuration)

    def delete(
        self, configuration: str | None = None, field: Field | None = None, *, config: str | None = None
    ) -> None:
        """Stage the deletion of a field, of what stands at a path, or of the whole configuration.

        ConfigurationNotFound or FieldNotFound when it is not there. ``config`` is the older spelling.
        """
        name = check_configuration(either(configuration, config))
        if field is None:
            if not self._view.has(name):
                self._document(name)  # raises, as there is nothing to delete
            self._view.stage(name, without_document, whole=True)
        else:
            self.get(name, field)
            self._view.stage(name, without_field(field))

    if not TYPE_CHECKING:  # a type checker finds it by itself

        def __setitem__(self, name: str, document: object) -> NoReturn:
            """Say what is meant."""
            raise NotSupported(
                f"a handle is read like a mapping and written by set({name!r}, document) and persist(), or in edit(): "
                "with ns.edit() as draft: draft[name] = document",
                namespace=self.name,
            )

        def __delitem__(self, name: str) -> NoReturn:
            """Say what is meant."""
            raise NotSupported(
                f"a handle is read like a mapping; delete({name!r}) and persist(), or edit(): "
                "with ns.edit() as draft: del draft[name]",
                namespace=self.name,
            )

    def diff(self, old: int | None = None, new: int | None = None) -> ChangeSet:
        """Return what ``persist`` would change; or, with revisions, what differs from ``old`` to ``new`` (None: now).

        RevisionNotFound where one of the two states is not known whole.
        """
        if old is None:
            if new is not None:
                raise InvalidOption("diff(old, new): give the older revision as well")
            return difference(self._replica, self.staged)
        return between(self.at(old), self._present() if new is None else self.at(new))

    @shielded
    def discard(self, configuration: str | None = None, *, config: str | None = None) -> None:
        """Drop what was staged, of one configuration or of all; ``config`` is the older spelling."""
        name = either(configuration, config)
        self._view.discard(self._to_commit() if name is None else [check_configuration(name)])

    @property
    def staged(self) -> list[str]:
        """Names of the configurations that have something staged."""
        self._view.check_open()
        return list(self._view.drafts)

    # --- committing ------------------------------------------------------------------------------

    @overload
    def persist(
        self,
        configuration: str | None = None,
        *,
        message: str = "",
        author: str | None = None,
        on_conflict: OnConflict = "raise",
        split: Literal[False] = False,
        config: str | None = None,
    ) -> Commit | None: ...

    @overload
    def persist(
        self,
        configuration: str | None = None,
        *,
        message: str = "",
        author: str | None = None,
        on_conflict: OnConflict = "raise",
        split: Literal[True],
        config: str | None = None,
    ) -> list[Commit]: ...

    def persist(
        self,
        configuration: str | None = None,
        *,
        message: str = "",
        author: str | None = None,
        on_conflict: OnConflict = "raise",
        split: bool = False,
        config: str | None = None,
    ) -> Commit | list[Commit] | None:
        """Commit what is staged, of one configuration or of all, as one atomic commit, and return it.

        None when nothing is staged; ConfigurationNotFound when nothing is staged in the configuration that was named.
        When somebody else has committed the same meanwhile there is nothing left to do: the Commit that is returned has
        ``already_so``, the revision at which it is so, and leaves no record.

        Only what was set is changed. A field, or a path in it, that somebody else changed meanwhile to something else
        raises ConflictError, and nothing is written; ``on_conflict`` "mine" or "theirs" decides for a side instead.
        TooLarge when it is more than the backend takes at once, unless ``split`` says that several commits, each
        atomic, are fine: then their list is returned, and after an error calling again goes on where it stopped.
        ``config`` is the older spelling of ``configuration``.
        """
        work = self._staged_work(either(configuration, config))
        return commit_together(self._backend, [work], message, author, on_conflict, split=split)

    @overload
    async def apersist(
        self,
        configuration: str | None = None,
        *,
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
        message: str = "",
        author: str | None = None,
        on_conflict: OnConflict = "raise",
        split: Literal[True],
    ) -> list[Commit]: ...

    async def apersist(self, configuration: str | None = None, **options: Any) -> Commit | list[Commit] | None:
        """Do what ``persist`` does, without blocking the event loop."""
        import asyncio

        return await asyncio.to_thread(partial(self.persist, configuration, **options))

    def edit(
        self,
        *,
        message: str = "",
        author: str | None = None,
        on_conflict: OnConflict = "raise",
        reads: bool = False,
    ) -> Edit:
        """Edit documents like dicts: ``with ns.edit() as draft: draft["db"]["opts"]["pool"] = 9``.

        The block sees one committed state, whatever is staged or committed meanwhile. On leaving, what it wrote is
        committed as one, and nothing else: what ``set`` staged stays staged. After an exception nothing of it is left.

        Each path that the block wrote is guarded by what the block saw there: if somebody else changed it meanwhile, be
        it to the same value, that is a ConflictError, and nothing is written. So a counter that is read and written in
        the block loses no increment. ``on_conflict`` "mine" or "theirs" decides for a side instead.

        With ``reads`` everything that the block looked at is guarded as well, for a value that is computed from
        others: a field that it read, the fields of what it iterated or counted, and whether a document, object or
        field was there. That holds at the moment of the commit: a document that was only read is written anew as it
        is, guarded by its revision, and one that was not there is guarded to be absent; both count as writes of the
        commit. The list of names that iterating the draft itself gives is not guarded.
        """
        begin, finish = self._edits(message, author, on_conflict, reads=reads)
        return Edit(begin, finish)

    def aedit(
        self,
        *,
        message: str = "",
        author: str | None = None,
        on_conflict: OnConflict = "raise",
        reads: bool = False,
    ) -> AsyncEdit:
        """Do what ``edit`` does in an ``async with`` block, without blocking the event loop."""
        begin, finish = self._edits(message, author, on_conflict, reads=reads)
        return AsyncEdit(begin, finish)

    def transaction(
        self,
        function: Callable[[Editor], object],
        *,
        attempts: int = 10,
        message: str = "",
        author: str | None = None,
        reads: bool = False,
    ) -> Commit:
        """Call ``function(draft)`` in an edit, and again after a conflict, and return the Commit.

        So ``attempts`` is how often the function is called at most, each time on what is committed then, with a random
        pause between that grows. The last conflict is raised; an OutcomeUnknown at once, as it may have happened.
        If the function wrote nothing, nothing is committed, and what is returned is ``already_so``. See ``edit`` for
        ``reads``.
        """
        begin, finish = self._edits(message, author, "raise", reads=reads)
        return transact(begin, finish, function, attempts)

    async def atransaction(
        self,
        function: Callable[[Editor], object],
        *,
        attempts: int = 10,
        message: str = "",
        author: str | None = None,
        reads: bool = False,
    ) -> Commit:
        """Do what ``transaction`` does, without blocking the event loop; the function may be a coroutine function."""
        begin, finish = self._edits(message, author, "raise", reads=reads)
        return await atransact(begin, finish, function, attempts)

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

    @shielded
    def history(
        self,
        limit: int = 20,
        configuration: str | None = None,
        before: int | None = None,
        *,
        config: str | None = None,
    ) -> list[Commit]:
        """Return the last commits, newest first: of all configurations or of one, below the revision ``before``.

        Their changes have the fields that they changed. What was written outside Confo is a commit by
        ``<no record>``: with its documents where the store can still tell them, else with None for both.
        ``before=`` the last one's revision gives the next page. Asks the store. ``config`` is the older spelling of
        ``configuration``.
        """
        name = either(configuration, config)
        if name is not None:
            check_configuration(name)
        _check_number("limit", limit)
        if before is not None:
            _check_number("before", before)
        return self._past.commits(self._present(), limit, name, before)

    @shielded
    def at(self, revision: int) -> Snapshot:
        """Return the state as it was at a revision, put together from the history. Asks the store.

        Configurations of which nothing tells any more what they were are in the snapshot's ``lost``, and raise when
        asked for. What other tools wrote and wrote over themselves left no trace. RevisionNotFound for a revision that
        has not come, or that the history does not reach.
        """
        _check_number("revision", revision)
        snapshot = self._present(revision)
        if revision > snapshot.revision:
            raise RevisionNotFound(
                f"{self.name} on {self.backend_name} is at revision {snapshot.revision}, not yet at {revision}",
                backend=self.backend_name,
                namespace=self.name,
                revision=revision,
            )
        return self._past.at(snapshot, revision)

    @shielded
    def blame(self, configuration: str | None = None, *, config: str | None = None) -> dict[Field, Commit]:
        """Return, for each value of a configuration, the commit that gave it to it. Asks the store.

        The keys are names of fields, and paths for what lies in objects: ``("opts", "pool")``. Values
        whose commit is not kept any more are left out. ``config`` is the older spelling of ``configuration``.
        """
        name = check_configuration(either(configuration, config))
        return self._past.blame(self._present(), name)

    def rollback(
        self,
        revision: int,
        configuration: str | None = None,
        *,
        message: str | None = None,
        author: str | None = None,
        on_conflict: OnConflict = "raise",
        config: str | None = None,
    ) -> Commit | None:
        """Commit the state of a former revision anew, of all configurations or of one; None if it is the present one.

        Nothing is rewritten: it is one more commit, which may be rolled back too. What others change meanwhile is
        merged by field, or raises ConflictError. What is staged stays staged. NotSupported without history,
        RevisionNotFound where the former state is not known, TooLarge when more differs than one commit can hold.
        ``config`` is the older spelling of ``configuration``.
        """
        only = either(configuration, config)
        if self._ledger is None:
            raise NotSupported(
                f"{self.name} on {self.backend_name} keeps no history to roll back by: load the backend with "
                "history=True",
                backend=self.backend_name,
                namespace=self.name,
            )
        past = self.at(revision)
        if only is not None and check_configuration(only) not in past and only not in self._view.newest_snapshot():
            self.snapshot()[only]  # raises, with its name: it is neither here nor there
        view = self._view
        with view.lock:
            names = differing(past, view.newest_entries(), only)
            drafts = {name: Draft(view.base(name), past.get(name)) for name in names}
        why = f"rollback to revision {revision}" if message is None else message
        return commit_together(self._backend, [self._work(drafts)], why, author, on_conflict)

    # --- inside ----------------------------------------------------------------------------------

    def _most(self) -> int:
        """Return the bytes of the largest document that can be committed."""
        return self._backend.capabilities.max_value_bytes

    def _staged_work(self, configuration: str | None = None) -> Work:
        """Return what a commit is to take along of what is staged here; for the core.

        InvalidName for a text that is no name, ConfigurationNotFound when nothing is staged in this configuration.
        """
        self._view.check_open()
        names = self._to_commit()
        if configuration is not None:
            if configuration not in names:
                self._nothing_staged(configuration, names)
            names = [configuration]
        return Work(self._replica, names, None, self._ledger)

    def _work(self, drafts: Mapping[str, Draft]) -> Work:
        """Return what a commit is to take along of drafts that are staged nowhere; for the core."""
        return Work(self._replica, list(drafts), drafts, self._ledger)

    def _to_commit(self) -> list[str]:
        """Return the names that have something staged, or had until somebody else wrote the same."""
        with self._view.lock:
            return list(dict.fromkeys([*self._view.drafts, *self._view.agreed]))

    def _nothing_staged(self, configuration: str, names: Sequence[str]) -> NoReturn:
        refuse_message(configuration)
        check_configuration(configuration)
        raise ConfigurationNotFound(
            f"nothing is staged in {self.name}/{configuration}{instead(configuration, names, 'staged')}",
            namespace=self.name,
            configuration=configuration,
        )

    def _edits(
        self, message: str, author: str | None, on_conflict: OnConflict, *, reads: bool
    ) -> tuple[Callable[[], Editor], Finish]:
        """Return how an edit begins, and how it is committed."""
        sign(message, author)  # what is wrong is said before the block, not after it
        _checked(on_conflict)

        def begin() -> Editor:
            self._view.check_open()
            return Editor(self._view.newest_snapshot(), reads=reads, most=self._most())

        def finish(editor: Editor) -> Commit:
            drafts = editor.end()
            done = (
                commit_together(self._backend, [self._work(drafts)], message, author, on_conflict) if drafts else None
            )
            return done or already_so(editor.revision, sign(message, author))

        return begin, finish

    def _locks(self) -> tuple[threading.RLock, ...]:
        """Return the locks that a thread may hold when a signal handler or a finalizer calls in it."""
        return self._replica.locks()

    def _present(self, least: int = 0) -> Snapshot:
        """Return the state to set out from, no older than an own commit; asks the store where the copy is not so far.

        What does not follow may have any age, and own commits in between.
        """
        if not self._replica.follows:
            self.reload()
        elif max(least, self._view.newest_revision()) > self._view.revision:
            return self._backend.load(self.name)  # beside the copy, whose events go on in the order of the store
        return self.snapshot()

    def _require_owning(self) -> Callable[[], None]:
        if self._close is None:
            raise NotSupported(
                f"{self!r} does not own its backend: close the Confo that loaded it, or get a namespace of your own "
                "by confo.connect(url)",
                backend=self.backend_name,
                namespace=self.name,
            )
        return self._close

    def _interest(self, configuration: str | None, field: Field | None, kinds: Kinds) -> Interest:
        interest = _interest(configuration, field, kinds_of(kinds))
        self._tell_of_the_absent(configuration)
        return interest

    def _tell_of_the_absent(self, configuration: str | None) -> None:
        """Say in the log, at INFO, that a configuration is not there: it may be made later, or be misspelt."""
        if configuration is not None and not self._view.has(configuration):
            near = did_you_mean(configuration, list(self._view.newest_entries()))
            log.info("%s has no configuration %r yet%s", self.name, configuration, near)

    def _require_following(self) -> None:
        if not self._replica.follows:
            raise NotSupported(
                f"{self.name} on {self.backend_name} is not followed, so there are no events: load the backend "
                "with follow=True, and one whose capability 'push' is true",
                backend=self.backend_name,
                namespace=self.name,
            )

    def _document(self, name: str) -> FrozenDict:
        """Return a document, or say what there is instead."""
        try:
            return self._view.document(name)
        except ConfigurationNotFound as error:
            found = error
        known = self._view.names()
        head, *path = name.split(".")
        meant = path and head in known and "" not in path
        hint = f": did you mean get({head!r}, {as_field(tuple(path))!r})?" if meant else instead(name, known)
        raise ConfigurationNotFound(f"{found}{hint}", namespace=self.name, configuration=name)

    def _explain(self, name: str, field: Field | None, default: Any) -> Any:
        """Decode what was not read before; return what is asked for, the default, or say what is missing."""
        path = () if field is None else as_path(field)
        if not isinstance(name, str):
            check_configuration(name)
        if default is not RAISE and not self._view.has(name):
            self._view.check_age()
            return default
        try:
            document = self._document(name)
        except ConfigurationNotFound:  # it may have been deleted just now
            if default is RAISE:
                raise
            return default
        found = look(document, path)
        if found is not MISSING:
            return found
        if default is not RAISE:
            return default
        within = look(document, path[:-1])
        there = within if isinstance(within, dict) else document
        dotted = dotted_path(field, document)
        hint = f": did you mean the path {dotted}?" if dotted else instead(path[-1], there)
        raise FieldNotFound(
            f"no {shown(as_field(path))} in {self.name}/{name}{hint}",
            namespace=self.name,
            configuration=name,
            field=as_field(path),
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
    commit: Callable[[], Commit | list[Commit] | None] = partial(persist, backend, work, signature, on_conflict=keep)
    if split:
        again = partial(Signature.new, signature.author, message)
        commit = partial(persist_split, backend, work, again, on_conflict=keep)
    done: Commit | list[Commit] | None = shield.run(
        commit, note=_what_became, locks=[lock for one in work for lock in one.replica.locks()]
    )
    return done


def _what_became(job: shield.Job[Any] | None) -> str:
    """Say what became of a commit that was interrupted."""
    if job is None or isinstance(job.error, OutcomeUnknown):
        return "Confo: the commit goes on, and whether it happens is not known yet; persist() again finds out"
    commits = job.result if isinstance(job.result, list) else [job.result]
    revisions = [commit.revision for commit in commits if commit is not None and not commit.already_so]
    if job.error is None and revisions:
        return f"Confo: it was committed, as revision {', '.join(map(str, revisions))}"
    why = f" ({type(job.error).__name__})" if job.error else ""
    return f"Confo: nothing was committed{why}"


def _checked(on_conflict: OnConflict) -> OnConflict:
    if on_conflict not in ("raise", "mine", "theirs"):
        raise InvalidOption(f"on_conflict is 'raise', 'mine' or 'theirs', not {on_conflict!r}")
    return on_conflict


def refuse_message(name: object) -> None:
    """Say what is meant where a message stands in the place of a name."""
    if isinstance(name, str) and any(letter.isspace() for letter in name):
        raise InvalidName("this is no name, as it has blanks in it: did you mean persist(message=...)?")


def sign(message: str, author: str | None = None) -> Signature:
    """Return the signature of a commit made here and now; InvalidCommit for what is no text."""
    who = default_author() if author is None else author
    _check_text("message", message)
    _check_text("author", who)
    return Signature.new(who, message)


def _check_text(what: str, text: object) -> None:
    try:
        if isinstance(text, str):
            size = len(text.encode())
            if size > LONGEST_TEXT:
                raise InvalidCommit(f"a commit's {what} has {size:,} bytes, and may have {LONGEST_TEXT:,}")
            return
    except UnicodeEncodeError:
        raise InvalidCommit(f"a commit's {what} is a text that UTF-8 can carry") from None
    raise InvalidCommit(f"a commit's {what} is a text, not {type(text).__name__}")


def _check_number(what: str, number: object) -> None:
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        got = number if type(number) is int else f"a {type(number).__name__}"
        raise InvalidOption(f"{what} is a whole number of 1 or more, not {got}")


def either(configuration: str | None, config: str | None) -> str | None:
    """Return the configuration by its name of today, or by the older keyword."""
    return config if configuration is None else configuration


def _interest(configuration: str | None, field: Field | None, kinds: tuple[Kind, ...]) -> Interest:
    if field is not None:
        as_path(field)
    if configuration is not None:
        check_configuration(configuration)
    elif field is not None:
        raise InvalidName(f"{shown(field)} of which configuration? give configuration= as well")
    return Interest(configuration, field, kinds)


@cache
def default_author() -> str:
    """Return who runs this process, as user@host; asked of the system once."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a container's user id may have no name
        user = str(os.getuid()) if hasattr(os, "getuid") else "unknown"
    return f"{user}@{socket.gethostname()}"
