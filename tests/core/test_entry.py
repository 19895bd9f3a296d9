"""From a URL to what a program holds: connect, aconnect and open; closing, and travelling to another process."""

from __future__ import annotations

import asyncio
import copy
import multiprocessing
import pickle
import threading
import uuid
from typing import ClassVar

import pytest

import confo
from confo import Closed, Confo, CredentialsError, InvalidOption, Namespace, NamespaceNotFound, NotSupported, State
from confo_memory import MemoryBackend

SECONDS = 10.0


def left_behind():
    """Return the threads of Confo's that go on."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("confo-")]


@pytest.fixture
def url():
    """Return the URL of a namespace in a store that only this test knows."""
    return f"memory://{uuid.uuid4().hex}/sales"


def test_a_namespace_in_one_line(url):
    """connect() gives the namespace that a URL names; leaving the block closes it, and what is asked then says so."""
    with confo.connect(url, create=True) as sales:
        assert isinstance(sales, Namespace)
        sales.set("database", "host", "a")
        sales.persist()
        assert sales.get("database", "host") == "a"
    with pytest.raises(Closed, match="namespace 'sales' cannot be used: the backend 'memory' was closed"):
        sales.get("database", "host")
    assert not left_behind()
    sales.close()


def test_two_connections_see_each_other(url):
    """Each connect() has a backend of its own; closing one leaves the other."""
    with confo.connect(url, create=True) as mine:
        theirs = confo.connect(url)
        theirs.set("database", "host", "a")
        assert mine.wait_for(theirs.persist().revision, SECONDS)
        theirs.close()
        assert mine.get("database", "host") == "a"


def test_the_url_comes_from_the_environment(url, monkeypatch):
    """Without a URL the environment variable CONFO_URL is taken; without that the error names it."""
    monkeypatch.setenv("CONFO_URL", url)
    with confo.connect(create=True) as sales, confo.open() as config:
        assert sales.name == "sales"
        assert config.get_namespaces()["current_namespace"] == "sales"
    monkeypatch.delenv("CONFO_URL")
    for call in (confo.connect, confo.open):
        with pytest.raises(InvalidOption, match="no URL was given, and the environment variable CONFO_URL is not set"):
            call()


def test_a_url_without_a_namespace():
    """connect() of a URL that names no namespace says how one looks."""
    with pytest.raises(CredentialsError, match="the URL names no namespace: .*memory:///sales"):
        confo.connect("memory://sales")


def test_what_is_missing_is_not_made_unasked(url):
    """Without create=True a namespace that is not there is an error, and nothing is left open."""
    with pytest.raises(NamespaceNotFound):
        confo.connect(url)
    assert not left_behind()


def test_create_makes_the_folder_too(tmp_path):
    """create=True makes what is missing: the folder as well as the namespace."""
    with confo.connect(f"file://{tmp_path}/made/here/sales", create=True) as sales:
        sales.set("database", "host", "a")
        sales.persist()
    assert (tmp_path / "made/here/sales/database.json").exists()


def test_workers_that_start_together(url):
    """Several that create the same namespace at once all get it."""
    barrier, found = threading.Barrier(4), []

    def work():
        barrier.wait(SECONDS)
        with confo.connect(url, create=True) as sales:
            found.append(sales.name)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(SECONDS)
    assert found == ["sales"] * 4


def test_a_misspelt_option_is_told_with_the_nearest(url):
    """An option that does not exist names the nearest one, and where credentials go."""
    with pytest.raises(InvalidOption, match=r"no option 'starts': did you mean 'start'\?.*into the URL: \?starts="):
        confo.open(url, starts="require")


def test_a_handle_that_owns_nothing_is_not_closed(url):
    """A handle of a Confo does not own the backend: close() and ``with`` say what to close instead."""
    with confo.open(url, create=True) as config:
        sales = config.namespace("sales")
        for call in (sales.close, sales.__enter__):
            with pytest.raises(NotSupported, match="does not own its backend: close the Confo that loaded it"):
                call()
        assert len(sales) == 0


def test_asyncio_in_one_line(url):
    """``async with confo.aconnect(url)`` and ``await confo.aconnect(url)`` open and close without blocking the loop."""

    async def program():
        async with confo.aconnect(url, create=True) as sales:
            sales.set("database", "host", "a")
            await sales.apersist()
            again = await confo.aconnect(url)
            assert again.get("database", "host") == "a"
            await again.aclose()
        with pytest.raises(Closed):
            sales.get("database")

    asyncio.run(program())


def test_changes_that_are_lost_are_told(url, caplog):
    """Closing with staged changes logs one warning with their names."""
    sales = confo.connect(url, create=True)
    sales.set("database", "host", "hunter2")
    sales.set("cache", "host", "hunter2")
    sales.close()
    (line,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert line == "closed sales with changes that were staged and not persisted: 'database', 'cache'"


def in_the_child(thing):
    """Ask something of a thing that came by pickle; return what was said."""
    said = [repr(thing)]
    for call in (lambda: thing.get("database", "host"), lambda: thing["database"], lambda: thing.persist()):
        try:
            call()
        except NotSupported as error:
            said.append(str(error))
    return said


@pytest.mark.slow
@pytest.mark.allow_leaks(reason="multiprocessing keeps a pipe to its resource tracker")
def test_what_travels_by_pickle_says_what_to_do(url):
    """A Confo or a Namespace in another process says there that it does not travel, and which call opens one there."""
    with confo.open(url, create=True) as config, multiprocessing.get_context("spawn").Pool(1) as pool:
        for thing in (config, config.namespace("sales")):
            shown, *errors = pool.apply_async(in_the_child, (thing,)).get(60)
            assert shown.endswith(", of another process>")
            assert len(errors) == 3
            assert all("confo.connect(url)" in error for error in errors)
        pool.close()
        pool.join()


def test_in_its_own_process_it_is_the_same():
    """Within a process, copies and pickles of a Confo are the Confo itself, and copies of a handle the handle."""
    with Confo(uuid.uuid4().hex) as config:
        config.load_backend({}, "m", MemoryBackend)
        assert pickle.loads(pickle.dumps(config)) is copy.copy(config) is copy.deepcopy(config) is config
        config.activate_backend("m")
        config.create_namespace("sales")
        sales = config.namespace("sales")
        assert copy.copy(sales) is copy.deepcopy(sales) is sales


def test_both_objects_read_alike(url):
    """Confo and Namespace are subscripted, iterated, counted and read whole by the same names."""
    with confo.open(url, create=True) as config:
        config.set("database", "host", "a")
        config.persist()
        sales = config.namespace("sales")
        for one in (config, sales):
            assert one["database"] == {"host": "a"}
            assert list(one) == ["database"]
            assert len(one) == one.get_count() == 1
            assert "database" in one
            assert one.all() == one.get_all() == {"database": {"host": "a"}}
        seen = []
        with config.on_change(seen.append) as subscription:
            config.set("database", "host", "b")
            assert subscription.wait_for(config.persist().revision, SECONDS)
        assert [event.new["host"] for event in seen] == ["b"]


def test_a_namespace_may_be_there_already(url):
    """create_namespace(exist_ok=True) is content with what is there."""
    with confo.open(url, create=True) as config:
        config.create_namespace("sales", exist_ok=True)
        with pytest.raises(confo.NamespaceExists):
            config.create_namespace("sales")


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ("memory:store/sales", "'://' is missing after 'memory'"),
        ("memory://store/sales/", "the URL ends with '/': remove it"),
        ("memory://store/sales#", "has no '#'"),
        ("store/sales", "begins with a kind"),
        ("", "begins with a kind"),
    ],
)
def test_bad_urls_say_what_is_wrong(bad, says):
    """Each way to misspell a URL has its own error."""
    with pytest.raises(CredentialsError, match=says):
        confo.connect(bad)


class NeedsTheLoop(MemoryBackend):
    """Every call waits for a turn of the event loop: one that is made in the loop's own thread never gets it."""

    turn = threading.Event()
    blocked: ClassVar[list[str]] = []

    def __getattribute__(self, name):
        found = super().__getattribute__(name)
        if name not in {"load", "read", "scan", "commit", "namespaces", "create_namespace", "delete_namespace"}:
            return found

        def call(*args, **kwargs):
            self.turn.clear()
            if not self.turn.wait(2):
                self.blocked.append(name)
            return found(*args, **kwargs)

        return call


