"""The past of a namespace whose store keeps nothing that was overwritten: only the records tell."""

from __future__ import annotations

import json
import threading
import time
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from confo import (
    MISSING,
    ConfigurationNotFound,
    Confo,
    InvalidOption,
    NotSupported,
    Retention,
    RevisionNotFound,
    TooLarge,
    UnreadableDocument,
    Write,
    extensions,
)
from confo.past import OUTSIDE
from confo.paths import as_path, look
from confo_memory import MemoryBackend

NAMES = st.sampled_from(["a", "b"])
DOCUMENTS = st.dictionaries(st.sampled_from(["x", "y"]), st.sampled_from([None, True, 1, "t"]), max_size=2)
COMMITS = st.tuples(st.just("commit"), st.dictionaries(NAMES, st.none() | DOCUMENTS, min_size=1))
WRITES = st.tuples(st.just("outside"), st.tuples(NAMES, st.none() | DOCUMENTS))


def play(sales, store, story):
    """Commit and write outside; return the true state of every revision, and the kind of each.

    What is made outside and deleted there again leaves no trace in such a store: here a commit is between.
    """
    states, kinds = {sales.snapshot().revision: {}}, {}
    untold: set[str] = set()  # what was made outside
    for kind, what in story:
        if kind == "commit":
            for name, document in what.items():
                if document is not None:
                    sales.set(name, document)
                elif name in sales:
                    sales.delete(name)
            commit = sales.persist()
            untold -= {change.configuration for change in commit.changes} if commit else set()
            revision = 0 if commit is None else commit.revision
        else:
            name, document = what
            entry = sales.snapshot().entries.get(name)
            if document is None and (entry is None or name in untold):
                continue
            untold |= {name} if entry is None else set()
            data = None if document is None else json.dumps(document).encode()
            revision = store.commit([Write("sales", name, data, entry.revision if entry else 0)])
            sales.wait_for(revision)
        if revision:
            states[revision], kinds[revision] = dict(sales.snapshot()), kind
    return states, kinds


def playing(story):
    """Open a store of its own for one story; return the registry, the handle and a backend of one's own."""
    credentials = {"store": uuid.uuid4().hex}
    config = Confo(uuid.uuid4().hex)
    config.load_backend(credentials, "store", "memory")
    config.activate_backend("store")
    config.create_namespace("sales")
    sales = config.namespace("sales")
    return config, sales, MemoryBackend.open(credentials), *play(sales, MemoryBackend.open(credentials), story)


@given(st.lists(COMMITS, max_size=8))
def test_every_state_is_known(story):
    """What was committed with records only is known at every revision, and in every difference."""
    config, sales, _, states, kinds = playing(story)
    with config:
        for revision, state in states.items():
            past = sales.at(revision)
            assert (dict(past), past.lost) == (state, frozenset())
        assert [commit.revision for commit in sales.history(limit=100)] == sorted(kinds, reverse=True)


@given(st.lists(COMMITS | WRITES, max_size=10))
def test_no_state_is_guessed(story):
    """With writes outside in between, every former state is right in what it tells, and says what it does not know."""
    config, sales, _, states, kinds = playing(story)
    with config:
        for revision, state in states.items():
            past = sales.at(revision)
            assert dict(past) == {name: document for name, document in state.items() if name not in past.lost}
            for name in past.lost:
                with pytest.raises(RevisionNotFound, match=f"sales/{name} was at revision {revision} is not known"):
                    past[name]
        listed = {commit.revision: commit for commit in sales.history(limit=100)}
        assert {revision for revision, commit in listed.items() if commit.author != OUTSIDE} == {
            revision for revision, kind in kinds.items() if kind == "commit"
        }
        assert all(kinds[revision] == "outside" for revision, one in listed.items() if one.author == OUTSIDE)


@given(st.lists(COMMITS | WRITES, max_size=10), st.data())
def test_rollback_makes_a_state_again(story, data):
    """A rollback to a state that is known whole brings exactly that back; else it says so and changes nothing."""
    config, sales, _, states, _ = playing(story)
    with config:
        revision = data.draw(st.sampled_from(sorted(states)))
        before, lost = dict(sales), sales.at(revision).lost
        if not lost:
            sales.rollback(revision)
            assert dict(sales.snapshot()) == states[revision]
        else:
            with pytest.raises(RevisionNotFound, match=r"rollback\(revision, configuration=\.\.\.\)"):
                sales.rollback(revision)
            assert dict(sales) == before


