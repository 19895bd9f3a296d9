"""YAML and TOML as JSON, and back with what somebody wrote around it."""

from __future__ import annotations

import importlib
import json

import pytest

from confo import Confo, InvalidDocument, NotSupported, UnreadableDocument
from confo_file import formats

YAML = """\
# who serves
database:
  host: "10.0.0.1"  # the first
  port: 5432
users:
    - anna   # admin
    - berta
since: 2021-05-01
"""
TOML = """\
# who serves
since = 2021-05-01

[database]
host = "10.0.0.1"  # the first
port = 5432
"""
BILLION = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


def read(suffix, text):
    """Return the document that a file's text stands for."""
    return json.loads(formats.to_json(suffix, text.encode()))


@pytest.mark.parametrize(("suffix", "text"), [(".yaml", YAML), (".yml", YAML), (".toml", TOML)])
def test_a_change_keeps_comments(suffix, text):
    """A commit changes in a file what differs, and every other line stays as it was, comments included."""
    document = read(suffix, text)
    assert document["since"] == "2021-05-01"
    document["database"]["port"] = 6432
    document["database"]["tls"] = True
    written = formats.merged(suffix, text.encode(), json.dumps(document).encode(), "sales/a").decode()
    assert read(suffix, written) == document
    kept = [line for line in text.splitlines() if "5432" not in line]
    assert [line for line in written.splitlines() if "6432" not in line and "tls" not in line] == kept


def test_lists_keep_comments():
    """An item that stays keeps its comment, whatever is added behind it."""
    document = read(".yaml", YAML)
    document["users"].append("carl")
    written = formats.merged(".yaml", YAML.encode(), json.dumps(document).encode(), "sales/a").decode()
    assert "    - anna   # admin" in written.splitlines()
    assert read(".yaml", written)["users"] == ["anna", "berta", "carl"]


def test_what_is_deleted_goes():
    """A field that a commit deletes is gone from the file."""
    written = formats.merged(".toml", TOML.encode(), b'{"since": "2021-05-01"}', "sales/a").decode()
    assert read(".toml", written) == {"since": "2021-05-01"}
    assert "since = 2021-05-01" in written.splitlines()


def test_what_a_format_cannot_hold_is_refused():
    """TOML has no null: a document with one is refused, as it would read back otherwise."""
    with pytest.raises(InvalidDocument, match=r"sales/a\.toml"):
        formats.merged(".toml", TOML.encode(), b'{"x": null}', "sales/a")


@pytest.mark.parametrize(
    ("suffix", "text"),
    [
        (".yaml", "- a\n- b\n"),
        (".yaml", "a: [1"),
        (".yaml", "a: .nan"),
        (".yaml", "1: one"),
        (".yaml", "a: 1\na: 2"),
        (".yaml", "a: !!binary aGk="),
        (".yaml", "a: !!python/object/apply:os.getcwd []\nb: [!!set {x}]"),
        (".toml", "a = "),
        (".toml", "a = nan"),
        (".yaml", BILLION),
    ],
    ids=["list", "cut off", "NaN", "number as key", "twice", "binary", "code", "no value", "nan", "a billion"],
)
def test_what_is_no_document(suffix, text):
    """What JSON has not, or would be too much, is no document: its bytes are handed over as they are."""
    assert formats.readable(suffix, text.encode()) == text.encode()
    assert not formats.is_document(suffix, text.encode())


@pytest.mark.parametrize(("suffix", "extra"), [(".yaml", "yaml"), (".toml", "toml")])
def test_a_format_whose_package_is_missing(suffix, extra, monkeypatch):
    """Without the package a file is handed over unread, and a write says what to install."""

    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    assert formats.readable(suffix, b"a: 1") == b"a: 1"
    with pytest.raises(NotSupported, match=rf"confo-file\[{extra}\]"):
        formats.merged(suffix, b"a: 1", b"{}", "sales/a")


def test_a_program_on_yaml_and_toml(root, backend):
    """A program reads and writes YAML and TOML as it does JSON, and never learns the difference."""
    (root / "sales/a.yaml").write_text(YAML)
    (root / "sales/b.toml").write_text(TOML)
    (root / "sales/bad.yaml").write_text("a: [1")
    with Confo("formats") as config:
        config.load_backend({"config_path": root}, "files", "file", follow=False)
        config.activate_backend("files")
        config.use_namespace("sales")
        assert config.get("a", "database") == config.get("b", "database")
        for name in "ab":
            config.set(name, "database", {"host": "10.0.0.2", "port": 5432})
        config.persist()
        with pytest.raises(UnreadableDocument, match="sales/bad"):
            config.get("bad")
    assert (root / "sales/a.yaml").read_text() == YAML.replace("10.0.0.1", "10.0.0.2")
    assert (root / "sales/b.toml").read_text() == TOML.replace("10.0.0.1", "10.0.0.2")
    assert (root / "sales/bad.yaml").read_text() == "a: [1"
    assert not list((root / "sales").glob("*.json"))