@pytest.mark.slow
def test_nothing_blocks_the_event_loop():
    """Every asynchronous form leaves the loop free while the store is asked; a plain call, as a control, does not."""

    async def tick():
        while True:
            NeedsTheLoop.turn.set()
            await asyncio.sleep(0.001)

    async def program():
        ticking = asyncio.ensure_future(tick())
        async with Confo(uuid.uuid4().hex) as config:
            await config.aload_backend({}, "m", NeedsTheLoop)
            config.activate_backend("m")
            await config.acreate_namespace("sales")
            await config.ause_namespace("sales")
            sales = await config.anamespace("sales")
            sales.set("database", "host", "a")
            first = await sales.apersist(message="first")
            sales.set("database", "host", "b")
            await config.apersist()
            await sales.areload()
            assert len(await sales.ahistory()) == 2
            assert (await sales.aat(first.revision))["database"] == {"host": "a"}
            assert "host" in await sales.ablame("database")
            assert await sales.await_for(first.revision)
            assert await sales.adrain()
            await sales.arollback(first.revision)
            assert sales.get("database", "host") == "a"
            await config.aload_backend({"store": "other"}, "o", MemoryBackend)
            await config.acopy("m", "o")
            assert NeedsTheLoop.blocked == []
            sales.reload()
            assert NeedsTheLoop.blocked == ["load"]
            await config.adelete_namespace("sales")
        ticking.cancel()

    asyncio.run(program())


