"""The API of 2021, line by line, with errors where it printed and went on."""

from __future__ import annotations

import pickle
import threading

import pytest

import confo
from confo import (
    BackendExists,
    BackendNotInstalled,
    ConfigurationNotFound,
    Confo,
    CredentialsError,
    FieldNotFound,
    InvalidDocument,
    InvalidName,
    InvalidOption,
    NamespaceExists,
    NamespaceNotFound,
)
from confo import Backends as BE
from confo.Exceptions import (
    BackendNotFoundException,
    BackendsActivationException,
    NamespaceNotLoadedException,
)


def test_backends_are_loaded_listed_and_activated(credentials):
    """Loading makes a backend known, activating makes it the one in use, and both are listed."""
    with Confo("walk") as config:
        assert config.get_backends() == {"all_backends": [], "active_backend": None}
        config.load_backend(credentials=credentials, name="MEMORY_backend", backend_type=BE.MEMORY_BACKEND)
        assert config.get_backends() == {"all_backends": ["MEMORY_backend"], "active_backend": None}
        config.activate_backend("MEMORY_backend")
        assert config.get_backends() == {"all_backends": ["MEMORY_backend"], "active_backend": "MEMORY_backend"}


def test_namespaces_are_created_used_and_listed(config):
    """Namespaces are listed with the one in use, "*" before one is chosen."""
    config.create_namespace("analytics")
    assert config.get_namespaces() == {"all_namespaces": ["analytics", "sales"], "current_namespace": "sales"}
    config.use_namespaces("analytics")
    assert config.get_namespaces()["current_namespace"] == "analytics"
    with Confo("fresh") as fresh:
        fresh.load_backend({}, "m", BE.MEMORY_BACKEND)
        fresh.activate_backend("m")
        assert fresh.get_namespaces() == {"all_namespaces": [], "current_namespace": "*"}


def test_set_get_and_persist(config, other):
    """What is set is read here at once, and elsewhere after persist() and reload()."""
    config.set("database", "host", "127.0.0.1")
    config.set("api", {"url": "http://127.0.0.1", "port": 8080}, None)
    assert config.get("database") == {"host": "127.0.0.1"}
    assert config.get("database", "host") == "127.0.0.1"
    assert config.get_all() == {"database": {"host": "127.0.0.1"}, "api": {"url": "http://127.0.0.1", "port": 8080}}
    assert config.get_count() == 2
    assert other.get_all() == {}
    commit = config.persist()
    assert [change.configuration for change in commit.changes] == ["database", "api"]
    other.reload()
    assert other.get_all() == config.get_all()


def test_get_with_a_default(config):
    """A default is returned for a missing configuration and a missing field, None included, and nothing else."""
    config.set("database", "host", None)
    assert config.get("database", "nope", default=None) is None
    assert config.get("nope", "host", default=3) == 3
    assert config.get("nope", default=()) == ()
    assert config.get("database", "host", default=3) is None


def test_a_missing_configuration_or_field_is_a_key_error(config):
    """What is missing is named with its place, as a KeyError."""
    config.set("database", "host", "127.0.0.1")
    with pytest.raises(ConfigurationNotFound, match="no configuration 'nope' in namespace 'sales'") as missing:
        config.get("nope")
    assert isinstance(missing.value, KeyError)
    with pytest.raises(FieldNotFound, match="no field 'port' in sales/database; it has: 'host'") as absent:
        config.get("database", "port")
    assert isinstance(absent.value, KeyError)
    with pytest.raises(ConfigurationNotFound):
        config.get("nope", "host")
    with pytest.raises(ConfigurationNotFound):
        config.delete("nope")
    with pytest.raises(FieldNotFound):
        config.delete("database", "port")


def test_swapping_namespaces(config):
    """Each namespace has its own configurations, and drafts stay where they were made."""
    config.create_namespace("analytics")
    config.set("database", "host", "sales-db")
    config.use_namespace("analytics")
    assert config.get_all() == {}
    config.set("database", "host", "analytics-db")
    config.use_namespace("sales")
    assert config.get("database", "host") == "sales-db"
    config.use_namespace("analytics")
    assert config.get("database", "host") == "analytics-db"


