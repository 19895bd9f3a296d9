"""Who works while servers fail, writers and followers, and what must be true afterwards.

The writers' work is drawn from a seed; which of them is first is up to the machine. The checks need no luck: they
compare what was reported, what was told and what the store's own history says.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, Self

from confo import BackendUnavailable, Commit, ConflictError, Confo, Event, Namespace, OutcomeUnknown, Retention, Write
from confo_etcd import EtcdBackend
from confo_etcd.layout import past
from confo_etcd.schema import schema

SECONDS = 30.0
"""How long anything may take to come; nothing here takes half of it on a slow machine."""
COUNTERS = ("orders", "refunds")
"""Documents that all writers increment: {"n": number}."""


@contextmanager
def following(endpoints: str | Sequence[str], *, create: bool = False, **credentials: object) -> Iterator[Namespace]:
    """Give a followed namespace "sales" of a process's own: a backend and connections that nobody shares."""
    chosen = [endpoints] if isinstance(endpoints, str) else list(endpoints)
    config = Confo._new("drill")
    with config:
        everything = Retention(count=None)  # the verdict is read off the whole history
        config.load_backend({"endpoints": chosen, **credentials}, "store", "etcd", history=everything)
        config.activate_backend("store")
        if create:
            config.create_namespace("sales")
        yield config.namespace("sales")


