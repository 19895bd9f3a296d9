"""Strict JSON, limits, and documents that refuse to change."""

from __future__ import annotations

import copy
import enum
import json
import logging
import logging.config
import pickle
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from confo import FieldNotFound, FrozenDict, InvalidDocument, UnreadableDocument
from confo.codec import MAX_BYTES, MAX_DEPTH, decode, encode, freeze

PLACE = {"namespace": "sales", "configuration": "database"}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
documents = st.dictionaries(st.text(), json_values, max_size=5)


@given(documents)
def test_what_is_set_is_read(document):
    """A document that is frozen, encoded and decoded is the same document, type for type."""
    frozen = freeze(document, **PLACE)
    read = decode(encode(frozen, **PLACE), **PLACE)
    assert read == document
    assert repr(read) == repr(document) == repr(frozen)
    assert json.dumps(frozen) == json.dumps(document)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not JSON: Expecting value at line 1 column 1"),
        (b'{"a": 1', "not JSON"),
        (b'{"a": 1}{', "not JSON: Extra data"),
        (b'\xef\xbb\xbf{"a": 1}', "not JSON"),
        (b'{"a": 1, "a": 2}', "the key 'a' stands twice in one object"),
        (b'{"x": {"b": 1, "b": 1}}', "the key 'b' stands twice"),
        (b'{"a": NaN}', "NaN is not JSON"),
        (b'{"a": -Infinity}', "-Infinity is not JSON"),
        (b'{"a": 1e400}', "beyond the range of a double"),
        pytest.param(b'{"a": ' + b"1" * 5000 + b"}", "too many digits", id="digits"),
        (b'{"a": "\\ud800"}', "lone surrogate"),
        (b'{"a": "\xff"}', "byte 7 is not UTF-8"),
        ('{"a": 1}'.encode("utf-16"), "not UTF-8"),
        (b"null", "it is null, not an object"),
        (b"[1]", "it is an array, not an object"),
        (b"true", "it is a boolean, not an object"),
        (b"12", "it is a number, not an object"),
        (b'"hunter2"', "it is a text, not an object"),
        (b'{"a":' * 65 + b"1" + b"}" * 65, "nested deeper than 64 levels"),
        pytest.param(b"[" * 100_000, "nested deeper than 64 levels", id="100,000 deep"),
        pytest.param(
            b'{"a": "' + b"x" * MAX_BYTES + b'"}', "too large (1,048,585 bytes, the limit is 1,048,576)", id="large"
        ),
    ],
)
def test_unreadable_bytes_say_why(data, reason):
    """Bytes that are no document are refused with place and reason, and the error tells to leave them there."""
    with pytest.raises(UnreadableDocument) as caught:
        decode(data, **PLACE)
    message = str(caught.value)
    assert message.startswith("sales/database in the store is not a document: ")
    assert reason in message
    assert "left untouched" in message
    assert "hunter2" not in message
    assert caught.value.__cause__ is None
    assert (caught.value.namespace, caught.value.configuration) == ("sales", "database")


def test_depth_limit_is_exact():
    """As many levels as the limit are read and set, one more is not, in objects and in arrays."""
    for opening, closing in ((b'{"a":', b"}"), (b'{"a":[', b"]}")):
        per = opening.count(b"{") + opening.count(b"[")
        levels = MAX_DEPTH // per
        data = opening * levels + b"1" + closing * levels
        freeze(decode(data, **PLACE), **PLACE)
        with pytest.raises(UnreadableDocument, match="64 levels"):
            decode(b'{"x":' + data + b"}", **PLACE)
        with pytest.raises(InvalidDocument, match="64 levels"):
            freeze({"x": json.loads(data)}, **PLACE)
        with pytest.raises(InvalidDocument, match="64 levels"):
            freeze(json.loads(data), **PLACE, field="x")


def itself():
    """Return a list that contains itself."""
    loop = []
    loop.append(loop)
    return loop


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({1, 2}, "is of type set, which is not JSON"),
        ({"a": {"b": [1, object()]}}, "'host.a.b[1]' is of type object"),
        (float("nan"), "NaN or infinite"),
        ({"a": float("inf")}, "'host.a' is NaN or infinite"),
        ({(1, 2): 3}, "a key of type tuple; keys are str"),
        ({1: "one"}, "a key of type int"),
        (b"bytes", "is of type bytes"),
        pytest.param("\ud800", "lone surrogate", id="surrogate"),
        ({"\ud800": 1}, "lone surrogate"),
        pytest.param(10**5000, "too many digits", id="digits"),
        (itself(), "contains itself"),
        pytest.param("x" * (2 * 1024 * 1024), "2,097,154 bytes as JSON, the limit is 1,048,576", id="2 MiB"),
    ],
)
def test_values_that_are_not_json_say_why(value, reason):
    """A value that is not JSON is refused with its place in the document, never with the value."""
    with pytest.raises(InvalidDocument) as caught:
        freeze(value, **PLACE, field="host")
    assert str(caught.value).startswith("sales/database field 'host' cannot be set: ")
    assert reason in str(caught.value)
    assert len(str(caught.value)) < 300


def test_a_document_that_is_too_large_as_a_whole():
    """A document beyond the limit, made of fields within it, is refused with both numbers when it is encoded."""
    document = {str(n): "x" * 600_000 for n in range(2)}
    with pytest.raises(InvalidDocument, match=r"1,200,0\d\d bytes as JSON, the limit is 1,048,576; split it"):
        encode(document, **PLACE)


class Colour(enum.StrEnum):
    """A text with a name."""

    RED = "red"


class Number(enum.IntEnum):
    """A number with a name."""

    ONE = 1