def test_persist_of_everything_is_one_commit(config):
    """persist() commits what was set in every namespace at one revision."""
    config.create_namespace("analytics")
    config.set("database", "host", "a")
    config.use_namespace("analytics")
    config.set("database", "host", "b")
    commit = config.persist(message="both", author="kabelo")
    assert (commit.message, commit.author) == ("both", "kabelo")
    revisions = {config.namespace(n).snapshot().entries["database"].revision for n in ("sales", "analytics")}
    assert revisions == {commit.revision}
    assert config.persist() is None


def test_persist_of_one_namespace_or_configuration(config, store):
    """persist(namespace=...) leaves other namespaces' drafts alone, persist(config=...) other configurations'."""
    config.create_namespace("analytics")
    config.set("database", "host", "a")
    config.set("api", "port", 1)
    config.use_namespace("analytics")
    config.set("database", "host", "b")
    config.persist(namespace="sales", config="database")
    assert (list(store.load("sales").entries), list(store.load("analytics").entries)) == (["database"], [])
    config.persist(namespace="sales")
    assert (sorted(store.load("sales").entries), list(store.load("analytics").entries)) == (["api", "database"], [])
    config.persist(config="database")
    assert list(store.load("analytics").entries) == ["database"]


def test_persist_writes_only_what_was_set(config, other, store):
    """persist() never writes a document that this process did not touch, nor a field that it did not set."""
    config.set("database", {"host": "a", "port": 1}, None)
    config.set("api", "port", 1)
    config.persist()
    other.reload()
    config.set("api", "port", 2)
    config.persist()
    before = store.load("sales").entries["api"]
    other.set("database", "port", 2)
    other.persist()
    assert store.load("sales").entries["api"] == before
    assert store.load("sales")["database"] == {"host": "a", "port": 2}


def test_deleting(config, store):
    """A deleted field or configuration is gone here at once, and in the store after persist()."""
    config.set("database", {"host": "a", "port": 1}, None)
    config.set("api", "port", 1)
    config.persist()
    config.delete("database", "port")
    config.delete("api")
    assert config.get_all() == {"database": {"host": "a"}}
    assert len(store.load("sales")) == 2
    config.persist()
    assert dict(store.load("sales")) == {"database": {"host": "a"}}


def test_set_after_delete(config):
    """A configuration that was deleted and set again has only what was set again."""
    config.set("database", {"host": "a", "port": 1}, None)
    config.persist()
    config.delete("database")
    assert "database" not in config.namespace("sales")
    config.set("database", "host", "b")
    assert config.get("database") == {"host": "b"}
    config.persist()
    assert config.get_all() == {"database": {"host": "b"}}


def test_without_an_active_backend(credentials):
    """What needs a backend says that none is active, what to call, and what is loaded; a handle is content with one."""
    with Confo("inactive") as config:
        config.load_backend(credentials, "mine", BE.MEMORY_BACKEND)
        for call in (
            lambda: config.get("database"),
            lambda: config.set("database", "host", 1),
            lambda: config.delete("database"),
            lambda: config.create_namespace("sales"),
            lambda: config.delete_namespace("sales"),
            lambda: config.use_namespace("sales"),
            config.get_namespaces,
            config.get_all,
            config.get_count,
            config.reload,
            config.persist,
        ):
            with pytest.raises(BackendsActivationException, match="activate_backend.*loaded: mine"):
                call()
        with pytest.raises(NamespaceNotFound):
            config.namespace("sales")  # of the only backend, which has none
        config.load_backend({"store": "another"}, "yours", BE.MEMORY_BACKEND)
        with pytest.raises(BackendsActivationException, match="activate_backend.*loaded: mine, yours"):
            config.namespace("sales")


def test_without_a_namespace(credentials):
    """Whatever needs a namespace says that none is in use, and what to call."""
    with Confo("unchosen") as config:
        config.load_backend(credentials, "mine", BE.MEMORY_BACKEND)
        config.activate_backend("mine")
        for call in (
            lambda: config.get("database"),
            lambda: config.get("database", "host", default=None),
            lambda: config.set("database", "host", 1),
            config.get_all,
            config.get_count,
            config.reload,
        ):
            with pytest.raises(NamespaceNotLoadedException, match="no namespace of mine is in use: call use_namespace"):
                call()