OF_A_HANDLE = {
    "at": (1,),
    "blame": ("a",),
    "delete": ("a",),
    "diff": (),
    "discard": (),
    "get": ("a",),
    "get_all": (),
    "get_count": (),
    "history": (),
    "limit_staleness": (1.0,),
    "on_change": (print,),
    "persist": (),
    "reload": (),
    "rollback": (1,),
    "set": ("a", "b", 1),
    "setdefault": ("a", {}),
    "snapshot": (),
    "transaction": (lambda draft: None,),
    "wait_for": (1, 0.1),
    "__contains__": ("a",),
    "__getitem__": ("a",),
    "__len__": (),
}
STILL_ANSWERED = {"close", "drain", "edit", "changes", "status"}
"""``edit`` and ``changes`` are told when they begin; nothing is left to be drained, and ``status`` says CLOSED."""


def test_a_closed_handle_says_so_on_every_call(url):
    """Each call of a handle whose backend was closed raises Closed, and so does what iterates it."""
    with confo.open(url, create=True) as config:
        sales = config.namespace("sales")
    public = {name for name in dir(Namespace) if not name.startswith("_") and callable(getattr(Namespace, name))}
    asynchronous = {name for name in public if name.startswith("a") and name[1:] in public}
    views = {"all", "items", "keys", "values"}
    assert public - asynchronous - views - STILL_ANSWERED == {name for name in OF_A_HANDLE if not name.startswith("_")}
    for name, arguments in OF_A_HANDLE.items():
        with pytest.raises(Closed, match="backend .*was closed"):
            getattr(sales, name)(*arguments)
    for name in views:
        with pytest.raises(Closed):
            list(getattr(sales, name)())
    with pytest.raises(Closed), sales.edit():
        pytest.fail("the block was entered")
    assert sales.status().state is State.CLOSED
    for call in (config.get, config.activate_backend, config.namespace, config.delete_namespace):
        with pytest.raises(Closed, match="was closed: load_backend"):
            call("sales")
