"""JSON, YAML and TOML as people write them: read, edited in their text, and refused with the place."""

from __future__ import annotations

import copy
import importlib
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from confo import Confo, InvalidDocument, NotSupported
from confo_file import formats

JSON = '{\n    "z": 1.50,\n    "list": [\n        1,\n        {"x": 1e3}\n    ],\n    "text": "\\u00fc"\n}\n'
YAML = """\
# who serves
---
database:
  host: "10.0.0.1"  # the first
  port: 5432
  tls: ~

# who may
users:
    - anna   # admin
    - 'berta'
since: 2021-05-01
factor: 1.50
defaults: &defaults
  retries: 3
  # how long
  timeout: 2.5
web:
  <<: *defaults
  timeout: 1
inline: {a: 1, b: [1, 2]}
text: |
  one
  two
"""
TOML = """\
# who serves
since = 2021-05-01
a.dotted.key = 1

[database]
host = "10.0.0.1"  # the first
port = 5_432
ports = [
  1, # about 1
  2, # about 2
]

[[jobs]]
name = 'one'

[other.table]
x = { y = 1 }

[[jobs]]
name = "two"
"""
TEXTS = [(".json", JSON), (".yaml", YAML), (".yml", YAML), (".toml", TOML)]
BILLION = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


def read(suffix, text):
    """Return the document that a file's text stands for."""
    data, problem = formats.read(suffix, text if isinstance(text, bytes) else text.encode())
    assert problem == ""
    return json.loads(data)


def write(suffix, text, document):
    """Return the text after an edit."""
    data = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    written = formats.write(suffix, text if isinstance(text, bytes) else text.encode(), data, f"/etc/a{suffix}")
    assert read(suffix, written) == document
    return written if isinstance(text, bytes) else written.decode()


def leaves(value, path=()):
    """Return the paths of everything in a document that is no object with something in it."""
    if isinstance(value, dict) and value:
        return [leaf for name, item in value.items() for leaf in leaves(item, (*path, name))]
    return [path]


def changed(document, path, value):
    """Return a document with another value at a path; deleted if it is None."""
    document = copy.deepcopy(document)
    here = document
    for name in path[:-1]:
        here = here[name]
    if value is None:
        del here[path[-1]]
    else:
        here[path[-1]] = value
    return document


CASES = [
    (suffix, text, path)
    for suffix, text in TEXTS
    for path in leaves(read(suffix, text))
    if path[0] not in ("web", "jobs")
]


@pytest.mark.parametrize(("suffix", "text", "path"), CASES, ids=[f"{s}-{'.'.join(p)}" for s, _, p in CASES])
@pytest.mark.parametrize("value", [7, "new: #1 'x' \x85", True, [1, "two"], {"k": {"l": 1}}, None])
def test_the_lines_that_are_not_edited_stay(suffix, text, path, value):
    """Whatever one path becomes, every other line stays as it was: comments, quotes, numbers, blank lines, order."""
    before = text.splitlines()
    after = write(suffix, text, changed(read(suffix, text), path, value)).splitlines()
    lost = [line for line in before if line not in after]
    block = {".json": 5, ".toml": 4}.get(suffix, 4)  # lines that the largest of the values has
    assert len(lost) <= block, lost
    for line in lost:
        assert path[-1] in line or re.match(r"\s*([-#]|\d|one|two|\]|\}|\{)", line), f"{line!r} is gone"
    following = iter(after)
    assert all(line in following for line in before if line not in lost and path[-1] not in line)


names = st.sampled_from(["a", "b", "host", "with space", "ü", "x.y", "true", "2016", "#"])
values = st.recursive(
    st.booleans() | st.integers(-(10**6), 10**6) | st.floats(-1e6, 1e6) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)
documents = st.dictionaries(names, values, max_size=4)


@given(st.sampled_from([".json", ".yaml", ".toml"]), documents, documents)
def test_any_document_becomes_any_other(suffix, first, second):
    """A file that holds one document is edited to hold another, and reads back as exactly that."""
    written = formats.write(suffix, None, json.dumps(first, separators=(",", ":"), ensure_ascii=False).encode(), "/a")
    assert read(suffix, written) == first
    assert read(suffix, write(suffix, written, second)) == second


