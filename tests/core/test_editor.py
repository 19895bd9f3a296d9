"""Editors: documents as dicts to write to, at any depth, and nothing made by mistake."""

from __future__ import annotations

import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from confo import Closed, ConfigurationNotFound, Editor, FieldNotFound, InvalidDocument, InvalidName, InvalidOption
from confo.codec import FrozenDict
from confo.model import Entry, Snapshot
from confo.paths import ITSELF

DOCUMENT = {"host": "secret-1", "opts": {"pool": {"size": 5}, "tags": ["secret-2", {"x": 1}]}}


def begun(reads=False, **documents):
    """Return an editor on these documents at revision 7."""
    entries = {name: Entry(json.dumps(document).encode(), 7) for name, document in documents.items()}
    return Editor(Snapshot("sales", 7, entries), reads=reads)


@pytest.fixture
def draft():
    """Return an editor on two documents."""
    return begun(database=DOCUMENT, api={"url": "u"})


def result(draft, name="database"):
    """Return what the block made of a document."""
    return draft.end()[name].mine


def test_objects_are_dicts_to_write_to_at_any_depth(draft):
    """A nested value is read, set, deleted and created as in a dict, and nothing else of the document changes."""
    draft["database"]["opts"]["pool"]["size"] = 9
    draft["database"]["opts"]["pool"]["most"] = [1, 2]
    draft["database"]["opts"]["new"] = {"a": {}}
    draft["database"]["opts"]["new"]["a"]["b"] = 1
    del draft["database"]["host"]
    assert draft["database"]["opts"]["pool"]["size"] == 9
    assert draft["database"]["opts"] == {
        "pool": {"size": 9, "most": [1, 2]}, "tags": ["secret-2", {"x": 1}], "new": {"a": {"b": 1}}
    }  # fmt: skip
    made = result(draft)
    assert made == {"opts": dict(DOCUMENT["opts"], pool={"size": 9, "most": [1, 2]}, new={"a": {"b": 1}})}
    with pytest.raises(TypeError, match="frozen"):
        made["opts"]["pool"]["size"] = 1


def test_a_path_is_a_way_to_the_same_place(draft):
    """Where a field stands, a tuple of names is a path."""
    draft["database"]["opts", "pool", "size"] += 1
    assert draft["database"]["opts", "pool"] == {"size": 6}
    assert ("opts", "nope") not in draft["database"]
    assert 5 not in draft["database"]
    assert 5 not in draft
    with pytest.raises(InvalidName, match="a field is a str"):
        draft["database"][5] = 1


def test_a_list_is_assigned_whole(draft):
    """A list that was read cannot be changed unseen, only another one be assigned; += does that."""
    tags = draft["database"]["opts"]["tags"]
    for change in (lambda: tags.append("x"), lambda: tags.__setitem__(0, "x"), lambda: tags[1].update(x=2)):
        with pytest.raises(TypeError, match="frozen.*set|frozen.*edit"):
            change()
    draft["database"]["opts"]["tags"] += ["x"]
    assert result(draft)["opts"]["tags"] == ["secret-2", {"x": 1}, "x"]
    assert tags == ["secret-2", {"x": 1}]


@pytest.mark.parametrize(
    ("look", "error", "says"),
    [
        (lambda d: d["databse"]["host"], ConfigurationNotFound, "no configuration 'databse'.*did you mean 'database'"),
        (lambda d: d["databse"].update(host=1), ConfigurationNotFound, "assign a whole document"),
        (lambda d: d.pop("nope"), ConfigurationNotFound, "'database', 'api'"),
        (lambda d: d.__delitem__("nope"), ConfigurationNotFound, "'nope'"),
        (lambda d: d["database"]["hst"], FieldNotFound, "no field 'hst' in sales/database: did you mean 'host'"),
        (lambda d: d["database"]["optz"].update(a=1), FieldNotFound, "did you mean 'opts'. It has: 'host', 'opts'"),
        (lambda d: d["database"]["opts"]["pol"], FieldNotFound, "field .'opts', 'pol'.*'pool'"),
        (lambda d: d["database"].__delitem__("nope"), FieldNotFound, "'nope'"),
        (lambda d: d["database"]["opts"].pop("nope"), FieldNotFound, "field .'opts', 'nope'"),
        (lambda d: d.__setitem__("api", [1]), InvalidDocument, "mapping"),
        (lambda d: d["api"].__setitem__("x", {1}), InvalidDocument, "set"),
        (lambda d: d["no good"], InvalidName, "no good"),
        (lambda d: d[5], InvalidName, "int"),
    ],
)
def test_what_is_not_there_is_not_made(draft, look, error, says):
    """A plain look-up of what is misspelt raises, says what there is, and creates nothing."""
    with pytest.raises(error, match=says):
        look(draft)
    assert draft.end() == {}


