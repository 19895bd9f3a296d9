"""What may be set may be committed, with its history; on every backend that runs these tests."""

from __future__ import annotations

import base64
import itertools
import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import confo
from confo import RevisionNotFound, TooLarge
from confo.codec import MAX_BYTES, at_most, to_json
from confo.errors import InvalidDocument
from confo.packing import MOST_UNPACKED, Digest, digest, fit, unpack
from confo.paths import put


def noise(size, seed=0):
    """Return a text of so many bytes that hardly gets smaller by compressing."""
    return base64.b64encode(random.Random(seed).randbytes(size))[:size].decode()


def test_a_large_document_is_committed_and_has_a_history(sales):
    """A document of 900 kB can be set, changed and committed, and history tells who changed which field."""
    sales.set("web", {"page": noise(900_000, 1), "title": "first"})
    first = sales.persist(message="first", author="ada").revision
    sales.set("web", {"page": noise(900_000, 2), "title": "second"})
    second = sales.persist(message="second", author="bob").revision
    newest, oldest = sales.history(limit=2)
    assert [newest.revision, oldest.revision] == [second, first]
    assert newest.changes[0].fields == ("page", "title")
    assert newest.changes[0].new["title"] == "second"
    assert sales.blame("web")["page"].author == "bob"
    assert sales.at(second)["web"]["page"] == noise(900_000, 2)
    past = sales.at(first)
    if "web" in past.lost:
        with pytest.raises(RevisionNotFound, match="too large to be kept"):
            past["web"]
        with pytest.raises(RevisionNotFound, match="too large to be kept"):
            sales.rollback(first, config="web")
    else:
        assert past["web"] == {"page": noise(900_000, 1), "title": "first"}
        sales.rollback(first, config="web")
        assert sales.get("web", "title") == "first"


def test_what_repeats_is_kept_whole(sales, store):
    """A large document that compresses well is in its record as it was, and comes back by rollback."""
    sales.set("web", {"page": "old line\n" * 90_000})
    first = sales.persist().revision
    sales.set("web", {"page": "new line\n" * 90_000})
    sales.persist()
    [(_, entry), _] = store.scan(".history.sales", reverse=True, limit=2)
    assert len(entry.data) < 40_000
    assert json.loads(entry.data)["op"] == sales.history()[0].op_id
    assert sales.at(first)["web"]["page"].startswith("old")
    sales.rollback(first)
    assert sales.get("web", "page").startswith("old")


def test_the_largest_that_fits(sales, store):
    """The largest document that set() takes is committed and replaced, with its record; one byte more is refused."""
    most = min(MAX_BYTES, store.capabilities.max_value_bytes)
    for seed in (1, 2):
        larger = {"page": noise(most - 10, seed)}
        with pytest.raises(InvalidDocument, match=f"the limit is {most:,}"):
            sales.set("web", larger)
        with pytest.raises(InvalidDocument, match=f"the limit is {most:,}"), sales.edit() as draft:
            draft["web"] = larger
        assert sales.staged == []
        sales.set("web", {"page": noise(most - 11, seed)})
        commit = sales.persist()
        assert sales.history(limit=1)[0].op_id == commit.op_id
        assert sales.history(limit=1)[0].changes[0].fields == ("page",)
        assert sales.get("web", "page") == noise(most - 11, seed)


def test_fields_by_the_thousand(sales):
    """A large document of many small fields is committed as well; where not even they have room, that it changed."""
    for seed in (1, 2):
        sales.set("web", {noise(60, n): noise(30, n + seed) for n in range(9_000)})
        commit = sales.persist()
        [change] = sales.history(limit=1)[0].changes
        assert (sales.history(limit=1)[0].op_id, change.configuration) == (commit.op_id, "web")


def test_a_commit_that_is_too_large_names_the_largest(sales, store):
    """A commit of more than the store takes names the largest configurations and their bytes; nothing was sent."""
    revision = sales.snapshot().revision
    for n, size in enumerate((700_000, 10, 900_000)):
        sales.set(f"web{n}", {"page": noise(size, n)})
    if store.capabilities.max_commit_bytes is None:
        assert len(sales.persist().changes) == 3
        return
    with pytest.raises(TooLarge, match=r"sales/web2 \(900,011 bytes\), sales/web0 \(700,011 bytes\)") as caught:
        sales.persist()
    assert noise(700_000, 0)[:40] not in str(caught.value)
    assert dict(store.load("sales").entries) == {}
    assert sales.snapshot().revision == revision


