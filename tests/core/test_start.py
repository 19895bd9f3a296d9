"""Starting with the store up, down, silent, refusing and replaced: what is served, and what is said about it."""

from __future__ import annotations

import contextlib
import logging
import math
import threading
import uuid

import pytest

import confo
from confo import (
    AuthenticationFailed,
    Backend,
    Backends,
    BackendUnavailable,
    Batch,
    Capabilities,
    Closed,
    Confo,
    InvalidOption,
    Namespace,
    NamespaceNotFound,
    NotReadyError,
    NotSupported,
    PermissionDenied,
    State,
    Write,
)
from confo.first import time_travel
from confo.guarded import GuardedBackend
from confo.opening import UNKNOWN, OpeningBackend, Silence
from confo.start import Start, attempt, open_by, parse, within
from confo_memory import MemoryBackend
from confo_testkit.faults import FaultyBackend
from tests.core.outages import SECONDS, Outage
from tests.core.test_live import Heard

LAST_KNOWN_GOOD = "last-known-good"


@pytest.fixture
def outage():
    """Return a store with one configuration in its namespace "sales", which can be taken down."""
    outage = Outage()
    outage.put(database=b'{"host": "secret-1"}')
    yield outage
    outage.come_back()


@pytest.fixture
def cache(tmp_path):
    """Return the folder of the cache, which is not there yet."""
    return tmp_path / "cache"


@pytest.fixture
def start(outage, cache):
    """Return a function that starts a program: its Confo, with the store loaded and active."""
    with contextlib.ExitStack() as programs:

        def begin(start=LAST_KNOWN_GOOD, **options) -> Confo:
            config = programs.enter_context(Confo(uuid.uuid4().hex))
            config.load_backend({}, "store", outage.kind, start=start, **{"cache": cache, **options})
            config.activate_backend("store")
            return config

        yield begin
        outage.come_back()


@pytest.fixture
def known(start):
    """Have had a program run before, so that there is something to fall back to."""
    with start() as config:
        config.use_namespace("sales")


def ready(sales):
    """Wait until the namespace is followed."""
    with sales._replica._progress:
        assert sales._replica._progress.wait_for(lambda: sales.status().state is State.READY, SECONDS), sales


# --- last-known-good ---------------------------------------------------------------------------------


def test_the_first_value_with_the_store_down(start, known, outage):
    """A program starts while the store is down, reads what was last known, and says that it is stale and how old."""
    outage.refuse()
    config = start()
    config.use_namespace("sales")
    assert config.get("database", "host") == "secret-1"
    sales = config.namespace("sales")
    status = sales.status()
    assert (status.state, status.source) == (State.STALE, "cache")
    assert 0 <= status.age < 60
    assert "BackendUnavailable: nobody is there" in status.error
    snapshot = sales.snapshot()
    assert snapshot.source == "cache"
    assert snapshot.age >= status.age
    health = config.health()
    assert (health["ready"], health["serving"]) == (False, True)
    assert health["backends"]["store"]["namespaces"]["sales"]["source"] == "cache"
    assert "STALE" in repr(sales)


def test_it_catches_up_by_itself(start, known, outage):
    """When the store returns the copy becomes the store's: what differs is one resync, and one ready event tells."""
    outage.refuse()
    heard = Heard()
    sales = start().namespace("sales")
    with sales.on_change(heard, kinds="all"):
        revision = outage.put(database=b'{"host": "second"}', api=b"{}")
        outage.come_back()
        resync, back = heard.wait_for(2)
        assert (resync.kind, set(resync.configurations)) == ("resync", {"database", "api"})
        assert (back.kind, back.revision) == ("ready", revision)
        assert sales.get("database", "host") == "second"
        status = sales.status()
        assert (status.state, status.source, status.error) == (State.READY, "server", None)
        assert sales.snapshot().source == "server"
        later = outage.put(api=b'{"port": 1}')
        assert sales.wait_for(later)
        assert [event.kind for event in heard.wait_for(3)] == ["resync", "ready", "changed"]


