"""Backends that are broken on purpose: each is the memory backend with one defect, which its docstring names."""

from __future__ import annotations

import dataclasses
import json
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from confo import (
    ANY,
    BackendFailure,
    BackendUnavailable,
    Batch,
    Conflict,
    Entry,
    OutcomeUnknown,
    ResyncNeeded,
    Snapshot,
    TooLarge,
    Watch,
)
from confo_memory import MemoryBackend
from confo_memory.backend import MemoryWatch
from confo_testkit.faults import FaultyBackend

released: list[Callable[[], object]] = []
"""What lets go of threads and descriptors that a defect holds; for the control to call."""


def declaring(**capabilities):
    """Return the memory backend's capabilities, but for these."""
    return dataclasses.replace(MemoryBackend.capabilities, **capabilities)


class ChangedWatch(Watch):
    """A watch that makes of each batch of the real one what ``change`` says."""

    def __init__(self, inner, change):
        self.inner, self.change, self.ready = inner, change, []

    def __next__(self):
        while not self.ready:
            batch = next(self.inner)
            self.ready += self.change(batch) if batch.entries else [batch]
        return self.ready.pop(0)

    def close(self):
        self.inner.close()


class Telling(MemoryBackend):
    """The base of those whose watches tell otherwise."""

    def watch(self, namespace, after):
        return ChangedWatch(super().watch(namespace, after), self.change)

    def change(self, batch):
        """Return what is told instead of this batch."""
        return [batch]


# --- committing --------------------------------------------------------------------------------------


class LostUpdate(MemoryBackend):
    """Ignores guards."""

    def commit(self, writes):
        return super().commit([write._replace(expected=ANY) for write in writes])


class SkipsWhatChangesNothing(MemoryBackend):
    """Leaves out writes that change nothing, and their guards with them."""

    def commit(self, writes):
        def changes(write):
            entry = self.store.entries(write.namespace).get(write.name)
            return write.data != (entry.data if entry else None)

        return super().commit([write for write in writes if changes(write)] or writes)


class CheckThenAct(MemoryBackend):
    """Checks guards, lets go, and writes then."""

    def commit(self, writes):
        if not all(self.store._holds(write) for write in writes):
            raise Conflict("moved", keys=[write[:2] for write in writes])
        threading.Event().wait(0.001)
        return super().commit([write._replace(expected=ANY) for write in writes])


class TornCommit(MemoryBackend):
    """Writes one after the other."""

    def commit(self, writes):
        super().commit([write._replace(data=None, name="x") for write in writes[:1]])
        return [MemoryBackend.commit(self, [write]) for write in writes][-1]


class StandingRevision(MemoryBackend):
    """Gives two commits the same revision."""

    def commit(self, writes):
        return super().commit(writes) // 2 * 2


class GuardOfTheStore(MemoryBackend):
    """Takes a guard for one of the whole store: whoever saw the entry or anything after it may write."""

    def commit(self, writes):
        now = {write: self.store.entries(write.namespace).get(write.name) for write in writes}
        seen = [w._replace(expected=ANY) if e and w.expected is not ANY and w.expected >= e.revision else w
                for w, e in now.items()]  # fmt: skip
        return super().commit(seen)


class SameBytesSkipped(MemoryBackend):
    """Does not write what is there already."""

    def commit(self, writes):
        there = self.store.entries(writes[0].namespace).get(writes[0].name) if len(writes) == 1 else None
        return there.revision if there and there.data == writes[0].data else super().commit(writes)


class ConflictWithoutKeys(MemoryBackend):
    """Says that something moved, and not what."""

    def commit(self, writes):
        try:
            return super().commit(writes)
        except Conflict as error:
            raise Conflict(str(error)) from error


class ConflictOfTheFirst(MemoryBackend):
    """Names one key of those that moved."""

    def commit(self, writes):
        try:
            return super().commit(writes)
        except Conflict as error:
            raise Conflict(str(error), keys=error.keys[:1]) from error


class TalkativeConflict(MemoryBackend):
    """Tells in an error what was to be written."""

    def commit(self, writes):
        try:
            return super().commit(writes)
        except Conflict as error:
            raise Conflict(f"{error}: {writes[0].data!r}", keys=error.keys) from error