def test_fields_that_add_up(sales, store):
    """A field that would make its document too large is refused when it is set; the rest is committed."""
    fields = itertools.count()

    def fill():
        while True:
            number = next(fields)
            sales.set("web", ("pages", f"p{number}"), noise(2_000, number))

    with pytest.raises(
        InvalidDocument, match=r"sales/web cannot be set: with this it is [\d,]+ bytes as JSON, the limit"
    ):
        fill()
    filled = next(fields) - 1
    most = len(to_json(sales["web"]))
    limit = min(MAX_BYTES, store.capabilities.max_value_bytes)
    assert most > limit - 3_000
    sales.persist()
    assert len(sales["web"]["pages"]) == filled
    with pytest.raises(InvalidDocument, match="with this it is"):
        sales.set("web", "more", noise(limit - most + 100))
    assert sales.staged == []
    sales.delete("web", ("pages", "p0"))
    sales.set("web", "more", noise(1_900))
    sales.persist()
    assert sales.get("web", "more") == noise(1_900)


VALUE = st.one_of(
    st.text(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.none(),
    st.booleans(),
    st.lists(st.text()),
)


@given(st.lists(st.text(), min_size=1, max_size=3), VALUE)
def test_a_bound_is_one(path, value):
    """What a value is reckoned to add to a document is no less than what it adds."""
    try:
        document = put({}, tuple(path), value)
        size = len(to_json(document))
    except UnicodeEncodeError:
        return
    assert 2 + at_most(value, tuple(path)) >= size


@settings(deadline=None, max_examples=6)
@given(st.lists(st.tuples(st.integers(-40, 0), st.booleans()), min_size=2, max_size=4))
def test_sizes_near_the_limits(steps):
    """Whatever set() takes is committed, and each state is known, or its loss is said with the reason."""
    with confo.Confo() as config:
        config.load_backend({}, "store", "memory")
        config.activate_backend("store")
        config.create_namespace("sales")
        sales = config.namespace("sales")
        states = {}
        for seed, (less, dull) in enumerate(steps):
            size = MAX_BYTES - 11 + less
            document = {"page": str(seed) * size if dull else noise(size, seed)}
            sales.set("web", document)
            states[sales.persist().revision] = document
        for revision, document in states.items():
            past = sales.at(revision)
            assert past.lost == {"web"} or past["web"] == document
            assert not past.lost or "too large" in past.why_lost("web")


VALUES = st.one_of(st.integers(), st.text(max_size=20), st.integers(0, 5_000).map(noise))
STEPS = st.dictionaries(
    st.sampled_from("abc"),
    st.dictionaries(
        st.text(max_size=5), st.dictionaries(st.sampled_from(["old", "new"]), VALUES, min_size=1), max_size=6
    ).map(lambda fields: {"was": 1, "exists": True, "fields": fields}),
)


@settings(deadline=None)
@given(STEPS, st.integers(0, 20_000))
def test_a_record_is_as_small_as_it_has_to_be(changes, most):
    """A record that fits keeps each value; one that does not keeps digests of the largest, and says so."""
    record = {"op": "0" * 32, "author": "", "message": "", "time": 1.0, "changes": changes}
    data = fit(to_json(record), most)
    smallest = fit(to_json(record), 0)
    assert len(data) <= max(most, len(smallest))
    told = unpack(data)
    assert {**told, "changes": None} == {**record, "changes": None}
    if len(to_json(record)) <= most:
        assert told == record
    for name, step in told["changes"].items():
        fields = changes[name]["fields"]
        assert step.get("bare", False) or list(step["fields"]) == list(fields)
        for field, sides in step["fields"].items():
            digests = {side: Digest(*found) for side, found in sides.get("digests", {}).items()}
            kept = {side: value for side, value in sides.items() if side != "digests"}
            assert kept == {side: value for side, value in fields[field].items() if side not in digests}
            assert digests == {side: digest(fields[field][side]) for side in digests}


@pytest.mark.parametrize("packed", ["", "not base85 \u00e9", "00000", base64.b85encode(b"x" * 100).decode()])
def test_what_is_no_packed_record(packed):
    """An entry whose packed part is damaged is no record, and is said to be damaged, not decoded to anything."""
    with pytest.raises(InvalidDocument, match="damaged|cut"):
        unpack(to_json({"packed": packed}))
    assert MOST_UNPACKED > 2 * MAX_BYTES
