"""History: who changed what, former states, and the way back; on every backend that runs these tests."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from confo import (
    BackendFailure,
    BackendUnavailable,
    CommitRefused,
    ConflictError,
    InvalidOption,
    PermissionDenied,
    RevisionNotFound,
    Write,
    extensions,
    hookimpl,
)
from confo.past import OUTSIDE


@pytest.fixture
def story(sales):
    """Return the revisions of four commits: create, move, widen (two configurations), drop one."""
    sales.set("database", {"host": "a", "port": 1})
    revisions = [sales.persist(message="create", author="ada").revision]
    sales.set("database", "host", "b")
    revisions.append(sales.persist(message="move", author="bob").revision)
    sales.set("database", "port", 2)
    sales.set("web", {"workers": 4})
    revisions.append(sales.persist(message="widen", author="ada").revision)
    sales.delete("web")
    revisions.append(sales.persist(message="drop", author="bob").revision)
    return revisions


STATES: list[dict[str, Any]] = [
    {"database": {"host": "a", "port": 1}},
    {"database": {"host": "b", "port": 1}},
    {"database": {"host": "b", "port": 2}, "web": {"workers": 4}},
    {"database": {"host": "b", "port": 2}},
]


def outside(sales, store, name, document):
    """Write as another tool does, which leaves no record; return the revision once it is seen here."""
    entry = sales.snapshot().entries.get(name)
    data = None if document is None else json.dumps(document).encode()
    revision = store.commit([Write("sales", name, data, entry.revision if entry else 0)])
    assert sales.wait_for(revision)
    return revision


# --- history ------------------------------------------------------------------------------------------


def test_commits_newest_first(sales, story):
    """history() lists commits newest first, each with revision, author, message, time and the fields it changed."""
    commits = sales.history()
    assert [commit.revision for commit in commits] == story[::-1]
    assert [(commit.message, commit.author) for commit in commits] == [
        ("drop", "bob"),
        ("widen", "ada"),
        ("move", "bob"),
        ("create", "ada"),
    ]
    assert all(commit.time.utcoffset() == timedelta(0) for commit in commits)
    assert all(commit.time.timestamp() == pytest.approx(commit.timestamp) for commit in commits)
    widen = {change.configuration: (change.old, change.new) for change in commits[1].changes}
    assert widen == {"database": ({"port": 1}, {"port": 2}), "web": (None, {"workers": 4})}
    (dropped,) = commits[0].changes
    assert (dropped.old, dropped.new) == ({"workers": 4}, None)


def test_pages(sales, story):
    """``before=`` the last revision of a page gives the next; together the pages are the history, each commit once."""
    pages, before = [], None
    while page := sales.history(limit=3, before=before):
        pages.append([commit.revision for commit in page])
        before = page[-1].revision
    assert pages == [story[:0:-1], story[:1]]


def test_history_of_one_configuration(sales, story):
    """``config=`` leaves out the commits that did not touch it."""
    assert [commit.revision for commit in sales.history(configuration="web")] == [story[3], story[2]]
    assert [commit.revision for commit in sales.history(limit=1, config="web", before=story[3])] == [story[2]]
    assert sales.history(configuration="nothing") == []


def test_another_process_wrote_it(sales, theirs, story):
    """What others committed is in the history as what was committed here."""
    theirs.wait_for(story[-1])
    theirs.set("database", "port", 3)
    commit = theirs.persist(message="theirs", author="eve")
    sales.wait_for(commit.revision)
    assert (sales.history(limit=1)[0].op_id, sales.history(limit=1)[0].author) == (commit.op_id, "eve")


def test_a_write_outside_confo(sales, store, story):
    """What another tool wrote stands between the records, with its document, also after it was replaced."""
    revision = outside(sales, store, "database", {"host": "x", "port": 2})
    newest = sales.history(limit=1)[0]
    assert (newest.revision, newest.author, newest.op_id, newest.time) == (revision, OUTSIDE, "", None)
    (change,) = newest.changes
    assert (change.old, change.new) == ({"host": "b", "port": 2}, {"host": "x", "port": 2})
    sales.set("database", "host", "y")
    later = sales.persist().revision
    assert [commit.revision for commit in sales.history()] == [later, revision, *story[::-1]]
    assert [commit.author for commit in sales.history(limit=2, before=later)] == [OUTSIDE, "bob"]
    (change,) = sales.history(limit=1, before=later)[0].changes
    assert (change.old, change.new) == ({"host": "b", "port": 2}, {"host": "x", "port": 2})


def test_what_is_no_record(sales, store, story):
    """What other tools leave in the history's namespace is no commit and stops nothing."""
    store.commit([Write(".history.sales", "notes", b"hello", 0), Write(".history.sales", "0" * 20, b"[]", 0)])
    store.commit([Write(".history.sales", f"{1:020d}-{'a' * 32}", b'{"changes": 1}', 0)])
    assert [commit.revision for commit in sales.history()] == story[::-1]
    assert dict(sales.at(story[0])) == STATES[0]


