"""The live core on memory: pushed changes, events, status, closing, asyncio."""

from __future__ import annotations

import asyncio
import functools
import logging
import re
import sys
import threading
import time

import pytest

from confo import (
    ANY,
    BackendUnavailable,
    Confo,
    InvalidCallback,
    InvalidName,
    InvalidOption,
    NotSupported,
    State,
    Write,
)
from confo.codec import decode
from confo_memory import MemoryBackend

SECONDS = 10.0


class Heard:
    """Collects events and lets a test wait for them."""

    def __init__(self):
        self.events = []
        self._news = threading.Condition()

    def __call__(self, event):
        with self._news:
            self.events.append(event)
            self._news.notify_all()

    def wait_for(self, count):
        """Return the events once there are so many."""
        with self._news:
            assert self._news.wait_for(lambda: len(self.events) >= count, SECONDS), self.events
        return self.events

    def wait_for_all(self, *kinds):
        """Return the events once one of each kind is there; there may be others between."""
        with self._news:
            assert self._news.wait_for(lambda: set(kinds) <= {one.kind for one in self.events}, SECONDS), self.events
        return self.events


def put(store, namespace="sales", /, **documents):
    """Write around Confo, as another tool would: None deletes."""
    writes = [Write(namespace, name, data, ANY) for name, data in documents.items()]
    return store.commit(writes)


# --- following ---------------------------------------------------------------------------------------


def test_changes_are_pushed(sales, theirs):
    """What one process persists, another reads without asking the store."""
    commit = theirs_commit = None
    theirs.set("database", {"host": "a", "port": 1})
    commit = theirs.persist()
    assert sales.wait_for(commit.revision)
    assert sales["database"] == {"host": "a", "port": 1}
    theirs.set("database", "host", "b")
    theirs_commit = theirs.persist()
    assert sales.wait_for(theirs_commit.revision)
    assert sales.get("database", "host") == "b"
    theirs.delete("database")
    assert sales.wait_for(theirs.persist().revision)
    assert "database" not in sales


def test_a_change_from_outside_rebases_drafts(sales, theirs):
    """A draft is laid over what others commit, field by field, at once."""
    sales.set("database", {"host": "a", "port": 1})
    revision = sales.persist().revision
    assert theirs.wait_for(revision)
    sales.set("database", "host", "mine")
    theirs.set("database", "port", 2)
    assert sales.wait_for(theirs.persist().revision)
    assert sales["database"] == {"host": "mine", "port": 2}
    assert sales.diff()[0].fields == ("host",)


def test_an_own_commit_is_followed_before_persist_returns(sales):
    """After persist() the process reads at the commit's revision: its own writes, and all before them."""
    for number in range(50):
        sales.set("database", "n", number)
        commit = sales.persist()
        assert sales.status().revision >= commit.revision
        assert sales.snapshot().entries["database"].revision == commit.revision


def test_edits_made_while_a_commit_is_under_way_stay_edits(config, sales, store, monkeypatch):
    """What is staged while persist() waits for the store is an edit of what was sent, not a conflict with it."""
    backend = config._loaded["store"].backend.inner
    commit = backend.commit

    def slowly(writes):
        revision = commit(writes)
        assert sales.wait_for(revision)
        sales.set("database", "host", "second")
        return revision

    monkeypatch.setattr(backend, "commit", slowly)
    sales.set("database", "host", "first")
    sales.persist()
    monkeypatch.undo()
    assert sales["database"] == {"host": "second"}
    assert store.load("sales")["database"] == {"host": "first"}
    sales.persist()
    assert store.load("sales")["database"] == {"host": "second"}


def test_follow_false_reads_once(credentials, config, store):
    """follow=False is the one-time read of 2021: no thread, no pushed change, reload() reads again."""
    put(store, database=b'{"host": "a"}')
    before = set(threading.enumerate())
    with Confo("once") as once:
        once.load_backend(credentials, "m", "memory", follow=False)
        once.activate_backend("m")
        once.use_namespace("sales")
        assert {one.name for one in set(threading.enumerate()) - before} <= {"confo-call"}
        put(store, database=b'{"host": "b"}')
        assert once.get("database", "host") == "a"
        once.reload()
        assert once.get("database", "host") == "b"
        with pytest.raises(NotSupported, match="sales on m is not followed"):
            once.namespace("sales").on_change(print)


