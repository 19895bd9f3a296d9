"""The corpus: what it calls documents is read and written as it was, the rest is refused for its reason."""

from __future__ import annotations

import json

import pytest

from confo import UnreadableDocument
from confo.codec import decode, encode, freeze, thaw
from confo_testkit import corpus

PLACE = {"namespace": "sales", "configuration": "database"}


def each(samples):
    """Parametrize a test by samples."""
    return pytest.mark.parametrize("sample", samples, ids=lambda sample: sample.what)


@each(corpus.valid())
def test_a_document_is_read(sample):
    """A document is read as any JSON parser reads it, and written and read again it is the same."""
    document = decode(sample.data, **PLACE)
    assert thaw(document) == json.loads(sample.data)
    again = encode(document, **PLACE)
    assert json.dumps(decode(again, **PLACE)) == json.dumps(document)
    assert freeze(thaw(document), **PLACE) == document


@each(corpus.invalid())
def test_what_is_none_is_refused(sample):
    """Bytes that are no document are refused, for the reason that they were collected for, and without a value."""
    with pytest.raises(UnreadableDocument) as caught:
        decode(sample.data, **PLACE)
    assert sample.reason in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_there_is_a_corpus():
    """The corpus is there and has no sample twice."""
    for samples, least in ((corpus.valid(), 40), (corpus.invalid(), 40)):
        assert len({sample.what for sample in samples}) == len({sample.data for sample in samples}) == len(samples)
        assert len(samples) >= least
    assert {sample.reason for sample in corpus.valid()} == {None}
    assert all(sample.reason for sample in corpus.invalid())


@pytest.mark.parametrize("text", ["", "\n\n"])
def test_an_empty_corpus_fails(text):
    """A corpus without a sample is an error and not a test that passes."""
    with pytest.raises(LookupError, match="valid.jsonl is empty"):
        corpus.samples(text, "valid.jsonl")


def test_an_empty_corpus_fails_the_contract(monkeypatch):
    """The contract's own test over the corpus does not pass without one."""
    monkeypatch.setattr(corpus, "_text", lambda name: "")
    with pytest.raises(LookupError, match="empty"):
        corpus.valid()
