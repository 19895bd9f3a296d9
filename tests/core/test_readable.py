"""What cannot be read: the last good document stays, nothing else is taken away, and a whole write mends it."""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

import confo
from confo import ANY, ConflictError, Confo, Entry, InvalidOption, UnreadableDocument, Write
from confo.readable import Readable

SECONDS = 10.0
BROKEN = [b"{", b"", b"[]", b"host: a", b'{"a": 1,}', b'{"a": 1, "a": 2}', b"\xff", b'{"a": NaN}']


@pytest.fixture
def put(sales, store):
    """Write bytes as another tool does, and wait until the namespace has them; return the revision."""

    def do(data, name="db"):
        revision = store.commit([Write("sales", name, data, ANY)])
        assert sales.wait_for(revision, SECONDS)
        return revision

    return do


@pytest.mark.parametrize("data", BROKEN)
def test_what_was_good_stays(sales, put, data, caplog):
    """Every read goes on with the last document that could be read, status and log say so, and a good save heals it."""
    good = put(b'{"host": "a"}')
    before = datetime.now(UTC)
    bad = put(data)
    for _ in range(3):
        assert sales.get("db", "host") == sales["db"]["host"] == "a"
        assert sales.get_all() == dict(sales.snapshot()) == dict(sales) == {"db": {"host": "a"}}
        assert (len(sales), len(sales.snapshot()), list(sales)) == (1, 1, ["db"])
    trouble = sales.status().unreadable["db"]
    assert (trouble.revision, trouble.serving) == (bad, good)
    assert "sales/db" in trouble.reason
    assert before - timedelta(seconds=1) <= trouble.since <= datetime.now(UTC)
    assert dict(sales.snapshot().unreadable) == {"db": trouble}
    assert caplog.text.count("sales/db cannot be read, and revision") == 1
    put(b'{"host": "b"}')
    assert sales.get("db", "host") == "b"
    assert dict(sales.status().unreadable) == dict(sales.snapshot().unreadable) == {}


def test_health_lists_it(config, put):
    """health() lists what cannot be read, by namespace and configuration, and stays ready."""
    put(b'{"host": "a"}')
    put(b"{")
    health = config.health()
    assert health["ready"] is True
    assert "not JSON" in health["backends"]["store"]["namespaces"]["sales"]["unreadable"]["db"]


def test_it_is_told_once(sales, put):
    """Who asks hears one event when a document becomes unreadable, and of the good one that comes next."""
    put(b'{"n": 1}')
    plain, everything = [], []
    with sales.on_change(plain.append, "db"), sales.on_change(everything.append, kinds="all"):
        put(b"{")
        put(b"{{")
        put(b'{"n": 2}')
        assert sales.drain(SECONDS)
    (event,) = plain
    assert (event.kind, event.old, event.new) == ("changed", {"n": 1}, {"n": 2})
    assert [event.kind for event in everything] == ["unreadable", "changed"]
    told = everything[0]
    assert (told.configuration, told.old, told.new) == ("db", {"n": 1}, {"n": 1})
    assert "not JSON" in told.problem
    assert everything[1].problem is None


def test_a_deletion_of_what_cannot_be_read(sales, put, store):
    """A document that another tool deletes while it cannot be read is gone."""
    put(b'{"n": 1}')
    put(b"{")
    seen = []
    with sales.on_change(seen.append, "db"):
        put(None)
        assert sales.drain(SECONDS)
    assert [(event.old, event.new) for event in seen] == [({"n": 1}, None)]
    assert sales.get("db", default=None) is None
    assert dict(sales.status().unreadable) == {}


@pytest.mark.parametrize("data", BROKEN)
def test_a_process_that_never_saw_a_good_one(kind, credentials, sales, put, data):
    """It raises with the place, also where a default is given; everything else goes on without it and names it."""
    put(data)
    put(b'{"n": 1}', "good")
    with Confo(uuid.uuid4().hex) as late:
        late.load_backend(credentials, "late", kind)
        fresh = late.namespace("sales")
        assert list(fresh.status().unreadable) == ["db"]
        assert fresh.get_all() == dict(fresh) == dict(fresh.snapshot()) == {"good": {"n": 1}}
        assert (len(fresh), "db" in fresh) == (1, True)
        for call in (lambda: fresh["db"], lambda: fresh.get("db", "n", default=1), lambda: fresh.snapshot()["db"]):
            with pytest.raises(UnreadableDocument, match="sales/db"):
                call()
        assert fresh.status().unreadable["db"].serving is None
        put(b'{"n": 2}')
        assert fresh.wait_for(sales.snapshot().revision, SECONDS)
        assert fresh.get("db", "n") == 2


def test_todays_way(kind, credentials, sales, put):
    """With unreadable="raise" a read of what cannot be read raises, whatever was good before."""
    put(b'{"n": 1}')
    with Confo(uuid.uuid4().hex) as strict:
        strict.load_backend(credentials, "strict", kind, unreadable="raise")
        handle = strict.namespace("sales")
        assert handle.get("db", "n") == 1
        assert handle.wait_for(put(b"{"), SECONDS)
        for call in (lambda: handle.get("db", "n"), handle.get_all, lambda: handle.snapshot()["db"]):
            with pytest.raises(UnreadableDocument):
                call()
        with pytest.raises(InvalidOption, match="unreadable is 'last-good' or 'raise'"):
            strict.load_backend(credentials, "odd", kind, unreadable="never")


