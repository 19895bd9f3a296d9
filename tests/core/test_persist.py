"""set(), persist() and their like: what they take, and what they say to a mistake."""

from __future__ import annotations

import asyncio
import traceback
from typing import TYPE_CHECKING

import pytest

from confo import (
    BackendUnavailable,
    Commit,
    ConfigurationNotFound,
    ConflictError,
    Confo,
    FieldNotFound,
    InvalidDocument,
    InvalidName,
    InvalidOption,
    Namespace,
    NotSupported,
    PermissionDenied,
)

if TYPE_CHECKING:
    from typing import assert_type

    from confo import DocumentEditor, Editor

    async def what_type_checkers_see(config: Confo, sales: Namespace) -> None:
        """Overloads tell what comes back: this is checked, never run."""
        assert_type(sales.persist(), Commit | None)
        assert_type(sales.persist("database", message="m", author="a"), Commit | None)
        assert_type(sales.persist(split=True), list[Commit])
        assert_type(await sales.apersist(), Commit | None)
        assert_type(await sales.apersist(split=True), list[Commit])
        assert_type(config.persist(), Commit | None)
        assert_type(config.persist("database", namespace="sales"), Commit | None)
        assert_type(config.persist(split=True), list[Commit])
        assert_type(await config.apersist(namespace="sales"), Commit | None)
        assert_type(await config.apersist(split=True), list[Commit])
        assert_type(sales.transaction(lambda draft: draft["a"].update(n=1)), Commit)
        assert_type(await sales.atransaction(lambda draft: draft["a"].update(n=1)), Commit)
        with sales.edit(message="m") as draft:
            assert_type(draft, Editor)
            assert_type(draft["database"], DocumentEditor)
            draft["database"]["opts"]["a"] = 9
        async with sales.aedit() as draft:
            assert_type(draft, Editor)
        sales.set("database", "host", "a")
        sales.set("database", ("opts", "a"), 9)
        sales.set("database", {"host": "a"})
        sales.set(config="database", field="host", value=None)


# --- nested values -----------------------------------------------------------------------------------


def test_a_path_is_set_read_and_deleted(config, sales, store):
    """A tuple of names is a path wherever a field is: in get, set and delete, on both objects."""
    sales.set("database", "opts.a", 1)
    sales.set("database", ("opts", "pool", "size"), 5)
    config.set("database", ("opts", "a"), 9)
    assert sales["database"] == {"opts.a": 1, "opts": {"pool": {"size": 5}, "a": 9}}
    assert config.get("database", ("opts", "pool", "size")) == sales.get("database", ("opts", "pool"))["size"] == 5
    assert sales.get("database", ("opts",)) == sales.get("database", "opts")
    config.delete("database", ("opts", "pool", "size"))
    config.persist()
    assert store.load("sales")["database"] == {"opts.a": 1, "opts": {"pool": {}, "a": 9}}
    assert sales.get("database", ("opts", "nope"), default=None) is None
    assert config.get("nope", ("opts", "nope"), default=3) == 3


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda s: s.get("database", ("opts", "pol")), FieldNotFound, "no field .'opts', 'pol'.*did you mean 'pool'"),
        (lambda s: s.get("database", ("host", "x")), FieldNotFound, "no field .'host', 'x'."),
        (lambda s: s.get("database", "hst"), FieldNotFound, "no field 'hst' in sales/database: did you mean 'host'"),
        (lambda s: s.get("databse"), ConfigurationNotFound, "no configuration 'databse'.*did you mean 'database'"),
        (lambda s: s.get("database", ["opts"]), InvalidName, "a field is a str, or a tuple of str.*list"),
        (lambda s: s.get("database", ()), InvalidName, "an empty tuple"),
        (lambda s: s.get(["database"]), InvalidName, "a configuration name is a str, not list"),
        (lambda s: s.delete("database", ("opts", "x")), FieldNotFound, "no field .'opts', 'x'."),
        (lambda s: s.set("database", ("opts", 1), 2), InvalidName, "a tuple of str"),
        (lambda s: s.set("database", ("opts", "\ud800"), 2), InvalidDocument, "surrogate"),
        (lambda s: s.set("database"), InvalidDocument, "a mapping of fields"),
        (lambda s: s.set(field="x", value=1), InvalidName, "NoneType"),
    ],
)
def test_a_mistake_is_told_once(sales, call, error, says):
    """What is wrong or misspelt is one error, which names what there is, without a chain of others behind it."""
    sales.set("database", {"host": "a", "opts": {"pool": {}}})
    with pytest.raises(error, match=says) as caught:
        call(sales)
    assert "During handling" not in "".join(traceback.format_exception(caught.value))
    assert sales["database"] == {"host": "a", "opts": {"pool": {}}}


def test_the_kind_of_get_that_most_programs_use_tells_it_once(config, sales):
    """A misspelt field is one traceback on Confo as well."""
    sales.set("database", "host", "a")
    with pytest.raises(FieldNotFound) as caught:
        config.get("database", "hst")
    assert caught.value.__context__ is None


def test_a_default_costs_no_search(sales, store):
    """Asking with a default for what is not there looks for no similar name, be there ever so many."""
    from confo import hints

    sales.set("database", "host", "a")
    calls = []

    def search(word, names):
        calls.append(1)
        return ""

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hints, "did_you_mean", search)
        assert sales.get("databse", default=1) == sales.get("databse", "host", default=1) == 1
        assert sales.get("database", "hst", default=1) == 1
        with sales.edit() as draft:
            assert draft.get("databse") is draft.setdefault("d", {}).get("x") is None
        assert calls == []
        with pytest.raises(ConfigurationNotFound):
            sales.get("databse")
        assert calls == [1]
    assert hints.did_you_mean("a", [f"a{number}" for number in range(hints.MOST_NAMES + 1)]) == ""