class Writer:
    """Commits in a thread of its own until told to stop.

    It increments counters that it shares with others, writes a pair of documents as one, and has one come and go.
    What it was told is kept: ``acknowledged``, how many increments returned without an error, whatever they returned;
    ``commits``, ``unknown`` (messages of commits of which not even that could be told) and ``refused``, how many were
    surely not done. Anything else that it raised is ``error``. It rests for ``pace`` seconds after each.
    """

    def __init__(self, sales: Namespace, name: str, seed: int, *, pace: float = 0.0) -> None:
        self.sales = sales
        self.name = name
        self.pace = pace
        self.acknowledged = 0
        self.commits: list[Commit] = []
        self.unknown: list[str] = []
        self.refused = 0
        self.failed_sendings = 0
        self.error: Exception | None = None
        self._random = random.Random(f"{name} {seed}")
        self._news = threading.Condition()
        self._ending = threading.Event()
        self._count_sendings()
        self._thread = threading.Thread(target=self._work, name=f"writer-{name}", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._ending.set()
        self._thread.join(SECONDS)

    def wait_for(self, more: int) -> None:
        """Wait for so many more commits."""
        goal = len(self.commits) + more
        self._wait(lambda: len(self.commits) >= goal, f"{goal} commits")

    def wait_for_failed_sendings(self, more: int) -> None:
        """Wait until the backend has refused, or not answered, so many more."""
        goal = self.failed_sendings + more
        self._wait(lambda: self.failed_sendings >= goal, f"{goal} sendings that failed")

    def finish(self) -> int:
        """End its work and return the last revision that it committed."""
        self._ending.set()
        self._thread.join(2 * SECONDS)  # as long as a commit of unknown outcome is sent again, and some
        assert not self._thread.is_alive(), f"writer {self.name} does not end"
        if self.error is not None:
            raise self.error
        return max((commit.revision for commit in self.commits), default=0)

    # --- in its thread ---------------------------------------------------------------------------

    def _work(self) -> None:
        number = 0
        while not self._ending.is_set():
            number += 1
            try:
                commit = self._commit(f"{self.name} {number}")
            except Exception as error:
                self.error = error
                self._ending.set()
                commit = None
            with self._news:
                if commit is not None and not commit.already_so:
                    self.commits.append(commit)
                self._news.notify_all()
            self._ending.wait(self.pace)

    def _commit(self, message: str) -> Commit | None:
        """Do one piece of work; None when somebody else was quicker, or when it surely or perhaps was not done."""
        chance = self._random.random()
        try:
            if chance < 0.7:
                return self._increment(message)
            self._pair() if chance < 0.9 else self._come_or_go()
            commit = self.sales.persist(message=message, author=self.name)
        except ConflictError:
            commit = None
        except OutcomeUnknown:
            self.unknown.append(message)
            commit = None
        except BackendUnavailable:
            self.refused += 1
            self._ending.wait(0.02)  # not in a hot loop: the server is gone
            commit = None
        self.sales.discard()
        return commit

    def _increment(self, message: str) -> Commit | None:
        """Add one to a counter; every call that returns counts, also one that made no commit."""
        name = self._random.choice(COUNTERS)
        with self.sales.edit(message=message, author=self.name) as draft:
            draft.setdefault(name, {"n": 0})["n"] += 1
        self.acknowledged += 1
        return draft.commit

    def _pair(self) -> None:
        """Stage the same number in two documents, which a reader must never see differ."""
        number = self._random.randrange(10**9)
        for side in ("left", "right"):
            self.sales.set(f"{self.name}-{side}", {"number": number})

    def _come_or_go(self) -> None:
        """Stage the deletion of a document that is there, else its creation."""
        name = f"{self.name}-guest"
        if name in self.sales:
            self.sales.delete(name)
        else:
            self.sales.set(name, "host", self._random.choice(("::1", "127.0.0.1")))

    # --- inside ----------------------------------------------------------------------------------

    def _wait(self, reached: Callable[[], bool], what: str) -> None:
        with self._news:
            done = self._news.wait_for(lambda: reached() or self.error is not None, SECONDS)
        if self.error is not None:
            raise self.error
        assert done, f"writer {self.name} came to {len(self.commits)} commits, waited for: {what}"

    def _count_sendings(self) -> None:
        commit = self.sales._backend.commit

        def counted(writes: Sequence[Write]) -> int:
            try:
                return commit(writes)
            except (OutcomeUnknown, BackendUnavailable):
                with self._news:
                    self.failed_sendings += 1
                    self._news.notify_all()
                raise

        self.sales._backend.commit = counted  # type: ignore[method-assign]


class Follower:
    """Applies the events of a namespace, in order, to what was there when it began to listen.

    Whatever does not fit is a complaint: an old document that is not the one known, a revision that goes back or
    comes twice, a half of a pair.
    """

    def __init__(self, sales: Namespace) -> None:
        self.sales = sales
        self.kinds: list[str] = []
        self.commits: Counter[str] = Counter()
        self.complaints: list[str] = []
        self._news = threading.Condition()
        self._told: set[tuple[str, int]] = set()
        with sales._replica.view.lock:  # so that the state and the events that follow it are without a gap
            self._reset()
            self._subscription = sales.on_change(self._hear, kinds="all")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._subscription.close()

    def wait_for_kind(self, kind: str, count: int = 1, seconds: float = SECONDS) -> None:
        """Wait until so many events of this kind have come."""
        with self._news:
            reached = self._news.wait_for(lambda: self.kinds.count(kind) >= count, seconds)
        assert reached, f"no {kind} within {seconds} s: {Counter(self.kinds)}, {self.sales!r}"

    def wait_for(self, revision: int) -> None:
        """Wait until the namespace and the events have come to this revision, at which something changed."""
        assert self.sales.wait_for(revision, SECONDS), (
            f"{self.sales!r} does not reach {revision}: {self.sales.status()}"
        )
        with self._news:
            assert self._news.wait_for(lambda: self.revision >= revision, SECONDS), f"told up to {self.revision}"

    def verify(self) -> None:
        """Check that what was told adds up to what is read, and that there was nothing to complain of."""
        assert not self.complaints, self.complaints[:5]
        assert self.state == dict(self.sales.snapshot())

    # --- in the callback's thread ----------------------------------------------------------------

    def _reset(self) -> None:
        snapshot = self.sales.snapshot()
        self.state: dict[str, Any] = dict(snapshot)
        self.revision = self._floor = snapshot.revision
        self._told.clear()

    def _hear(self, event: Event) -> None:
        with self._news:
            if event.kind == "resync":
                self._reset()
            elif event.kind == "changed" and event.revision > self._floor:  # else the snapshot had it
                self._take(event)
            self._look_for_halves()
            self.kinds.append(event.kind)
            self._news.notify_all()

    def _take(self, event: Event) -> None:
        name = event.configuration
        assert name is not None
        if event.old != self.state.get(name):
            self.complaints.append(f"{event!r} does not follow on what was told before")
        if event.revision < self.revision or (name, event.revision) in self._told:
            self.complaints.append(f"{event!r} was told after revision {self.revision}")
        self._told.add((name, event.revision))
        self.revision = event.revision
        self.commits[name] += event.coalesced
        if event.new is None:
            self.state.pop(name, None)
        else:
            self.state[name] = event.new
            if name in COUNTERS and event.new["n"] - (event.old or {"n": 0})["n"] != event.coalesced:
                self.complaints.append(f"{event!r} stands for {event.coalesced} commits, which the number belies")

    def _look_for_halves(self) -> None:
        snapshot = self.sales.snapshot()
        for name in snapshot:
            writer, dash, side = name.rpartition("-")
            if dash and side == "left" and snapshot[name] != snapshot[f"{writer}-right"]:
                self.complaints.append(f"half of {writer}'s commit at revision {snapshot.revision}")


class Record(NamedTuple):
    """A commit as it stands in the store's history."""

    revision: int
    op_id: str
    message: str
    changes: Mapping[str, Any]


def read_history(backend: EtcdBackend) -> list[Record]:
    """Return the records of ".history.sales" in order of revision; AssertionError if one was written twice."""
    marker = backend._layout.marker(".history.sales")
    request = schema().RangeRequest(key=marker, range_end=past(marker))
    records = []
    for kv in backend._session.call("Range", request, "read the history").kvs:
        assert kv.version == 1, f"the record {kv.key.decode()} was written {kv.version} times"
        record = json.loads(kv.value)
        assert kv.key.decode().endswith(record["op"])
        records.append(Record(kv.mod_revision, record["op"], record["message"], record["changes"]))
    return sorted(records)


def verify_history(backend: EtcdBackend, writers: Sequence[Writer] = (), followers: Sequence[Follower] = ()) -> None:
    """Check that every commit happened once, was reported as it was, and made what everybody sees.

    Documents are what the history's records make of nothing; no op id is there twice; what writers were told, and
    what they were not told, is what the history has; followers see what the store has, and were told so.
    """
    records = read_history(backend)
    twice = [op for op, count in Counter(record.op_id for record in records).items() if count > 1]
    assert not twice, f"op ids in more than one record: {twice[:5]}"
    snapshot = backend.load("sales")
    documents, revisions = fold(records)
    assert documents == dict(snapshot), "the documents are not what the history makes of them"
    assert revisions == {name: entry.revision for name, entry in snapshot.entries.items()}
    reported = {commit.op_id: commit.revision for writer in writers for commit in writer.commits}
    there = {record.op_id: record.revision for record in records}
    if writers:
        unknown = {message for writer in writers for message in writer.unknown}
        silent = {record.message for record in records if record.op_id not in reported}
        assert reported.items() <= there.items(), "a commit was reported that did not happen, or not at that revision"
        assert silent <= unknown, f"commits happened and were reported as not done: {sorted(silent)[:5]}"
        counted = [record for record in records if record.changes.keys() & set(COUNTERS)]
        found = sum(snapshot[name]["n"] for name in COUNTERS if name in snapshot)
        assert found == len(counted), "increments were doubled"
        # Of the calls that returned, whatever they returned, and of those of which nobody knew, what happened.
        acknowledged = sum(writer.acknowledged for writer in writers)
        learned = sum(record.message in unknown for record in counted)
        assert found == acknowledged + learned, (
            f"increments were lost: {acknowledged} acknowledged, {learned} of unknown outcome, the counters say {found}"
        )
    for follower in followers:
        follower.wait_for(records[-1].revision)
        follower.verify()
        assert follower.sales.snapshot().entries == snapshot.entries


def fold(records: Sequence[Record]) -> tuple[dict[str, Any], dict[str, int]]:
    """Return the documents that these records make of nothing, and the revision that wrote each."""
    documents: dict[str, Any] = {}
    revisions: dict[str, int] = {}
    for record in records:
        for name, change in record.changes.items():
            document = documents.pop(name, None)
            assert (document is not None) == bool(change["was"]), f"revision {record.revision} missed one of {name}"
            document = dict(document or {})
            for field, sides in change["fields"].items():
                before = {"old": document.pop(field)} if field in document else {}
                assert _same_old(before, sides), f"revision {record.revision} missed one of {name}, field {field}"
                if "new" in sides:
                    document[field] = sides["new"]
            revisions.pop(name, None)
            if change["exists"]:
                documents[name], revisions[name] = document, record.revision
    return documents, revisions


def _same_old(before: Mapping[str, Any], sides: Mapping[str, Any]) -> bool:
    return ("old" in before) == ("old" in sides) and before.get("old") == sides.get("old")


def summary(writers: Sequence[Writer]) -> str:
    """Return in one line what writers went through."""
    commits = sum(len(writer.commits) for writer in writers)
    failed = sum(writer.failed_sendings for writer in writers)
    refused = sum(writer.refused for writer in writers)
    unknown = sum(len(writer.unknown) for writer in writers)
    return f"{commits:,} commits; {failed} sendings failed, {refused} told as not done, {unknown} told as unknown"


def until(reached: Callable[[], bool], what: str) -> None:
    """Wait until something outside of this process is so, which nobody can tell of."""
    deadline, tick = time.monotonic() + SECONDS, threading.Event()
    while not reached():
        assert time.monotonic() < deadline, f"never came: {what}"
        tick.wait(0.05)
