"""Copying namespaces between backends: documents, commits, what is refused, and going on after a break."""

from __future__ import annotations

import uuid

import pytest

from confo import (
    ANY,
    BackendFailure,
    BackendUnavailable,
    CommitRefused,
    ConfigurationExists,
    InvalidOption,
    NamespaceNotFound,
    Retention,
    UnreadableDocument,
    Write,
    extensions,
    hookimpl,
)
from confo_memory import MemoryBackend
from tests.core.test_history import STATES, story  # noqa: F401 - a fixture


@pytest.fixture
def target(config):
    """Load a second store beside the test's; return a backend of one's own on it, to look there around Confo."""
    credentials = {"store": uuid.uuid4().hex}
    config.load_backend(credentials, "target", "memory")
    return MemoryBackend.open(credentials)


def copied(config):
    """Return the handle of the copy."""
    return config.namespace("sales", backend="target")


def test_documents_and_history(config, sales, story, target):  # noqa: F811 - the fixture
    """A copy has every document and every commit, with its op id, author, message, time and changes, in order."""
    sales.set("more", {"nested": {"list": [1, None, "ü"]}})
    sales.persist(message="more")
    report = config.copy("store", "target")
    assert dict(copied(config)) == dict(sales)
    assert report["sales"].revision == sales.snapshot().revision
    told = [
        [(one.op_id, one.author, one.message, one.time, one.changes) for one in handle.history()]
        for handle in (sales, copied(config))
    ]
    assert told[0] == told[1]
    assert [dict(copied(config).at(one.revision)) for one in copied(config).history()][:0:-1] == STATES


def test_the_copy_can_be_rolled_back(config, sales, story, target):  # noqa: F811
    """The history of a copy is a history: blame and rollback work there as they do at home."""
    config.copy("store", "target")
    copy = copied(config)
    assert {field: commit.message for field, commit in copy.blame("database").items()} == {
        "host": "move",
        "port": "widen",
    }
    first = copy.history()[-1].revision
    copy.rollback(first)
    assert dict(copy) == STATES[0]


def test_all_namespaces_or_some(config, sales, target):
    """Without names every namespace is copied, empty ones too; with names those, and an unknown one is an error."""
    config.create_namespace("empty")
    config.create_namespace("other")
    assert sorted(config.copy("store", "target", namespaces=["other"])) == ["other"]
    assert target.namespaces() == ["other"]
    config.copy("store", "target")
    assert target.namespaces() == ["empty", "other", "sales"]
    with pytest.raises(NamespaceNotFound, match="nope"):
        config.copy("store", "target", namespaces=["nope"])


def test_again(config, sales, story, target):  # noqa: F811
    """Copying again writes nothing; what the source has new is added."""
    config.copy("store", "target")
    assert config.copy("store", "target")["sales"][1:3] == (0, 0)
    sales.set("database", "port", 3)
    commit = sales.persist(message="later")
    assert config.copy("store", "target")["sales"][1:3] == (1, 1)
    assert copied(config).history(limit=1)[0].op_id == commit.op_id


def test_what_the_target_has(config, sales, target):
    """Other documents of the target stay; one of the same name is refused before anything is written, by name."""
    sales.set("a", {"x": 1})
    sales.set("b", {"x": 1})
    sales.persist()
    target.create_namespace("sales")
    target.commit([Write("sales", "b", b'{"x": 2}', 0), Write("sales", "own", b"{}", 0)])
    with pytest.raises(ConfigurationExists, match="in b; nothing was written: copy with overwrite=True"):
        config.copy("store", "target")
    assert sorted(target.load("sales").entries) == ["b", "own"]
    config.copy("store", "target", overwrite=True)
    assert dict(copied(config)) == {"a": {"x": 1}, "b": {"x": 1}, "own": {}}


def test_nothing_of_any_namespace_when_one_is_refused(config, sales, target):
    """One namespace that must be refused keeps the others from being copied too."""
    config.create_namespace("another")
    sales.set("a", {"x": 1})
    sales.persist()
    target.create_namespace("sales")
    target.commit([Write("sales", "a", b'{"x": 2}', 0)])
    with pytest.raises(ConfigurationExists):
        config.copy("store", "target")
    assert target.namespaces() == ["sales"]


def test_the_targets_own_history(config, sales, story, target):  # noqa: F811
    """A target with commits of its own gets the documents, as one commit that says where they are from."""
    config.copy("store", "target")
    copy = copied(config)
    copy.set("own", {"x": 1})
    copy.persist(message="own")
    sales.set("database", "port", 9)
    sales.persist(message="later")
    config.copy("store", "target")
    assert copy["database"]["port"] == 9
    assert [commit.message for commit in copy.history(limit=2)] == ["copy from store", "own"]


