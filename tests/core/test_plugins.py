"""Finding plugins, loading one by name, and explaining failures."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

import confo
from confo import BackendNotInstalled, PluginError, UnknownConstant, entrypoints, plugins
from confo import Backends as BE
from confo_memory import MemoryBackend

GOOD = """
from confo import hookimpl
from confo_memory import MemoryBackend
class ThirdBackend(MemoryBackend):
    pass
@hookimpl
def confo_backend(kind):
    return ThirdBackend if kind == "third-party" else None
"""

HALF = """
from confo import Backend, hookimpl
class Half(Backend):
    pass
@hookimpl
def confo_backend(kind):
    return Half
"""


@pytest.fixture(autouse=True)
def forget(monkeypatch):
    """Let every test find its plugins anew."""
    monkeypatch.setattr(plugins, "_loaded", {})
    monkeypatch.setattr(plugins, "_failed", {})


def test_installed_kinds_are_constants_and_classes():
    """Every installed kind has a constant, a class and a module of that class, and dir() lists them."""
    assert BE.MEMORY_BACKEND == "memory"
    from confo.Backends.MemoryBackend import MemoryBackend as imported

    assert imported is BE.MemoryBackend is MemoryBackend is plugins.load("memory")
    assert {"MEMORY_BACKEND", "MemoryBackend"} <= set(dir(BE))
    assert not hasattr(BE, "__wrapped__")


def test_third_parties_are_equals(install):
    """A kind that somebody else published has its constant, class and module too, dashes and all."""
    install("acme-confo-store", "third-party", GOOD)
    assert BE.THIRD_PARTY_BACKEND == "third-party"
    from confo.Backends.ThirdPartyBackend import ThirdPartyBackend  # type: ignore[import-not-found] # made at run time

    assert ThirdPartyBackend.__name__ == "ThirdBackend"
    assert BE.ThirdPartyBackend is ThirdPartyBackend
    assert {"THIRD_PARTY_BACKEND", "ThirdPartyBackend"} <= set(dir(BE))
    with confo.open("third-party:///sales", create=True) as config:
        config.set("database", "host", "a")
        assert config.persist()
    listed = plugins.installed()["third-party"]
    assert (listed.kind, listed.distribution, listed.version, listed.error) == (
        "third-party",
        "acme-confo-store",
        "1.2",
        None,
    )
    assert plugins.installed()["memory"].distribution == "confo-memory"


NOT_INSTALLED = "no backend of kind 'redis' is installed; installed: .*memory.*; a backend of another project"


def test_a_kind_that_is_not_installed():
    """However a missing kind is asked for, the error names the installed ones, and no package that nobody published."""
    with pytest.raises(UnknownConstant, match=NOT_INSTALLED):
        BE.REDIS_BACKEND  # noqa: B018 - asking is the test
    with pytest.raises(UnknownConstant, match=NOT_INSTALLED):
        BE.RedisBackend  # noqa: B018
    for line in (
        "from confo.Backends.RedisBackend import RedisBackend",
        "from confo.Backends import RedisBackend",
        "from confo.Backends import REDIS_BACKEND",
        "import confo.Backends.RedisBackend",
    ):
        with pytest.raises(BackendNotInstalled, match=NOT_INSTALLED):
            exec(line)
    with pytest.raises(BackendNotInstalled, match=NOT_INSTALLED):
        plugins.load("redis")
    assert not hasattr(BE, "REDIS_BACKEND")
    assert getattr(BE, "REDIS_BACKEND", None) is None


def test_other_names_are_ordinary_errors():
    """A name that is no constant and no class is an ordinary AttributeError or ImportError."""
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        BE.nonsense  # noqa: B018
    with pytest.raises(ImportError, match="cannot import name 'Nonsense'"):
        exec("from confo.Backends import Nonsense")
    with pytest.raises(ModuleNotFoundError, match=r"confo\.Backends\.nonsense"):
        exec("import confo.Backends.nonsense")


@pytest.mark.parametrize(
    ("source", "value", "reason"),
    [
        ("import does_not_exist_anywhere", None, "ModuleNotFoundError: no module named 'does_not_exist_anywhere'"),
        ("raise SystemExit('hunter2')", None, "SystemExit at "),
        ("def broken(:", None, "SyntaxError at "),
        ("raise RuntimeError('hunter2')", None, "RuntimeError at "),
        ("x = 1", None, "it has none of the hooks confo_backend, "),
        ("def confo_bakcend(kind): pass", None, "it has 'confo_bakcend': did you mean 'confo_backend'?"),
        (GOOD.replace("@hookimpl", ""), None, "its hook confo_backend is not marked: put @confo.hookimpl above it"),
        (GOOD.replace("return ThirdBackend if kind", "return 1 if not kind"), None, "returned None for 'third-party'"),
        ("from confo import hookimpl\n@hookimpl\ndef confo_event(event): pass", None, "it has no hook confo_backend"),
        ("x = 1", "no_such_module_of_acme", "ModuleNotFoundError"),
        ("x = 1", "acme:nothing", "AttributeError"),
        (GOOD.replace("(kind)", "(kind, more)"), None, "PluginValidationError"),
        (GOOD.replace("confo_backend", "confo_bakcend"), None, "PluginValidationError"),
        (GOOD.replace("return ThirdBackend", "return 3"), None, "returned int, not a subclass of confo.Backend"),
        (GOOD.replace("return ThirdBackend", "return dict"), None, "returned type, not a subclass"),
        (
            HALF,
            None,
            "its class Half lacks close, commit, create_namespace",
        ),
    ],
)
def test_a_broken_plugin_hurts_nobody_else(install, source, value, reason):
    """A broken plugin is explained with distribution, version, entry point and cause, and everything else works."""
    install("acme", "third-party", source, value=value)
    assert BE.THIRD_PARTY_BACKEND == "third-party"
    assert plugins.installed()["third-party"].error is None
    for _ in range(2):
        with pytest.raises(PluginError) as caught:
            plugins.load("third-party")
        message = str(caught.value)
        assert "acme 1.2" in message
        assert f"entry point {value or 'acme'!r}" in message
        assert reason in message
        assert "hunter2" not in message  # the text of a plugin's error may hold a value; it is the cause
    assert reason.split(":")[0] in str(plugins.installed()["third-party"].error)
    assert plugins.load("memory") is MemoryBackend
    with confo.open("memory:///sales", create=True) as config:
        assert config.get_all() == {}


@pytest.mark.parametrize(
    ("kind", "advice"),
    [
        ("etdc", "did you mean 'etcd'?"),
        ("Memroy", "did you mean 'memory'?"),
        ("http", "a backend of another project may provide it"),
    ],
)
def test_a_misspelt_kind_says_the_nearest(kind, advice):
    """A misspelt kind proposes the nearest one that exists, and never a package that nobody published."""
    with pytest.raises(BackendNotInstalled) as caught:
        plugins.load(kind)
    assert advice in str(caught.value)
    assert "pip install" not in str(caught.value)


def test_a_kind_of_this_project_says_how_to_get_it(monkeypatch):
    """A kind that this project publishes and that is not installed says what to install, from a clone as well."""
    monkeypatch.setattr(plugins, "entry_points", lambda group, name=None: [])
    expected = re.escape("Try: pip install confo-etcd (from a clone of Confo: pip install ./confo-etcd)")
    with pytest.raises(BackendNotInstalled, match=expected):
        plugins.load("etcd")


def test_a_kind_is_found_whatever_its_case():
    """ETCD and Memory are the kinds "etcd" and "memory"."""
    assert plugins.load("MEMORY") is plugins.load("Memory") is MemoryBackend


def test_an_import_that_hangs_is_named(install, monkeypatch, caplog):
    """A plugin whose import does not end is named in the log while the program waits."""
    monkeypatch.setattr(plugins, "SLOW_IMPORT_SECONDS", 0.05)
    install("acme", "third-party", "import threading\nthreading.Event().wait(1)\n" + GOOD)
    assert plugins.load("third-party")
    (line,) = [record.getMessage() for record in caplog.records if "takes longer" in record.getMessage()]
    assert "third-party (acme 1.2), entry point 'acme'" in line


def test_a_name_in_confo_plugins_that_nobody_has(monkeypatch):
    """A misspelt name in CONFO_PLUGINS is named, with the one that was meant, when a plugin is left out."""
    monkeypatch.setenv("CONFO_PLUGINS", "memroy")
    with pytest.raises(PluginError, match=r"no installed plugin is called 'memroy': did you mean 'memory'\?"):
        plugins.load("memory")
    assert plugins.installed()["memory"].error == "left out by CONFO_PLUGINS"


@pytest.mark.parametrize(
    ("files", "is_named"),
    [
        ({"METADATA": b"Name: neighbour\nVersion: 1\n", "entry_points.txt": b"[console_scripts]\nfoo\n"}, True),
        ({"METADATA": b"Name: neighbour\nVersion: 1\n", "entry_points.txt": b"[a]\n\xff=b:c\n"}, True),
        ({"METADATA": b"\xff\xfe", "entry_points.txt": b"[a]\n\xff=b:c\n"}, True),
        ({"entry_points.txt": b"[confo.backends]\nneighbour = nowhere\n"}, True),
        ({"METADATA": b"\xff\xfe"}, False),
        ({}, False),
    ],
    ids=["no value", "not UTF-8", "all broken", "no METADATA", "METADATA not UTF-8", "empty"],
)
def test_a_broken_neighbour_costs_itself_only(tmp_path, monkeypatch, caplog, files, is_named):
    """A distribution whose metadata is broken takes no other plugin away; one log line names it, once."""
    monkeypatch.setattr(entrypoints, "_told", set())
    info = tmp_path / "neighbour-1.0.dist-info"
    info.mkdir()
    for name, data in files.items():
        (info / name).write_bytes(data)
    monkeypatch.syspath_prepend(str(tmp_path))
    for _ in range(2):
        assert plugins.installed()["memory"].distribution == "confo-memory"
        assert plugins.load("memory") is MemoryBackend
        assert "memory" in plugins.kinds()
    lines = [record.getMessage() for record in caplog.records if "metadata" in record.getMessage()]
    assert len(lines) == is_named
    assert all("neighbour-1.0.dist-info" in line for line in lines)


def test_two_distributions_of_one_kind(install):
    """Two distributions that claim one kind are an error that names both, and only for that kind."""
    install("acme", "third-party", GOOD)
    install("umbrella", "third-party", GOOD, version="3.0")
    expected = "two distributions claim the kind 'third-party': .*(acme 1.2.*umbrella 3.0|umbrella 3.0.*acme 1.2)"
    with pytest.raises(PluginError, match=expected):
        plugins.load("third-party")
    assert "umbrella 3.0" in plugins.installed()["third-party"].error
    assert plugins.load("memory") is MemoryBackend


def test_listing_loads_nothing(install):
    """installed() imports no plugin, not even a good one."""
    install("acme", "third-party", "raise RuntimeError('must not be imported')")
    assert set(plugins.installed()) >= {"memory", "third-party"}
    assert plugins.installed()["third-party"].error is None
    code = "import confo, sys; confo.plugins.installed(); print([m for m in sys.modules if m.startswith('confo_')])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert shown.stdout.strip() == "[]"