def test_creating(draft):
    """A whole document is assigned to create it, or given as a default; get() of what is not there is None."""
    draft["new"] = {"a": 1}
    draft["new"]["b"] = {}
    assert draft.setdefault("new", {"z": 1}) == {"a": 1, "b": {}}
    draft.setdefault("seed", {"x": 1})["y"] = 2
    draft["new"]["b"].setdefault("deep", {})["c"] = 3
    assert draft["new"].setdefault("a", 9) == 1
    assert draft.get("nope") is None
    assert draft["api"].get("nope", 5) == 5
    assert sorted(draft) == ["api", "database", "new", "seed"]
    made = draft.end()
    assert {name: one.mine for name, one in made.items()} == {
        "new": {"a": 1, "b": {"deep": {"c": 3}}}, "seed": {"x": 1, "y": 2}
    }  # fmt: skip


def test_taking_out(draft):
    """What is popped is a plain value of its own; the rest of a dict's methods work as well."""
    pool = draft["database"]["opts"].pop("pool")
    pool["size"] = 0
    assert draft.pop("api") == {"url": "u"}
    assert draft.pop("api", None) is None
    assert draft["database"].pop("nope", 1) == 1
    assert draft["database"].popitem() == ("opts", {"tags": ["secret-2", {"x": 1}]})
    draft["database"].update(host="a", more=1)
    draft["database"].clear()
    with pytest.raises(KeyError):
        draft["database"].popitem()
    assert len(draft["database"]) == 0
    assert draft.popitem()[0] == "database"
    assert list(draft) == []
    assert [one.mine for one in draft.end().values()] == [None, None]


def test_copies_are_plain(draft):
    """What is read may be assigned elsewhere, copied, and taken as a plain dict, apart from the draft."""
    plain = draft["database"].plain()
    assert copy.deepcopy(draft["database"]) == copy.copy(draft["database"]) == plain == DOCUMENT
    plain["opts"]["pool"]["size"] = 0
    draft["copy"] = draft["database"]
    draft["api"]["opts"] = draft["database"]["opts"]
    draft["copy"]["opts"]["pool"]["size"] = 1
    made = draft.end()
    assert made["api"].mine["opts"] == DOCUMENT["opts"]
    assert made["copy"].mine["opts"]["pool"] == {"size": 1}
    assert "database" not in made


def test_what_was_taken_away_is_not_written_to(draft):
    """An object that the block itself took out of the document is not made again by writing to what it was."""
    opts, api = draft["database"]["opts"], draft["api"]
    draft["database"]["opts"] = 5
    del draft["api"]
    with pytest.raises(FieldNotFound, match="no object any more"):
        opts["a"] = 1
    with pytest.raises(ConfigurationNotFound):
        api["a"] = 1
    assert "nothing any more" in repr(opts)


def test_its_texts_have_no_value(draft):
    """Printing a draft, or a part of it, shows where it is and what it has, never a value."""
    draft["database"]["host"] = "secret-3"
    shown = [str(draft), repr(draft["database"]), repr(draft["database"]["opts"]), str(draft.end())]
    assert shown[0] == "<Editor of sales at revision 7: 2 configurations, written to: 'database'>"
    assert shown[1] == "<DocumentEditor of sales/database: 'host', 'opts'>"
    assert shown[2] == "<DocumentEditor of sales/database field 'opts': 'pool', 'tags'>"
    assert "secret" not in "".join(shown)


