"""The plugin says of a backend what its run shows, and no more."""

from __future__ import annotations

import pytest

from confo_testkit.plugin import describe

CONTRACT = """
import uuid
import pytest
from confo_memory import MemoryBackend
from confo_testkit.contract import BackendContract, CompactionContract

class TestIt(BackendContract):
    @pytest.fixture
    def open_backend(self):
        name = uuid.uuid4().hex
        return lambda: MemoryBackend.open({"store": name})
"""
COUNT = 79  # test functions of BackendContract; grows with it, and so does CONTRACT_VERSION if it asks for more
ME = "confo-memory 1.0.0.dev0 (MemoryBackend)"


@pytest.fixture
def say(pytester, monkeypatch):
    """Return a function that runs a test file, and returns what is said of contracts."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")

    def say(source, *arguments):
        pytester.makepyfile(source)
        result = pytester.runpytest_inprocess("-q", "-p", "confo_testkit.plugin", "-p", "no:cacheprovider", *arguments)
        return [line for line in result.outlines if "confo contract" in line]

    return say


def test_a_backend_that_passes(say):
    """Every test passed: the backend passes, with its distribution, version and class."""
    assert say(CONTRACT) == [f"{ME} passes confo contract 1"]


def test_several_runs_of_one_backend(say):
    """Classes of one backend count together, and are one line."""
    more = """
class TestAgain(TestIt, CompactionContract):
    @pytest.fixture
    def compact(self, backend):
        return backend.store.compact
"""
    assert say(CONTRACT + more) == [f"{ME} passes confo contract 1"]


SERVERS = CONTRACT.replace(
    "class TestIt",
    """@pytest.fixture(params=["new", "old"])
def server(request):
    if request.param == "old":
        MISSING
    return request.param

class TestIt""",
).replace("def open_backend(self)", "def open_backend(self, server)")


def test_a_server_that_is_missing(say):
    """Where one of two servers is not here, the verdict on the other stands; tests count by name, for each server."""
    skipping = SERVERS.replace("MISSING", "pytest.skip('it is not here')")
    assert say(skipping) == [
        f"{ME} on new passes confo contract 1",
        f"{ME} on old ran 0 of {COUNT} tests of confo contract 1",
    ]


def test_two_servers(say):
    """A backend that says the same on every server is one line; else each server has its own."""
    assert say(SERVERS.replace("MISSING", "pass")) == [f"{ME} passes confo contract 1"]
    failing = (
        SERVERS.replace("MISSING", "pass")
        + """
    def test_close(self, backend, server):
        assert server == "new"
"""
    )
    assert say(failing) == [
        f"{ME} on new ran {COUNT - 1} of {COUNT} tests of confo contract 1",
        f"{ME} on old fails confo contract 1: 1 of {COUNT}",
    ]


@pytest.mark.parametrize(
    ("replacement", "verdict"),
    [
        ("assert False", f"fails confo contract 1: 1 of {COUNT}"),
        ("pytest.skip('not today')", f"ran {COUNT - 1} of {COUNT} tests of confo contract 1"),
        ("pass", f"ran {COUNT - 1} of {COUNT} tests of confo contract 1"),
    ],
    ids=["fails", "skips", "is replaced"],
)
def test_a_test_that_does_not_pass(say, replacement, verdict):
    """One test that fails is a failure; one that is skipped, or replaced by an easier one, is no pass."""
    assert say(f"{CONTRACT}\n    def test_close(self, backend):\n        {replacement}\n") == [f"{ME} {verdict}"]


def test_a_store_that_cannot_be_opened(say):
    """Where no backend could be opened the test class stands for it, and fails."""
    broken = CONTRACT.replace('MemoryBackend.open({"store": name})', "1 / 0")
    (line,) = say(broken)
    assert line.startswith("test_a_store_that_cannot_be_opened.py::TestIt fails confo contract 1: ")


@pytest.mark.parametrize(
    "arguments",
    [["-k", "guard"], ["--deselect", "test_a_run_of_some.py::TestIt::test_close"], ["-k", "not text"]],
    ids=["-k", "deselected", "some of a parametrized one"],
)
def test_a_run_of_some(say, arguments):
    """A selection claims nothing but what it ran."""
    (line,) = say(CONTRACT, *arguments)
    assert line.startswith(f"{ME} ran ")
    assert line.endswith(f" of {COUNT} tests of confo contract 1")


def test_a_run_of_one_by_its_place(say):
    """One test by its name claims one."""
    assert say(CONTRACT, "test_a_run_of_one_by_its_place.py::TestIt::test_close_ends_watches") == [
        f"{ME} ran 1 of {COUNT} tests of confo contract 1"
    ]


def test_other_tests_are_not_counted(say):
    """A class's own tests are no part of the contract; a run without contract tests says nothing."""
    assert say(f"{CONTRACT}\n    def test_own(self):\n        assert False\n") == [f"{ME} passes confo contract 1"]
    assert say("def test_it(): pass") == []


def test_a_class_of_no_distribution():
    """A backend that is not installed is called by its module."""
    assert describe("shop.store", "ShopBackend") == "shop.store (ShopBackend)"
    assert describe("confo_etcd.backend", "EtcdBackend") == "confo-etcd 1.0.0.dev0 (EtcdBackend)"