def test_a_namespace_is_followed_from_its_first_use(config):
    """Loading a backend starts no thread; the first use of a namespace starts one, the second none."""
    config.create_namespace("analytics")
    names = [thread.name for thread in threading.enumerate()]
    assert "confo-follow-analytics" not in names
    config.namespace("analytics")
    config.namespace("analytics")
    assert [thread.name for thread in threading.enumerate()].count("confo-follow-analytics") == 1


def test_readers_never_see_half_a_commit(sales, theirs):
    """While commits of two documents arrive, a reader that sees the new first sees the new second."""
    sales.set("a", "n", 0)
    sales.set("b", "n", 0)
    sales.persist()
    halves, done = [], threading.Event()

    def read():
        while not done.is_set():
            first = theirs.get("a", "n", default=-1)
            if theirs.get("b", "n", default=-1) < first:
                halves.append(first)
            snapshot = theirs.snapshot()
            if snapshot.get("a") != snapshot.get("b"):
                halves.append(snapshot.revision)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for number in range(1, 200):
        sales.set("a", "n", number)
        sales.set("b", "n", number)
        sales.persist()
    done.set()
    for reader in readers:
        reader.join()
    assert halves == []


# --- events ------------------------------------------------------------------------------------------


def test_events_come_in_order_with_everything(sales, theirs):
    """An event tells place, documents, revision and origin; events come in the order of revisions."""
    heard = Heard()
    with sales.on_change(heard):
        theirs.set("database", {"host": "a"})
        first = theirs.persist()
        assert sales.wait_for(first.revision)
        sales.set("database", "host", "b")
        second = sales.persist()
        assert theirs.wait_for(second.revision)
        theirs.delete("database")
        third = theirs.persist()
        events = heard.wait_for(3)
    assert [(e.kind, e.namespace, e.configuration) for e in events] == [("changed", "sales", "database")] * 3
    assert [(e.old, e.new) for e in events] == [
        (None, {"host": "a"}),
        ({"host": "a"}, {"host": "b"}),
        ({"host": "b"}, None),
    ]
    assert [e.revision for e in events] == [first.revision, second.revision, third.revision]
    assert [e.origin for e in events] == ["foreign", "own", "foreign"]
    assert [e.coalesced for e in events] == [1, 1, 1]
    assert events[1].fields == ("host",)


def test_a_subscription_hears_what_it_asked_for(sales, theirs):
    """config= and field= narrow what is heard to one configuration, to one field."""
    everything, database, host = Heard(), Heard(), Heard()
    with (
        sales.on_change(everything),
        sales.on_change(database, config="database"),
        sales.on_change(host, config="database", field="host"),
    ):
        for config, field, value in (
            ("api", "port", 1),
            ("database", "port", 1),
            ("database", "host", "a"),
            ("database", "host", None),
        ):
            theirs.set(config, field, value)
            theirs.persist()
        everything.wait_for(4)
        assert [e.fields for e in database.wait_for(3)] == [("port",), ("host",), ("host",)]
        assert [e.new["host"] for e in host.wait_for(2)] == ["a", None]
    assert [e.configuration for e in everything.events] == ["api", "database", "database", "database"]


def test_a_path_is_listened_to(sales, theirs):
    """field= may be a path into nested objects: what changes beside it is not heard, what it lies in is."""
    size = Heard()
    with sales.on_change(size, "database", ("opts", "pool", "size")) as subscription:
        for value in ({"pool": {"size": 1}}, {"pool": {"size": 1, "most": 2}}, {"pool": 5, "x": 1}, {"pool": 5}, {}):
            theirs.set("database", "opts", value)
            theirs.set("database", "host", len(value))
            assert sales.wait_for(theirs.persist().revision, SECONDS)
            assert sales.drain(SECONDS)
        assert "('opts', 'pool', 'size')" in repr(subscription)
    assert [event.paths for event in size.events] == [
        (("opts",), ("host",)),
        (("opts", "pool"), ("opts", "x"), ("host",)),
    ]
    for wrong in (["opts"], (), ("opts", 1)):
        with pytest.raises(InvalidName, match="a field is a str, or a tuple of str"):
            sales.on_change(size, "database", wrong)
    with pytest.raises(InvalidName, match=r"field \('opts', 'x'\) of which configuration"):
        sales.changes(field=("opts", "x"))


