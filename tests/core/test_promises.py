"""The ten promises, each with a control: the same check fails when the promise is broken on purpose."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
import uuid

import pytest

from confo import (
    ANY,
    ConflictError,
    Confo,
    Namespace,
    OutcomeUnknown,
    State,
    TooLarge,
    UnreadableDocument,
    Write,
    codec,
    commits,
    events,
    outcome,
    replica,
    view,
)
from confo import changes as merging
from confo_memory import MemoryBackend
from confo_testkit.faults import BatchFault, CommitFault, FaultyBackend

SECONDS = 10.0


class Broken(AssertionError):
    """A promise that was not kept."""


def check(kept: bool, what: object = "") -> None:
    """Raise Broken unless the promise was kept."""
    if not kept:
        raise Broken(what)


@pytest.fixture
def name():
    """Return the name of a store that only this test knows."""
    return uuid.uuid4().hex


@pytest.fixture
def store(name):
    """Return the store, with a namespace "sales" and one document in it."""
    with_it = MemoryBackend.open({"store": name})
    with_it.create_namespace("sales")
    with_it.commit([Write("sales", "n", b'{"x": 1, "y": 1}', 0)])
    yield with_it
    with_it.close()


class Opened(Namespace):
    """A namespace, and the backend that fails on command."""

    faults: FaultyBackend


@pytest.fixture
def handle(name, store):
    """Return a function that opens one more handle of the namespace, as another process would; faults included."""
    opened = []

    def open_one(**options):
        faults = FaultyBackend(MemoryBackend.open({"store": name}))
        opened.append(Opened("store", faults, "sales", **options))
        opened[-1].faults = faults
        return opened[-1]

    yield open_one
    for one in opened:
        one._replica.close()
        one.faults.close()


def with_control(check_promise, break_promise):
    """Return two tests of one promise: kept as it is, and found broken when it is broken on purpose."""

    @pytest.mark.parametrize("broken", [False, True], ids=["kept", "control"])
    def test(handle, store, monkeypatch, broken):
        if not broken:
            check_promise(handle, store)
            return
        break_promise(monkeypatch)
        with pytest.raises(Broken):
            check_promise(handle, store)

    test.__doc__ = check_promise.__doc__
    return test


# --- 1 -------------------------------------------------------------------------------------------------


def reads_do_not_block(handle, store):
    """A read takes no lock and asks no store."""
    sales, result = handle(), []
    check(sales.get("n", "x") == 1)
    sales.faults.go_down()
    with sales._replica.view.lock:
        reader = threading.Thread(target=lambda: result.append(sales.get("n", "x")), daemon=True)
        reader.start()
        reader.join(0.5)
        blocked = reader.is_alive()
    reader.join(SECONDS)
    check(not blocked and result == [1])


def lock_reads(monkeypatch):
    """Take the lock for every read."""
    get = Namespace.get

    def locked(self, *args, **kwargs):
        with self._replica.view.lock:
            return get(self, *args, **kwargs)

    monkeypatch.setattr(Namespace, "get", locked)


test_1_reads_do_not_block = with_control(reads_do_not_block, lock_reads)


def no_half_commit_is_seen(handle, store):
    """A reader that has seen one document of a commit sees the others of that commit."""
    writer, reader = handle(), handle()
    writer.set("m", "x", 1)
    reader.wait_for(writer.persist().revision)
    check(reader.get("n", "x") == reader.get("m", "x") == 1)
    halves, done = [], threading.Event()

    def read():
        while not done.is_set():
            first = reader.get("n", "x")
            if reader.get("m", "x") < first:
                halves.append(first)

    thread = threading.Thread(target=read)
    thread.start()
    for number in range(2, 40):
        writer.set("n", "x", number)
        writer.set("m", "x", number)
        reader.wait_for(writer.persist().revision)
    done.set()
    thread.join()
    check(not halves)


def show_one_by_one(monkeypatch):
    """Put a commit's documents in the readers' place one after the other."""
    show, pause = view.View._show, threading.Event()

    def slowly(self, names):
        for one in sorted(names, reverse=True):
            show(self, [one])
            pause.wait(0.001)

    monkeypatch.setattr(view.View, "_show", slowly)


test_1_no_half_commit_is_seen = with_control(no_half_commit_is_seen, show_one_by_one)


# --- 2 -------------------------------------------------------------------------------------------------


def nothing_is_overwritten_silently(handle, store):
    """Different fields both win; the same field raises, and nothing is written."""
    mine, theirs = handle(follow=False), handle(follow=False)
    mine.set("n", "x", "mine")
    theirs.set("n", "y", "theirs")
    theirs.persist()
    mine.persist()
    check(store.load("sales")["n"] == {"x": "mine", "y": "theirs"})
    theirs.reload()
    mine.set("n", "x", 3)
    theirs.set("n", "x", 4)
    theirs.persist()
    try:
        mine.persist()
    except ConflictError as error:
        check((error.base, error.mine, error.theirs) == ("mine", 3, 4))
    check(store.load("sales")["n"]["x"] == 4)


def overwrite_documents(monkeypatch):
    """Take the own document for the merged one, as in 2021."""
    monkeypatch.setattr(view, "rebase", lambda draft, theirs: merging.Draft(theirs, draft.mine))
    monkeypatch.setattr(commits, "collisions", lambda *args: [])


test_2_nothing_is_overwritten_silently = with_control(nothing_is_overwritten_silently, overwrite_documents)


# --- 3 -------------------------------------------------------------------------------------------------


def a_persist_is_one_commit(handle, store):
    """One persist is one revision, history included; what is too much is refused before anything is sent."""
    sales = handle()
    sales.set("n", "x", 2)
    sales.set("m", "x", 2)
    revision = sales.persist().revision
    ((_, record),) = store.scan(".history.sales")
    entries = store.load("sales").entries
    check(entries["n"].revision == entries["m"].revision == record.revision == revision)
    for number in range(store.capabilities.atomic_writes):
        sales.set(f"many{number}", "x", 1)
    before = store.load("sales").revision
    try:
        sales.persist()
    except TooLarge:
        check(store.load("sales").revision == before)
    else:
        raise Broken("more than the backend takes was sent")


def commit_one_by_one(monkeypatch):
    """Send every write as a commit of its own."""
    send = commits.send

    def single(backend, writes):
        return max(send(backend, [write]) for write in writes)

    monkeypatch.setattr(commits, "send", single)


test_3_a_persist_is_one_commit = with_control(a_persist_is_one_commit, commit_one_by_one)


# --- 4 -------------------------------------------------------------------------------------------------


def unknown_outcomes_are_resolved(handle, store):
    """Whatever answers get lost, a commit happens once and is reported with its true revision."""
    sales = handle()
    for faults in (
        [CommitFault.LOST_BEFORE],
        [CommitFault.LOST_AFTER],
        [CommitFault.LOST_BEFORE, CommitFault.LOST_AFTER, CommitFault.UNAVAILABLE],
    ):
        sales.faults.next_commits(*faults)
        sales.set("n", "x", sales.get("n", "x") + 1)
        try:
            commit = sales.persist()
        except OutcomeUnknown as error:
            raise Broken("the outcome was left unknown") from error
        check(commit is not None and commit.revision == store.read("sales", ["n"])["n"].revision)
    records = [json.loads(entry.data)["op"] for _, entry in store.scan(".history.sales")]
    check(store.load("sales")["n"]["x"] == 4 and len(records) == len(set(records)) == 3)


def do_not_look_up(monkeypatch):
    """Take the failed guard of the second sending for the whole truth."""
    table = {
        key: outcome.After.RAISE if after is outcome.After.LOOK_UP else after for key, after in outcome.TABLE.items()
    }
    monkeypatch.setattr(outcome, "TABLE", table)


test_4_unknown_outcomes_are_resolved = with_control(unknown_outcomes_are_resolved, do_not_look_up)


# --- 5 -------------------------------------------------------------------------------------------------


def events_are_in_order_and_complete(handle, store):
    """A watcher hears of commits in order, each once; after a gap one resync, and then the true state."""
    sales, heard, news = handle(), [], threading.Condition()

    def hear(event):
        with news:
            heard.append(event)
            news.notify_all()

    def wait_for(count):
        with news:
            check(news.wait_for(lambda: len(heard) >= count, 5.0), heard)

    with sales.on_change(hear):
        sales.faults.next_batches(None, BatchFault.DUPLICATE, BatchFault.CUT)
        revisions = [store.commit([Write("sales", "n", b'{"x": %d}' % n, ANY)]) for n in range(2, 7)]
        check(sales.wait_for(revisions[-1]))
        store.commit([Write("sales", "end", b"{}", ANY)])
        with news:
            check(news.wait_for(lambda: heard and heard[-1].configuration == "end", 5.0), heard)
        told = [event for event in heard if event.kind == "changed" and event.configuration == "n"]
        check([event.revision for event in told] == revisions, told)
        check([event.new for event in told] == [{"x": n} for n in range(2, 7)])
        heard.clear()
        sales.faults.next_batches(BatchFault.COMPACT)
        store.commit([Write("sales", "n", b'{"x": 9}', ANY)])
        wait_for(1)
    check([event.kind for event in heard] == ["resync"] and sales["n"] == {"x": 9}, heard)


def resume_too_far(monkeypatch):
    """Resume after the store's newest revision instead of after the last that was applied."""
    read = replica.Replica._read

    def careless(self):
        self.view.revision = max(self.view.revision, self.backend.load(self.namespace).revision)
        read(self)

    monkeypatch.setattr(replica.Replica, "_read", careless)