def test_fields_are_never_merged_into_it(sales, store, put):
    """Setting a field of what cannot be read is refused with its place, and so is persisting one that was staged."""
    put(b'{"n": 1, "m": 1}')
    sales.set("db", "n", 2)
    put(b"{")
    for call in (sales.persist, lambda: sales.set("db", "m", 2), lambda: sales.delete("db", "m")):
        with pytest.raises(UnreadableDocument, match="sales/db"):
            call()
    with pytest.raises(UnreadableDocument, match="sales/db"), sales.edit() as draft:
        draft["db"]["m"] = 2
    assert store.read("sales", ["db"])["db"].data == b"{"
    assert sales.staged == ["db"]
    put(b'{"n": 1, "m": 3}')
    sales.persist()
    assert store.load("sales")["db"] == {"n": 2, "m": 3}


def mend_by_set(sales, _):
    """Set the whole document."""
    sales.set("db", {"n": 9})
    sales.persist()


def mend_by_edit(sales, _):
    """Assign the whole document in an edit."""
    with sales.edit() as draft:
        draft["db"] = {"n": 9}


def mend_by_rollback(sales, good):
    """Go back to the last good state."""
    sales.rollback(good)


@pytest.mark.parametrize("data", BROKEN)
@pytest.mark.parametrize(
    ("mend", "becomes"), [(mend_by_set, {"n": 9}), (mend_by_edit, {"n": 9}), (mend_by_rollback, {"n": 1})]
)
def test_a_whole_write_mends_it(sales, theirs, store, put, data, mend, becomes):
    """A set of the whole document, an assignment in an edit and a rollback replace what cannot be read."""
    sales.set("db", "n", 1)
    good = sales.persist().revision
    put(data)
    mend(sales, good)
    assert store.load("sales")["db"] == becomes
    assert sales["db"] == becomes
    assert theirs.wait_for(sales.snapshot().revision, SECONDS)
    assert theirs["db"] == becomes
    assert dict(sales.status().unreadable) == dict(theirs.status().unreadable) == {}
    assert sales.history(limit=1)[0].changes[0].new


def test_a_deletion_mends_it(sales, store, put):
    """delete() of the whole configuration takes what cannot be read away, be it that nobody ever saw a good one."""
    put(b"{")
    sales.delete("db")
    assert sales.staged == ["db"]
    assert sales.persist()
    assert store.read("sales", ["db"]) == {}
    put(b"{")
    with sales.edit() as draft:
        del draft["db"]
    assert store.read("sales", ["db"]) == {}


def test_mending_is_guarded(sales, store, put):
    """If somebody else repairs it meanwhile, replacing it is a conflict, and their document stays."""
    put(b"{")
    sales.set("db", {"n": 9})
    put(b'{"n": 1}')
    with pytest.raises(ConflictError) as caught:
        sales.persist()
    assert store.load("sales")["db"] == {"n": 1}
    assert [(one.field, one.theirs) for one in caught.value.collisions] == [("n", 1)]
    sales.discard()
    put(b"{")
    sales.delete("db")
    put(b'{"n": 1}')
    with pytest.raises(ConflictError):
        sales.persist()


def test_the_files_that_stand_in_for_the_store_hold_the_last_good(kind, credentials, sales, put, tmp_path):
    """A program that starts without the store begins with the last good document."""
    put(b'{"n": 1}')
    with Confo(uuid.uuid4().hex) as config:
        config.load_backend(credentials, "s", kind, cache=tmp_path / "cache")
        handle = config.namespace("sales")
        assert handle.wait_for(put(b"{"), SECONDS)
        assert handle["db"] == {"n": 1}
        file = config._loaded["s"]._keeper.cache.file("sales")
    assert file.read().entries()["db"].data == b'{"n": 1}'


def test_a_namespace_that_is_deleted_elsewhere(sales, theirs, other):
    """A namespace that another process deletes does not go on as if it followed: its state is ERROR, and says why."""
    sales.set("db", "n", 1)
    sales.persist()
    told = []
    with sales.on_change(told.append, kinds="all"):
        assert theirs.wait_for(sales.snapshot().revision, SECONDS)
        other.delete_namespace("sales")
        until = time.monotonic() + SECONDS
        while sales.status().state.name != "ERROR":
            assert time.monotonic() < until, sales.status()
    assert "NamespaceNotFound" in sales.status().error


@given(st.lists(st.sampled_from([None, b'{"n": 1}', b'{"n": 2}', b"{", b"[]", b""]), max_size=12), st.booleans())
def test_what_is_served_is_the_last_that_could_be_read(history, glance):
    """Whatever comes in whatever order, what is served is the newest good entry since the last deletion."""
    readable, old, good = Readable("sales"), None, None
    for revision, data in enumerate(history, 1):
        new = None if data is None else Entry(data, revision)
        judged = readable.judge("db", old, new, glance=glance)
        assert judged.served == good
        is_good = data in (b'{"n": 1}', b'{"n": 2}')
        good = new if is_good or new is None else good
        assert ("db" in readable.known) == (not is_good and new is not None)
        assert (judged.news == "changed") == (is_good or new is None)
        assert readable.hidden() == ({"db"} if "db" in readable.known and good is None else set())
        assert readable.to_keep({} if new is None else {"db": new}) == ({} if good is None else {"db": good})
        old = new


def test_reading_is_as_before(sales, put):
    """A control: documents that can be read are never listed."""
    put(b'{"host": "a"}')
    put(b' {"host": "b"} ', "blanks")
    assert dict(sales.status().unreadable) == {}
    assert list(sales) == ["db", "blanks"]


def test_the_names_are_public():
    """What status() hands out has a name in the facade."""
    assert confo.Unreadable._fields == ("reason", "since", "revision", "serving")