def test_an_equal_value_makes_no_event(sales, store):
    """Writing what is there already, however it is spelled, is no event."""
    heard = Heard()
    put(store, database=b'{"host": "a", "port": 1}')
    with sales.on_change(heard):
        put(store, database=b'{"port":1.0,"host":"\\u0061"}')
        put(store, database=b'{"port":1,"host":"b"}')
        heard.wait_for(1)
    assert [event.fields for event in heard.events] == [("host",)] or heard.events[0].old is None


def test_one_commit_of_several_configurations(sales, theirs):
    """A commit of several configurations is an event for each, of one revision."""
    heard = Heard()
    with sales.on_change(heard):
        theirs.set("a", "n", 1)
        theirs.set("b", "n", 1)
        revision = theirs.persist().revision
        assert [(e.configuration, e.revision) for e in heard.wait_for(2)] == [("a", revision), ("b", revision)]


def test_a_callback_may_do_anything(sales, theirs, caplog):
    """A callback that raises or blocks hurts nobody else; the text of its error, which may quote, is not logged."""
    heard, gate = Heard(), threading.Event()

    def raising(event):
        raise RuntimeError(f"secret: {event.new}")

    def blocking(event):
        gate.wait(SECONDS)

    def writing(event):
        if event.configuration == "source":
            sales.set("copy", "n", event.new["n"])
            sales.persist()

    with (
        caplog.at_level(logging.ERROR, "confo"),
        sales.on_change(raising),
        sales.on_change(blocking),
        sales.on_change(writing),
        sales.on_change(heard, config="copy"),
    ):
        for number in range(5):
            theirs.set("source", "password", "hunter2")
            theirs.set("source", "n", number)
            theirs.persist()
        while heard.wait_for(1)[-1].new != {"n": 4}:
            heard.wait_for(len(heard.events) + 1)
        gate.set()
    assert re.search(r"the callback \S*raising \(.*test_live.py:\d+\) raised RuntimeError on <Event", caplog.text)
    assert "in raising" in caplog.text  # a frame of its traceback
    assert "hunter2" not in caplog.text


def test_a_callback_may_end_its_own_subscription(sales, theirs):
    """close() from within the callback ends it after this event."""
    heard = Heard()

    def once(event):
        heard(event)
        subscription.close()

    subscription = sales.on_change(once)
    everything = Heard()
    with sales.on_change(everything):
        for number in range(3):
            theirs.set("a", "n", number)
            theirs.persist()
        everything.wait_for(3)
    assert len(heard.wait_for(1)) == 1
    assert "closed" in repr(subscription)


def test_close_from_a_callback(credentials, sales, theirs):
    """config.close() may be called by a callback, and leaves nothing running."""
    config = Confo("closer")
    config.load_backend(credentials, "m", "memory")
    config.activate_backend("m")
    closed = threading.Event()

    def close(event):
        config.close()
        closed.set()

    config.namespace("sales").on_change(close)
    theirs.set("a", "n", 1)
    theirs.persist()
    assert closed.wait(SECONDS)
    assert config.get_backends()["all_backends"] == []


