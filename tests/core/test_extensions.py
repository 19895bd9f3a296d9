"""Policies that may refuse a commit, and listeners to commits and events."""

from __future__ import annotations

import logging
import signal
import threading

import pytest

from confo import CommitRefused, PluginError, extensions, hookimpl, plugins

SECONDS = 10.0


@pytest.fixture
def register():
    """Register plugins that are unregistered after the test."""
    names = []

    def do(plugin, name):
        extensions.register(plugin, name)
        names.append(name)

    yield do
    for name in names:
        extensions.unregister(name)


class PortPolicy:
    """Refuses ports out of range."""

    @hookimpl
    def confo_check_commit(self, change_set):
        """Look at every new document's port."""
        for change in change_set:
            port = (change.new or {}).get("port", 1)
            if not 0 < port < 65536:
                raise CommitRefused(f"{change.namespace}/{change.configuration} has a port out of range")


def test_a_policy_refuses_a_commit(register, sales, store):
    """A commit that a policy refuses is not sent, says who refused it and why, and stays staged."""
    register(PortPolicy(), "ports")
    sales.set("database", "port", 5432)
    assert sales.persist()
    sales.set("database", "port", 70_000)
    sales.set("other", "x", 1)
    before = store.load("sales").revision
    message = "the plugin ports refuses this commit: sales/database has a port out of range; nothing was sent"
    with pytest.raises(CommitRefused, match=message):
        sales.persist()
    assert store.load("sales").revision == before
    assert sales.staged == ["database", "other"]


def test_a_policy_that_fails_allows_nothing(register, sales, store):
    """A policy with a defect refuses too, and the error names it and quotes nothing."""

    class Defective:
        @hookimpl
        def confo_check_commit(self, change_set):
            raise ZeroDivisionError("hunter2")

    register(Defective(), "defective")
    sales.set("database", "port", 1)
    with pytest.raises(PluginError, match=r"the plugin defective failed.*\(ZeroDivisionError\)") as caught:
        sales.persist()
    assert "hunter2" not in str(caught.value)
    assert len(store.load("sales")) == 0


def test_a_listener_hears_of_commits(register, sales, caplog):
    """confo_committed hears of every commit of this process; a listener that fails stops neither it nor others."""
    heard = []

    class Audit:
        @hookimpl
        def confo_committed(self, commit):
            heard.append((commit.author, commit.message, [change.configuration for change in commit.changes]))

    class Failing:
        @hookimpl
        def confo_committed(self, commit):
            raise RuntimeError("hunter2")

    register(Failing(), "failing")
    register(Audit(), "audit")
    sales.set("database", "port", 1)
    with caplog.at_level(logging.ERROR, "confo"):
        assert sales.persist(message="why", author="kabelo")
    assert heard == [("kabelo", "why", ["database"])]
    assert "the plugin failing raised RuntimeError in confo_committed" in caplog.text
    assert "hunter2" not in caplog.text


def test_a_listener_hears_of_events(register, config, theirs):
    """confo_event hears of the events of every namespace that is opened from then on."""
    heard, news = [], threading.Condition()

    class Listener:
        @hookimpl
        def confo_event(self, event):
            with news:
                heard.append((event.namespace, event.configuration, event.kind))
                news.notify_all()

    register(Listener(), "listener")
    config.create_namespace("analytics")
    analytics = config.namespace("analytics")
    analytics.set("api", "port", 1)
    analytics.persist()
    with news:
        assert news.wait_for(lambda: heard, SECONDS)
    assert heard == [("analytics", "api", "changed")]


def test_without_listeners_there_is_no_thread_for_them(config):
    """Where nobody listens to events, no thread waits to tell of them."""
    config.create_namespace("analytics")
    config.namespace("analytics")
    assert "confo-callback-analytics" not in [thread.name for thread in threading.enumerate()]


def test_a_wrong_hook_is_refused(register):
    """A plugin whose hook has an argument too many, or an unknown name, is refused with the reason."""

    class TooMany:
        @hookimpl
        def confo_committed(self, commit, more):
            """Want more than there is."""

    class Unknown:
        @hookimpl
        def confo_comitted(self, commit):
            """Have a name that is no hook's."""

    for plugin in (TooMany(), Unknown()):
        with pytest.raises(PluginError, match="'wrong' cannot be used: PluginValidationError"):
            register(plugin, "wrong")


def test_what_may_be_loaded(monkeypatch):
    """CONFO_PLUGINS restricts what may be loaded, by name; empty, nothing may; unset, anything."""
    for value, allowed in (("memory", True), (" etcd , memory", True), ("etcd", False), ("", False)):
        monkeypatch.setattr(plugins, "_loaded", {})
        monkeypatch.setenv("CONFO_PLUGINS", value)
        if allowed:
            assert plugins.load("memory")
        else:
            with pytest.raises(PluginError, match="'memory' may not be loaded: the environment variable CONFO_PLUGINS"):
                plugins.load("memory")
        assert "memory" in plugins.installed()
    monkeypatch.delenv("CONFO_PLUGINS")
    assert plugins.load("memory")