@given(st.lists(COMMITS | WRITES, max_size=10))
def test_blame_is_right(story):
    """Whoever is blamed for a field made it what it is: it was so at that revision, and other than before it."""
    config, sales, _, states, _ = playing(story)
    with config:
        for name, document in sales.snapshot().items():
            for field, commit in sales.blame(name).items():
                at = states.get(commit.revision, {}).get(name, {})
                path = as_path(field)
                assert look(at, path) is not MISSING
                assert look(at, path) == look(document, path)


def test_deleted_outside(sales, store):
    """A deletion by another tool leaves no trace but its absence: what was between is not known, now and before are."""
    sales.set("a", "x", 1)
    made = sales.persist().revision
    gone = store.commit([Write("sales", "a", None, made)])
    sales.wait_for(gone)
    assert sales.at(made)["a"] == {"x": 1}
    assert dict(sales.at(gone)) == {}
    assert sales.at(gone).lost == {"a"}
    sales.set("a", "x", 2)
    sales.persist()
    with pytest.raises(RevisionNotFound):
        sales.at(gone)["a"]


def test_a_foreign_write_where_nothing_tells_what_it_was(sales, store):
    """A write outside that was written over whole, twice, is listed without its documents."""
    first = store.commit([Write("sales", "a", b'{"x": 1}', 0)])
    second = store.commit([Write("sales", "a", b'{"x": 2}', first)])
    sales.wait_for(second)
    sales.set("a", "y", 1)
    sales.persist()
    newest, outside = sales.history()
    assert (outside.revision, outside.author) == (second, OUTSIDE)
    (change,) = outside.changes
    assert (change.old, change.new) == (None, {"x": 2})
    assert newest.changes[0].fields == ("y",)


def test_a_repeated_page_finds_late_commits(config, kind, credentials, sales):
    """A commit based on an old state of a copy that does not follow is listed at its revision, not at its base."""
    with Confo(uuid.uuid4().hex) as lagging:
        lagging.load_backend(credentials, "store", kind, follow=False)
        late = lagging.namespace("sales", backend="store")
        for number in range(20):
            sales.set("a", "n", number)
            sales.persist()
        late.set("b", "x", 1)
        commit = late.persist(message="late")
    sales.wait_for(commit.revision)
    assert sales.history(limit=1)[0].message == "late"
    assert sales.history(limit=1, before=commit.revision)[0].revision < commit.revision


def test_without_history(credentials):
    """With history=False nothing can be rolled back: NotSupported, with what to do; what others recorded is listed."""
    with Confo(uuid.uuid4().hex) as config:
        config.load_backend(credentials, "store", "memory", history=False)
        config.activate_backend("store")
        config.create_namespace("sales")
        sales = config.namespace("sales")
        sales.set("a", "x", 1)
        sales.persist()
        with pytest.raises(NotSupported, match="history=True"):
            sales.rollback(1)
        assert [commit.author for commit in sales.history()] == [OUTSIDE]


def test_more_than_one_commit_can_hold(config, sales):
    """A rollback is one commit: more than the backend takes at once is refused, and nothing changes."""
    empty = sales.snapshot().revision
    for number in range(1100):
        sales.set(f"c{number}", "x", 1)
    sales.persist(split=True)
    with pytest.raises(TooLarge):
        sales.rollback(empty)
    assert len(sales) == 1100
    assert sales.staged == []


def test_unreadable_now(sales, store):
    """A rollback mends what cannot be read, guarded by its revision; the history says that it was written outside."""
    sales.set("a", "x", 1)
    sales.set("b", "x", 1)
    made = sales.persist().revision
    broken = store.commit([Write("sales", "a", b"not json", made)])
    sales.wait_for(broken)
    past = sales.at(made)
    assert dict(past) == {"a": {"x": 1}, "b": {"x": 1}}
    assert sales.rollback(made)
    assert store.load("sales")["a"] == {"x": 1}
    assert [commit.revision for commit in sales.history(limit=3)][1:] == [broken, made]
    assert dict(sales.status().unreadable) == {}


# --- retention ------------------------------------------------------------------------------------------


@pytest.fixture
def kept(request):
    """Return the retention; tests give their own as a parameter."""
    return getattr(request, "param", Retention(count=3))


@pytest.fixture
def options(kept):
    """Return the options of load_backend."""
    return {"history": kept}


def commits(sales, count):
    """Commit as often; return the revisions."""
    revisions = []
    for _ in range(count):
        sales.set("a", "n", sales.get("a", "n", default=0) + 1)
        revisions.append(sales.persist().revision)
    return revisions


def records(store):
    """Return the revisions of the records that are there."""
    return sorted(entry.revision for name, entry in store.scan(".history.sales", limit=10000) if "trimmed" not in name)