def test_a_slow_callback_gets_fewer_events_that_say_so(sales, store):
    """Beyond its capacity a mailbox keeps one notice a configuration, from the first old to the last new document."""
    from confo.events import CAPACITY

    store.store._limit = 10 * CAPACITY  # so that the watch cannot fall behind what the store remembers

    gate, started, heard = threading.Event(), threading.Event(), Heard()

    def slow(event):
        started.set()
        assert gate.wait(SECONDS)
        heard(event)

    with sales.on_change(slow):
        put(store, first=b'{"n": 0}')
        assert started.wait(SECONDS)
        last = None
        for number in range(CAPACITY + 10):
            last = put(store, **{f"n{number % 2}": b'{"n": %d}' % number})
        assert sales.wait_for(last)
        gate.set()
        while sum(event.coalesced for event in heard.wait_for(1)) < CAPACITY + 11:
            heard.wait_for(len(heard.events) + 1)
    assert len(heard.events) < 50
    assert max(event.coalesced for event in heard.events) > 100
    state = {event.configuration: event.new for event in heard.events}
    assert state == dict(sales)
    revisions = [event.revision for event in heard.events]
    assert revisions == sorted(revisions)
    for name in ("n0", "n1"):
        mine = [event for event in heard.events if event.configuration == name]
        assert [event.old for event in mine[1:]] == [event.new for event in mine[:-1]]


def test_a_field_without_its_configuration(sales):
    """field= without config= is a mistake and said to be one; so is a name that is none."""
    with pytest.raises(InvalidName, match="of which configuration"):
        sales.on_change(print, field="host")
    with pytest.raises(InvalidName):
        sales.on_change(print, config="../x")


# --- asyncio -----------------------------------------------------------------------------------------


def test_changes_as_an_asynchronous_iterator(sales, theirs):
    """changes() gives the same events in asyncio, without a thread of its own, and ends with aclose()."""

    async def main():
        threads = set(threading.enumerate())
        async with sales.changes(config="a") as changes:
            assert {one.name for one in set(threading.enumerate()) - threads} <= {"confo-call"}
            heard = []
            for number in range(3):
                theirs.set("a", "n", number)
                theirs.set("b", "n", number)
                await theirs.apersist(message="from asyncio")
                heard.append((await asyncio.wait_for(anext(changes), SECONDS)).new["n"])
        assert [event async for event in changes] == []
        return heard

    assert asyncio.run(main()) == [0, 1, 2]


def test_waiting_calls_in_asyncio(credentials, config):
    """What waits has an asynchronous form that shares its code: loading, persisting, closing."""

    async def main():
        other = Confo("asyncio")
        await other.aload_backend(credentials, "m", "memory", history=False)
        other.activate_backend("m")
        other.use_namespace("sales")
        other.set("a", "n", 1)
        commit = await other.apersist(message="m")
        await other.aclose()
        return commit

    commit = asyncio.run(main())
    assert config.namespace("sales").wait_for(commit.revision)
    assert config.get("a", "n") == 1


def test_a_loop_that_was_closed(sales, theirs):
    """An iterator whose event loop is gone is dropped, and hurts nobody."""

    async def main():
        return sales.changes()

    changes = asyncio.run(main())
    theirs.set("a", "n", 1)
    assert sales.wait_for(theirs.persist().revision)
    assert changes not in sales._replica.hub._subscribers
    assert sales["a"] == {"n": 1}


# --- status and closing ------------------------------------------------------------------------------


def test_status_and_health(config, sales):
    """status() tells state, revision, age, source and error; health() the same of all as plain data."""
    revision = sales.snapshot().revision
    status = sales.status()
    assert (status.state, status.revision, status.source, status.error) == (State.READY, revision, "server", None)
    assert 0 <= status.age < 60
    health = config.health()
    assert health["ready"] is True
    assert health["backends"]["store"]["kind"] == "memory"
    assert health["backends"]["store"]["namespaces"]["sales"]["state"] == "READY"
    config.close()
    assert sales.status().state is State.CLOSED
    assert config.health() == {"ready": True, "serving": True, "backends": {}}


def test_closing_leaves_nothing(credentials, config):
    """close() ends every thread within its bound, also while a callback does not return."""
    gate, started = threading.Event(), threading.Event()
    before = set(threading.enumerate())

    def stuck(event):
        started.set()
        gate.wait(SECONDS)

    with Confo("stuck") as other:
        other.load_backend(credentials, "m", "memory")
        other.activate_backend("m")
        other.namespace("sales").on_change(stuck)
        other.namespace("sales").set("a", "n", 1)
        other.namespace("sales").persist()
        assert started.wait(SECONDS)
    left = {thread.name for thread in set(threading.enumerate()) - before}
    assert left == {"confo-callback-sales"}
    gate.set()