def test_no_value_in_a_text(sales, story):
    """Commits and snapshots of the past show names and fields, never a value."""
    sales.set("database", "password", "hunter2")
    sales.persist()
    assert "hunter2" not in repr(sales.history()) + repr(sales.at(story[0])) + repr(sales.diff(story[0]))
    assert "hunter2" not in repr(sales.blame("database"))


def test_a_commit_is_one_readable_line(sales):
    """print(commit) is one line with revision, time, author, message and fields, and no value, whatever they hold."""
    sales.set("database", {"host": "hunter2", "opts": {"pool": 5}})
    sales.persist()
    sales.set("database", {"host": "hunter3", "opts": {"pool": 6}, "new\x1b": True})
    commit = sales.persist(message="move\nit\x1b[2J", author="ada")
    when = datetime.fromtimestamp(commit.timestamp, UTC)
    assert str(commit) == (
        f"revision {commit.revision} {when:%Y-%m-%d %H:%M:%S} UTC by ada: move it\\x1b[2J "
        "[sales/database (host, ('opts', 'pool'), 'new\\x1b')]"
    )


def test_old_and_new_when_asked(sales):
    """pretty() of a commit and of a difference shows old -> new of each path; their reprs show no value."""
    sales.set("database", {"host": "hunter2", "opts": {"pool": 5, "ssl": True}})
    assert sales.persist().changes.pretty().splitlines()[0] == "sales/database created"
    sales.set("database", {"host": "hunter3", "opts": {"pool": [6]}})
    lines = [
        "sales/database",
        '  host: "hunter2" -> "hunter3"',
        "  ('opts', 'pool'): 5 -> [6]",
        "  ('opts', 'ssl'): true -> absent",
    ]
    assert sales.diff().pretty().splitlines() == lines
    commit = sales.persist()
    assert commit.pretty().splitlines() == [str(commit), *(f"  {line}" for line in lines)]
    assert sales.history(limit=1)[0].pretty() == commit.pretty()
    assert "hunter" not in repr(commit) + repr(commit.changes) + str(commit)


def test_wrong_numbers_say_which_and_what(sales, story):
    """A wrong argument of a look at the past says which one and what it got, never a value that is no number."""
    for call, said in (
        (lambda: sales.at("3"), "revision is a whole number of 1 or more, not a str"),
        (lambda: sales.at(True), "revision is a whole number of 1 or more, not a bool"),
        (lambda: sales.rollback(0), "revision is a whole number of 1 or more, not 0"),
        (lambda: sales.history(limit=0), "limit is a whole number of 1 or more, not 0"),
        (lambda: sales.history(before=-1), "before is a whole number of 1 or more, not -1"),
        (lambda: sales.diff(1.5), "revision is a whole number of 1 or more, not a float"),
    ):
        with pytest.raises(InvalidOption, match=said):
            call()


# --- at, diff, blame ------------------------------------------------------------------------------------


def test_former_states(sales, story):
    """at() is the state as it was at every revision, in the order of its fields, and says where it is from."""
    for revision, state in zip(story, STATES, strict=True):
        past = sales.at(revision)
        assert dict(past) == state
        assert (past.revision, past.source, past.lost) == (revision, "history", frozenset())
        assert {name: list(document) for name, document in past.items()} == {n: list(d) for n, d in state.items()}
    assert dict(sales.at(story[0] - 1)) == {}


def test_a_former_state_does_not_change(sales, story):
    """What at() returned stays as it was, whatever is committed later."""
    past = sales.at(story[2])
    sales.set("database", {"other": 1})
    sales.persist()
    assert dict(past) == STATES[2]


def test_a_revision_that_has_not_come(sales, story):
    """at() of a revision to come says so, and says where the store is."""
    with pytest.raises(RevisionNotFound, match=rf"at revision {story[-1]}, not yet at {story[-1] + 1000}"):
        sales.at(story[-1] + 1000)


@pytest.mark.parametrize("number", [0, -1, True, 1.0, "1", None])
def test_what_is_no_revision(sales, number):
    """Revisions and limits are numbers of 1 or more."""
    with pytest.raises(InvalidOption, match="1 or more"):
        sales.at(number)
    with pytest.raises(InvalidOption, match="1 or more"):
        sales.history(limit=number)


def test_the_difference_of_two_states(sales, story):
    """diff() of two revisions is the change from one to the other, in both directions, and up to now."""
    changes = {change.configuration: (change.old, change.new) for change in sales.diff(story[0], story[2])}
    assert changes == {"database": (STATES[0]["database"], STATES[2]["database"]), "web": (None, {"workers": 4})}
    back = {change.configuration: (change.old, change.new) for change in sales.diff(story[2], story[0])}
    assert back == {name: (new, old) for name, (old, new) in changes.items()}
    assert [change.configuration for change in sales.diff(story[2])] == ["web"]
    assert sales.diff(story[1], story[1]) == ()


