"""Which file is which configuration."""

from __future__ import annotations

import pytest

from confo import InvalidName
from confo_file import layout


@pytest.mark.parametrize(
    ("file", "parts"),
    [
        ("database.json", ("database", ".json")),
        ("a.b.json", ("a.b", ".json")),
        ("a.json.json", ("a.json", ".json")),
        ("a.yaml", ("a", ".yaml")),
        ("a.yml", ("a", ".yml")),
        ("a.toml", ("a", ".toml")),
        ("a.json~", None),
        (".a.json.swp", None),
        (".json", None),
        ("json", None),
        ("README.md", None),
        ("with space.json", None),
        ("4913", None),
    ],
)
def test_split(file, parts):
    """A configuration is named by its file without the last suffix; an editor's own files name none."""
    assert layout.split(file) == parts


def test_two_files_of_one_name():
    """Two files of one configuration are twins, and so are names that differ in case only: nobody can tell which."""
    found = layout.configurations(["a.json", "b.json", "a.yaml"])
    assert set(found.suffixes) == {"a", "b"}
    assert found.twins == {"a": "a.json and a.yaml are files of one configuration: remove or rename one of them"}
    found = layout.configurations(["a.yaml", "A.json"])
    assert set(found.twins) == {"a", "A"}
    assert "A.json and a.yaml differ in upper and lower case only" in found.twins["a"]


@pytest.mark.parametrize("name", ["..", ".", "", ".confo", ".git", "a/b", "../sales", "a\0", "x" * 129, "-a", "a\n"])
def test_names_that_lead_elsewhere(name):
    """A name that could leave the folder, or name another tool's, is refused before any file is looked at."""
    with pytest.raises(InvalidName):
        layout.check_namespace(name)
    with pytest.raises(InvalidName):
        layout.check_configuration(name)


def test_the_cores_own_namespaces():
    """The history's namespaces are folders like others, and not among the users'."""
    assert layout.check_namespace(".history.sales") == ".history.sales"
    assert layout.namespaces(["sales", ".history.sales", ".confo", ".git", "b"]) == ["b", "sales"]