def test_a_backend_closed_under_the_replica(config, sales):
    """When the backend is closed by somebody else, following ends, reads go on, and the status says so."""
    sales.set("a", "n", 1)
    sales.persist()
    config._loaded["store"].backend.inner.close()
    sales._replica._thread.join(SECONDS)
    assert not sales._replica._thread.is_alive()
    assert sales["a"] == {"n": 1}
    assert sales.status().state is State.CLOSED


def test_reading_in_a_signal_handler_and_a_finalizer(sales):
    """A finalizer that runs while this very thread holds the view's lock can read, stage and persist."""

    class Finalized:
        def __del__(self):
            results.append(sales.get("a", "n"))
            sales.set("b", "n", 1)
            sales.persist()

    results = []
    sales.set("a", "n", 1)
    sales.persist()
    with sales._replica.view.lock, sales._replica.persisting:
        thing = Finalized()
        del thing
    assert results == [1]
    assert sales["b"] == {"n": 1}


def test_split_persist(config, sales, store, monkeypatch):
    """split=True commits more than the backend takes at once as several commits; after an error it goes on."""
    from confo import TooLarge

    backend = config._loaded["store"].backend.inner
    small = backend.capabilities
    monkeypatch.setattr(backend, "capabilities", _with_writes(small, 11))
    for number in range(25):
        sales.set(f"n{number:02}", "x", number)
    with pytest.raises(TooLarge):
        sales.persist()
    commits = sales.persist(split=True, message="many")
    assert [len(commit.changes) for commit in commits] == [10, 10, 5]
    assert {commit.message for commit in commits} == {"many"}
    assert len({commit.op_id for commit in commits}) == 3
    assert sales.persist(split=True) == []

    for number in range(25):
        sales.set(f"n{number:02}", "x", -number - 1)
    calls, commit = [], backend.commit

    def failing(writes):
        calls.append(len(writes))
        if len(calls) == 2:
            raise BackendUnavailable("not now")
        return commit(writes)

    monkeypatch.setattr(backend, "commit", failing)
    with pytest.raises(BackendUnavailable, match="not now"):
        sales.persist(split=True)
    assert len(sales.staged) == 15
    assert [len(commit.changes) for commit in sales.persist(split=True)] == [10, 5]
    assert decode(store.read("sales", ["n24"])["n24"].data, namespace="", configuration="") == {"x": -25}


def _with_writes(capabilities, most):
    import dataclasses

    return dataclasses.replace(capabilities, atomic_writes=most)


def test_two_stores_do_not_mix(config):
    """Namespaces of one name in two backends are two namespaces."""
    config.load_backend({}, "second", "memory")
    backend = config._loaded["second"].backend.inner
    assert isinstance(backend, MemoryBackend)
    backend.create_namespace("sales")
    config.namespace("sales", backend="second").set("a", "n", 2)
    config.namespace("sales", backend="second").persist()
    assert "a" not in config.namespace("sales", backend="store")


async def async_function(event):
    """Be what nobody runs."""


class AsyncCallable:
    """Is called, and what it returns is never run."""

    async def __call__(self, event):
        """Be what nobody runs."""


@pytest.mark.parametrize(
    ("callback", "says"),
    [
        ("x", "not str"),
        (None, "not NoneType"),
        (async_function, r"async_function \(.*test_live.py:\d+\) is async.*namespace.changes"),
        (functools.partial(async_function), "is async"),
        (AsyncCallable(), "AsyncCallable is async"),
        (lambda: None, "must take one argument, the event: it takes \\(\\)"),
        (lambda old, new: None, "must take one argument, the event: it takes \\(old, new\\)"),
    ],
    ids=["text", "None", "async", "partial async", "async callable", "no argument", "two arguments"],
)
def test_what_cannot_be_called_back_is_refused_at_once(sales, callback, says):
    """on_change refuses what could never be called with one event, by name: a TypeError and a ValueError."""
    callbacks = [thread for thread in threading.enumerate() if thread.name.startswith("confo-callback")]
    for kind in (InvalidCallback, TypeError, ValueError):
        with pytest.raises(kind, match=says):
            sales.on_change(callback)
    assert [thread for thread in threading.enumerate() if thread.name.startswith("confo-callback")] == callbacks