test_5_events_are_in_order_and_complete = with_control(events_are_in_order_and_complete, resume_too_far)


# --- 6 -------------------------------------------------------------------------------------------------


def callbacks_hurt_nobody(handle, store):
    """A callback that blocks or raises stops neither the replica nor another callback."""
    sales, heard, gate = handle(), threading.Event(), threading.Event()

    def blocking(_):
        gate.wait(3.0)
        raise RuntimeError("as callbacks do")

    with sales.on_change(blocking), sales.on_change(lambda _: heard.set()):
        store.commit([Write("sales", "n", b'{"x": 2}', ANY)])
        kept = heard.wait(1.0)
        gate.set()
    check(kept)


def deliver_on_the_readers_thread(monkeypatch):
    """Call back where the notice is published."""

    def publish(self, notice):
        for subscriber in self._subscribers:
            for event in subscriber.interest.events(notice):
                try:
                    subscriber._callback(event)
                except RuntimeError:
                    continue

    monkeypatch.setattr(events.Hub, "publish", publish)


test_6_callbacks_hurt_nobody = with_control(callbacks_hurt_nobody, deliver_on_the_readers_thread)


# --- 7 -------------------------------------------------------------------------------------------------


def the_unreadable_is_left_alone(handle, store):
    """What cannot be read raises with its place, and is never written back."""
    store.commit([Write("sales", "n", b"{broken", ANY)])
    sales = handle()
    for call in (lambda: sales["n"], lambda: sales.set("n", "x", 1)):
        try:
            call()
        except UnreadableDocument as error:
            check("sales/n" in str(error))
        else:
            sales.persist()
    check(store.read("sales", ["n"])["n"].data == b"{broken")


