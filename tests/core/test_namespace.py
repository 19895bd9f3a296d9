"""The handle of a namespace: drafts, merging, conflicts, edits and snapshots."""

from __future__ import annotations

import collections.abc
import json
import threading

import pytest

from confo import (
    ANY,
    MISSING,
    BackendUnavailable,
    ConfigurationNotFound,
    ConflictError,
    Confo,
    FrozenDict,
    InvalidDocument,
    OutcomeUnknown,
    TooLarge,
    UnreadableDocument,
    Write,
)
from confo_memory import MemoryBackend
from confo_testkit.contract.base import same_document


@pytest.fixture
def options():
    """Read once, as in 2021: here a handle learns of others only when it commits or reloads."""
    return {"follow": False}


def put(store, name, data, namespace="sales"):
    """Write bytes around Confo, as another tool would."""
    return store.commit([Write(namespace, name, data, ANY)])


# --- reading -----------------------------------------------------------------------------------------


def test_a_namespace_is_a_mapping(sales):
    """A handle is a Mapping of names to documents, drafts included."""
    sales.set("database", {"host": "a", "tags": ["x"]})
    sales.set("api", "port", 1)
    assert isinstance(sales, collections.abc.Mapping)
    assert sales["database"]["host"] == "a"
    assert "database" in sales
    assert "nope" not in sales
    assert 3 not in sales
    assert len(sales) == 2
    assert list(sales) == ["database", "api"]
    assert dict(sales.items()) == {"database": {"host": "a", "tags": ["x"]}, "api": {"port": 1}}
    with pytest.raises(ConfigurationNotFound):
        sales["nope"]


def test_reads_are_frozen_and_the_same_object(sales):
    """A document that was read cannot be changed, and reading it again gives the same object until it changes."""
    sales.set("database", {"host": "a", "tags": ["x"]})
    sales.persist()
    first = sales["database"]
    assert type(first) is FrozenDict
    assert sales["database"] is first is sales.get("database")
    with pytest.raises(TypeError):
        sales.get("database", "tags").append("y")
    sales.set("database", "host", "b")
    assert sales["database"] is not first
    assert first == {"host": "a", "tags": ["x"]}


def test_an_empty_document_is_a_document(sales, theirs):
    """A configuration without fields is there, and differs from one that is not."""
    sales.set("empty", {})
    assert sales["empty"] == {}
    sales.persist()
    theirs.reload()
    assert theirs["empty"] == {}
    assert "empty" in theirs
    sales.delete("empty")
    sales.persist()
    theirs.reload()
    assert "empty" not in theirs


def test_a_handle_does_not_move(config, sales):
    """A handle stays at its namespace when somebody calls use_namespace."""
    config.create_namespace("analytics")
    config.use_namespace("analytics")
    sales.set("database", "host", "a")
    assert config.get_all() == {}
    assert config.namespace("sales") is sales


# --- drafts ------------------------------------------------------------------------------------------


def test_diff_shows_what_persist_would_change(sales):
    """diff() is the change set that persist() commits, and is empty afterwards."""
    sales.set("database", {"host": "a", "port": 1})
    sales.persist()
    sales.set("database", "host", "b")
    sales.set("api", "port", 1)
    (database, api) = sales.diff()
    assert (database.old, database.new, database.fields) == (
        {"host": "a", "port": 1},
        {"host": "b", "port": 1},
        ("host",),
    )
    assert (api.old, api.new, api.fields) == (None, {"port": 1}, ("port",))
    assert sales.persist().changes == (database, api)
    assert sales.diff() == ()


def test_setting_back_leaves_nothing_staged(sales):
    """A field set to what it was, or deleted after it was added, leaves no draft."""
    sales.set("database", "host", "a")
    sales.persist()
    sales.set("database", "host", "b")
    sales.set("database", "port", 1)
    sales.set("database", "host", "a")
    sales.delete("database", "port")
    assert sales.staged == []
    assert sales.persist() is None


def test_discard(sales):
    """discard() drops what was staged, of one configuration or of all."""
    sales.set("database", "host", "a")
    sales.persist()
    sales.set("database", "host", "b")
    sales.set("api", "port", 1)
    sales.discard("database")
    assert dict(sales) == {"database": {"host": "a"}, "api": {"port": 1}}
    sales.delete("database")
    sales.discard()
    assert dict(sales) == {"database": {"host": "a"}}
    assert sales.staged == []