def test_values_become_plain_json():
    """Tuples become lists and subclasses the type they extend, so that what is read is what was set."""
    frozen = freeze({"colour": Colour.RED, "ports": (1, 2), Colour.RED: Number.ONE}, **PLACE)
    assert frozen == {"colour": "red", "ports": [1, 2], "red": 1}
    assert {type(key) for key in frozen} == {str}
    assert [type(value) for value in frozen.values()][0::2] == [str, int]


def test_what_is_set_is_a_copy():
    """Changing a value after it was set changes nothing in Confo."""
    mine = {"ports": [1, 2]}
    frozen = freeze(mine, **PLACE)
    mine["ports"].append(3)
    assert frozen == {"ports": [1, 2]}


CHANGES = [
    'd.__setitem__("a", 1)',
    'd.__delitem__("list")',
    "d.update(a=1)",
    'd.pop("list")',
    "d.popitem()",
    "d.clear()",
    'd.setdefault("a", 1)',
    'd.__ior__({"a": 1})',
    'd["list"].append(1)',
    'd["list"].extend([1])',
    'd["list"].insert(0, 1)',
    'd["list"].__setitem__(0, 1)',
    'd["list"].__delitem__(0)',
    'd["list"].__imul__(2)',
    'd["list"].pop()',
    'd["list"].remove(1)',
    'd["list"].reverse()',
    'd["list"].sort()',
    'd["list"].clear()',
    'd["list"][1].update(x=2)',
]


@pytest.mark.parametrize("source", ["set", "read"])
@pytest.mark.parametrize("change", CHANGES)
def test_documents_refuse_to_change(change, source):
    """No method of a dict or list changes a document, at any level, whether it was set or read."""
    plain = {"list": [1, {"x": 1}], "text": "t"}
    document = freeze(plain, **PLACE) if source == "set" else FrozenDict(decode(json.dumps(plain).encode(), **PLACE))
    with pytest.raises(TypeError, match="frozen"):
        eval(change, {"d": document})
    assert document == plain


def test_frozen_documents_behave_as_dicts():
    """A document equals, prints and encodes as the plain dict, and pickles as itself."""
    plain = {"list": [1, {"x": 1}], "text": "t"}
    document = freeze(plain, **PLACE)
    assert document == plain
    assert str(document) == str(plain)
    assert json.dumps(document) == json.dumps(plain)
    again = pickle.loads(pickle.dumps(document))
    assert again == plain
    assert type(again) is FrozenDict


def test_copies_are_changeable():
    """copy.deepcopy gives a plain dict, plain at every level; copy.copy and copy() plain at the first."""
    document = freeze({"list": [1, {"x": [1]}]}, **PLACE)
    assert document.plain() == document
    assert [type(document.plain()), type(document.plain()["list"]), type(document["list"].plain())] == [
        dict,
        list,
        list,
    ]
    deep = copy.deepcopy(document)
    deep["list"][1]["x"].append(2)
    assert deep == {"list": [1, {"x": [1, 2]}]}
    for shallow in (copy.copy(document), document.copy(), document | {}):
        shallow["new"] = 1
        assert type(shallow) is dict
    assert copy.copy(document["list"]) == copy.deepcopy(document["list"]) == [1, {"x": [1]}]
    assert document == {"list": [1, {"x": [1]}]}


YAML = """
import io, sys
{before}
from confo.codec import freeze
document = freeze({{"b": [1, {{"x": None}}], "a": {{"y": "z"}}}}, namespace="n", configuration="c")
import yaml, ruamel.yaml
plain = document.plain()
for dumper in (yaml.SafeDumper, yaml.Dumper):
    assert yaml.dump(document, Dumper=dumper) == yaml.dump(plain, Dumper=dumper)
assert yaml.safe_load(yaml.safe_dump(document)) == plain
for kind in ("safe", "rt", "unsafe"):
    texts = []
    for one in (document, plain):
        stream = io.StringIO()
        ruamel.yaml.YAML(typ=kind, pure=True).dump(one, stream)
        texts.append(stream.getvalue())
    assert texts[0] == texts[1], texts
print("written alike")
"""


@pytest.mark.parametrize("before", ["", "import yaml, ruamel.yaml"], ids=["Confo first", "YAML first"])
def test_yaml_dumpers_take_documents_as_they_are(before):
    """PyYAML and ruamel.yaml write a document as they write the plain dict, whichever was imported first."""
    done = subprocess.run(
        [sys.executable, "-c", YAML.format(before=before)], capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "written alike\n", done.stderr


def test_logging_takes_a_document_as_it_is():
    """logging.config.dictConfig takes a document with lists and dicts inside."""
    document = freeze(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"plain": {"format": "%(message)s"}},
            "handlers": {"nowhere": {"class": "logging.NullHandler", "formatter": "plain"}},
            "loggers": {"tests.confo.dictconfig": {"handlers": ["nowhere"], "level": "ERROR"}},
        },
        **PLACE,
    )
    logging.config.dictConfig(document)
    logger = logging.getLogger("tests.confo.dictconfig")
    assert (logger.level, [type(one) for one in logger.handlers]) == (logging.ERROR, [logging.NullHandler])


def test_a_field_that_is_not_there():
    """Looking up what a document, or an object in it, does not have says what there is, as a KeyError."""
    document = decode(b'{"host": 1, "opts": {"pool": 5}}', namespace="n", configuration="c")
    with pytest.raises(FieldNotFound, match="no field 'pol' in this document: did you mean 'pool'. It has: 'pool'"):
        document["opts"]["pol"]
    with pytest.raises(KeyError, match="no field 'nope'"):
        FrozenDict(document)["nope"]
    assert FrozenDict(document).get("nope") is None
    assert "nope" not in FrozenDict(document)