@given(st.sampled_from(TEXTS), documents)
def test_any_document_takes_the_place_of_a_persons(form, document):
    """A file that a person wrote is edited to hold any document, and reads back as exactly that."""
    write(*form, document)


@pytest.mark.parametrize(("suffix", "text"), TEXTS)
def test_line_ends_and_marks_stay(suffix, text):
    """A file with CR LF and a byte order mark is read, and keeps both."""
    data = b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode()
    document = read(suffix, data)
    assert document == read(suffix, text)
    written = write(suffix, data, {**document, "new": 1})
    assert written.startswith(b"\xef\xbb\xbf")
    assert written.count(b"\r\n") == written.count(b"\n") > 3


def test_new_files_are_laid_out_for_people():
    """A new JSON file is indented by two and ends with its line; YAML and TOML are written in their own way."""
    document = b'{"host":"a","opts":{"pool":[1,2]}}'
    written = formats.write(".json", None, document, "/a.json")
    assert written == b'{\n  "host": "a",\n  "opts": {\n    "pool": [\n      1,\n      2\n    ]\n  }\n}\n'
    assert formats.write(".yaml", None, document, "/a") == b"host: a\nopts:\n  pool:\n    - 1\n    - 2\n"
    assert formats.write(".toml", None, document, "/a") == b'host = "a"\n\n[opts]\npool = [1, 2]\n'


@pytest.mark.parametrize(
    ("suffix", "text", "path", "value", "expected"),
    [
        (".json", '{"a": 1, "b": [1, 2, 3]}', ("b",), [1, 3], '{"a": 1, "b": [1, 3]}'),
        (".json", '{"a":1}', ("b",), 2, '{"a":1,"b":2}'),
        (".json", '{\n\t"a": {"x": 1}\n}', ("a", "y"), 2, '{\n\t"a": {"x": 1, "y": 2}\n}'),
        (".yaml", "l:\n  - a  # about a\n  - b  # about b\n", ("l",), ["b"], "l:\n  - b  # about b\n"),
        (".yaml", "a: 1\n# about b\nb: 2\n# about c\nc: 3\n", ("b",), None, "a: 1\n# about c\nc: 3\n"),
        (".yaml", "a: &x {p: 1}\nb: *x\n", ("b", "p"), 2, "a: &x {p: 1}\nb:\n  p: 2\n"),
        (".yaml", "a: &x {p: 1}\nb: *x\n", ("a", "p"), 2, "a: &x {p: 2}\nb:\n  p: 1\n"),
        (
            ".yaml",
            "base: &b\n  x: 1\nprod:\n  <<: *b\n  y: 3\n",
            ("base", "x"),
            5,
            "base: &b\n  x: 5\nprod:\n  <<: *b\n  y: 3\n  x: 1\n",
        ),
        (
            ".yaml",
            "base: &b\n  x: 1\nprod:\n  <<: *b\n  y: 3\n",
            ("prod", "x"),
            None,
            "base: &b\n  x: 1\nprod:\n  y: 3\n",
        ),
        (".yaml", "l:\n- a  # 1\n- x: 1\n  y: 2\n- c  # 3\n", ("l",), ["a", 5, "c"], "l:\n- a  # 1\n- 5\n- c  # 3\n"),
        (".yaml", "l:\n- - 1\n  - 2\n- c  # 3\n", ("l",), ["a", "c"], "l:\n- a\n- c  # 3\n"),
        (".yaml", "a: 1\n", ("a",), "\U0001eebc\u2028", 'a: "\\U0001EEBC\\U00002028"\n'),
        (".yaml", "jobs:\n- name: a\n  run: x\n- name: b\n", ("jobs",), [{"name": "b"}], "jobs:\n- name: b\n"),
        (".toml", "l = [\n  1, # about 1\n  2, # about 2\n]\n", ("l",), [2], "l = [\n  2, # about 2\n]\n"),
        (".toml", "l = [\n  1, # about 1\n]\n", ("l",), [1, 2], "l = [\n  1, # about 1\n  2,\n]\n"),
        (
            ".toml",
            "[[jobs.list]]\n[other.x]\n[[jobs.list.step]]\n",
            ("other", "x", "y"),
            1,
            "[[jobs.list]]\n[other.x]\ny = 1\n[[jobs.list.step]]\n",
        ),
    ],
)
def test_what_an_edit_looks_like(suffix, text, path, value, expected):
    """An edit is what a careful person would have typed; comments stay beside what they were written for."""
    assert write(suffix, text, changed(read(suffix, text), path, value)) == expected


