"""How old what is read may be: every way of reading keeps to the limit, and nobody else pays for it."""

from __future__ import annotations

import logging
import math

import pytest

from confo import InvalidOption, State, TooStale
from confo.staleness import Limit, limit

READS = {
    "a field": lambda sales: sales.get("database", "host"),
    "a field with a default": lambda sales: sales.get("database", "host", default="127.0.0.1"),
    "a field that is not there": lambda sales: sales.get("database", "nope", default=None),
    "a configuration that is not there": lambda sales: sales.get("nope", default=None),
    "a document": lambda sales: sales.get("database"),
    "an item": lambda sales: sales["database"],
    "a field of an item": lambda sales: sales["database"]["host"],
    "all": lambda sales: sales.all(),
    "values": lambda sales: list(sales.values()),
    "a copy": lambda sales: dict(sales),
    "a snapshot": lambda sales: sales.snapshot(),
}


@pytest.fixture
def options():
    """Follow nothing, so that only the test makes a copy old or fresh."""
    return {"follow": False}


@pytest.fixture
def filled(sales):
    """Return the namespace with one configuration, which was read before."""
    sales.set("database", {"host": "secret-1"})
    sales.persist()
    sales.reload()
    assert sales.get("database", "host") == "secret-1"
    return sales


def grow_old(sales, seconds=100.0):
    """Let so much time pass since the copy was last known to be true."""
    sales._replica.view.since -= seconds


# --- reading -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_no_read_gets_around_the_limit(filled, read):
    """Beyond max_staleness every way of reading raises, a default or not; within, and once fresh again, it answers."""
    filled.limit_staleness(60.0)
    expected = read(filled)
    grow_old(filled)
    with pytest.raises(TooStale) as caught:
        read(filled)
    assert caught.value.age > 99
    assert (caught.value.limit, caught.value.namespace) == (60.0, "sales")
    assert "sales on store" in str(caught.value)
    assert "secret-1" not in str(caught.value) + repr(caught.value)
    filled.reload()
    assert read(filled) == expected


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_control_without_a_limit_all_is_served(filled, read):
    """The control: nobody who did not ask for a limit is refused."""
    expected = read(filled)
    grow_old(filled)
    assert read(filled) == expected


def test_the_classic_reads_keep_to_it(config, filled):
    """use_namespace takes the limit too, and get and get_all of the Confo keep to it, whoever set it."""
    config.use_namespace("sales", max_staleness=60.0, on_stale="raise")
    assert config.get("database", "host") == "secret-1"
    grow_old(filled)
    for read in (
        lambda: config.get("database", "host"),
        lambda: config.get("database", "host", default=1),
        lambda: config.get("database"),
        config.get_all,
    ):
        with pytest.raises(TooStale):
            read()
    assert config.namespace("sales") is filled
    with pytest.raises(TooStale):
        filled["database"]


def test_names_are_no_values(filled):
    """Names, counts and status are answered at any age: they are how a program finds out."""
    filled.limit_staleness(60.0)
    grow_old(filled)
    assert list(filled) == ["database"]
    assert len(filled) == 1
    assert "database" in filled
    assert filled.status().age > 99


def test_a_snapshot_that_is_held_stays_readable(filled):
    """A snapshot taken in time gives its answers for as long as it is held, and tells its age."""
    filled.limit_staleness(60.0)
    snapshot = filled.snapshot()
    grow_old(filled)
    assert snapshot["database"]["host"] == "secret-1"
    assert snapshot.age < 60


def test_warn(filled, caplog):
    """on_stale="warn" serves and logs once, and again the next time that it grows too old."""
    filled.limit_staleness(60.0, "warn")
    with caplog.at_level(logging.WARNING, "confo"):
        for _ in range(2):
            grow_old(filled)
            for _ in range(10):
                assert filled.get("database", "host") == "secret-1"
            filled.reload()
            assert filled["database"] == {"host": "secret-1"}
    assert caplog.text.count("what is here of sales on store is 100.0 s old, over max_staleness=60") == 2
    assert "secret-1" not in caplog.text