class TakesTooMuch(MemoryBackend):
    """Takes more than it declares."""

    def commit(self, writes):
        return self._open().commit(writes)


class TooLargeAfterwards(MemoryBackend):
    """Writes, and says then that it was too large."""

    def commit(self, writes):
        with suppress(TooLarge):
            return super().commit(writes)
        self.store.commit(writes)
        return super().commit(writes)


class TakesTooLittle(MemoryBackend):
    """Declares more than it takes."""

    def commit(self, writes):
        if len(writes) > 500 or any(len(write.data or b"") > 1_000_000 for write in writes):
            raise TooLarge(f"sales/big: 1,025 writes or 1,572,864 bytes, not {1024:,}")
        return super().commit(writes)


class ImplicitNamespace(MemoryBackend):
    """Makes a namespace when it is written."""

    def commit(self, writes):
        for write in writes:
            self.store.namespaces.setdefault(write.namespace, {})
        return super().commit(writes)


class DriversError(MemoryBackend):
    """Lets its driver's error through."""

    def load(self, namespace):
        if namespace not in self.store.namespaces and not namespace.startswith("."):
            raise KeyError(namespace)
        return super().load(namespace)


class Reencoded(MemoryBackend):
    """Parses documents and writes them anew."""

    def commit(self, writes):
        return super().commit([write._replace(data=self.parsed(write.data)) for write in writes])

    def parsed(self, data):
        """Return the same document in other bytes."""
        try:
            return json.dumps(json.loads(data)).encode()
        except (TypeError, ValueError, RecursionError):
            return data


# --- namespaces and names ----------------------------------------------------------------------------


class CreateResets(MemoryBackend):
    """Empties a namespace that is created again."""

    def create_namespace(self, namespace):
        self.store.namespaces.pop(namespace, None)
        super().create_namespace(namespace)


class LeavesEntries(MemoryBackend):
    """Forgets a namespace and leaves its entries, which are there when it is made again."""

    left: dict[Any, Any] = {}  # noqa: RUF012 - shared by handles, as a store would be

    def delete_namespace(self, namespace):
        self.left[self.store, namespace] = dict(self.store.entries(namespace))
        super().delete_namespace(namespace)

    def create_namespace(self, namespace):
        super().create_namespace(namespace)
        self.store.entries(namespace).update(self.left.get((self.store, namespace), {}))


class LoadsByPrefix(MemoryBackend):
    """Takes a namespace for all whose names begin like it."""

    def load(self, namespace):
        snapshot = super().load(namespace)
        similar = [there for name, there in self.store.namespaces.items() if name.startswith(namespace)]
        return Snapshot(namespace, snapshot.revision, {n: e for there in similar for n, e in there.items()})


class DeletesByPrefix(MemoryBackend):
    """Deletes with a namespace all whose names begin like it."""

    def delete_namespace(self, namespace):
        super().delete_namespace(namespace)
        for name in [name for name in self.store.namespaces if name.startswith(namespace)]:
            self.store.delete(name)


class DeletesHistory(MemoryBackend):
    """Deletes with a namespace its history."""

    def delete_namespace(self, namespace):
        super().delete_namespace(namespace)
        self.store.namespaces.pop(f".history.{namespace}", None)


class ListsTheCores(MemoryBackend):
    """Lists the core's own namespaces."""

    def namespaces(self):
        return sorted(self.store.namespaces)


class CutsNames(MemoryBackend):
    """Keeps the first 100 characters of a name."""

    def commit(self, writes):
        return super().commit([write._replace(name=write.name[:100]) for write in writes])


class FoldsCase(MemoryBackend):
    """Takes names that differ in case for one."""

    def commit(self, writes):
        return super().commit([write._replace(name=write.name.lower()) for write in writes])


# --- reading -----------------------------------------------------------------------------------------


class PastIsPresent(MemoryBackend):
    """Says that it reads older revisions, and reads the present."""

    capabilities = declaring(reads_past=True)

    def read_at(self, namespace, names, revision):
        return self.read(namespace, names)


class PastUndeclared(MemoryBackend):
    """Answers what it declares that it cannot answer."""

    def read_at(self, namespace, names, revision):
        return self.read(namespace, names)