def test_nothing_changed_meanwhile(start, known, outage):
    """Where nothing changed while it was away, ready is all there is to tell."""
    outage.refuse()
    heard = Heard()
    sales = start().namespace("sales")
    with sales.on_change(heard, kinds="all"):
        outage.come_back()
        assert [event.kind for event in heard.wait_for(1)] == ["ready"]
        assert sales.status().source == "server"


def test_a_store_that_is_there_is_asked(start, known, outage):
    """With the store up nothing comes out of the cache, however the program was told to start."""
    outage.put(database=b'{"host": "second"}')
    sales = start().namespace("sales")
    assert sales["database"] == {"host": "second"}
    assert sales.status().source == "server"


def test_nothing_known_yet(start, outage):
    """Without anything kept a namespace is not ready, which is said with its name, and can be asked for again."""
    outage.refuse()
    config = start()
    with pytest.raises(NotReadyError, match=r"sales on store is not ready: .*nothing was kept of it before") as caught:
        config.use_namespace("sales")
    assert isinstance(caught.value, BackendUnavailable)
    assert caught.value.namespace == "sales"
    outage.come_back()
    config.use_namespace("sales")
    assert config.get("database", "host") == "secret-1"


def test_a_store_that_does_not_answer(start, known, outage):
    """A store that takes connections and says nothing is waited for as long as was asked, once, and not for ever."""
    outage.fall_silent()
    config = start(timeout=0.1)
    config.use_namespace("sales")
    assert config.get("database", "host") == "secret-1"
    assert "no answer within 0.1 seconds" in config.namespace("sales").status().error
    outage.come_back()
    ready(config.namespace("sales"))


def test_a_load_that_does_not_answer(start, known, outage, caplog):
    """A store that was opened and then hangs in the load is waited for no longer either."""
    config = start(timeout=0.1)
    with outage.opened[-1].delay("load") as delay:
        config.use_namespace("sales")
        delay.wait_until_reached()
    assert "sales on store begins with what was kept of it: cannot load sales of store: no answer" in caplog.text
    ready(config.namespace("sales"))


def test_a_store_lost_between_opening_and_loading(start, known, outage):
    """What goes down after it was opened is stood in for as well."""
    config = start()
    outage.refuse()
    sales = config.namespace("sales")
    assert sales.status().source == "cache"
    outage.come_back()
    ready(sales)


def test_what_the_store_says_is_not_overruled(start, known, outage):
    """A namespace that the store says is not there is not served out of the cache."""
    outage.tool.delete_namespace("sales")
    with pytest.raises(NamespaceNotFound):
        start().namespace("sales")


def test_wrong_credentials_are_said_at_once(start, known, outage):
    """A store that refuses the user is no store that is down."""
    outage.refuse(AuthenticationFailed("who are you"))
    with pytest.raises(AuthenticationFailed, match="who are you"):
        start()


def test_wrong_credentials_that_show_later(start, known, outage):
    """What the store says of the credentials when it is back is in the status."""
    outage.refuse()
    sales = start().namespace("sales")
    outage.refuse(AuthenticationFailed("who are you"))
    with sales._replica._progress:
        sales._replica._progress.wait_for(lambda: sales.status().state is State.ERROR, SECONDS)
    assert sales.status().error == "AuthenticationFailed: who are you"
    assert sales.get("database", "host") == "secret-1"


def test_a_program_without_a_cache_keeps_nothing(start, outage, tmp_path):
    """Off unless asked for: a program that did not ask leaves no file."""
    start("require", cache=None).use_namespace("sales")
    assert list(tmp_path.rglob("*")) == []


def test_a_cache_alone_is_kept_and_not_served(start, cache, outage):
    """cache= without last-known-good keeps each namespace for others, and itself requires the store."""
    with start("require") as config:
        config.use_namespace("sales")
    assert len(list(cache.glob("sales-*.cache"))) == 1
    outage.refuse()
    with pytest.raises(BackendUnavailable):
        start("require")


# --- editing meanwhile -------------------------------------------------------------------------------