def test_reload_keeps_drafts(sales, theirs):
    """A reload lays what is staged over the new state, field by field."""
    sales.set("database", {"host": "a", "port": 1})
    sales.persist()
    theirs.reload()
    theirs.set("database", "port", 2)
    theirs.persist()
    sales.set("database", "host", "mine")
    sales.reload()
    assert sales["database"] == {"host": "mine", "port": 2}
    assert sales.diff()[0].fields == ("host",)


# --- committing --------------------------------------------------------------------------------------


def test_different_fields_both_win(sales, theirs):
    """Two writers that change different fields of one document both win, without reloading."""
    sales.set("database", {"host": "a", "port": 1})
    sales.persist()
    theirs.reload()
    sales.set("database", "host", "mine")
    theirs.set("database", "port", 2)
    theirs.set("database", "user", "u")
    assert theirs.persist()
    commit = sales.persist()
    assert commit.changes[0].fields == ("host",)
    assert sales["database"] == {"host": "mine", "port": 2, "user": "u"}
    theirs.reload()
    assert theirs["database"] == sales["database"]


def test_the_same_field_raises(sales, theirs, store):
    """Two writers of one field: the loser is told both values, nothing is written, and its draft is kept."""
    sales.set("database", {"host": "a", "port": 1})
    sales.persist()
    theirs.reload()
    sales.set("database", {"host": "mine", "port": 9})
    sales.set("api", "port", 1)
    theirs.set("database", "host", "theirs")
    theirs.persist()
    before = store.load("sales").entries
    for _ in range(2):
        with pytest.raises(ConflictError, match="sales/database field 'host'; nothing was written") as caught:
            sales.persist()
        assert (caught.value.base, caught.value.mine, caught.value.theirs) == ("a", "mine", "theirs")
        assert [(c.configuration, c.field) for c in caught.value.collisions] == [("database", "host")]
    assert "theirs'" not in str(caught.value).replace("on_conflict='mine' or 'theirs'", "")
    assert store.load("sales").entries == before
    assert sales["database"] == {"host": "mine", "port": 9}


@pytest.mark.parametrize(("keep", "host"), [("mine", "mine"), ("theirs", "theirs")])
def test_on_conflict_decides_for_a_side(sales, theirs, keep, host):
    """on_conflict settles the collided fields only; the others merge as ever."""
    sales.set("database", {"host": "a", "port": 1})
    sales.persist()
    theirs.reload()
    sales.set("database", "host", "mine")
    sales.set("database", "port", 2)
    theirs.set("database", "host", "theirs")
    theirs.set("database", "user", "u")
    theirs.persist()
    sales.persist(on_conflict=keep)
    assert sales["database"] == {"host": host, "port": 2, "user": "u"}
    assert sales.staged == []


def test_a_decision_counts_when_it_is_committed(config, sales, theirs, store, monkeypatch):
    """When a commit with on_conflict fails, the draft is as it was before: nobody decided anything yet."""
    sales.set("database", {"host": "a", "port": 1})
    sales.persist()
    theirs.reload()
    sales.set("database", "host", "mine")
    theirs.set("database", "host", "theirs")
    theirs.persist()
    sales.reload()
    for keep in ("theirs", "mine"):
        with monkeypatch.context() as patch:
            patch.setattr(config._loaded["store"].backend.inner, "commit", unavailable)
            sales.set("other", "x", keep)
            with pytest.raises(BackendUnavailable):
                sales.persist(on_conflict=keep)
        with pytest.raises(ConflictError):
            sales.persist()
        assert sales["database"]["host"] == "mine"
    sales.persist(on_conflict="theirs")
    assert store.load("sales")["database"] == {"host": "theirs", "port": 1}
    assert sales.staged == []


def unavailable(writes):
    """Fail as a store that cannot be reached."""
    raise BackendUnavailable("down")


def test_an_edit_is_given_up_for_what_the_store_has_now(sales, theirs, store):
    """With "theirs", an edit yields to the store as it is, not as it was when this process last looked."""
    sales.set("n", "x", 1)
    sales.persist()
    theirs.reload()
    sales.delete("n")
    sales.persist()
    theirs.set("n", "y", 1)
    with pytest.raises(ConflictError):
        theirs.persist()
    sales.set("n", "x", 2)
    sales.persist()
    theirs.persist(on_conflict="theirs")
    assert store.load("sales")["n"] == {"x": 2, "y": 1}
    assert theirs.staged == []