def test_who_set_each_field(sales, story):
    """blame() says which commit gave each field its value."""
    found = sales.blame("database")
    assert {field: (commit.revision, commit.author) for field, commit in found.items()} == {
        "host": (story[1], "bob"),
        "port": (story[2], "ada"),
    }


def test_who_set_what_lies_deeper(sales, store):
    """blame() tells of each value in nested objects by its path, also of what another tool wrote between."""
    sales.set("database", {"host": "a", "opts": {"pool": {"size": 1, "wait": 1}, "ssl": True, "more": {}}})
    first = sales.persist().revision
    sales.set("database", ("opts", "pool", "size"), 2)
    second = sales.persist().revision
    opts = {"pool": {"size": 2, "wait": 9}, "ssl": True, "more": {}}
    third = outside(sales, store, "database", {"host": "a", "opts": opts})
    sales.set("database", ("opts", "ssl"), False)
    fourth = sales.persist().revision
    assert {path: commit.revision for path, commit in sales.blame("database").items()} == {
        "host": first,
        ("opts", "pool", "size"): second,
        ("opts", "pool", "wait"): third,
        ("opts", "ssl"): fourth,
        ("opts", "more"): first,
    }


def test_who_set_each_field_with_others_outside(sales, store, story):
    """A field that another tool changed is blamed on it; one that it wrote as it was stays with its commit."""
    revision = outside(sales, store, "database", {"host": "x", "port": 2, "user": "u"})
    sales.set("database", "port", 3)
    later = sales.persist().revision
    found = {field: (commit.revision, commit.author) for field, commit in sales.blame("database").items()}
    assert found["host"] == found["user"] == (revision, OUTSIDE)
    assert found["port"][0] == later
    outside(sales, store, "database", {"host": "b", "port": 3, "user": "u"})
    assert sales.blame("database")["port"].revision == later


def test_states_around_a_write_outside(sales, store, story):
    """States before and after a write outside Confo are known, as the records on both sides tell them."""
    revision = outside(sales, store, "database", {"host": "x", "port": 2})
    sales.set("database", "host", "y")
    sales.persist()
    assert sales.at(revision)["database"] == {"host": "x", "port": 2}
    assert sales.at(revision - 1)["database"] == STATES[3]["database"]
    assert sales.at(story[0])["database"] == STATES[0]["database"]


def test_deleted_and_made_again(sales, story):
    """A configuration that was deleted and made again is known in all its lives."""
    sales.set("web", {"workers": 9})
    again = sales.persist().revision
    assert sales.at(again)["web"] == {"workers": 9}
    assert "web" not in sales.at(story[3])
    assert sales.at(story[2])["web"] == {"workers": 4}


def test_a_deleted_namespace(config, story, store):
    """The history of a namespace outlives it, knows when it was deleted, and goes on when it is made again."""
    config.delete_namespace("sales")
    config.create_namespace("sales")
    sales = config.namespace("sales")
    deleted = sales.history(limit=1)[0]
    assert (deleted.message, deleted.changes) == ("delete namespace sales", ())
    sales.set("database", {"host": "new"})
    revision = sales.persist().revision
    assert dict(sales.at(revision)) == {"database": {"host": "new"}}
    assert dict(sales.at(deleted.revision)) == {}
    for before, state in zip(story, STATES, strict=True):
        assert dict(sales.at(before)) == state


# --- rollback -------------------------------------------------------------------------------------------


def test_rollback(sales, theirs, story):
    """rollback() commits a former state anew: everybody sees it, nothing is rewritten, and it can be undone."""
    commit = sales.rollback(story[2], author="ada")
    assert dict(sales) == STATES[2]
    assert (commit.message, commit.author) == (f"rollback to revision {story[2]}", "ada")
    theirs.wait_for(commit.revision)
    assert dict(theirs) == STATES[2]
    assert [one.revision for one in sales.history()] == [commit.revision, *story[::-1]]
    sales.rollback(story[3])
    assert dict(sales) == STATES[3]


def test_rollback_of_one_configuration(sales, story):
    """``config=`` leaves the others as they are."""
    sales.rollback(story[2], configuration="web")
    sales.rollback(story[0], config="database", message="why")
    assert dict(sales) == {"web": {"workers": 4}, "database": STATES[0]["database"]}
    assert sales.history(limit=1)[0].message == "why"


def test_rollback_to_what_is(sales, story):
    """A rollback to the present state commits nothing."""
    assert sales.rollback(story[3]) is None
    assert sales.history(limit=1)[0].revision == story[3]