POLICY = """
from confo import CommitRefused, hookimpl
@hookimpl
def confo_check_commit(change_set):
    raise CommitRefused("never")
"""


@pytest.fixture
def installed(install, monkeypatch):
    """Install a plugin of the group confo.plugins that is loaded anew."""
    monkeypatch.setattr(plugins, "_failed", {})

    def do(source):
        install("acme-policy", "acme", source, group="confo.plugins")
        extensions._installed.cache_clear()  # opening a namespace has looked already

    yield do
    extensions._installed.cache_clear()


@pytest.mark.parametrize(
    "source",
    [
        "import does_not_exist_anywhere",
        "raise SystemExit(3)",
        "raise KeyError('hunter2')",
        POLICY.replace("(change_set)", "(change_set, hunter)"),
        POLICY.replace("confo_check_commit", "confo_chek_commit"),
        POLICY.replace("@hookimpl", ""),
        "x = 1",
    ],
    ids=["import error", "exit", "raises", "wrong signature", "misspelt hook", "forgotten decorator", "no hook"],
)
def test_a_policy_that_cannot_be_loaded_lets_nothing_pass(installed, sales, store, source, caplog):
    """An installed policy that cannot speak refuses every commit, names its distribution and how to leave it out."""
    installed(source)
    sales.set("database", "port", 1)
    with pytest.raises(PluginError, match=r"acme-policy 1\.2.*nothing may be committed") as caught:
        sales.persist()
    assert "CONFO_PLUGINS=" in str(caught.value)
    assert "memory" in str(caught.value).partition("CONFO_PLUGINS=")[2]
    assert "hunter2" not in str(caught.value) + caplog.text
    assert len(store.load("sales")) == 0
    assert sales.staged == ["database"]


def test_a_policy_that_is_left_out_refuses_nothing(installed, sales, monkeypatch):
    """CONFO_PLUGINS leaves a broken policy out, and the list of plugins says so."""
    installed("import does_not_exist_anywhere")
    monkeypatch.setenv("CONFO_PLUGINS", "memory")
    sales.set("database", "port", 1)
    assert sales.persist()
    assert plugins.extensions()["acme"].error == "left out by CONFO_PLUGINS"


@pytest.mark.parametrize("answer", [False, 0, "no", []])
def test_an_answer_other_than_none_is_no_consent(register, sales, store, answer):
    """A policy that returns False, or anything else that is not None or True, has not agreed: it is an error."""

    class Says:
        @hookimpl
        def confo_check_commit(self, change_set):
            return answer

    register(Says(), "says")
    sales.set("database", "port", 1)
    with pytest.raises(PluginError, match="the plugin says answered with .*raises confo.CommitRefused to refuse"):
        sales.persist()
    assert len(store.load("sales")) == 0


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
def test_a_listener_that_exits_changes_no_answer(register, sales, store, caplog, error):
    """What a listener raises, sys.exit() included, does not change what persist() answers: the store has it."""

    class Exits:
        @hookimpl
        def confo_committed(self, commit):
            raise error

    register(Exits(), "exits")
    sales.set("database", "port", 1)
    assert sales.persist().changes[0].configuration == "database"
    assert len(store.load("sales")) == 1
    assert f"the plugin exits raised {type(error).__name__} in confo_committed" in caplog.text


def test_a_policy_that_exits_refuses(register, sales, store):
    """A policy that calls sys.exit() has failed, and allows nothing."""

    class Exits:
        @hookimpl
        def confo_check_commit(self, change_set):
            raise SystemExit(3)

    register(Exits(), "exits")
    sales.set("database", "port", 1)
    with pytest.raises(PluginError, match=r"the plugin exits failed.*\(SystemExit\)"):
        sales.persist()
    assert len(store.load("sales")) == 0


def test_an_interrupt_while_a_policy_is_asked(register, sales, store):
    """Ctrl-C while a policy thinks reaches the caller as what it is, with the note that nothing was committed."""

    class Thinks:
        @hookimpl
        def confo_check_commit(self, change_set):
            signal.raise_signal(signal.SIGINT)
            raise AssertionError("the handler did not raise")

    register(Thinks(), "thinks")
    sales.set("database", "port", 1)
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt) as caught:
            sales.persist()
    finally:
        signal.signal(signal.SIGINT, handler)
    assert "nothing was committed; the plugin thinks was being asked" in caught.value.__notes__[0]
    assert (len(store.load("sales")), sales.staged) == (0, ["database"])
    extensions.unregister("thinks")
    assert sales.persist().changes[0].configuration == "database"


def test_what_was_registered_is_listed(register):
    """plugins.extensions() lists what the program registered beside what is installed."""
    register(PortPolicy(), "ports")
    assert plugins.extensions()["ports"].distribution == "registered by the program"