def test_an_anchor_that_is_still_needed():
    """What carries an anchor that an alias uses is not deleted under it: both are named."""
    with pytest.raises(InvalidDocument, match=r"\*db stands for what &db marks, which this takes away"):
        formats.write(".yaml", b"a: &db\n  x: 1\nb: *db\n", b'{"b":{"x":1}}', "/etc/a.yaml")


def test_what_a_format_cannot_hold_is_refused():
    """TOML has no null: a document with one is refused, with the path of the field and the file."""
    with pytest.raises(InvalidDocument, match=r"/etc/a\.toml cannot hold .*TOML has no null: field \('x', 'y'\)"):
        formats.write(".toml", TOML.encode(), b'{"x":{"y":null}}', "/etc/a.toml")


@pytest.mark.parametrize(
    ("suffix", "text", "says"),
    [
        (".json", "", "the file is empty; an empty JSON document is {}"),
        (".json", '{\n  "a": 1,\n  b: 2}', "line 3 column 3: this is not JSON: "),
        (".json", '{"a": 1,\n "b": {"c": 1, "c": 2}}', "line 2 column 16: the key 'c' stands twice in one object"),
        (".json", '{"c": {"c": "\\"c\\": {"},\n "a\\u0062": [{"x": 1}],\n "ab": 2}', "line 3 column 2: the key"),
        (".json", "\n  [1]", "line 2 column 3: the top is no object"),
        (".json", '{"a": "NaN",\n "b": NaN}', "line 2 column 7: JSON has no number NaN"),
        (".json", '{"a":\n-Infinity}', "line 2 column 1: JSON has no number -Infinity"),
        (".json", '{"a": [1e999]}', "line 1 column 8: JSON has no number as large as that"),
        (".json", b"\xff\xfe{}", "line 1: this is not UTF-8"),
        (".yaml", "a: 1\nb:\n\tc: 2\n", "line 3 column 1: YAML does not allow a tab here: indent by blanks"),
        (".yaml", "- a\n- b\n", "line 1 column 1: the top is a list, not a mapping"),
        (".yaml", "a: [1\nb: 2", "line 2 column 2: this is not YAML: "),
        (".yaml", "a: .nan", "line 1 column 4: JSON has no word for .nan"),
        (".yaml", "a: -.inf", "JSON has no word for .inf"),
        (".yaml", "a: !!binary aGk=", "JSON has no word for !!binary"),
        (".yaml", "true: 1", "a boolean is no key: put the key in quotes"),
        (".yaml", "null: 1", "null is no key: put the key in quotes"),
        (".yaml", "a: 1\na: 2", "line 2 column 1: the key 'a' is there twice"),
        (".yaml", "a: 1\n---\nb: 2\n", "line 2 column 1: there are several documents in one file"),
        (".yaml", "a: !vault hunter2", "the tag !vault is unknown here"),
        (".yaml", "a: !!python/object/apply:os.getcwd []", "the tag !!python/object/apply:os.getcwd is unknown here"),
        (".yaml", "a: [!!set {x}]", "the tag !!set is unknown here"),
        (".yaml", "password: *hunter2", "this alias has no anchor before it; a text that begins with '*' needs quotes"),
        (".yaml", BILLION, "the document stands for more than 200,000 values"),
        (".yaml", "a: " + "[" * 200 + "]" * 200, "it is nested deeper than 100 levels"),
        (".toml", "a = ", "line 1: this is not TOML: "),
        (".toml", "a = 1\nb = hunter2\n", "line 2 column 5: this is not TOML: "),
        (".toml", "x = { a = nan }", "field ('x', 'a') is a number that JSON has no word for"),
        (".toml", "a = 1\na = 2\n", "line 2 column 6: this is not TOML: "),
    ],
)
def test_what_is_no_document_says_where_and_why(suffix, text, says):
    """An error speaks of the file's own format, with line and column, and never of a value."""
    data = text if isinstance(text, bytes) else text.encode()
    found, problem = formats.read(suffix, data)
    assert says in problem
    assert found == data
    assert "hunter2" not in problem
    if suffix != ".json":
        assert "not JSON" not in problem
    assert not formats.is_document(suffix, data)