def test_a_callback_that_exits_is_told_and_called_again(sales, caplog):
    """sys.exit() in a callback cannot end the process: the log says what can, and the next event comes."""
    seen = []

    def exiting(event):
        seen.append(event.new["n"])
        sys.exit(3)

    with sales.on_change(exiting) as subscription:
        for number in range(2):
            sales.set("database", "n", number)
            assert subscription.wait_for(sales.persist().revision, SECONDS)
    assert seen == [0, 1]
    assert caplog.text.count("os.kill(os.getpid(), signal.SIGTERM) can") == 2


def test_a_coroutine_that_nobody_runs_is_told(sales, caplog):
    """A callback that returns a coroutine, such as a lambda around an async function, is named in the log."""
    with sales.on_change(lambda event: async_function(event)):
        sales.set("database", "n", 1)
        sales.persist()
        assert sales.drain(SECONDS)
    assert "returned a coroutine, which nobody runs" in caplog.text


def test_callbacks_can_be_waited_for(sales):
    """After persist(), drain() returns when every callback has run for the commit: 300 times out of 300."""
    seen = []
    with sales.on_change(seen.append), sales.on_change(lambda event: None):
        for number in range(300):
            sales.set("database", "n", number)
            sales.persist()
            assert sales.drain(SECONDS)
            assert len(seen) == number + 1


def test_a_subscription_waits_for_a_revision_of_others(sales, theirs):
    """wait_for(revision) returns when the callback has run for what another process committed at that revision."""
    seen = []
    with sales.on_change(seen.append) as subscription:
        theirs.set("database", "n", 1)
        revision = theirs.persist().revision
        assert subscription.wait_for(revision, SECONDS)
        assert [event.revision for event in seen] == [revision]
        assert subscription.wait_for(revision + 10_000, 0.01) is False


def test_closing_may_deliver_what_waits(sales):
    """close(drain=True) ends a subscription after its callback has run for everything that was told."""
    gate, seen = threading.Event(), []

    def slow(event):
        gate.wait(SECONDS)
        seen.append(event.new["n"])

    subscription = sales.on_change(slow)
    for number in range(5):
        sales.set("database", "n", number)
        sales.persist()
    threading.Timer(0.05, gate.set).start()
    subscription.close(drain=True, timeout=SECONDS)
    assert seen == [0, 1, 2, 3, 4]
    assert subscription.drain(SECONDS)


def test_waiting_ends_with_the_subscription(sales):
    """Who waits for a callback that never ends waits no longer than the subscription lives."""
    gate = threading.Event()
    subscription = sales.on_change(lambda event: gate.wait(SECONDS))
    sales.set("database", "n", 1)
    sales.persist()
    threading.Timer(0.05, gate.set).start()
    threading.Timer(0.02, subscription.mailbox.close).start()
    began = time.monotonic()
    subscription.drain(SECONDS)
    assert time.monotonic() - began < SECONDS / 2
    subscription.close()


def test_a_callback_cannot_wait_for_itself(sales):
    """wait_for() and drain() of a subscription in its own callback are an error, and not a wait without end."""
    errors = []

    def waits(event):
        for call in (subscription.drain, lambda: subscription.wait_for(event.revision)):
            try:
                call()
            except NotSupported as error:
                errors.append(str(error))

    with sales.on_change(waits) as subscription:
        sales.set("database", "n", 1)
        sales.persist()
        assert subscription.drain(SECONDS)
    assert ["wait for its own end" in error for error in errors] == [True, True]


def test_kinds_of_events_are_asked_for(sales):
    """A callback hears of documents; a misspelt kind is refused with the nearest one."""
    with pytest.raises(
        InvalidOption, match=r"no kind of event 'steal': did you mean 'stale'\?; kinds: changed, resync"
    ):
        sales.on_change(print, kinds=["steal"])
    with sales.on_change(print) as plain, sales.on_change(print, kinds="stale") as one:
        assert plain.interest.kinds == ("changed", "resync")
        assert one.interest.kinds == ("stale",)