def test_on_conflict_takes_three_words(sales):
    """Another word is refused before anything is sent."""
    sales.set("database", "host", "a")
    with pytest.raises(ValueError, match="'raise', 'mine' or 'theirs', not 'ours'"):
        sales.persist(on_conflict="ours")


def test_deleted_there_and_changed_here(sales, theirs):
    """A document deleted by one side and changed by the other is a collision of the whole document."""
    sales.set("database", {"host": "a"})
    sales.persist()
    theirs.reload()
    theirs.delete("database")
    theirs.persist()
    sales.set("database", "port", 1)
    with pytest.raises(ConflictError, match="sales/database as a whole") as caught:
        sales.persist()
    assert (caught.value.base, caught.value.mine) == ({"host": "a"}, {"host": "a", "port": 1})
    assert caught.value.theirs is MISSING
    sales.persist(on_conflict="mine")
    assert sales["database"] == {"host": "a", "port": 1}


def test_both_create(sales, theirs):
    """Two writers that create one document with different fields both win."""
    sales.set("database", "host", "a")
    theirs.set("database", "port", 1)
    theirs.persist()
    sales.persist()
    assert sales["database"] == {"host": "a", "port": 1}


def test_one_conflict_stops_the_whole_commit(sales, theirs, store):
    """One collided field in one of several configurations, and none of them is written."""
    sales.set("a", "x", 1)
    theirs.set("b", "x", 1)
    theirs.persist()
    sales.set("b", "x", 2)
    with pytest.raises(ConflictError, match="sales/b field 'x'"):
        sales.persist()
    assert list(store.load("sales").entries) == ["b"]


def test_a_commit_returns_what_it_did(sales):
    """A commit carries revision, op id, author, message, time and changes."""
    sales.set("database", "host", "a")
    commit = sales.persist(message="why", author="kabelo")
    assert commit.revision == sales.snapshot().entries["database"].revision
    assert (commit.message, commit.author, len(commit.op_id)) == ("why", "kabelo", 32)
    assert commit.timestamp > 1.6e9
    sales.set("database", "host", "b")
    assert "@" in sales.persist().author


def test_every_commit_leaves_its_record(sales, store):
    """The commit's record lies in the history's namespace, in the same transaction, under base revision and op id."""
    sales.set("database", {"host": "a", "note": None})
    base = sales.snapshot().revision
    commit = sales.persist(message="why", author="kabelo")
    ((name, entry),) = store.scan(".history.sales")
    assert name == f"{base:020d}-{commit.op_id}"
    assert entry.revision == commit.revision
    record = json.loads(entry.data)
    assert (record["op"], record["author"], record["message"]) == (commit.op_id, "kabelo", "why")
    assert record["changes"] == {
        "database": {"was": 0, "exists": True, "fields": {"host": {"new": "a"}, "note": {"new": None}}}
    }


def test_without_history(credentials):
    """With history=False a commit leaves no record."""
    with Confo("bare") as config:
        config.load_backend(credentials, "m", "memory", history=False)
        config.activate_backend("m")
        config.create_namespace("sales")
        config.use_namespace("sales")
        config.set("database", "host", "a")
        config.persist()
        assert MemoryBackend.open(credentials).scan(".history.sales") == []


def test_more_than_one_commit_takes(sales, store, monkeypatch):
    """More configurations than the backend takes at once are refused with both numbers before anything is sent."""
    most = store.capabilities.atomic_writes
    for number in range(most):
        sales.set(f"n{number}", "x", 1)
    with pytest.raises(TooLarge, match=rf"{most + 1:,} writes.*takes {most:,} at once; nothing was sent"):
        sales.persist()
    assert len(store.load("sales")) == 0
    sales.discard("n0")
    assert len(sales.persist().changes) == most - 1


