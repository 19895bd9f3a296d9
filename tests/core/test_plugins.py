"""Finding plugins, loading one by name, and explaining failures."""

from __future__ import annotations

import subprocess
import sys

import pytest

import confo
from confo import BackendNotInstalled, PluginError, UnknownConstant, plugins
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


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install a distribution by hand: its metadata, its entry point and its module."""

    def do(distribution, kind, source, *, version="1.2", value=None):
        module = distribution.replace("-", "_")
        folder = tmp_path / distribution
        info = folder / f"{module}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[confo.backends]\n{kind} = {value or module}\n")
        (folder / f"{module}.py").write_text(source)
        monkeypatch.syspath_prepend(str(folder))
        monkeypatch.delitem(sys.modules, module, raising=False)

    yield do
    for name in [name for name in sys.modules if name.startswith("confo.Backends.Third")]:
        del sys.modules[name]
        vars(BE).pop(name.rpartition(".")[2], None)


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


NOT_INSTALLED = "no backend of kind 'redis' is installed; installed: .*memory.*pip install confo-redis"


def test_a_kind_that_is_not_installed():
    """However a missing kind is asked for, the error names the installed ones and the pip command."""
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
        ("import does_not_exist_anywhere", None, "ModuleNotFoundError: No module named 'does_not_exist_anywhere'"),
        ("raise SystemExit(3)", None, "SystemExit: 3"),
        ("def broken(:", None, "SyntaxError"),
        ("raise RuntimeError('at import')", None, "RuntimeError: at import"),
        ("x = 1", None, "returned None for 'third-party', or it has no such hook"),
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
    assert reason.split(":")[0] in str(plugins.installed()["third-party"].error)
    assert plugins.load("memory") is MemoryBackend
    with confo.open("memory:///sales", create=True) as config:
        assert config.get_all() == {}


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