def test_the_last_commits_are_kept(sales, store):
    """One writer keeps exactly as many commits as the retention says, and trims in the commits themselves."""
    revisions = commits(sales, 10)
    assert records(store) == revisions[-3:]
    assert [commit.revision for commit in sales.history()] == revisions[:-4:-1]


def test_before_what_is_kept(sales):
    """A state that the history does not reach any more is refused by name; those that it reaches are known."""
    revisions = commits(sales, 10)
    assert [sales.at(revision)["a"] for revision in revisions[-4:]] == [{"n": n} for n in (7, 8, 9, 10)]
    with pytest.raises(RevisionNotFound, match=f"from revision {revisions[-4]} on, not from {revisions[2]}"):
        sales.at(revisions[2])
    assert sales.blame("a")["n"].revision == revisions[-1]


def test_a_field_older_than_the_history(sales):
    """A field whose commit is not kept any more is blamed on nobody, and its commit is not listed as outside."""
    sales.set("a", "old", 1)
    sales.set("b", "old", 1)
    sales.persist()
    commits(sales, 6)
    assert list(sales.blame("a")) == ["n"]
    assert [commit.author == OUTSIDE for commit in sales.history()] == [False, False, False]


def test_two_writers(sales, theirs, store):
    """Two writers together keep the last commits, with little more."""
    for _ in range(20):
        last = commits(sales, 1)[0]
        theirs.wait_for(last)
        sales.wait_for(commits(theirs, 1)[0])
    assert 3 <= len(records(store)) <= 5


@pytest.mark.parametrize("kept", [Retention(count=None)], indirect=True)
def test_everything_is_kept(sales, store):
    """Without bounds no commit is forgotten."""
    assert commits(sales, 50) == records(store)


@pytest.mark.parametrize("kept", [Retention(count=None, age=3600)], indirect=True)
def test_ages(sales, store, monkeypatch):
    """Records older than the retention's age go with a later commit; by the time that their writers noted."""
    now = time.time
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: now() - 7200)
        old = commits(sales, 5)
    assert records(store) == old
    sales._ledger._looked = 0.0  # as if a minute had passed
    new = commits(sales, 2)
    assert records(store) == new


def test_a_long_history_shrinks_a_few_at_a_time(sales, store, other, credentials):
    """A history that was kept longer before is let go in small parts, until the bound holds."""
    with Confo(uuid.uuid4().hex) as config:
        config.load_backend(credentials, "store", "memory", history=Retention(count=None))
        config.activate_backend("store")
        commits(config.namespace("sales"), 100)
    sales.reload()
    sizes = []
    while len(records(store)) > 3:
        commits(sales, 1)
        sizes.append(len(records(store)))
    assert sizes == [69, 38, 7, 3]


@pytest.mark.parametrize("wrong", [0, 5, "many", None, Retention(count=0), Retention(age=-1.0), Retention(count=1.5)])
def test_what_is_no_retention(wrong, credentials):
    """history= takes True, False or a Retention with bounds above 0."""
    with Confo(uuid.uuid4().hex) as config:
        with pytest.raises(InvalidOption):
            config.load_backend(credentials, "store", "memory", history=wrong)
        assert config.get_backends()["all_backends"] == []


@pytest.mark.parametrize("kept", [Retention(count=None)], indirect=True)
def test_count_and_age_together(sales, store, credentials, monkeypatch):
    """A record that is both one too many and too old goes once, and commits go on."""
    now = time.time
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: now() - 7200)
        commits(sales, 6)
    with Confo(uuid.uuid4().hex) as config:
        config.load_backend(credentials, "store", "memory", history=Retention(count=3, age=3600.0))
        new = commits(config.namespace("sales", backend="store"), 3)
    assert records(store) == new


@pytest.mark.parametrize("kept", [Retention(count=None)], indirect=True)
def test_a_lower_bound_leaves_no_hole(sales, store, credentials):
    """While a long history shrinks, what goes is always older than what stays."""
    old = commits(sales, 200)
    with Confo(uuid.uuid4().hex) as config:
        config.load_backend(credentials, "store", "memory", history=Retention(count=40))
        handle = config.namespace("sales", backend="store")
        every = list(old)
        for _ in range(8):
            every += commits(handle, 1)
            assert records(store) == every[-len(records(store)) :]
        assert len(records(store)) == 40