def test_the_last_word_counts(config, filled):
    """A namespace has one limit: asking for the handle without one leaves it, with another replaces it."""
    config.namespace("sales", max_staleness=60.0)
    grow_old(filled)
    with pytest.raises(TooStale):
        config.namespace("sales").get("database", "host")
    assert config.namespace("sales", max_staleness=600.0).get("database", "host") == "secret-1"
    config.namespace("sales", max_staleness=60.0, on_stale="serve")
    assert filled.get("database", "host") == "secret-1"


def test_staging_is_no_reading(filled):
    """Edits can be staged at any age, and what was staged is seen with the rest."""
    filled.limit_staleness(60.0)
    grow_old(filled)
    filled.set("database", "port", 1)
    filled.set("api", "port", 2)
    filled.reload()
    assert dict(filled) == {"database": {"host": "secret-1", "port": 1}, "api": {"port": 2}}
    filled.discard()
    assert dict(filled) == {"database": {"host": "secret-1"}}


def test_health_tells_who_can_be_read(config, filled):
    """health() says "serving" as long as reads are answered."""
    assert config.health()["serving"] is True
    config.namespace("sales", max_staleness=60.0)
    grow_old(filled)
    assert config.health()["serving"] is False
    assert config.health()["backends"]["store"]["serving"] is False
    filled.limit_staleness(60.0, "warn")
    assert config.health()["serving"] is True


# --- nobody else pays --------------------------------------------------------------------------------


def test_the_fast_path_is_everybody_elses(config, filled):
    """Only where there is a limit do reads leave the two look-ups; when it goes they are back."""
    documents = filled._replica.view.documents
    assert documents["database"]["host"] == "secret-1"
    filled.limit_staleness(60.0)
    assert filled.get("database", "host") == "secret-1"
    assert documents == {}
    filled.limit_staleness(60.0, "serve")
    assert documents["database"]["host"] == "secret-1"
    assert filled._replica.view.documents is documents


def test_documents_are_decoded_once(filled, monkeypatch):
    """Also with a limit a document is decoded when first read and not again."""
    from confo import view

    decoded = []
    monkeypatch.setattr(view, "decode", lambda data, **place: decoded.append(place))
    filled.limit_staleness(60.0)
    for _ in range(5):
        assert filled.get("database", "host") == "secret-1"
    assert decoded == []


# --- options -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("max_staleness", "on_stale", "what"),
    [
        (0, None, "max_staleness is a number of seconds greater than 0"),
        (-1.0, None, "max_staleness is"),
        (math.nan, None, "max_staleness is"),
        (True, None, "max_staleness is"),
        ("60", None, "max_staleness is"),
        (60.0, "ignore", "on_stale is 'serve', 'warn' or 'raise', not 'ignore'"),
        (60.0, 1, "on_stale is"),
        (None, "raise", "beyond max_staleness: give that as well"),
    ],
)
def test_wrong_options(config, max_staleness, on_stale, what):
    """An option that is none is one clear error, before anything is loaded for it."""
    with pytest.raises(InvalidOption, match=what):
        config.namespace("unknown", max_staleness=max_staleness, on_stale=on_stale)
    with pytest.raises(InvalidOption, match=what):
        config.use_namespace("sales", max_staleness=max_staleness, on_stale=on_stale)


def test_less_than_a_sign_of_life(caplog):
    """A limit shorter than the time between two signs of life is said to be one, where there are any."""
    with caplog.at_level(logging.WARNING, "confo"):
        assert limit("store", "sales", 5, None, follows=False) is not None
        assert caplog.text == ""
        assert limit("store", "sales", 5, None, follows=True) is not None
    assert "max_staleness=5 of sales is less than the 10 seconds" in caplog.text


def test_at_the_limit():
    """What is exactly as old as it may be is not too old."""
    found = limit("store", "sales", 60, None, follows=True)
    assert isinstance(found, Limit)
    found.check(60.0)
    with pytest.raises(TooStale):
        found.check(60.1)


def test_an_infinite_limit(filled):
    """Any age at all can be allowed in so many words."""
    filled.limit_staleness(math.inf)
    grow_old(filled, 1e9)
    assert filled.get("database", "host") == "secret-1"
    assert filled.status().state is State.READY
