"""What reads read: a namespace's entries, its decoded documents, and the draft laid over them.

``documents`` holds exact dicts, so that reading a field is two look-ups and nothing else: no lock, no copy, no
decoding twice. It has what was read or staged before; the rest is decoded when first asked for. Where a copy may not
grow too old it stays empty, so that every read comes to the slower path, which looks at the clock. Writers hold the
lock and put all documents of a commit in place by one ``dict.update``, so a reader never sees half of it. The lock is
re-entrant: a signal handler or a finalizer may read in the very thread that holds it.

``entries`` is the store's state at ``revision``, and snapshots are of it. Where the watch is behind, what is known to
be newer (this process's own commits, what a conflict made it read) stands in a layer over it: reads and drafts see it,
and events tell of it when the watch has come so far, in the order of the store.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from confo import forks
from confo.changes import UNREADABLE, Draft, rebase
from confo.codec import MAX_BYTES, FrozenDict, decode, to_json
from confo.entries import Entries
from confo.errors import Closed, ConfigurationNotFound, InvalidDocument, UnreadableDocument
from confo.model import Entry, Snapshot, Unreadable, same
from confo.readable import CHECKED_AT_ONCE, News, Readable
from confo.staleness import Limit


class Applied(NamedTuple):
    """What became of one configuration: the entries that were and are served, and whether this process wrote it.

    ``news`` says whether the new one can be read.
    """

    name: str
    old: Entry | None
    new: Entry | None
    own: bool
    news: News = "changed"


class Sent(NamedTuple):
    """A write of this process that is under way: its data (None deletes), and the staged draft that it was made of.

    Without a draft it was made of none that is staged, and what is staged is laid over it as over anybody's.
    """

    data: bytes | None
    draft: Draft | None

    def __repr__(self) -> str:
        """Show the draft, never the data."""
        return f"<Sent {self.draft!r}>"


class Ahead(NamedTuple):
    """What is known of one configuration beyond the revision of the whole, and the revision of that."""

    entry: Entry | None
    revision: int


class _Documents(dict[str, FrozenDict]):
    """Decoded documents that the snapshots of one revision share; it lives as long as one of them does."""


_ABSENT: dict[str, Any] = {}
"""Stands in ``documents`` for a configuration that was read and is gone: every look-up in it fails."""


class View:
    """The local copy of one namespace, with what this process has staged and not committed."""

    def __init__(self, snapshot: Snapshot, *, serve_last_good: bool = True) -> None:
        self.namespace = snapshot.namespace
        self.readable = Readable(snapshot.namespace, serve=serve_last_good)
        self.on_unreadable: Callable[[str], None] = lambda _: None
        """Called under the lock with a name of which a read finds that it cannot be read."""
        self._all_checked = False
        self.documents: dict[str, Mapping[str, Any]] = {}
        self._known = self.documents
        self.limit: Limit | None = None
        self.closed = ""
        self.drafts: dict[str, Draft] = {}
        self.agreed: dict[str, int] = {}
        """Drafts that are gone as somebody else wrote the same, and the revision that did (0: it was deleted); the next
        commit tells."""
        self._sizes: dict[str, int] = {}
        """How many bytes a draft has at most, where fields of it were set one after the other."""
        self.sent: dict[str, Sent] = {}
        self._ahead: dict[str, Ahead] = {}
        self._landed: set[int] = set()
        """The revisions of this process's own commits that the watch has not come to."""
        self.lock = threading.RLock()
        self.revision = snapshot.revision
        loaded = snapshot.entries  # a load's result is its caller's, who may take it apart
        self.readable.look_at(loaded.items(), glance=True)
        self.entries = Entries(loaded if isinstance(loaded, dict) else dict(loaded))
        self.since = time.monotonic() - snapshot.age
        self.source = snapshot.source
        self._frozen: dict[str, tuple[Mapping[str, Any], FrozenDict]] = {}
        self._held: weakref.ref[_Documents] | None = None
        self._last: tuple[Entry | None, Mapping[str, Any]] = None, {}
        forks.add(self)

    # --- reading ---------------------------------------------------------------------------------

    def document(self, name: str) -> FrozenDict:
        """Return the document, draft included, frozen; the same object until it changes."""
        document = self.documents.get(name) or self.resolve(name)
        frozen = self._frozen.get(name)
        if frozen is None or frozen[0] is not document:
            frozen = self._frozen[name] = (document, FrozenDict(document))
        return frozen[1]

    def resolve(self, name: str) -> Mapping[str, Any]:
        """Decode a document for later reads and return it; ConfigurationNotFound, UnreadableDocument or TooStale."""
        self.check_age()
        with self.lock:
            if known := self._known.get(name):
                return known
            draft = self.drafts.get(name)
            document = draft.mine if draft else self._served(name)
            if document is None:
                raise self._not_found(name)  # without a hint, which takes long: some who ask have a default
            return self._known.setdefault(name, document) or self._revive(name, document)

    def close(self, why: str) -> None:
        """Answer nothing any more: every call raises Closed, and says why."""
        with self.lock:
            self.closed = why
            self.documents.clear()  # what readers hold of it stays empty: they come to the slow path
            self._known = {}
            self.drafts = {}

    def check_open(self) -> None:
        """Raise Closed if this was closed."""
        if self.closed:
            raise Closed(f"namespace {self.namespace!r} cannot be used: {self.closed}", namespace=self.namespace)

    def check_age(self) -> None:
        """Raise TooStale if what is here may not be read any more, Closed if nothing may."""
        self.check_open()
        if self.limit is not None:
            self.limit.check(time.monotonic() - self.since)

    def keep_to(self, limit: Limit) -> None:
        """Have every read look at the clock from now on, or none if nothing follows from it."""
        with self.lock:
            known, self.limit = self._known, None if limit.on_stale == "serve" else limit
            if self.limit is None:
                self.documents.update(known)
                self._known = self.documents
            elif known is self.documents:
                self._known = known.copy()
                self.documents.clear()

    def newest(self, name: str) -> Entry | None:
        """Return the newest entry that is known, None if the configuration is not there."""
        ahead = self._ahead.get(name)
        return self.entries.get(name) if ahead is None else ahead.entry

    def newest_entries(self) -> Mapping[str, Entry]:
        """Return the newest entry of every configuration, not one state of one revision (hold the lock)."""
        if not self._ahead:
            return self.entries
        entries = {name: entry for name, entry in self.entries.items() if name not in self._ahead}
        return entries | {name: ahead.entry for name, ahead in self._ahead.items() if ahead.entry is not None}

    def committed(self, name: str) -> Mapping[str, Any] | None:
        """Return the document as the store has it, None if it is not there."""
        entry = self.newest(name)
        if entry is None:
            return None
        last = self._last
        if last[0] != entry:  # a commit asks several times for the same
            document = decode(entry.data, namespace=self.namespace, configuration=name, problem=entry.problem)
            last = self._last = entry, document
        return last[1]

    def base(self, name: str) -> Mapping[str, Any] | None:
        """Return the document as the store has it, as the base of a draft that replaces it as a whole."""
        try:
            return self.committed(name)
        except UnreadableDocument:
            return UNREADABLE

    def theirs(self, name: str, draft: Draft) -> Mapping[str, Any] | None:
        """Return the document as the store has it; UnreadableDocument unless the draft shall replace such a one."""
        return self.base(name) if draft.base is UNREADABLE else self.committed(name)

    def names(self) -> list[str]:
        """Return the names of the configurations that can be read, draft included."""
        self.check_open()
        with self.lock:
            self.check_all()
            gone = {name for name, draft in self.drafts.items() if draft.mine is None}
            hidden, entries = self._hidden() | gone, self.newest_entries()
            fresh = [name for name in self.drafts if name not in entries and name not in gone]
            return [name for name in entries if name not in hidden] + fresh

    def count(self) -> int:
        """Count the configurations, draft included, without those that are known to be unreadable."""
        self.check_open()
        with self.lock:
            entries = self.newest_entries()
            made = sum(1 for name, draft in self.drafts.items() if draft.mine is not None and name not in entries)
            gone = sum(1 for name, draft in self.drafts.items() if draft.mine is None and name in entries)
            return len(entries) + made - gone - len(self._hidden())

    def check_all(self) -> None:
        """See once of every document whether it can be read; what changes is seen to when it comes."""
        with self.lock:
            if not self._all_checked:
                self._all_checked = True
                for name in self.readable.look_at(self.entries.items(), glance=False):
                    self.on_unreadable(name)

    def has(self, name: str) -> bool:
        """Tell whether the configuration is there, draft included, readable or not."""
        self.check_open()
        with self.lock:
            draft = self.drafts.get(name)
            return self.newest(name) is not None if draft is None else draft.mine is not None

    def snapshot(self) -> Snapshot:
        """Return the committed state as it is now, at no cost: the next change copies, not this."""
        with self.lock:
            documents = self._shared()
            if documents is None:
                documents = _Documents()
                for name in self.readable.known:
                    if (good := self._last_good(name)) is not None:
                        documents[name] = FrozenDict(good)
                self._held = weakref.ref(documents)
            return Snapshot(
                self.namespace,
                self.revision,
                self.entries,
                source=self.source,
                since=self.since,
                documents=documents,
                unreadable=self.readable.known,
            )

    def newest_snapshot(self) -> Snapshot:
        """Return what is to be edited: as the snapshot, and with what is known beyond its revision."""
        with self.lock:
            if not self._ahead:
                return self.snapshot()
            unreadable = self.unreadable()
            good = {name: self._last_good(name) for name in unreadable}
            return Snapshot(
                self.namespace,
                self.newest_revision(),
                self.newest_entries(),
                source=self.source,
                since=self.since,
                documents={name: FrozenDict(document) for name, document in good.items() if document is not None},
                unreadable=unreadable,
            )

    def unreadable(self) -> dict[str, Unreadable]:
        """Return what cannot be read, without what a newer commit of this process has mended."""
        with self.lock:
            return {name: trouble for name, trouble in self.readable.known.items() if name not in self._ahead}

    # --- changing --------------------------------------------------------------------------------

    def stage(
        self,
        name: str,
        edit: Callable[[Mapping[str, Any] | None], Mapping[str, Any] | None],
        *,
        whole: bool = False,
        grows: int = 0,
        most: int = MAX_BYTES,
    ) -> None:
        """Replace the draft of one document by what ``edit`` makes of the document as it stands.

        UnreadableDocument where that cannot be read, unless the edit replaces the ``whole`` of it. InvalidDocument
        where it would have more bytes than ``most``; the edit ``grows`` it by so many at most.
        """
        self.check_open()
        with self.lock:
            committed = self.base(name) if whole else self.committed(name)
            if committed is UNREADABLE:
                self._lay({name: Draft(UNREADABLE, edit(None))})
                return
            draft = self.drafts.get(name, Draft(committed, committed))
            edited = edit(draft.mine)
            size = self._check_size(name, draft.mine, edited, grows, most) if grows else None
            self._lay({name: rebase(draft._replace(mine=edited), committed)})
            if size is not None:
                self._sizes[name] = size

    def discard(self, names: Sequence[str]) -> None:
        """Drop the drafts of these documents."""
        self.check_open()
        with self.lock:
            for name in names:
                self.agreed.pop(name, None)
            dropped = [name for name in names if self.drafts.pop(name, None)]
            self._show(dropped)

    def settle(self, drafts: Mapping[str, Draft]) -> None:
        """Put these drafts in place of those there."""
        with self.lock:
            self._lay(drafts)

    def advance(self, entries: Mapping[str, Entry | None], revision: int) -> list[Applied]:
        """Take over the next commit of the store, and stand at its revision; return what is new here.

        Drafts are laid over the new state; what was staged while an own write was under way is an edit of that write.
        """
        with self.lock:
            reached = [name for name, ahead in self._ahead.items() if ahead.revision <= revision]
            for name in reached:
                del self._ahead[name]
            applied = self._take(
                [self._applied(n, e, revision) for n, e in entries.items() if self._is_news(n, revision)]
            )
            self._lay_over([name for name in reached if name not in entries])
            self.revision = revision
            self._landed = {landed for landed in self._landed if landed > revision}
            return applied

    def newest_revision(self) -> int:
        """Return the newest revision that is here, be it of a single name only."""
        with self.lock:
            return max([self.revision, *self._landed, *(ahead.revision for ahead in self._ahead.values())])

    def knows(self, entries: Mapping[str, Entry | None], revision: int) -> bool:
        """Tell whether all of a commit of the past is surely in what is here."""
        mine = ((self.entries.get(name), entry) for name, entry in entries.items())
        return all(
            (old is None or old.revision > revision) if new is None else (old is not None and old.revision >= revision)
            for old, new in mine
        )

    def land(self, entries: Mapping[str, Entry | None], revision: int) -> None:
        """Take over an own commit to which the watch has not come: reads and drafts see it from now on."""
        with self.lock:
            self._landed.add(revision)
            for name, entry in entries.items():
                if name in self.sent and self._is_sent(name, self.sent[name].data, entry):
                    self._settle_sent(name)
            self.look_ahead({name: Ahead(entry, revision) for name, entry in entries.items()})

    def look_ahead(self, found: Mapping[str, Ahead]) -> None:
        """Lay what is newer than all that is here over it, until the watch has come so far."""
        with self.lock:
            for name, ahead in found.items():
                known, entry = self._ahead.get(name), self.entries.get(name)
                if ahead.revision > max(known.revision if known else 0, entry.revision if entry else 0):
                    self._ahead[name] = ahead
            self._lay_over(found)

    def settle_sent(self) -> None:
        """Count what was sent as committed also where the copy never saw it, as it was written over at once."""
        with self.lock:
            names = list(self.sent)
            for name in names:
                self._settle_sent(name)
            self._lay_over(names)

    def refresh(self, names: Iterable[str], found: Mapping[str, Entry]) -> list[Applied]:
        """Take over these names as a read found them; only for a view that follows nothing."""
        with self.lock:
            return self._take(
                [
                    self._applied(name, found.get(name), self.revision)
                    for name in names
                    if self.entries.get(name) != found.get(name)
                ]
            )

    def replace(self, snapshot: Snapshot) -> list[Applied]:
        """Take over a whole state, whatever its revision; return what differs."""
        with self.lock:
            here, revision = self.entries.copy(), self.revision
        differing = _differing(here, snapshot.entries)  # without the lock: there may be 100,000
        with self.lock:
            if self.revision != revision:  # something came meanwhile, which is rare
                differing = _differing(self.entries, snapshot.entries)
            self._all_checked = self._all_checked and len(differing) <= CHECKED_AT_ONCE
            ahead, self._ahead, self._landed = self._ahead, {}, set()
            applied = self._take(
                [self._applied(name, snapshot.entries.get(name), snapshot.revision) for name in differing]
            )
            self._lay_over(ahead)
            self.revision, self.since = snapshot.revision, time.monotonic() - snapshot.age
            self.source = snapshot.source
            self.entries = self.entries.packed()
            return applied

    # --- forking ---------------------------------------------------------------------------------

    def before_fork(self) -> None:
        """Let nobody be in the middle of a change."""
        self.lock.acquire()

    def after_fork_in_parent(self) -> None:
        """Let others change it again."""
        self.lock.release()

    def after_fork_in_child(self) -> None:
        """Let others change it again: the thread that forked is the child's one thread, and holds the lock."""
        self.lock.release()

    # --- inside, under the lock ------------------------------------------------------------------

    def _applied(self, name: str, entry: Entry | None, revision: int) -> Applied:
        """Return what becomes of a configuration; if it is what is being sent, that counts as committed from now on."""
        own = (entry.revision if entry else revision) in self._landed
        if not own and (sent := self.sent.get(name)) is not None and self._is_sent(name, sent.data, entry):
            own = True
            self._settle_sent(name)
        return Applied(name, self.entries.get(name), entry, own)

    def _is_sent(self, name: str, data: bytes | None, entry: Entry | None) -> bool:
        """Tell whether an entry is what was sent; a store of files may keep a document in other bytes."""
        if data is None or entry is None or data == entry.data:
            return data == (None if entry is None else entry.data)
        place: Any = {"namespace": self.namespace, "configuration": name}
        try:
            return same(decode(data, **place), decode(entry.data, **place, problem=entry.problem))
        except UnreadableDocument:
            return False

    def _take(self, applied: list[Applied]) -> list[Applied]:
        if not applied:
            return applied
        if self._shared() is not None:
            self.entries = self.entries.copy()  # somebody holds a snapshot of the state before
        self._held = None
        glance = len(applied) > CHECKED_AT_ONCE
        applied = [self._judged(one, glance=glance) for one in applied]
        for name, _, entry, _, _ in applied:
            if entry is None:
                self.entries.pop(name, None)
            else:
                self.entries[name] = entry
        self._lay_over([one.name for one in applied])
        return applied

    def _lay_over(self, names: Iterable[str]) -> None:
        """Lay the drafts of these over what is known of them now, and show what comes of it."""
        names = list(names)
        self._rebase([name for name in names if name in self.drafts])
        self._show(names)

    def _hidden(self) -> set[str]:
        """Return the names of what can be read in no way."""
        return {name for name in self.readable.hidden() if name not in self.drafts and name not in self._ahead}

    def _judged(self, one: Applied, *, glance: bool) -> Applied:
        news, served = self.readable.judge(one.name, one.old, one.new, glance=glance)
        return one._replace(old=served, news=news)

    def _settle_sent(self, name: str) -> None:
        sent, draft = self.sent.pop(name), self.drafts.get(name)
        if draft is not None and sent.draft is not None:
            self.drafts[name] = Draft(sent.draft.mine, draft.mine)

    def _is_news(self, name: str, revision: int) -> bool:
        """Tell whether something at this revision is newer than what is here; a load may have brought it."""
        entry = self.entries.get(name)
        return revision > (entry.revision if entry else 0)

    def _shared(self) -> _Documents | None:
        """Return the decoded documents of the snapshots of this state, None if nobody holds one."""
        return None if self._held is None else self._held()

    def _rebase(self, names: Iterable[str]) -> None:
        """Lay drafts over what the store has now; a document that cannot be read leaves its draft as it is."""
        for name in names:
            draft = self.drafts[name]
            try:
                laid = rebase(draft, self.theirs(name, draft))
            except ValueError:
                continue
            if laid.is_empty and not draft.is_empty:
                entry = self.newest(name)
                self.agreed[name] = entry.revision if entry else 0
            self._keep(name, laid)

    def _lay(self, drafts: Mapping[str, Draft]) -> None:
        try:
            for name, draft in drafts.items():
                self._keep(name, draft)
            self._show(drafts)
        except BaseException:  # an interrupt in between: readers see what is staged all the same
            self._show(drafts)
            raise

    def _check_size(
        self, name: str, before: Mapping[str, Any] | None, edited: Mapping[str, Any] | None, grows: int, most: int
    ) -> int:
        """Return how many bytes the edited document has at most; it is encoded only when that may be too many."""
        most, size = min(most, MAX_BYTES), self._sizes.get(name)
        if size is None and name not in self.drafts:
            entry = self.newest(name)
            size = len(entry.data) if entry else 2
        elif size is None:
            size = 2 if before is None else len(to_json(FrozenDict(before)))
        size += grows
        if size > most and edited is not None:
            size = len(to_json(FrozenDict(edited)))
            if size > most:
                raise InvalidDocument(
                    f"{self.namespace}/{name} cannot be set: with this it is {size:,} bytes as JSON, the limit is "
                    f"{most:,}; split it into several configurations",
                    namespace=self.namespace,
                    configuration=name,
                )
        return size

    def _keep(self, name: str, draft: Draft) -> None:
        self._sizes.pop(name, None)
        if draft.is_empty:
            self.drafts.pop(name, None)
        else:
            self.drafts[name] = draft

    def _show(self, names: Iterable[str]) -> None:
        """Put what these documents are now in the readers' place, all at once."""
        shown: dict[str, Mapping[str, Any]] = {}
        for name in names:
            draft = self.drafts.get(name)
            if draft is not None:
                shown[name] = _ABSENT if draft.mine is None else draft.mine
            elif name in self._known:
                shown[name] = self._decoded(name)
        self._known.update(shown)
        for name, document in shown.items():  # one by one: what is absent looks the same either way
            if document is _ABSENT:
                self._known.pop(name, None)
                self._frozen.pop(name, None)

    def _decoded(self, name: str) -> Mapping[str, Any]:
        try:
            return self.committed(name) or _ABSENT
        except ValueError:
            return self._last_good(name) or _ABSENT  # and the reader's slow path says what is wrong with it

    def _served(self, name: str) -> Mapping[str, Any] | None:
        """Return the document as the store has it, or the last good one where it cannot be read."""
        try:
            return self.committed(name)
        except UnreadableDocument as error:
            entry = self.newest(name)
            if entry is not None and name not in self.readable.known:
                self.readable.note(name, entry, str(error))
                self.on_unreadable(name)
            good = self._last_good(name)
            if good is None:
                raise
            return good

    def _last_good(self, name: str) -> Mapping[str, Any] | None:
        entry = self.readable.good(name)
        return None if entry is None else decode(entry.data, namespace=self.namespace, configuration=name)

    def _revive(self, name: str, document: Mapping[str, Any]) -> Mapping[str, Any]:
        self._known[name] = document
        return document

    def _not_found(self, name: str) -> ConfigurationNotFound:
        return ConfigurationNotFound(
            f"no configuration {name!r} in namespace {self.namespace!r}",
            namespace=self.namespace,
            configuration=name,
        )


def _differing(here: Mapping[str, Entry], there: Mapping[str, Entry]) -> list[str]:
    gone = [name for name in here if name not in there]
    return gone + [name for name, entry in there.items() if here.get(name) != entry]