def read_as_empty(monkeypatch):
    """Take what cannot be read for an empty document, as in 2021."""
    decode = codec.decode

    def lenient(data, **place):
        try:
            return decode(data, **place)
        except UnreadableDocument:
            return {}

    monkeypatch.setattr(view, "decode", lenient)


test_7_the_unreadable_is_left_alone = with_control(the_unreadable_is_left_alone, read_as_empty)


# --- 8 -------------------------------------------------------------------------------------------------

IMPORT = """
import sys, threading
{before}
import confo
print([m for m in ("pluggy", "importlib_metadata", "grpc", "json", "confo_memory") if m in sys.modules])
print(threading.active_count())
"""


@pytest.mark.parametrize("before", ["", "import pluggy, confo_memory"], ids=["kept", "control"])
def test_8_importing_starts_nothing(before):
    """Importing confo imports no plugin machinery, no driver and no backend, and starts no thread."""
    code = IMPORT.format(before=before)
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert (shown.stdout == "[]\n1\n") is (before == "")


FORK = """
import faulthandler, os, sys, threading
{before}
from confo import Confo
config = Confo()
config.load_backend({{"store": "s"}}, "m", "memory")
config.activate_backend("m")
config.create_namespace("sales")
config.use_namespace("sales")
config.set("n", "x", 1)
config.persist()
done = threading.Event()
def busy():
    while not done.is_set():
        config.namespace("sales").reload()
threads = [threading.Thread(target=busy) for _ in range(2)]
[t.start() for t in threads]
codes = []
for _ in range({forks}):
    pid = os.fork()
    if pid == 0:
        faulthandler.dump_traceback_later(2, exit=True, file=open(os.devnull, "w"))
        ok = config.get("n", "x") == 1 and config.namespace("sales").get("n") == {{"x": 1}}
        config.set("n", "y", 1)
        ok = ok and config.persist() is not None
        os._exit(0 if ok else 1)
    codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    if codes[-1]:
        break
done.set()
[t.join() for t in threads]
print(any(codes))
config.close()
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize(
    ("before", "forks"), [("", 20), ("os.register_at_fork = lambda **_: None", 500)], ids=["kept", "control"]
)
def test_8_a_forked_child_works(before, forks):
    """A child forked while other threads change the view reads, stages and commits."""
    code = FORK.format(before=before, forks=forks)
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=58, check=False)
    assert (shown.stdout.strip() == "False") is (not before), shown.stderr


# --- 9 -------------------------------------------------------------------------------------------------


def following_never_gives_up(handle, store):
    """However often the store fails, following goes on, with pauses within their bounds."""
    sales = handle()
    for _ in range(5):
        sales.faults.go_down()
        sales.faults.come_back()
        revision = store.commit([Write("sales", "n", b'{"x": 2}', ANY)])
        check(sales.wait_for(revision))
    check(all(0 <= replica.pause(n, 0.5) <= 2.5 for n in range(100)))


def give_up(monkeypatch):
    """End at the first failure."""

    def once(self):
        try:
            self._read()
        except Exception as error:
            self._lost(State.ERROR, error)

    monkeypatch.setattr(replica.Replica, "_follow", once)


test_9_following_never_gives_up = with_control(following_never_gives_up, give_up)


# --- 10 ------------------------------------------------------------------------------------------------

SECRET = "hunter2"


def no_value_is_told(handle, store):
    """No value of a document is in a log line, a repr or an error's text."""
    texts = []

    class Keep(logging.Handler):
        def emit(self, record):
            texts.append(record.getMessage())

    keep, logger = Keep(), logging.getLogger("confo")
    logger.addHandler(keep)
    mine, theirs = handle(follow=False), handle(follow=False)
    mine.set("n", "x", SECRET)
    theirs.set("n", "x", SECRET + "!")
    texts += map(repr, (mine, mine.diff(), mine.diff()[0], mine.snapshot(), mine._replica.view.drafts))
    texts += [repr(theirs.persist())]
    for call in (
        mine.persist,
        lambda: mine.get("n", "nope"),
        lambda: mine.set("n", "x", {SECRET}),
        lambda: mine.get(SECRET[:0] or "nope"),
    ):
        try:
            call()
        except Exception as error:
            texts.append(f"{error} {error!r} {error.__cause__}")
    store.commit([Write("sales", "bad", b'{"a": "hunter2"', ANY)])
    mine.reload()
    try:
        mine["bad"]
    except UnreadableDocument as error:
        texts.append(str(error))
    logger.removeHandler(keep)
    check(len(texts) >= 10 and not [text for text in texts if SECRET in text], texts)


def quote_values(monkeypatch):
    """Show a draft's documents in the error of a conflict."""
    conflict = commits._conflict

    def quoting(lost):
        error = conflict(lost)
        error.args = (f"{error} ({lost[0].mine!r})",)
        return error

    monkeypatch.setattr(commits, "_conflict", quoting)


test_10_no_value_is_told = with_control(no_value_is_told, quote_values)


def test_the_process_wide_object_is_not_touched():
    """None of these tests loads anything into the process's own Confo."""
    assert Confo().get_backends()["all_backends"] == []