class StaleRead(MemoryBackend):
    """Reads from the copy that it loaded."""

    copy: dict[str, Any] | None = None

    def load(self, namespace):
        snapshot = super().load(namespace)
        self.copy = dict(snapshot.entries) if self.copy is None else self.copy
        return snapshot

    def read(self, namespace, names):
        entries = super().read(namespace, names)
        return entries if self.copy is None else {name: self.copy.get(name, entry) for name, entry in entries.items()}


class LiveSnapshot(MemoryBackend):
    """Hands out the store's own dict."""

    def load(self, namespace):
        return Snapshot(namespace, self.store.revision, self.store.entries(namespace))


class TornLoad(MemoryBackend):
    """Loads in two pages, each of its own time."""

    def load(self, namespace):
        first = super().load(namespace)
        threading.Event().wait(0.003)
        second = super().load(namespace)
        half = sorted(first.entries)[: len(first.entries) // 2]
        return Snapshot(namespace, second.revision, {**second.entries, **{name: first.entries[name] for name in half}})


class OldRevision(MemoryBackend):
    """Says of a state that it is from before its own entries."""

    def load(self, namespace):
        snapshot = super().load(namespace)
        return Snapshot(namespace, snapshot.revision - 1, snapshot.entries)


class UnsortedScan(MemoryBackend):
    """Scans in the order in which entries were written."""

    def scan(self, namespace, *, start="", limit=100, reverse=False):
        found = dict(super().scan(namespace, start=start, limit=10**6))
        return [(name, entry) for name, entry in self.store.entries(namespace).items() if name in found][:limit]


class ScanWithoutStart(MemoryBackend):
    """Scans from the beginning whatever ``start`` says."""

    def scan(self, namespace, *, start="", limit=100, reverse=False):
        return super().scan(namespace, limit=limit, reverse=reverse)


class ScanWithoutLimit(MemoryBackend):
    """Scans everything whatever ``limit`` says."""

    def scan(self, namespace, *, start="", limit=100, reverse=False):
        return super().scan(namespace, start=start, limit=10**6, reverse=reverse)


class ScanWithoutReverse(MemoryBackend):
    """Scans forwards whatever ``reverse`` says."""

    def scan(self, namespace, *, start="", limit=100, reverse=False):
        return super().scan(namespace, start=start, limit=limit)


# --- watching ----------------------------------------------------------------------------------------


class TornBatch(Telling):
    """Tells each name of a commit by itself."""

    def change(self, batch):
        return [Batch(batch.revision, {name: entry}) for name, entry in batch.entries.items()]


class RepeatedEvent(Telling):
    """Tells every commit twice."""

    def change(self, batch):
        return [batch, batch]


class RepeatsNowAndThen(Telling):
    """Tells one commit in a hundred again, when the next has been told."""

    def change(self, batch):
        before, self.before = getattr(self, "before", batch), batch
        return [batch, before] if batch.revision % 100 == 0 else [batch]


class SwallowedDelete(Telling):
    """Does not tell of deletions."""

    def change(self, batch):
        return [Batch(batch.revision, {name: entry for name, entry in batch.entries.items() if entry})]


class MissesWhatIsMadeAgain(Telling):
    """Does not tell of the next write after a deletion, as a watch does that is armed again too late."""

    def __init__(self, store):
        super().__init__(store)
        self.gone = set()

    def change(self, batch):
        told = {name: entry for name, entry in batch.entries.items() if entry is None or name not in self.gone}
        for name, entry in batch.entries.items():
            (self.gone.discard if entry else self.gone.add)(name)
        return [Batch(batch.revision, told)]


class ReorderedBatches(Telling):
    """Tells a commit after the one that follows it."""

    held: list[Any] = []  # noqa: RUF012 - one test, one stream

    def change(self, batch):
        first, self.held = self.held, [] if self.held else [batch]
        return [batch, *first] if first else []


class MergedBatches(Telling):
    """Tells two commits as one, though it declares ``every_commit``."""

    held: list[Any] = []  # noqa: RUF012 - one test, one stream

    def change(self, batch):
        first, self.held = self.held, [] if self.held else [batch]
        return [Batch(batch.revision, {**first[0].entries, **batch.entries})] if first else []


class OtherRevisions(Telling):
    """Tells commits with another revision than they have."""

    def change(self, batch):
        return [Batch(batch.revision + 1, batch.entries)]


class LyingBookmark(Telling):
    """Says that nothing happened up to a revision, and tells then what did."""

    def change(self, batch):
        return [Batch(batch.revision, {}), batch]


class WatchesFromNow(MemoryBackend):
    """Watches from the moment on, whatever was asked for."""

    def watch(self, namespace, after):
        return super().watch(namespace, max(after, self.store.revision))


class WatchesTheFuture(MemoryBackend):
    """Waits in silence for a revision that the store has not reached."""

    def watch(self, namespace, after):
        return super().watch(namespace, min(after, self.store.revision))


class TellsOthers(MemoryBackend):
    """Tells the commits of a namespace whose name begins alike."""

    def commit(self, writes):
        revision = super().commit(writes)
        for namespace, name, data, _ in writes:
            if namespace == "sales2":
                with self.store.changed:
                    self.store._remember({"sales": {name: Entry(data, revision)}})
        return revision


class NoSignOfLife(MemoryBackend):
    """Says nothing until there is something to tell."""

    def watch(self, namespace, after):
        watch = super().watch(namespace, after)
        watch._begun = True  # type: ignore[attr-defined]
        return watch


class OneSignOfLife(MemoryBackend):
    """Says at its beginning that it stands, and never again."""

    def watch(self, namespace, after):
        return ChangedSign(super().watch(namespace, after))


class ChangedSign(ChangedWatch):
    """Leaves out every empty batch but the first."""

    def __init__(self, inner):
        super().__init__(inner, lambda batch: [batch])
        self.told = False

    def __next__(self):
        while True:
            batch = super().__next__()
            if batch.entries or not self.told:
                self.told = True
                return batch


class ChokesOnGarbage(MemoryBackend):
    """Cannot load a namespace in which anything is no JSON."""

    def load(self, namespace):
        snapshot = super().load(namespace)
        for entry in snapshot.entries.values():
            json.loads(entry.data)
        return snapshot


class StopsAtGarbage(Telling):
    """Has a watch that ends at what is no JSON."""

    def change(self, batch):
        for entry in batch.entries.values():
            json.loads(entry.data if entry else b"null")
        return [batch]


class ChokesOnOddNames(MemoryBackend):
    """Cannot load a namespace in which anything has a name that is none."""

    def load(self, namespace):
        snapshot = super().load(namespace)
        if not all(name.isidentifier() for name in snapshot.entries):
            raise BackendFailure("what is that?")
        return snapshot


class StopsAtOddNames(Telling):
    """Has a watch that ends at a name that is none."""

    def change(self, batch):
        if not all(name.isidentifier() for name in batch.entries):
            raise BackendFailure("what is that?")
        return [batch]


class EmptiesGarbage(MemoryBackend):
    """Hands over an empty document for what is none."""

    def load(self, namespace):
        snapshot = super().load(namespace)
        entries = {name: self.mended(entry) for name, entry in snapshot.entries.items()}
        return Snapshot(namespace, snapshot.revision, entries)

    def mended(self, entry):
        with suppress(ValueError):
            if isinstance(json.loads(entry.data), dict):
                return entry
        return Entry(b"{}", entry.revision)


class SilentCompaction(MemoryBackend):
    """Goes on over a gap without a word."""

    def watch(self, namespace, after):
        return super().watch(namespace, max(after, self.store._compacted))


class DeafWatch(MemoryBackend):
    """Does not wake who waits in a watch when that is closed."""

    def watch(self, namespace, after):
        watch = super().watch(namespace, after)
        released.append(watch.close)
        return ChangedClose(watch)


class ChangedClose(ChangedWatch):
    """A watch whose ``close`` does nothing."""

    def __init__(self, inner):
        super().__init__(inner, lambda batch: [batch])

    def close(self):
        """Nothing."""


class ErrorAtClose(MemoryBackend):
    """Ends a watch that is closed with an error."""

    def watch(self, namespace, after):
        return RaisingEnd(super().watch(namespace, after), lambda batch: [batch])


class RaisingEnd(ChangedWatch):
    """A watch that knows no end but errors."""

    def __next__(self):
        try:
            return super().__next__()
        except StopIteration:
            raise BackendUnavailable("the stream ended") from None


class WatchOutlivesClose(MemoryBackend):
    """Leaves its watches open when it is closed."""

    def watch(self, namespace, after):
        self._open()
        return MemoryWatch(MemoryBackend(self.store), namespace, after)


# --- opening, closing and what is declared -----------------------------------------------------------


class TakesAnyCredential(MemoryBackend):
    """Takes credentials that it does not know."""

    @classmethod
    def open(cls, credentials):
        return super().open({key: value for key, value in credentials.items() if key in ("store", "history")})


class DriverReadsCredentials(MemoryBackend):
    """Hands credentials over to something that has errors of its own."""

    @classmethod
    def open(cls, credentials):
        int(credentials.get("history", 1))
        return super().open(credentials)


class LeakedThread(MemoryBackend):
    """Leaves a thread behind."""

    def __init__(self, store):
        super().__init__(store)
        end = threading.Event()
        released.append(end.set)
        threading.Thread(target=end.wait, name="left-behind", daemon=True).start()


class LeakedWatchThread(MemoryBackend):
    """Leaves a thread behind for each watch, until it is closed itself."""

    def __init__(self, store):
        super().__init__(store)
        self.ends = []

    def watch(self, namespace, after):
        end = threading.Event()
        self.ends.append(end)
        threading.Thread(target=end.wait, name="left-behind", daemon=True).start()
        return super().watch(namespace, after)

    def close(self):
        for end in self.ends:
            end.set()
        super().close()


class LeakedDescriptor(MemoryBackend):
    """Leaves a file open."""

    def __init__(self, store):
        super().__init__(store)
        number = os.open(os.devnull, os.O_RDONLY)
        released.append(lambda: os.close(number))


class HangingClose(MemoryBackend):
    """Waits in ``close`` for what never comes."""

    def close(self):
        end = threading.Event()
        released.append(end.set)
        end.wait(20)


class ClosesOnce(MemoryBackend):
    """Fails when it is closed again."""

    def close(self):
        if self.is_closed:
            raise RuntimeError("closed already")
        super().close()


class WorksAfterClose(MemoryBackend):
    """Answers after it was closed."""

    def _open(self):
        return self.store


class IdentityOfTheHandle(MemoryBackend):
    """Names itself instead of the store."""

    @property
    def identity(self):
        return str(id(self))


class Forgets(MemoryBackend):
    """Declares to be durable and forgets everything when it is closed."""

    capabilities = declaring(durable=True)

    def close(self):
        self.store.namespaces.clear()
        super().close()


class NotShared(MemoryBackend):
    """Declares to be shared, and each process has a store of its own."""

    capabilities = declaring(shared=True)


class WatchesUndeclared(MemoryBackend):
    """Declares that it cannot watch, and does so: who believes it, and who does not, must see the same."""

    capabilities = declaring(push=False, resumable=False)


class ResumesUndeclared(MemoryBackend):
    """Declares that it cannot resume, and starts from now without a word."""

    capabilities = declaring(resumable=False)

    def watch(self, namespace, after):
        return super().watch(namespace, min(after, self.store.revision))


# --- without a connection ----------------------------------------------------------------------------


class HangsWhenDown(FaultyBackend):
    """Waits for a store that is gone, for ever."""

    def _check_up(self):
        if self._down:
            end = threading.Event()
            released.append(end.set)
            end.wait(20)
        super()._check_up()


class DriversErrorWhenDown(FaultyBackend):
    """Lets the error of its socket through."""

    def _check_up(self):
        if self._down:
            raise ConnectionResetError(104, "Connection reset by peer")


class DeniesWhatHappened(FaultyBackend):
    """Says of a commit whose answer it lost that it did not happen."""

    def commit(self, writes):
        revision = self.inner.commit(writes)
        self._check_up()
        return revision


class LostIsNotDone(FaultyBackend):
    """Says of a commit that the driver lost in flight that it did not happen."""

    def commit(self, writes):
        try:
            return super().commit(writes)
        except OutcomeUnknown as error:
            raise BackendUnavailable(str(error)) from None


class SilentEnd(FaultyBackend):
    """Ends a watch that broke as if it had been closed."""

    def _end_watches(self, error):
        for watch in list(self._watches):
            watch.close()
        return 0


class ResyncAtEveryBreak(FaultyBackend):
    """Says that it forgot, when only the connection broke."""

    def cut_watches(self):
        return self._end_watches(ResyncNeeded("gone"))