def test_a_foreign_change_in_the_copy_is_not_lost(config, sales, story, target):  # noqa: F811
    """What was changed in the copy since is refused, not written over."""
    config.copy("store", "target")
    copied(config).set("database", "port", 77)
    copied(config).persist()
    with pytest.raises(ConfigurationExists, match="database"):
        config.copy("store", "target")
    assert copied(config)["database"]["port"] == 77


@pytest.mark.parametrize("after", range(6))
def test_cut_short(config, sales, story, target, monkeypatch, after):  # noqa: F811
    """A copy that broke after any of its commits goes on when it is asked for again, and does nothing twice."""
    sales.set("untold", "x", 1)
    sales.persist(message="last")
    real, count = MemoryBackend.commit, 0

    def commit(self, writes):
        nonlocal count
        count += 1
        if count > after:
            raise BackendUnavailable("gone")
        return real(self, writes)

    with monkeypatch.context() as patch:
        patch.setattr(MemoryBackend, "commit", commit)
        if after < 5:
            with pytest.raises(BackendUnavailable):
                config.copy("store", "target")
    config.copy("store", "target")
    assert [one.op_id for one in copied(config).history()] == [one.op_id for one in sales.history()]
    assert dict(copied(config)) == dict(sales)


def test_what_cannot_be_read_is_not_copied(config, sales, store, target):
    """A copy refuses what is no document, with every name and reason and before anything is written."""
    sales.set("good", "x", 1)
    sales.persist()
    for name in ("bad", "worse"):
        sales.wait_for(store.commit([Write("sales", name, b"host: a\n", ANY)]))
    with pytest.raises(UnreadableDocument, match=r"nothing was written: sales/bad .*sales/worse .*unreadable='skip'"):
        config.copy("store", "target")
    assert target.namespaces() == []
    report = config.copy("store", "target", unreadable="skip")["sales"]
    assert dict(copied(config)) == {"good": {"x": 1}}
    assert sorted(target.load("sales").entries) == ["good"]
    assert list(report.unreadable) == ["bad", "worse"]
    assert "not JSON" in report.unreadable["bad"]
    with pytest.raises(InvalidOption, match="unreadable is 'raise' or 'skip'"):
        config.copy("store", "target", unreadable="ignore")


def test_names_of_other_tools_are_left_out(config, sales, store, target, caplog):
    """What lies in the store under a name that Confo does not take is named once, and stops nothing."""
    for name in ("my db", "a/b", "good"):
        sales.wait_for(store.commit([Write("sales", name, b'{"x": 1}', ANY)]))
    sales.reload()
    assert dict(sales) == {"good": {"x": 1}}
    assert caplog.text.count("sales/my db is left out") == 1
    report = config.copy("store", "target")["sales"]
    assert dict(copied(config)) == {"good": {"x": 1}}
    assert set(report.left_out) == {"my db", "a/b"}
    config.delete_namespace("sales")
    assert config.get_namespaces()["all_namespaces"] == []


def test_writes_outside(config, sales, store, story, target):  # noqa: F811
    """What was written without a record is copied with the documents, though no commit tells of it."""
    entry = sales.snapshot().entries["database"]
    revision = store.commit([Write("sales", "database", b'{"host":"x"}', entry.revision)])
    sales.wait_for(revision)
    sales.set("database", "port", 5)
    sales.persist(message="after")
    config.copy("store", "target")
    assert dict(copied(config)) == dict(sales)
    assert copied(config).history(limit=1)[0].message == "after"


def test_a_commit_over_a_write_outside(config, sales, store, target):
    """A commit that changed what another tool had made changes the same in the copy, and no more."""
    sales.wait_for(store.commit([Write("sales", "a", b'{"x":1,"y":1}', 0)]))
    sales.set("a", "x", 2)
    sales.persist(message="change")
    config.copy("store", "target")
    change, made = copied(config).history()
    assert (change.message, change.changes[0].fields) == ("change", ("x",))
    assert (made.message, made.changes[0].new) == ("copy from store", {"x": 1, "y": 1})
    assert config.copy("store", "target")["sales"].commits == 0


def test_more_than_the_target_takes(config, sales, target, monkeypatch):
    """Commits larger than the target takes at once are copied in parts, and are one commit no more."""
    import dataclasses

    for number in range(20):
        sales.set(f"c{number}", "x", number)
    commit = sales.persist(message="large")
    small = dataclasses.replace(MemoryBackend.capabilities, atomic_writes=8)
    monkeypatch.setattr(MemoryBackend, "capabilities", small)
    config.copy("store", "target")
    assert dict(copied(config)) == dict(sales)
    assert [one.op_id == commit.op_id for one in copied(config).history()] == [True, False, False]