def test_persisting_while_the_store_is_down(start, known, outage):
    """An edit waits: persist() says that the store is unavailable, the draft stays, and goes out when it is back."""
    outage.refuse()
    sales = start().namespace("sales")
    sales.set("database", "port", 1)
    with pytest.raises(BackendUnavailable):
        sales.persist()
    assert sales["database"] == {"host": "secret-1", "port": 1}
    outage.come_back()
    ready(sales)
    assert sales.persist() is not None
    assert outage.tool.load("sales")["database"] == {"host": "secret-1", "port": 1}


def test_a_commit_is_not_guarded_by_the_cache(start, known, outage):
    """A revision of a store of before means nothing in another one: a first commit looks at the store first."""
    known_revision = outage.tool.load("sales").entries["database"].revision
    outage.refuse()
    sales = start(follow=False).namespace("sales")
    outage.replace()
    outage.set_back(known_revision, database=b'{"host": "theirs", "port": 5432}')
    sales.set("database", "user", "me")
    outage.come_back()
    sales.persist()
    assert outage.tool.load("sales")["database"] == {"host": "theirs", "port": 5432, "user": "me"}


# --- require and wait --------------------------------------------------------------------------------


def test_require_raises(start, outage):
    """The default requires the store: what it raises is raised."""
    outage.refuse()
    with pytest.raises(BackendUnavailable, match="nobody is there"):
        start("require")


def test_require_within_a_time(start, outage):
    """timeout= bounds how long an opening and a load may take; a backend that comes late is closed again."""
    outage.fall_silent()
    with pytest.raises(BackendUnavailable, match="no answer within 0.1 seconds"):
        start("require", timeout=0.1)
    outage.come_back()
    config = start("require", timeout=SECONDS)
    slow = config._loaded["store"]
    slow._start = Start("require", 0.1)
    with (
        slow.backend.inner.delay("load"),
        pytest.raises(BackendUnavailable, match="cannot load sales of store: no answer within 0.1 seconds"),
    ):
        config.use_namespace("sales")


def test_wait(start, outage):
    """With "wait" it is tried again until the store is there, within the seconds of ``timeout``."""
    outage.refuse()
    tries = []
    real = outage.kind.open

    def counted(credentials):
        tries.append(credentials)
        if len(tries) == 3:
            outage.come_back()
        return real(credentials)

    outage.kind.open = counted
    config = start("wait", timeout=10)
    assert len(tries) == 3
    outage.refuse()
    threading.Timer(0.1, outage.come_back).start()
    config.use_namespace("sales")
    assert config.get("database", "host") == "secret-1"


def test_waiting_in_vain(start, outage):
    """In the end "wait" says how long it waited and what the store said last; at once what waiting cannot mend."""
    outage.refuse()
    with pytest.raises(
        BackendUnavailable, match=r"^cannot open the store within 0.2 seconds \(start='wait'\): nobody is there$"
    ):
        start("wait", timeout=0.2)
    outage.refuse(PermissionDenied("not you"))
    with pytest.raises(PermissionDenied):
        start("wait", timeout=60)


def test_waiting_for_a_reason(outage):
    """A store that refuses and then falls silent is told by its refusal: silence in the last moment is no reason."""
    outage.refuse()

    def open_it():
        try:
            return outage.kind.open({})
        finally:
            outage.fall_silent()

    with pytest.raises(BackendUnavailable, match="nobody is there"):
        open_by(Start("wait", 0.3), outage.kind, open_it, "127.0.0.1:2379")
    outage.come_back()


@pytest.mark.parametrize("how", ["wait", "require"])
def test_a_silent_store_is_told_with_its_address(outage, how):
    """Where nothing was heard at all the message says from whom, how long, and what to look at."""
    outage.fall_silent()
    with pytest.raises(BackendUnavailable, match="no answer from 127.0.0.1:2379 within .* firewall"):
        open_by(Start(how, 0.1), outage.kind, lambda: outage.kind.open({}), "127.0.0.1:2379")
    outage.come_back()