def test_unknown_backend_and_namespace(config):
    """An unknown name is answered with those that exist."""
    with pytest.raises(BackendNotFoundException, match="'nope'; loaded: store"):
        config.activate_backend("nope")
    with pytest.raises(NamespaceNotFound, match="'nope'.*: sales"):
        config.use_namespace("nope")
    with pytest.raises(NamespaceExists, match="'sales' exists"):
        config.create_namespace("sales")
    assert config.get_namespaces()["current_namespace"] == "sales"


@pytest.mark.parametrize("name", ["../x", "", ".hidden", "x" * 200])
def test_bad_names(config, name):
    """A bad name is refused wherever a name is taken, and nothing changes."""
    for call in (
        config.create_namespace,
        config.use_namespace,
        config.namespace,
        lambda bad: config.set(bad, "host", 1),
        lambda bad: config.set(bad, {}, None),
        lambda bad: config.delete(bad),
        lambda bad: config.persist(namespace=bad),
        lambda bad: config.persist(config=bad),
    ):
        with pytest.raises(InvalidName):
            call(name)
    assert config.get_all() == {}
    assert config.get_namespaces()["all_namespaces"] == ["sales"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("database", "host", {1, 2}), "sales/database field 'host' cannot be set: 'host' is of type set"),
        (("database", "host", float("nan")), "NaN"),
        (("database", {("a", "b"): 1}, None), "a key of type tuple"),
        (("database", ["host"], None), "a document is a mapping of fields.*this is list"),
        (("database", "hunter2"), "sales/database: the value is missing: set.configuration, field, value."),
        (("database", {"host": 1}, 2), "a whole document takes no value"),
        (("database", 3, "x"), "a field is a str or a tuple of str.*this is int"),
        (("database", ("host", "x"), 1), "field .'host', 'x'. cannot be set: field 'host' holds a value that is no"),
        (("database", ("o", "x"), {1}), "field .'o', 'x'. cannot be set: 'o.x' is of type set"),
        (("database", tuple("x" * 64), 1), "nested deeper than 64 levels"),
    ],
)
def test_bad_values(config, arguments, message):
    """A value that is not JSON, or a document that is no object, is refused with its place; nothing is staged."""
    config.set("database", "host", "kept")
    with pytest.raises(InvalidDocument, match=message) as caught:
        config.set(*arguments)
    assert "hunter2" not in str(caught.value) + repr(vars(caught.value))
    assert config.get_all() == {"database": {"host": "kept"}}


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (({}, "new", "nope"), BackendNotInstalled, "kind 'nope'.*installed: .*memory"),
        (({}, "new", 7), InvalidOption, "backend_type is a kind.*not int"),
        (({"hots": "x"}, "new", "memory"), CredentialsError, '"hots"'),
        (("host", "new", "memory"), CredentialsError, "credentials of backend 'new' are a dict, not str"),
        (({}, "", "memory"), InvalidOption, "name is a text that is not empty"),
        (({}, "store", "memory"), BackendExists, "loaded as 'store' already: choose another name"),
    ],
)
def test_bad_loads(config, arguments, error, message):
    """A load that cannot be is one clear error, and what was loaded stays."""
    with pytest.raises(error, match=message):
        config.load_backend(*arguments)
    assert config.get_backends() == {"all_backends": ["store"], "active_backend": "store"}


def test_a_class_in_place_of_a_kind(credentials):
    """load_backend takes a backend's class as well as its kind."""
    with Confo("by class") as config:
        config.load_backend(credentials, "m", BE.MemoryBackend)
        assert config.health()["backends"]["m"]["kind"] == "MemoryBackend"


def test_each_backend_remembers_its_namespace(config):
    """Activating another backend and coming back finds the namespace that was in use."""
    config.load_backend({}, "second", BE.MEMORY_BACKEND)
    config.set("database", "host", "first")
    config.activate_backend("second")
    assert config.get_namespaces() == {"all_namespaces": [], "current_namespace": "*"}
    config.create_namespace("other")
    config.use_namespace("other")
    config.activate_backend("store")
    assert config.get("database", "host") == "first"
    assert config.namespace("other", backend="second").name == "other"