def test_two_processes_change_two_paths_of_one_object(sales, theirs, store):
    """Two processes that change different members of one nested object both win; the same member is told as a path."""
    sales.set("database", {"opts": {"a": 1, "b": 1}})
    sales.persist()
    theirs.reload()
    sales.set("database", ("opts", "a"), 2)
    theirs.set("database", ("opts", "b"), 2)
    theirs.persist()
    sales.persist()
    assert store.load("sales")["database"] == {"opts": {"a": 2, "b": 2}}
    sales.set("database", ("opts", "b"), 3)
    theirs.reload()
    theirs.set("database", ("opts", "b"), 4)
    theirs.persist()
    with pytest.raises(ConflictError, match=r"sales/database field \('opts', 'b'\);") as caught:
        sales.persist()
    assert caught.value.field == caught.value.collisions[0].field == ("opts", "b")
    assert (caught.value.base, caught.value.mine, caught.value.theirs) == (2, 3, 4)


# --- set and its like --------------------------------------------------------------------------------


def test_a_default_document(sales, theirs, store):
    """setdefault() stages a document where there is none, and returns the one that is there then."""
    assert sales.setdefault("database", {"host": "a"}) == {"host": "a"}
    assert sales.setdefault("database", {"host": "b"}) == {"host": "a"}
    sales.persist()
    theirs.reload()
    assert theirs.setdefault("database", {"host": "c"}) == {"host": "a"}
    assert theirs.staged == []
    with pytest.raises(InvalidDocument, match="mapping"):
        sales.setdefault("x", 5)


def test_a_handle_is_not_assigned_to(sales):
    """Writing to a handle as to a dict says how it is written."""
    with pytest.raises(NotSupported, match=r"set\('database', document\).*with ns.edit\(\) as draft"):
        sales["database"] = {"password": "hunter2"}
    with pytest.raises(NotSupported, match=r"delete\('database'\)"):
        del sales["database"]
    assert sales.staged == []


def test_the_older_spelling(sales):
    """``config=`` names the configuration as it did before."""
    sales.set(config="database", field="host", value="a")
    sales.set(config="api", field={"x": 1})
    assert sales.persist(config="api").changes[0].configuration == "api"
    sales.set("api", "x", 2)
    sales.discard(config="api")
    sales.delete(config="database")
    assert sales.staged == []


# --- persist -----------------------------------------------------------------------------------------


def test_one_configuration(config, sales):
    """The first argument of a handle's persist() is the configuration, as is config= of Confo's."""
    for name in ("database", "api", "web"):
        sales.set(name, "x", 1)
    assert [change.configuration for change in sales.persist("api").changes] == ["api"]
    assert [change.configuration for change in config.persist("web", namespace="sales").changes] == ["web"]
    assert sales.staged == ["database"]
    assert sales.persist().changes[0].configuration == "database"


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda c, s: s.persist("databse"), ConfigurationNotFound, "did you mean 'database'. Staged: 'database'"),
        (lambda c, s: s.persist("rotated"), ConfigurationNotFound, "nothing is staged in sales/rotated; staged: 'data"),
        (lambda c, s: c.persist(config="databse"), ConfigurationNotFound, "did you mean 'database'"),
        (lambda c, s: c.persist("x", namespace="sales"), ConfigurationNotFound, "nothing is staged in sales/x"),
        (lambda c, s: s.persist("why I did it"), InvalidName, r"did you mean persist\(message=...\)"),
        (lambda c, s: c.persist("why I did it"), InvalidName, "persist.message=...."),
        (lambda c, s: c.persist("why I did it", namespace="sales"), InvalidName, "blanks"),
        (lambda c, s: c.persist("sales"), ConfigurationNotFound, r"'sales' is a namespace: persist.namespace='sales'"),
        (lambda c, s: s.persist(5), InvalidName, "int"),
        (lambda c, s: s.persist("a", "b"), TypeError, "positional"),
        (lambda c, s: s.persist(on_conflict="our"), InvalidOption, "'our'"),
    ],
)
def test_what_is_not_staged(config, sales, call, error, says):
    """A name in which nothing is staged, or a message in its place, commits nothing and says what is staged."""
    sales.set("database", "host", "a")
    with pytest.raises(error, match=says):
        call(config, sales)
    assert sales.staged == ["database"]


@pytest.mark.parametrize("error", [BackendUnavailable, PermissionDenied])
def test_a_store_that_refuses_the_history(sales, monkeypatch, error):
    """A commit that fails while it looks at its history says that it is a commit that failed; it stays staged."""

    def refuse(*_, **__):
        raise error("cannot scan namespace '.history.sales' (no)", namespace=".history.sales")

    sales.set("database", "host", "a")
    monkeypatch.setattr(sales._backend, "scan", refuse)
    with pytest.raises(error) as caught:
        sales.persist()
    assert str(caught.value) == "cannot commit to 'sales', whose history is looked at before (no)"
    assert caught.value.namespace == "sales"
    assert sales.staged == ["database"]


def test_without_blocking_the_loop(config, sales):
    """apersist() takes what persist() takes."""

    async def work():
        sales.set("database", "host", "a")
        sales.set("api", "x", 1)
        one = await sales.apersist("api", message="m")
        rest = await config.apersist(message="n", split=True)
        return one, rest, await sales.apersist()

    one, rest, nothing = asyncio.run(work())
    assert (one.message, [commit.message for commit in rest], nothing) == ("m", ["n"], None)