def test_numbers_as_keys_are_the_text_that_stands_there():
    """A number as a key of YAML is a field of that name."""
    assert read(".yaml", "2016: a\n1.50: b\n0x10: c\n") == {"2016": "a", "1.50": "b", "0x10": "c"}


def test_dates_are_text():
    """Dates and times are the text that stands for them, in YAML and TOML alike."""
    assert read(".yaml", "a: 2021-05-01\nb: 2001-12-14t21:59:43.10-05:00\n") == {
        "a": "2021-05-01",
        "b": "2001-12-14t21:59:43.10-05:00",
    }
    assert read(".toml", "a = 2021-05-01\nb = 07:32:00\n") == {"a": "2021-05-01", "b": "07:32:00"}


def test_an_empty_file():
    """An empty YAML or TOML file is an empty document, with comments or without; it may also be half saved."""
    for suffix in (".yaml", ".yml", ".toml"):
        for text in ("", "# only a comment\n"):
            assert read(suffix, text) == {}
            assert write(suffix, text, {"a": 1}).startswith(text)
        assert not formats.is_document(suffix, b"")


@pytest.mark.parametrize(("suffix", "extra"), [(".yaml", "yaml"), (".yml", "yaml")])
def test_a_format_whose_package_is_missing(suffix, extra, monkeypatch):
    """Without the package a file is unreadable, a write is refused, and both say what to install."""

    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    assert f"pip install 'confo-file[{extra}]'" in formats.read(suffix, b"a: 1")[1]
    with pytest.raises(NotSupported, match=rf"confo-file\[{extra}\]"):
        formats.write(suffix, b"a: 1", b"{}", "/a")


def test_a_parser_that_fails_costs_one_document(monkeypatch):
    """Whatever a parser raises is told of this one document, without its text."""
    module = importlib.import_module("confo_file.texts.yaml_text")

    def broken(_):
        raise AssertionError("hunter2")

    monkeypatch.setattr(module, "load", broken)
    assert formats.read(".yaml", b"a: 1")[1] == "the parser failed on it (AssertionError)"


def test_a_program_on_yaml_and_toml(root, backend):
    """A program reads and writes YAML and TOML as it does JSON, and an unreadable one says file, line and reason."""
    (root / "sales/a.yaml").write_text(YAML)
    (root / "sales/b.toml").write_text(TOML)
    (root / "sales/bad.yaml").write_text("a: 1\nb:\n\tc: 2\n")
    with Confo("formats") as config:
        config.load_backend({"config_path": root}, "files", "file", follow=False)
        sales = config.namespace("sales")
        for name in "ab":
            with sales.edit() as draft:
                draft[name]["database"]["host"] = "10.0.0.2"
        assert sales["a"]["database"]["host"] == sales["b"]["database"]["host"] == "10.0.0.2"
        reason = sales.status().unreadable["bad"].reason
    assert reason == f"{root}/sales/bad.yaml line 3 column 1: YAML does not allow a tab here: indent by blanks"
    assert (root / "sales/a.yaml").read_text() == YAML.replace("10.0.0.1", "10.0.0.2")
    assert (root / "sales/b.toml").read_text() == TOML.replace("10.0.0.1", "10.0.0.2")
    assert not list((root / "sales").glob("*.json"))