def test_waiting_for_a_namespace(start, outage):
    """A namespace that is not made yet is waited for as well; in vain, the error has the names that exist."""
    config = start("wait", timeout=30)
    threading.Timer(0.1, lambda: outage.tool.create_namespace("later")).start()
    assert len(config.namespace("later")) == 0
    config = start("wait", timeout=0.2)
    with pytest.raises(
        NamespaceNotFound, match=r"within 0.2 seconds \(start='wait'\): no namespace 'nope'.*sales"
    ) as said:
        config.namespace("nope")
    assert said.value.namespace == "nope"
    with pytest.raises(NamespaceNotFound, match="^no namespace 'nope'"):
        start("require").namespace("nope")


def test_what_is_made_is_not_waited_for(outage):
    """``create=True`` makes a namespace that is not there at once, however long the start would wait for it."""
    store = uuid.uuid4().hex
    with confo.connect(f"memory://{store}/sales", create=True, start="wait", timeout=1e6) as sales:
        assert len(sales) == 0


@pytest.mark.parametrize(
    ("given", "timeout", "policy"),
    [
        ("require", None, Start("require", None)),
        ("require", 2, Start("require", 2.0)),
        ("wait", 10, Start("wait", 10.0)),
        ("wait", 0.5, Start("wait", 0.5)),
        ("wait:10", None, Start("wait", 10.0)),
        ("wait:0.5", None, Start("wait", 0.5)),
        (LAST_KNOWN_GOOD, None, Start(LAST_KNOWN_GOOD, 5.0)),
        (LAST_KNOWN_GOOD, 0.3, Start(LAST_KNOWN_GOOD, 0.3)),
    ],
)
def test_policies(given, timeout, policy):
    """A policy and its seconds are read as they are written, in the older spelling too."""
    assert parse(given, timeout) == policy


@pytest.mark.parametrize("given", ["", "Require", "wait", "wait:", "wait:-1", "wait:0", "wait:1e3", "cache", None, 3])
def test_wrong_policies(start, given):
    """A policy that is none is one clear error that says what there is."""
    with pytest.raises(InvalidOption, match=r"start is 'require', 'wait' \(with|timeout is|needs to know"):
        start(given)


@pytest.mark.parametrize("timeout", [0, -1, math.nan, math.inf, True, "5"])
def test_wrong_timeouts(start, timeout):
    """So is a timeout that is none; and two words on one thing."""
    with pytest.raises(InvalidOption, match="timeout is a number of seconds greater than 0"):
        start("require", timeout=timeout)
    with pytest.raises(InvalidOption, match="start='wait', timeout=10"):
        start("wait:10", timeout=3)


# --- another store, or an older one ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("known", "found", "reason"),
    [
        (("a", 5), ("a", 5), None),
        (("a", 5), ("a", 6), None),
        (("a", 5), ("b", 6), "another store is in its place"),
        (("a", 5), ("a", 4), "the store was set back to revision 4, and was at 5 before"),
        (("", 5), ("b", 6), None),
        (("a", 5), ("", 6), None),
        (("", 5), ("", 4), "the store was set back to revision 4, and was at 5 before"),
    ],
)
def test_time_travel(known, found, reason):
    """Another identity, or a lower revision, is no later state; a store that cannot tell who it is may be any."""
    assert time_travel(known, found) == reason


def test_another_store_after_a_start_from_the_cache(start, known, outage, caplog):
    """A store put in the place of the one that was kept is an alarm, then a resync, then ready."""
    outage.refuse()
    heard = Heard()
    sales = start().namespace("sales")
    with sales.on_change(heard, kinds="all"), caplog.at_level(logging.WARNING, "confo"):
        outage.replace()
        outage.come_back()
        assert [event.kind for event in heard.wait_for(3)] == ["alarm", "resync", "ready"]
    assert "database" not in sales
    assert "sales: another store is in its place" in caplog.text