def test_a_document_that_is_too_large(sales, store):
    """A document beyond the limit is refused when it is set, or when it is persisted and others made it so."""
    sales.set("small", "x", 1)
    sales.set("large", "a", "x" * 600_000)
    with pytest.raises(InvalidDocument, match=r"sales/large cannot be set: with this it is 1,200,\d\d\d bytes"):
        sales.set("large", "b", "x" * 600_000)
    store.commit([Write("sales", "large", json.dumps({"b": "x" * 600_000}).encode(), ANY)])
    sales.reload()
    with pytest.raises(InvalidDocument, match=r"sales/large is too large: 1,200,\d\d\d bytes"):
        sales.persist()
    assert list(store.load("sales").entries) == ["large"]
    assert sorted(sales.staged) == ["large", "small"]
    limit = min(1_048_576, store.capabilities.max_value_bytes)
    with pytest.raises(InvalidDocument, match=f"limit is {limit:,}"):
        sales.set("huge", "a", "x" * 2 * 1024 * 1024)


# --- unknown outcomes --------------------------------------------------------------------------------


class Forgetful(MemoryBackend):
    """A store whose answer gets lost: before the commit happened or after."""

    lose: list[str]

    def commit(self, writes):
        """Commit, or not, and lose the answer."""
        loss = self.lose.pop(0) if self.lose else None
        if loss == "before":
            raise OutcomeUnknown("lost on the way there")
        revision = super().commit(writes)
        if loss == "after":
            raise OutcomeUnknown("lost on the way back")
        return revision


@pytest.fixture
def forgetful(config, store):
    """Return the backend in use, made forgetful."""
    backend = config._loaded["store"].backend.inner
    backend.__class__ = Forgetful
    backend.lose = []
    return backend


@pytest.mark.parametrize(
    "losses", [["before"], ["after"], ["before", "before"], ["before", "after"], ["after", "before"]], ids=str
)
def test_an_unknown_outcome_is_resolved(sales, store, forgetful, losses):
    """A commit whose answer was lost happens exactly once and is reported with its true revision."""
    sales.set("n", "x", 1)
    sales.persist()
    forgetful.lose = list(losses)
    sales.set("n", "x", 2)
    commit = sales.persist(message="once")
    assert commit.revision == store.read("sales", ["n"])["n"].revision == sales.snapshot().entries["n"].revision
    assert len(store.scan(".history.sales")) == 2
    assert sales["n"] == {"x": 2}
    assert sales.staged == []


def test_an_outcome_that_stays_unknown_is_said(sales, forgetful, store, monkeypatch):
    """When not even repeating tells, the program is told so, and persisting again finds the truth."""
    monkeypatch.setattr("confo.commits.LEARN_SECONDS", 0.2)
    forgetful.lose = ["after"] + ["before"] * 1000
    sales.set("n", "x", 1)
    with pytest.raises(OutcomeUnknown, match="still staged") as caught:
        sales.persist()
    ((record, _),) = store.scan(".history.sales")
    assert record.endswith(f"-{caught.value.op_id}")
    assert sales["n"] == {"x": 1}
    forgetful.lose = []
    assert sales.persist().already_so
    assert sales.persist() is None
    assert store.load("sales")["n"] == {"x": 1}
    assert sales.staged == []


def test_an_unknown_outcome_and_a_lost_race(sales, theirs, forgetful, store):
    """A commit that was lost on its way, and then lost the race, is merged as any other: nobody's edit is lost."""
    sales.set("n", {"x": 1, "y": 1})
    sales.persist()
    theirs.reload()
    forgetful.lose = ["before"]
    theirs.set("n", "y", 2)
    theirs.persist()
    sales.set("n", "x", 2)
    sales.persist()
    assert store.load("sales")["n"] == {"x": 2, "y": 2}


# --- what cannot be read -----------------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"{", b"[]", b'{"a": 1, "a": 2}', b'{"a":' * 100 + b"1" + b"}" * 100, b"\xff"])
def test_unreadable_documents_stay_untouched(sales, store, data):
    """What cannot be read raises with its place on get, stays in the store byte for byte, and hurts nothing else."""
    put(store, "bad", data)
    put(store, "good", b'{"x": 1}')
    sales.reload()
    assert "bad" in sales
    assert list(sales) == ["good"]
    for call in (
        lambda: sales["bad"],
        lambda: sales.get("bad"),
        lambda: sales.get("bad", "a", default=None),
        lambda: sales.set("bad", "a", 1),
        lambda: sales.snapshot()["bad"],
    ):
        with pytest.raises(UnreadableDocument, match="sales/bad"):
            call()
    assert sales.get("good", "x") == 1
    sales.set("good", "x", 2)
    sales.persist()
    assert same_document(store.read("sales", ["bad"])["bad"].data, data)