def test_after_its_end_a_draft_is_read_only(draft):
    """A draft that is over may be read, and refuses to be written to."""
    document = draft["database"]
    draft.end()
    assert document["host"] == "secret-1"
    with pytest.raises(Closed, match="over"):
        document["host"] = 1


THERE = (ITSELF,)
"""What guards that a document is there, whatever is in it."""


def test_what_is_guarded():
    """The paths that were written are guarded, also where nothing changed; what was read, when that is asked for."""
    for reads in (False, True):
        draft = begun(reads=reads, database=DOCUMENT, api={"url": "u", "x": {}}, other={"a": 1}, unseen={})
        draft["database"]["opts"]["pool"]["size"] += 1
        draft["api"]["url"] = draft["api"]["url"]
        assert "timeout" not in draft["other"]
        assert draft.get("nope") is None
        assert "x" in draft["api"]
        assert list(draft["database"]["opts"]) == ["pool", "tags"]
        ways = [(), ("opts",), ("opts", "pool")]
        guards = {name: set(one.guards) for name, one in draft.end().items()}
        assert guards == (
            {
                "database": {("opts", "pool", "size"), ("opts",), *(way + THERE for way in ways)},
                "api": {("url",), ("x", *THERE), THERE},
                "other": {("timeout",), THERE},
                "nope": {()},
            }
            if reads
            else {"database": {("opts", "pool", "size")}, "api": {("url",)}}
        )


KEYS = st.sampled_from("abc")
DOCUMENTS = st.recursive(
    st.integers(0, 2) | st.lists(st.integers(0, 2), max_size=2),
    lambda inner: st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)
CALLS = [
    lambda d, key, value: d.__setitem__(key, value),
    lambda d, key, value: d.__delitem__(key),
    lambda d, key, value: d.pop(key),
    lambda d, key, value: d.setdefault(key, value),
    lambda d, key, value: d.get(key),
    lambda d, key, value: key in d,
    lambda d, key, value: d.update({key: value}),
]


@given(st.dictionaries(KEYS, DOCUMENTS, max_size=3), st.data())
def test_an_editor_does_what_a_dict_does(document, data):
    """Whatever is done to a draft's document has the result, or the KeyError, that it has on a plain dict."""
    plain = copy.deepcopy(document)
    draft = begun(d=document)
    for _ in range(data.draw(st.integers(1, 6))):
        mine, theirs = draft["d"], plain
        for key in data.draw(st.lists(KEYS, max_size=2)):
            if isinstance(theirs.get(key), dict):
                mine, theirs = mine[key], theirs[key]
        key, value, call = data.draw(KEYS), data.draw(DOCUMENTS), data.draw(st.sampled_from(CALLS))
        answers = []
        for one in (mine, theirs):
            try:
                answers.append(call(one, key, copy.deepcopy(value)))
            except KeyError:
                answers.append(KeyError)
        assert answers[0] == answers[1]
        assert draft["d"] == plain
    assert draft["d"].plain() == plain
    written = draft.end().get("d")
    assert written is None or written.mine == plain


def test_an_edit_is_for_a_with_block(sales):
    """edit() and aedit() say what they are for when they are used otherwise, or twice."""
    edit = sales.edit()
    for use in (
        lambda: edit["database"],
        lambda: edit.__setitem__("database", {}),
        lambda: "x" in edit,
        lambda: list(edit),
        lambda: sales.aedit().__enter__(),
    ):
        with pytest.raises(InvalidOption, match="for a block: (async )?with ns.a?edit"):
            use()
    with pytest.raises(AttributeError, match="with ns.edit"):
        edit.get("database")
    with edit:
        pass
    with pytest.raises(InvalidOption, match=r"call edit\(\) again"), edit:
        pass


def test_frozen_documents_are_what_the_block_leaves(sales):
    """What a block wrote is read as frozen documents, all the way down."""
    with sales.edit() as draft:
        draft["d"] = {"o": {}}
        draft["d"]["o"]["p"] = {"l": [1]}
    assert type(sales["d"]["o"]["p"]) is FrozenDict
    assert sales.get("d", ("o", "p", "l")) == [1]