def test_a_store_set_back_after_a_start_from_the_cache(start, known, outage):
    """A store restored from an old backup is an alarm too: its revision is lower than the one that was kept."""
    outage.refuse()
    heard = Heard()
    sales = start().namespace("sales")
    with sales.on_change(heard, kinds="all"):
        outage.set_back(2, database=b'{"host": "old"}')
        outage.come_back()
        assert [event.kind for event in heard.wait_for(3)] == ["alarm", "resync", "ready"]
    assert sales.get("database", "host") == "old"
    assert sales.status().revision == 2


def test_another_store_that_has_no_such_namespace(start, known, outage):
    """Another store is noticed also where it has no such namespace; what was known is served, and called an error."""
    outage.refuse()
    heard = Heard()
    sales = start().namespace("sales")
    with sales.on_change(heard, kinds="all"):
        outage.replace().delete_namespace("sales")
        outage.come_back()
        assert [event.kind for event in heard.wait_for(1)] == ["alarm"]
        with sales._replica._progress:
            sales._replica._progress.wait_for(lambda: sales.status().state is State.ERROR, SECONDS)
        assert sales.get("database", "host") == "secret-1"
        outage.tool.create_namespace("sales")
        outage.put(database=b'{"host": "new"}')
        assert [event.kind for event in heard.wait_for(3)] == ["alarm", "resync", "ready"]
    assert sales.get("database", "host") == "new"


@pytest.mark.parametrize("change", ["replace", "set back"])
@pytest.mark.parametrize("how", [LAST_KNOWN_GOOD, "require"])
def test_a_fresh_start_that_finds_less_than_was_known(start, known, outage, change, how, caplog):
    """Also a start with the store up compares it with what was kept; the alarm waits for the first who listens."""
    if change == "replace":
        outage.replace()
    else:
        outage.set_back(2, database=b'{"host": "old"}')
    heard, narrow = Heard(), Heard()
    with caplog.at_level(logging.WARNING, "confo"):
        sales = start(how).namespace("sales")
    assert caplog.text.count("it is loaded anew") == 1
    with sales.on_change(narrow, config="database"), sales.on_change(heard, kinds="all"):
        assert [event.kind for event in heard.wait_for(1)] == ["alarm"]
    assert narrow.events == []
    with sales.on_change(again := Heard(), kinds="all"):
        outage.put(database=b'{"host": "newest"}')
        assert [event.kind for event in again.wait_for(1)] == ["changed"]


def test_a_live_store_that_is_set_back(start, outage):
    """A followed store that is set back under the program's eyes is an alarm, without any cache."""
    heard = Heard()
    sales = start("require", cache=None).namespace("sales")
    outage.put(database=b'{"host": "second"}')
    with sales.on_change(heard, kinds="all"):
        outage.opened[-1].go_down()
        outage.set_back(2, database=b'{"host": "old"}')
        outage.opened[-1].come_back()
        kinds = [event.kind for event in heard.wait_for(4)]
    assert kinds[-4:] == ["stale", "alarm", "resync", "ready"]
    assert sales.get("database", "host") == "old"


def test_control_no_alarm_in_ordinary_life(start, known, outage):
    """The control: losing the store, a compaction and a reload are no alarm."""
    heard = Heard()
    sales = start().namespace("sales")
    with sales.on_change(heard, kinds="all"):
        outage.opened[-1].go_down()
        heard.wait_for(1)
        for number in range(5):
            outage.put(database=b'{"n": %d}' % number)
        outage.tool.store.compact()
        outage.opened[-1].come_back()
        heard.wait_for(3)
        sales.reload()
    assert [event.kind for event in heard.events] == ["stale", "resync", "ready"]


def test_what_was_kept_of_another_store_is_gone(start, known, outage):
    """After an alarm nothing of the store of before is kept, not even as the older generation."""
    outage.set_back(2, database=b'{"host": "old"}')
    with start() as config:
        config.use_namespace("sales")
    outage.refuse()
    config = start()
    config.use_namespace("sales")
    assert config.get("database", "host") == "old"
    file = config._loaded["store"]._keeper.cache.file("sales")
    assert not file.older.exists()