def test_a_document_that_became_unreadable_under_a_draft(sales, store):
    """A draft over a document that somebody broke is not written over it; once repaired it merges."""
    sales.set("n", {"x": 1, "y": 1})
    sales.persist()
    sales.set("n", "x", 2)
    put(store, "n", b"{broken")
    with pytest.raises(UnreadableDocument):
        sales.persist()
    assert store.read("sales", ["n"])["n"].data == b"{broken"
    put(store, "n", b'{"x": 1, "y": 5}')
    sales.reload()
    sales.persist()
    assert store.load("sales")["n"] == {"x": 2, "y": 5}


# --- edit and snapshot -------------------------------------------------------------------------------


def test_edit_commits_on_leaving(sales, store):
    """A block edits documents like dicts and commits them as one on leaving."""
    sales.set("database", {"host": "a", "port": 1})
    sales.set("old", "x", 1)
    sales.persist()
    with sales.edit(message="move", author="kabelo") as draft:
        draft["database"]["host"] = "b"
        del draft["database"]["port"]
        draft["api"] = {"url": "u"}
        draft.setdefault("fresh", {})["x"] = 1
        del draft["old"]
        assert dict(draft["database"]) == {"host": "b"}
        assert list(draft) == ["database", "api", "fresh"]
    assert dict(store.load("sales")) == {"database": {"host": "b"}, "api": {"url": "u"}, "fresh": {"x": 1}}
    record = json.loads(store.scan(".history.sales", reverse=True)[0][1].data)
    assert (record["message"], record["author"]) == ("move", "kabelo")


def test_edit_discards_on_an_exception(sales, store):
    """A block that raises leaves nothing of it staged, and what was staged before as it was."""
    sales.set("database", {"host": "a", "port": 1})
    sales.persist()
    sales.set("database", "port", 2)
    sales.set("other", "x", 1)

    def failing_edit():
        with sales.edit() as draft:
            draft["database"]["host"] = "b"
            draft["api"] = {"x": 1}
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        failing_edit()
    assert dict(sales) == {"database": {"host": "a", "port": 2}, "other": {"x": 1}}
    assert list(store.load("sales")) == ["database"]


def test_a_block_and_what_is_staged(sales, theirs, store):
    """A block reads and commits none of what is staged, before it or meanwhile; all of that stays staged."""
    sales.set("n", {"x": 1, "y": 1, "z": 1})
    sales.persist()
    theirs.reload()
    sales.set("n", "x", 2)
    sales.set("half", "done", 1)
    with sales.edit() as draft:
        assert (draft["n"]["x"], list(draft)) == (1, ["n"])
        draft["n"]["y"] = 2
        sales.set("n", "z", 2)
    assert dict(store.load("sales")) == {"n": {"x": 1, "y": 2, "z": 1}}
    assert dict(sales) == {"n": {"x": 2, "y": 2, "z": 2}, "half": {"done": 1}}
    theirs.reload()

    def block_that_collides():
        with sales.edit() as draft:
            draft["n"]["y"] = 3
            theirs.set("n", "y", 9)
            theirs.persist()
            sales.reload()

    with pytest.raises(ConflictError, match="sales/n field 'y'"):
        block_that_collides()
    assert sales["n"] == {"x": 2, "y": 9, "z": 2}
    sales.persist()
    assert dict(store.load("sales")) == {"n": {"x": 2, "y": 9, "z": 2}, "half": {"done": 1}}


def test_a_failed_block_leaves_no_old_state(config, sales, theirs, store, monkeypatch):
    """After a block whose commit failed, what others committed meanwhile is not written over by what was staged."""
    sales.set("n", {"x": 1, "g": 1})
    sales.persist()
    theirs.reload()
    sales.set("n", "x", 2)

    def unavailable_after_a_foreign_commit(writes):
        theirs.set("n", "g", 99)
        theirs.persist()
        sales.reload()
        raise BackendUnavailable("down")

    def failing_block():
        with sales.edit() as draft:
            draft["n"]["h"] = 1

    with monkeypatch.context() as patch:
        patch.setattr(config._loaded["store"].backend, "commit", unavailable_after_a_foreign_commit)
        with pytest.raises(BackendUnavailable):
            failing_block()
    assert sales["n"] == {"x": 2, "g": 99}
    sales.persist()
    assert store.load("sales")["n"] == {"x": 2, "g": 99}