@pytest.mark.parametrize("kept", [Retention(count=10)], indirect=True)
def test_a_lagging_copy_is_not_trimmed_first(config, kind, credentials, sales, store):
    """A commit of a copy that does not follow is recorded as one of the newest, however old its copy is."""
    with Confo(uuid.uuid4().hex) as lagging:
        lagging.load_backend(credentials, "store", kind, follow=False, history=Retention(count=10))
        late = lagging.namespace("sales", backend="store")
        commits(sales, 100)
        late.set("b", "x", 1)
        commit = late.persist(message="late")
        assert late.at(commit.revision)["a"] == {"n": 100}
    sales.wait_for(commit.revision)
    commits(sales, 1)
    assert commit.revision in records(store)
    assert sales.history(limit=2)[1].message == "late"


@pytest.mark.parametrize("kept", [Retention(count=None)], indirect=True)
def test_an_outside_write_that_stood_for_long(sales, store):
    """A write outside is on its page also when it was replaced hundreds of commits later."""
    revision = store.commit([Write("sales", "old", b'{"x": 1}', 0)])
    sales.wait_for(revision)
    commits(sales, 300)
    sales.set("old", "x", 2)
    sales.persist()
    seen, before = [], None
    while page := sales.history(limit=100, before=before):
        seen += [commit.revision for commit in page]
        before = page[-1].revision
    assert seen == [commit.revision for commit in sales.history(limit=1000)]
    assert seen[-1] == revision


def test_odd_records(config, sales, store):
    """Records that other tools made up are no commits: they stop neither reading nor committing nor copying."""
    good: dict[str, Any] = {"op": "a" * 32, "author": "x", "message": "m", "time": 1.0, "changes": {}}
    step: dict[str, Any] = {"was": 0, "exists": True, "fields": {}}
    odd: list[dict[str, Any]] = [
        {"time": None},
        {"author": 7},
        {"kind": [1]},
        *({"changes": {"a": {**step, **wrong}}} for wrong in ({"was": "1"}, {"was": True}, {"fields": []})),
        {"changes": {"a": {**step, "fields": {"x": 1}}}},
        {"changes": {"../../evil": step}},
    ]
    for number, wrong in enumerate(odd):
        data = json.dumps({**good, **wrong}).encode()
        store.commit([Write(".history.sales", f"{1:020d}-{number:032x}", data, 0)])
    sales.set("a", "x", 1)
    revision = sales.persist().revision
    assert [commit.revision for commit in sales.history()] == [revision]
    assert sales.at(revision)["a"] == {"x": 1}
    assert sales.blame("a")["x"].revision == revision
    config.load_backend({"store": uuid.uuid4().hex}, "target", "memory")
    assert config.copy("store", "target")["sales"].commits == 1


def test_staged_by_another_thread_during_a_rollback(sales, monkeypatch):
    """What is staged while a rollback is under way stays staged."""
    sales.set("a", "x", 1)
    first = sales.persist().revision
    sales.set("a", "x", 2)
    sales.persist()
    check = extensions.check

    def meanwhile(*commit):
        monkeypatch.undo()
        thread = threading.Thread(target=sales.set, args=("a", "user", "staged"))
        thread.start()
        thread.join()
        check(*commit)

    monkeypatch.setattr(extensions, "check", meanwhile)
    sales.rollback(first)
    assert sales["a"] == {"x": 1, "user": "staged"}
    assert sales.snapshot()["a"] == {"x": 1}
    assert sales.staged == ["a"]


def test_unreadable_during_a_rollback(sales, store, monkeypatch):
    """A document that becomes unreadable during a rollback takes nobody's staged edits with it."""
    sales.set("a", "x", 1)
    sales.set("b", "x", 1)
    first = sales.persist().revision
    sales.set("a", "x", 2)
    sales.set("b", "x", 2)
    now = sales.persist().revision
    sales.set("a", "mine", 1)
    sales.set("b", "mine", 1)
    check = extensions.check

    def meanwhile(*commit):
        monkeypatch.undo()
        store.commit([Write("sales", "a", b"garbage", now)])
        check(*commit)

    monkeypatch.setattr(extensions, "check", meanwhile)
    with pytest.raises(UnreadableDocument):
        sales.rollback(first)
    assert sorted(sales.staged) == ["a", "b"]
    assert sales["b"] == {"x": 2, "mine": 1}


def test_rollback_of_what_is_nowhere(sales):
    """A configuration that is neither in the past nor in the present is said to be unknown, by name."""
    sales.set("a", "x", 1)
    revision = sales.persist().revision
    with pytest.raises(ConfigurationNotFound, match="'databse'"):
        sales.rollback(revision, config="databse")
    with pytest.raises(InvalidOption, match="older revision"):
        sales.diff(new=revision)