def test_two_stores_under_one_name(known, cache, outage):
    """A program that uses the same name for another store is not given this one's documents."""
    with Confo(uuid.uuid4().hex) as other:
        elsewhere = {"store": uuid.uuid4().hex}
        other.load_backend(elsewhere, "store", Backends.MEMORY_BACKEND, start=LAST_KNOWN_GOOD, cache=cache)
        other.activate_backend("store")
        with pytest.raises(NamespaceNotFound):
            other.use_namespace("sales")


# --- a backend that is not open yet ------------------------------------------------------------------


def test_one_attempt_at_a_time(outage):
    """However many ask, one attempt to open runs at a time, and all get what comes of it."""
    outage.fall_silent()
    calls = []

    def open_it():
        calls.append(1)
        return outage.kind.open({})

    opening = OpeningBackend(outage.kind, open_it)
    found = []
    threads = [threading.Thread(target=lambda: found.append(opening.load("sales").revision)) for _ in range(5)]
    for thread in threads:
        thread.start()
    with pytest.raises(Silence, match="no answer"):
        opening.opened(0.05)
    outage.come_back()
    for thread in threads:
        thread.join(SECONDS)
    assert len(found) == 5
    assert calls == [1]
    opening.close()


def test_before_it_is_open(outage):
    """Every call raises what opening raised; capabilities are what the class says, or what refuses nothing."""
    outage.refuse()
    opening = OpeningBackend(outage.kind, lambda: outage.kind.open({}))
    for call in (
        opening.namespaces,
        lambda: opening.create_namespace("a"),
        lambda: opening.delete_namespace("a"),
        lambda: opening.load("sales"),
        lambda: opening.read("sales", ["a"]),
        lambda: opening.scan("sales"),
        lambda: opening.commit([Write("sales", "a", b"{}", 0)]),
        lambda: opening.watch("sales", 1),
    ):
        with pytest.raises(BackendUnavailable, match="nobody is there"):
            call()
    assert opening.identity == ""
    assert opening.capabilities is UNKNOWN
    assert OpeningBackend(MemoryBackend, lambda: outage.tool).capabilities is MemoryBackend.capabilities
    outage.come_back()
    assert opening.namespaces() == ["sales"]
    assert opening.capabilities == MemoryBackend.capabilities
    assert opening.identity == outage.tool.identity
    opening.close()
    with pytest.raises(NotImplementedError):
        OpeningBackend.open({})


@pytest.mark.parametrize("stand_in", [OpeningBackend, GuardedBackend, FaultyBackend])
def test_nothing_of_the_seam_is_left_out(stand_in):
    """What stands for a backend passes on the whole seam: an optional member that it forgot would be a default."""
    inherited = {
        "open",
        "url_credentials",
        "create_credentials",
        "credential_names",
        "where",
    }  # asked of the class, before anything is opened
    members = {name for name in vars(Backend) if not name.startswith("_")} - inherited
    assert members - set(vars(stand_in)) == set()


def test_closing_while_it_is_opened(start, known, outage):
    """close() does not wait for an attempt that hangs; what that opens in the end is closed."""
    outage.fall_silent()
    config = start(timeout=0.05)
    config.use_namespace("sales")
    opening = config._loaded["store"].backend
    config.close()
    with pytest.raises(Closed):
        opening.load("sales")
    count = len(outage.opened)
    outage.come_back()
    attempts = [thread for thread in threading.enumerate() if thread.name == "confo-open"]
    for thread in attempts:
        thread.join(SECONDS)
    for late in outage.opened[count:]:
        with pytest.raises(Closed):
            late.load("sales")


def test_open_by_closes_what_it_gives_up(outage):
    """A policy that gives up leaves nothing that would still open later."""
    outage.refuse(AuthenticationFailed("no"))
    for policy in (Start("require", 1.0), Start("wait", 0.05), Start(LAST_KNOWN_GOOD, 1.0)):
        with pytest.raises(AuthenticationFailed):
            open_by(policy, outage.kind, lambda: outage.kind.open({}))