def test_a_commit_is_of_one_moment(sales, theirs, store, monkeypatch):
    """A foreign commit that arrives while persist() gathers what to send is merged, not written over."""
    from confo import extensions

    sales.set("n", {"x": 1, "g": 1})
    sales.persist()
    theirs.reload()
    sales.set("n", "x", 2)
    check = extensions.check

    def meanwhile(*commit):
        monkeypatch.undo()
        theirs.set("n", "g", 99)
        theirs.persist()
        sales.reload()
        check(*commit)

    monkeypatch.setattr(extensions, "check", meanwhile)
    sales.persist()
    assert store.load("sales")["n"] == {"x": 2, "g": 99}


def test_what_a_program_is_given_is_frozen(sales):
    """Documents in change sets cannot be changed, so that looking at a diff changes nothing."""
    sales.set("n", {"x": [1]})
    sales.persist()
    sales.set("n", "y", 1)
    (change,) = sales.diff()
    for document in (change.old, change.new):
        with pytest.raises(TypeError, match="frozen"):
            document["k"] = 1


def test_iterating_a_snapshot_that_nobody_else_holds(sales):
    """A loop over a snapshot sees that snapshot to its end, whatever is committed in the loop."""
    for name in ("a", "b", "c"):
        sales.set(name, "x", 1)
    sales.persist()
    seen = []
    for name in sales.snapshot():
        seen.append(name)
        sales.set(f"new-{name}", "x", 1)
        sales.persist()
    assert sorted(seen) == ["a", "b", "c"]


def test_get_all_is_of_one_moment(sales, theirs):
    """get_all() never shows half a commit, and never raises for what is deleted meanwhile."""
    done, torn = threading.Event(), []

    def write():
        for n in range(100):
            theirs.set("a", "n", n)
            theirs.set("b", "n", n)
            theirs.persist()
            sales.reload()
            theirs.delete("a")
            theirs.delete("b")
            theirs.persist()
            sales.reload()
        done.set()

    thread = threading.Thread(target=write)
    thread.start()
    while not done.is_set():
        seen = sales.all()
        if seen.get("a") != seen.get("b"):
            torn.append(seen)
        assert sales.get("a", "n", default=-1) is not None
    thread.join()
    assert torn == []


def test_a_snapshot_stays(sales):
    """A snapshot gives the same answers for as long as it is held, whatever happens to the namespace."""
    sales.set("database", "host", "a")
    sales.persist()
    snapshot = sales.snapshot()
    sales.set("database", "host", "b")
    sales.set("api", "x", 1)
    assert dict(sales.snapshot()) == {"database": {"host": "a"}}
    sales.persist()
    sales.delete("database")
    sales.persist()
    assert dict(snapshot) == {"database": {"host": "a"}}
    assert "api" not in snapshot
    assert snapshot.revision < sales.snapshot().revision
    assert snapshot.source == "server"
    assert 0 <= snapshot.age < 60
    with pytest.raises(ConfigurationNotFound, match="at revision"):
        snapshot["api"]


def test_a_snapshot_costs_nothing_until_a_change(sales):
    """A snapshot shares the entries until a change copies them, and only if somebody still holds it."""
    sales.set("a", "x", 1)
    sales.persist()
    first, second = sales.snapshot(), sales.snapshot()
    assert first.entries is second.entries is sales._view.entries
    del first, second
    shared = sales._view.entries
    sales.set("a", "x", 2)
    sales.persist()
    assert sales._view.entries is shared
    held = sales.snapshot()
    sales.set("a", "x", 3)
    sales.persist()
    assert sales._view.entries is not held.entries
    assert held["a"] == {"x": 2}


def test_threads_share_a_handle(sales, store):
    """Threads that set, persist and read one handle lose nothing."""
    errors = []

    def work(number):
        try:
            for step in range(20):
                sales.set("shared", f"field{number}", step)
                sales.persist()
                assert sales["shared"][f"field{number}"] == step
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert store.load("sales")["shared"] == {f"field{n}": 19 for n in range(4)}