def test_without_history(config, sales, story):  # noqa: F811
    """A target loaded with history=False gets the documents only."""
    credentials = {"store": uuid.uuid4().hex}
    config.load_backend(credentials, "bare", "memory", history=False)
    config.copy("store", "bare")
    assert dict(config.namespace("sales", backend="bare")) == dict(sales)
    assert MemoryBackend.open(credentials).scan(".history.sales") == []


def test_policies_are_asked(config, sales, story, target):  # noqa: F811
    """A copy's commits are commits: a policy may refuse them."""

    class Policy:
        @hookimpl
        def confo_check_commit(self, message):
            if message == "widen":
                raise CommitRefused("no")

    extensions.register(Policy(), "policy")
    try:
        with pytest.raises(CommitRefused):
            config.copy("store", "target")
    finally:
        extensions.unregister("policy")
    assert dict(copied(config)) == STATES[1]


def test_read_back(config, sales, story, target, monkeypatch):  # noqa: F811
    """What the target does not give back as it was written is an error, with its name and without its value."""
    real = MemoryBackend.load

    def load(self, namespace):
        snapshot = real(self, namespace)
        if self.store is target.store and "database" in snapshot.entries:
            garbled = {"database": snapshot.entries["database"]._replace(data=b'{"host":"garbled"}')}
            snapshot.entries = {**snapshot.entries, **garbled}
        return snapshot

    monkeypatch.setattr(MemoryBackend, "load", load)
    with pytest.raises(BackendFailure, match="does not read back as it was copied: database") as caught:
        config.copy("store", "target")
    assert "garbled" not in str(caught.value)


def test_to_itself(config, sales):
    """From and to are two backends."""
    with pytest.raises(InvalidOption, match="name two backends"):
        config.copy("store", "store")


def test_a_handle_that_does_not_follow(config, sales, story):  # noqa: F811
    """An opened handle of the target has the copy at once, whether it follows or not."""
    config.load_backend({"store": uuid.uuid4().hex}, "still", "memory", follow=False)
    config.activate_backend("still")
    config.create_namespace("sales")
    handle = config.namespace("sales")
    config.copy("store", "still")
    assert dict(handle) == dict(sales)


def test_what_only_the_target_has_stays(config, sales, target):
    """A document of the target's own is not touched because the source once had one of that name."""
    sales.set("own", "x", 1)
    sales.persist()
    sales.delete("own")
    sales.persist()
    sales.set("a", "x", 1)
    sales.persist()
    target.create_namespace("sales")
    target.commit([Write("sales", "own", b'{"precious": 1}', 0)])
    config.copy("store", "target")
    assert dict(copied(config)) == {"a": {"x": 1}, "own": {"precious": 1}}


def test_two_sources(config, sales, target):
    """What was copied from one store is not written over by a copy from another one."""
    sales.set("a", "x", "first")
    sales.persist()
    config.copy("store", "target")
    config.load_backend({"store": uuid.uuid4().hex}, "second", "memory", history=False)
    config.activate_backend("second")
    config.create_namespace("sales")
    config.namespace("sales").set("a", "x", "second")
    config.namespace("sales").persist()
    with pytest.raises(ConfigurationExists):
        config.copy("second", "target")
    assert copied(config)["a"] == {"x": "first"}


def test_deleted_outside(config, sales, store, target):
    """What the source lost without a record is not in the copy either."""
    sales.set("a", "x", 1)
    sales.persist()
    sales.set("b", "x", 1)
    sales.wait_for(store.commit([Write("sales", "b", None, sales.persist().revision)]))
    config.copy("store", "target")
    assert dict(copied(config)) == {"a": {"x": 1}}


@pytest.mark.parametrize("options", [{"history": Retention(count=3)}])
def test_again_after_the_source_trimmed(config, sales, target, options):
    """A source that let go of records meanwhile is copied again all the same."""
    for number in range(3):
        sales.set("a", "n", number)
        sales.persist()
    config.copy("store", "target")
    for number in range(3, 6):
        sales.set("a", "n", number)
        sales.persist()
    config.copy("store", "target")
    assert copied(config)["a"] == {"n": 5}
    assert len(copied(config).history()) == 6


def test_namespaces_are_a_list(config, sales, target):
    """One name in place of the list is refused, with what to write."""
    with pytest.raises(InvalidOption, match=r"\['sales'\]"):
        config.copy("store", "target", namespaces="sales")