def test_one_object_a_name():
    """Confo() is the process's one object, Confo(name) another by name, from any thread, and pickled by name."""
    assert Confo() is Confo() is confo.Confo()
    assert Confo("a") is Confo("a") is not Confo()
    found = []
    threads = [threading.Thread(target=lambda: found.append(Confo("threads"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, found))) == 1
    assert pickle.loads(pickle.dumps(Confo("a"))) is Confo("a")


def test_closing(credentials):
    """Closing forgets every backend; the object can load others, and a closed one's handle says that it is closed."""
    config = Confo("closing")
    config.load_backend(credentials, "m", BE.MEMORY_BACKEND)
    config.activate_backend("m")
    config.create_namespace("sales")
    handle = config.namespace("sales")
    config.close()
    config.close()
    assert config.get_backends() == {"all_backends": [], "active_backend": None}
    for call in (
        lambda: handle.get("database", default=None),
        lambda: handle.set("database", "host", 1),
        lambda: handle.delete("database"),
        lambda: "database" in handle,
        lambda: list(handle),
        lambda: len(handle),
        lambda: handle.staged,
        lambda: handle.wait_for(1),
        lambda: handle.on_change(print),
        handle.get_all,
        handle.snapshot,
        handle.diff,
        handle.discard,
        handle.persist,
        handle.reload,
        handle.history,
    ):
        with pytest.raises(confo.Closed):
            call()
    assert handle.status().state.name == "CLOSED"
    assert repr(handle) == "<Namespace sales on m: CLOSED>"
    with pytest.raises(confo.Closed, match=r"<Confo closing: 0 backends, closed> was closed: load_backend\(\) again"):
        config.get("database", "host", default=None)
    config.load_backend(credentials, "m", BE.MEMORY_BACKEND)
    config.activate_backend("m")
    config.use_namespace("sales")
    config.close()


def test_delete_namespace(config):
    """A deleted namespace is no longer in use, and cannot be used."""
    config.delete_namespace("sales")
    assert config.get_namespaces() == {"all_namespaces": [], "current_namespace": "*"}
    with pytest.raises(NamespaceNotLoadedException):
        config.get("database")
    with pytest.raises(NamespaceNotFound):
        config.use_namespace("sales")


def test_reprs_have_no_values(config):
    """The repr of whatever a program holds tells places and states, and no value or credential."""
    config.set("database", "password", "hunter2")
    commit = config.persist()
    sales = config.namespace("sales")
    for thing in (config, sales, sales.snapshot(), commit, sales.diff(), commit.changes[0]):
        assert "hunter2" not in repr(thing) + str(thing)
    assert repr(sales).startswith("<Namespace sales on store")


def test_open_by_url(credentials):
    """confo.open() gives a Confo of its own, with the namespace in use."""
    url = f"memory://{credentials['store']}/sales"
    with pytest.raises(NamespaceNotFound):
        confo.open(url)
    with confo.open(url, create=True) as first, confo.open(url) as second:
        assert first is not second
        first.set("database", "host", "127.0.0.1")
        first.persist()
        second.reload()
        assert second.get("database", "host") == "127.0.0.1"
    with confo.open("memory://") as empty:
        assert empty.get_namespaces() == {"all_namespaces": [], "current_namespace": "*"}


@pytest.mark.parametrize(
    ("url", "error", "message"),
    [
        ("memory", CredentialsError, "begins with a kind and '://'"),
        ("nope://h/sales", BackendNotInstalled, "no backend of kind .nope. is installed"),
        ("memory://shop/sales?hots=1", CredentialsError, '"hots"'),
        ("memory://shop/a/b", CredentialsError, "memory://store/namespace"),
        ("memory://shop/sales#x", CredentialsError, "no '#'"),
        ("memory://[shop/sales", CredentialsError, "this is no URL"),
        ("memory://user:hunter2@shop/sales", CredentialsError, '"user"'),
        (3, CredentialsError, "a URL is a text, not int"),
    ],
)
def test_bad_urls(url, error, message):
    """A URL that means nothing is refused, and its text, which may hold a password, is in no error."""
    with pytest.raises(error, match=message) as caught:
        confo.open(url)
    assert "hunter2" not in str(caught.value)