def test_attempts_share_the_time():
    """Each attempt is told how much of the time is left."""
    told = []

    def call(left):
        told.append(left)
        if len(told) < 3:
            raise BackendUnavailable("not yet")
        return "here"

    assert attempt(Start("wait", 30.0), "ask", call) == "here"
    assert told == sorted(told, reverse=True)
    assert attempt(Start("require", None), "ask", lambda left: left) is None


def test_errors_come_out_of_the_thread_as_they_are():
    """What a call raises in time is raised, whatever it is."""

    def call():
        raise KeyError("x")

    with pytest.raises(KeyError):
        within(SECONDS, "ask", call)
    assert within(None, "ask", lambda: 1) == 1


class Deaf(MemoryBackend):
    """A store that does not tell of changes."""

    def __init__(self, store):
        super().__init__(store)
        import dataclasses

        self.capabilities: Capabilities = dataclasses.replace(MemoryBackend.capabilities, push=False)

    def watch(self, namespace, after):
        raise NotSupported("it tells nothing")


def test_a_late_backend_that_does_not_push(outage, tmp_path):
    """A backend that turns out not to tell of changes is loaded once when it can be, and not asked again and again."""

    class Late(Deaf):
        capabilities = property(lambda self: UNKNOWN, lambda self, value: None)

        @classmethod
        def open(cls, credentials):
            outage.kind.open(credentials)
            return Deaf.open({"store": outage.name})

    for down in (False, True):
        if down:
            outage.refuse()
        with Confo(uuid.uuid4().hex) as config:
            config.load_backend({}, "store", Late, start=LAST_KNOWN_GOOD, cache=tmp_path / "cache")
            config.activate_backend("store")
            sales = config.namespace("sales")
            if down:
                assert sales.status().source == "cache"
                outage.put(database=b'{"host": "second"}')
                outage.come_back()
                sales._replica._thread.join(SECONDS)
                assert not sales._replica._thread.is_alive()
                assert sales.status().state is State.READY
                assert sales.get("database", "host") == "second"
                with pytest.raises(NotSupported):
                    sales.on_change(print)


def test_a_backend_that_follows_nothing(start, known, outage):
    """With follow=False what came out of the cache stays until reload(), and is stale until then."""
    outage.refuse()
    sales = start(follow=False).namespace("sales")
    assert sales.status().state is State.STALE
    outage.put(database=b'{"host": "second"}')
    outage.come_back()
    assert sales.get("database", "host") == "secret-1"
    sales.reload()
    assert sales.get("database", "host") == "second"
    assert (sales.status().state, sales.status().source) == (State.READY, "server")


def test_plugins_of_before(outage, tmp_path):
    """A backend that knows nothing of identities works with all of this; only a lower revision tells then."""

    class Old(MemoryBackend):
        identity = Backend.identity

    assert Old.open({}).identity == ""
    with Confo(uuid.uuid4().hex) as config:
        config.load_backend({"store": outage.name}, "store", Old, start=LAST_KNOWN_GOOD, cache=tmp_path / "cache")
        config.activate_backend("store")
        sales = config.namespace("sales")
        with sales.on_change(heard := Heard(), kinds="all"):
            outage.set_back(2, database=b'{"host": "old"}')
            sales.reload()
            assert heard.wait_for(1)[0].kind == "alarm"


def test_what_overflows_keeps_its_alarm():
    """When a mailbox overflows, an alarm is not lost among the changes."""
    from collections import deque

    from confo.events import Notice, coalesce

    notices = deque(
        [Notice("alarm", "sales", 1), *(Notice("changed", "sales", n, {f"n{n}": (None, None)}) for n in range(9))]
    )
    assert [notice.kind for notice in coalesce(notices, 3)] == ["alarm", "resync"]
    notices.append(Notice("ready", "sales", 10))
    assert [notice.kind for notice in coalesce(notices, 3)] == ["alarm", "resync", "ready"]
    assert Batch(1, {}).entries == {}


def test_a_replica_by_itself(outage):
    """A namespace made around a backend, without a program, begins with the store as ever."""
    sales = Namespace("store", outage.kind.open({}), "sales")
    assert sales.status().source == "server"
    sales._replica.close()