def test_rollback_leaves_what_is_staged(sales, story):
    """What was staged stays staged, laid over the state rolled back to, and is not committed with it."""
    sales.set("database", "user", "u")
    sales.set("cache", {"size": 1})
    sales.rollback(story[0])
    assert dict(sales.snapshot()) == STATES[0]
    assert sales["database"] == {"host": "a", "port": 1, "user": "u"}
    assert sorted(sales.staged) == ["cache", "database"]


def test_rollback_merges_what_others_change(sales, theirs, story, monkeypatch):
    """Another field that others change while a rollback is under way is kept."""
    theirs.wait_for(story[-1])
    before_sending(monkeypatch, lambda: change(theirs, "database", "user", "u"))
    sales.rollback(story[0])
    assert sales["database"] == {"host": "a", "port": 1, "user": "u"}


def test_rollback_that_collides(sales, theirs, story, monkeypatch):
    """The same field that others change while a rollback is under way raises ConflictError, and nothing is written."""
    theirs.wait_for(story[-1])
    sales.set("database", "port", 77)
    before_sending(monkeypatch, lambda: change(theirs, "database", "host", "theirs"))
    with pytest.raises(ConflictError, match="field 'host'"):
        sales.rollback(story[0])
    assert sales.snapshot()["database"] == {"host": "theirs", "port": 2}
    assert sales["database"] == {"host": "theirs", "port": 77}
    sales.discard()
    assert sales.rollback(story[0], on_conflict="mine") is not None


def test_rollback_asks_the_policies(sales, story):
    """A rollback is a commit: a policy sees its author and message, and may refuse it; nothing stays staged."""
    seen = []

    class Policy:
        @hookimpl
        def confo_check_commit(self, change_set, author, message):
            seen.append((author, message, [one.configuration for one in change_set]))
            raise CommitRefused("no")

    extensions.register(Policy(), "policy")
    try:
        with pytest.raises(CommitRefused):
            sales.rollback(story[2], author="ada", message="back")
    finally:
        extensions.unregister("policy")
    assert seen == [("ada", "back", ["web"])]
    assert dict(sales) == STATES[3]
    assert sales.staged == []


def before_sending(monkeypatch, action):
    """Do this once, after a commit was put together and before it is sent."""
    check = extensions.check

    def meanwhile(*commit):
        monkeypatch.undo()
        action()
        check(*commit)

    monkeypatch.setattr(extensions, "check", meanwhile)


def change(namespace, config, field, value):
    """Commit one field."""
    namespace.set(config, field, value)
    namespace.persist()


def test_the_first_of_two_writes_outside(sales, store):
    """Of two writes outside in a row at() shows the first as it was, or says that it does not know it."""
    sales.set("a", "x", 1)
    made = sales.persist().revision
    first = store.commit([Write("sales", "a", b'{"x": 2}', made)])
    second = store.commit([Write("sales", "a", b'{"x": 3}', first)])
    assert sales.wait_for(second, 10)
    sales.set("a", "y", 1)
    sales.persist()
    assert sales.at(made)["a"] == {"x": 1}
    assert sales.at(second)["a"] == {"x": 3}
    past = sales.at(first)
    if store.capabilities.reads_past:
        assert past["a"] == {"x": 2}
        sales.rollback(first)
        assert sales["a"] == {"x": 2}
    else:
        assert past.lost == {"a"}
        with pytest.raises(RevisionNotFound, match=f"what a of sales was at revision {first} is not known"):
            sales.rollback(first)
        assert sales["a"] == {"x": 3, "y": 1}


@pytest.mark.parametrize(
    "says", ["cannot scan namespace '.history.sales' (no)", "no leader for namespace '.history.sales'"]
)
@pytest.mark.parametrize("error", [BackendUnavailable, PermissionDenied, BackendFailure])
def test_errors_speak_of_the_namespace(sales, story, monkeypatch, error, says):
    """What fails while the past is read names the namespace that was asked for, not the one of its records."""

    def refuse(*_, **__):
        raise error(says, namespace=".history.sales")

    monkeypatch.setattr(sales._backend, "scan", refuse)
    for call in (
        sales.history,
        lambda: sales.at(story[0]),
        lambda: sales.blame("database"),
        lambda: sales.rollback(story[0]),
    ):
        with pytest.raises(error, match="^cannot read the history of 'sales'") as caught:
            call()
        assert ".history" not in str(caught.value)
        assert "scan" not in str(caught.value)
        assert caught.value.namespace == "sales"


def test_the_older_spelling(sales, story):
    """``config`` is taken where ``configuration`` is."""
    assert sales.history(config="web") == sales.history(configuration="web") == sales.history(20, "web")
    assert sales.blame(config="database") == sales.blame(configuration="database") == sales.blame("database")
    sales.rollback(story[2], config="web")
    assert sales.rollback(story[2], configuration="web") is None
