"""edit() and transaction(): nothing that was acknowledged is lost, and only what the block wrote is committed."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from confo import ANY, Commit, ConflictError, Confo, InvalidCommit, InvalidOption, OutcomeUnknown, Write
from confo.changes import Draft, merge
from confo.editor import Editor
from confo_memory import MemoryBackend

SECONDS = 20.0


@pytest.fixture
def options():
    """Follow nothing: each of the two handles learns of the other when it commits."""
    return {"follow": False}


@pytest.fixture
def counter(sales, theirs):
    """Have a counter of 0 and some fields more in the store, known to both handles."""
    sales.set("counter", {"n": 0, "opts": {"a": 1, "b": 1}, "step": 1})
    sales.set("other", {"x": 1})
    sales.persist()
    theirs.reload()
    return "counter"


def commits(sales):
    """Return how many commits the history has."""
    return len(sales.history(limit=100))


# --- what the block wrote is guarded -----------------------------------------------------------------


def test_equal_values_collide(sales, theirs, counter):
    """Two blocks that compute the same new value from the same old one do not agree: the second is told."""

    def increment_twice():
        with sales.edit() as draft:
            draft["counter"]["n"] += 1
            with theirs.edit() as second:
                second["counter"]["n"] += 1

    with pytest.raises(ConflictError, match="sales/counter field 'n'") as caught:
        increment_twice()
    assert (caught.value.base, caught.value.mine, caught.value.theirs) == (0, 1, 1)
    assert sales.get("counter", "n") == 1
    assert commits(sales) == 2


WRITES = {
    "a field": (lambda d: d["counter"].__setitem__("n", 5), lambda s: s.set("counter", "n", 5)),
    "the value that it had": (lambda d: d["counter"].__setitem__("n", 0), lambda s: s.set("counter", "n", 5)),
    "a path": (
        lambda d: d["counter"]["opts"].__setitem__("a", 5),
        lambda s: s.set("counter", ("opts", "a"), 5),
    ),
    "an object": (lambda d: d["counter"].__setitem__("opts", {}), lambda s: s.set("counter", ("opts", "a"), 5)),
    "what is in it": (lambda d: d["counter"]["opts"].pop("a"), lambda s: s.delete("counter", "opts")),
    "a deleted field": (lambda d: d["counter"].pop("n"), lambda s: s.delete("counter", "n")),
    "a new field": (lambda d: d["counter"].__setitem__("new", 1), lambda s: s.set("counter", "new", 1)),
    "a whole document": (lambda d: d.__setitem__("other", {"x": 2}), lambda s: s.set("other", {"x": 2})),
    "a new document": (lambda d: d.__setitem__("new", {"x": 2}), lambda s: s.set("new", {"x": 2})),
    "a default": (lambda d: d.setdefault("new", {"x": 2}), lambda s: s.set("new", {"x": 2})),
    "a deleted document": (lambda d: d.pop("other"), lambda s: s.delete("other")),
}


@pytest.mark.parametrize(("mine", "others"), WRITES.values(), ids=WRITES)
def test_every_write_is_guarded_by_what_the_block_saw(sales, theirs, counter, store, mine, others):
    """Whatever a block writes, and however: changed meanwhile, be it to the same, it is a conflict and not written."""

    def block():
        with sales.edit() as draft:
            mine(draft)
            others(theirs)
            theirs.persist()

    with pytest.raises(ConflictError):
        block()
    assert dict(store.load("sales")) == dict(theirs)
    assert sales.staged == []


def test_other_paths_both_win(sales, theirs, counter, store):
    """A block whose paths nobody else wrote to commits them over what others changed beside, in one document too."""
    with sales.edit() as draft:
        draft["counter"]["opts"]["a"] = 2
        draft["counter"]["n"] += 1
        theirs.set("counter", ("opts", "b"), 2)
        theirs.set("counter", "step", 2)
        theirs.set("other", "x", 2)
        theirs.persist()
    assert draft.commit.changes[0].paths == (("n",), ("opts", "a"))
    assert dict(store.load("sales")) == {
        "counter": {"n": 1, "opts": {"a": 2, "b": 2}, "step": 2}, "other": {"x": 2}
    }  # fmt: skip


@pytest.mark.parametrize(("keep", "n"), [("mine", 5), ("theirs", 7)])
def test_a_side_may_be_chosen(sales, theirs, counter, keep, n):
    """on_conflict decides for a side, where both wrote, and keeps what else the block wrote."""
    with sales.edit(on_conflict=keep) as draft:
        draft["counter"]["n"] = 5
        draft["counter"]["opts"]["a"] = 5
        theirs.set("counter", "n", 7)
        theirs.persist()
    assert sales["counter"] == {"n": n, "opts": {"a": 5, "b": 1}, "step": 1}


def test_a_race_for_another_field_is_no_conflict(sales, theirs, counter, monkeypatch, store):
    """A commit that loses the race for the document, and not for the path, is made again on what is there."""
    backend, raced = sales._backend, []
    commit = type(backend).commit

    def meanwhile(writes):
        if not raced:
            raced.append(1)
            theirs.set("counter", "step", 3)
            theirs.persist()
        return commit(backend, writes)

    monkeypatch.setattr(backend, "commit", meanwhile)
    with sales.edit() as draft:
        draft["counter"]["n"] += 1
    assert store.load("sales")["counter"] == {"n": 1, "opts": {"a": 1, "b": 1}, "step": 3}


# --- what the block read -----------------------------------------------------------------------------

READS = {
    "a field": (lambda d: d["other"]["x"], lambda s: s.set("other", "x", 2)),
    "a field of the same document": (lambda d: d["counter"]["step"], lambda s: s.set("counter", "step", 2)),
    "a path": (lambda d: d["counter"]["opts"]["a"], lambda s: s.set("counter", ("opts", "a"), 2)),
    "what was missing": (lambda d: d["other"].get("nope"), lambda s: s.set("other", "nope", 1)),
    "a missing document": (lambda d: d.get("nope"), lambda s: s.set("nope", {"x": 1})),
    "what was missing in a document that is gone": (
        lambda d: d.get("other", {}).get("nope"),
        lambda s: s.delete("other"),
    ),
    "that a document is there": (lambda d: d.get("other"), lambda s: s.delete("other")),
    "that an object is there": (lambda d: d["counter"]["opts"], lambda s: s.set("counter", "opts", 1)),
    "a document that was asked for": (lambda d: "other" in d, lambda s: s.delete("other")),
    "the fields of an object": (lambda d: list(d["counter"]["opts"]), lambda s: s.set("counter", ("opts", "c"), 1)),
}


def writing_after(sales, theirs, read, others, *, reads, before=True, **patched):
    """Read one thing, write another, and have somebody change what was read: in the block, or as it is committed."""
    backend = sales._backend
    with sales.edit(reads=reads) as draft:
        read(draft)
        draft["counter"]["n"] += 1
        if before:
            others(theirs)
            theirs.persist()
        else:
            commit = backend.commit

            def meanwhile(writes):
                del backend.commit
                others(theirs)
                theirs.persist()
                return commit(writes)

            backend.commit = meanwhile


@pytest.mark.parametrize("before", [True, False], ids=["in the block", "between check and commit"])
@pytest.mark.parametrize(("read", "others"), READS.values(), ids=READS)
def test_what_was_read_is_guarded_when_asked(sales, theirs, counter, store, read, others, before):
    """With reads=True nothing is computed from a stale value: what was read holds until the commit is made."""
    with pytest.raises(ConflictError):
        writing_after(sales, theirs, read, others, reads=True, before=before)
    assert store.load("sales")["counter"]["n"] == 0
    writing_after(sales, theirs, read, lambda s: s.set("counter", "unrelated", 7), reads=True)
    assert store.load("sales")["counter"]["n"] == 1


@pytest.mark.parametrize(("read", "others"), READS.values(), ids=READS)
def test_what_was_read_is_not_guarded_otherwise(sales, theirs, counter, read, others):
    """Without reads=True what a block looked at may change."""
    writing_after(sales, theirs, read, others, reads=False)
    assert sales.get("counter", "n") == 1


def test_a_guard_alone_shows_nowhere(sales, theirs, counter, store):
    """A document that was only read stays as it is, is in no change and no history of its own, and keeps its past."""
    before = store.read("sales", ["other"])["other"]
    with sales.edit(reads=True) as draft:
        draft["counter"]["n"] = draft["other"]["x"] + (1 if draft.get("nope") is None else 0)
    assert [change.configuration for change in draft.commit.changes] == ["counter"]
    after = store.read("sales", ["other", "nope"])
    assert (list(after), after["other"].data) == (["other"], before.data)
    assert [change.configuration for change in sales.history()[0].changes] == ["counter"]
    assert len(sales.history(config="other")) == 1
    assert sales.blame("other")["x"].revision == sales.history(config="other")[0].revision
    sales.set("other", "x", 9)
    sales.persist()
    assert sales.at(draft.commit.revision)["other"] == sales.at(before.revision)["other"] == {"x": 1}
    assert [commit.author for commit in sales.history()] == [draft.commit.author] * 3


def test_a_subscriber_hears_no_guard(kind, credentials):
    """Who listens hears of what changed, and not of what was only guarded."""
    with Confo("guards") as config:
        config.load_backend(credentials, "store", kind)
        config.activate_backend("store")
        config.create_namespace("sales")
        sales = config.namespace("sales")
        sales.set("a", "x", 1)
        sales.set("b", "x", 1)
        sales.persist()
        heard = []
        sales.drain()
        with sales.on_change(heard.append):
            with sales.edit(reads=True) as draft:
                draft["a"]["x"] = draft["b"]["x"] + 1
            assert sales.drain()
        assert [(event.configuration, event.revision) for event in heard] == [("a", draft.commit.revision)]


def test_a_block_that_only_looked(sales, theirs, counter):
    """A block that wrote nothing commits nothing; with reads=True it is told when what it saw is not so any more."""
    made = commits(sales)
    with sales.edit() as draft:
        assert draft["counter"]["n"] == 0
        theirs.set("counter", "n", 1)
        theirs.persist()
    assert draft.commit.already_so

    def looking():
        with sales.edit(reads=True) as draft:
            assert draft["counter"]["n"] == 1
            theirs.set("counter", "n", 2)
            theirs.persist()

    sales.reload()
    with pytest.raises(ConflictError):
        looking()
    assert commits(sales) == made + 2


def test_that_something_is_there_is_no_more_than_that(sales, theirs, counter):
    """With reads=True a document or object that was looked up, and not into, may change inside."""
    with sales.edit(reads=True) as draft:
        assert "other" in draft
        assert "opts" in draft["counter"]
        assert draft["counter"]["opts"] is not None
        draft["counter"]["n"] += 1
        theirs.set("other", "x", 5)
        theirs.set("counter", ("opts", "a"), 5)
        theirs.persist()
    assert sales["counter"] == {"n": 1, "opts": {"a": 5, "b": 1}, "step": 1}


# --- what set() staged -------------------------------------------------------------------------------


def test_declaring_twice_agrees(sales, theirs, counter):
    """set() of what somebody else commits meanwhile is no conflict: persist() says that it is so, and since when."""
    sales.set("counter", "n", 5)
    theirs.set("counter", "n", 5)
    commit = theirs.persist()
    made = commits(sales)
    agreed = sales.persist(message="mine", author="ada")
    assert agreed == Commit(commit.revision, "", "ada", "mine", None, ())
    assert agreed.already_so
    assert not commit.already_so
    assert commits(sales) == made
    assert sales.persist() is None


def test_an_agreement_is_told_although_it_was_seen_before(sales, theirs, counter):
    """Also when the other's commit came here before persist(), the caller is told that it is so already."""
    for name in ("counter", "other"):
        sales.set(name, "both", 5)
        theirs.set(name, "both", 5)
    commit = theirs.persist()
    sales.reload()
    assert sales.staged == []
    assert sales.persist("other").revision == commit.revision
    assert sales.persist(split=True)[0].already_so
    assert sales.persist(split=True) == []
    sales.set("counter", "both", 6)
    theirs.set("counter", "both", 6)
    theirs.persist()
    sales.reload()
    sales.discard()
    assert sales.persist() is None


def test_deleting_what_somebody_deleted_agrees(sales, theirs, counter):
    """Deleting what somebody else deletes meanwhile is no conflict either, and is told."""
    for seen_before in (False, True):
        sales.set("gone", "x", 1)
        sales.persist()
        theirs.reload()
        sales.delete("gone")
        theirs.delete("gone")
        theirs.persist()
        if seen_before:
            sales.reload()
        assert sales.persist().already_so
        assert sales.persist() is None


# --- transaction -------------------------------------------------------------------------------------


def test_a_transaction_is_made_again_after_a_conflict(sales, theirs, counter):
    """The function is called again, on what is committed then, until it is committed; the Commit is returned."""
    seen = []

    def increment(draft):
        seen.append(draft["counter"]["n"])
        draft["counter"]["n"] += 1
        if len(seen) < 3:
            theirs.set("counter", "n", 10 * len(seen))
            theirs.persist()

    commit = sales.transaction(increment, message="one more", author="ada")
    assert seen == [0, 10, 20]
    assert sales.get("counter", "n") == 21
    assert (commit.message, commit.author) == ("one more", "ada")
    assert sales.history()[0].op_id == commit.op_id


def test_a_transaction_gives_up(sales, theirs, counter):
    """After so many attempts the last conflict is raised, which says so."""
    calls = []

    def always_late(draft):
        calls.append(draft["counter"]["n"])
        draft["counter"]["n"] += 1
        theirs.set("counter", "n", len(calls))
        theirs.persist()

    with pytest.raises(ConflictError) as caught:
        sales.transaction(always_late, attempts=2)
    assert len(calls) == 2
    assert caught.value.__notes__ == ["attempt 2 of 2: somebody else was quicker each time"]


def test_a_transaction_of_nothing(sales, counter):
    """A function that writes nothing commits nothing, and the answer says that it is so already."""
    commit = sales.transaction(lambda draft: draft["counter"]["n"])
    assert commit.already_so
    assert commit.revision == sales.snapshot().revision


def test_an_error_in_a_transaction_is_raised_at_once(sales, counter, monkeypatch):
    """What the function raises, and an outcome that nobody knows, end it: it may have happened."""
    calls = []

    def failing(draft):
        calls.append(1)
        draft["counter"]["n"] += 1
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        sales.transaction(failing)

    def unknown(*_, **__):
        calls.append(1)
        raise OutcomeUnknown("lost")

    monkeypatch.setattr("confo.namespace.persist", unknown)
    with pytest.raises(OutcomeUnknown):
        sales.transaction(lambda draft: draft["counter"].update(n=1))
    assert len(calls) == 2
    assert sales.staged == []


@pytest.mark.parametrize(
    ("wrong", "error", "says"),
    [
        ({"attempts": 0}, InvalidOption, "attempts"),
        ({"attempts": True}, InvalidOption, "attempts"),
        ({"message": 5}, InvalidCommit, "message"),
        ({"author": b"x"}, InvalidCommit, "author"),
    ],
)
def test_bad_options_are_refused_first(sales, wrong, error, says):
    """What is wrong is said before the function is called."""
    with pytest.raises(error, match=says):
        sales.transaction(pytest.fail, **wrong)


def test_a_coroutine_function_belongs_elsewhere(sales, counter):
    """transaction() does not take a coroutine function for one that has done its work."""

    async def increment(draft):
        draft["counter"]["n"] += 1

    with pytest.raises(InvalidOption, match="atransaction"):
        sales.transaction(increment)


def test_the_loop_goes_on(sales, theirs, counter, monkeypatch):
    """aedit() and atransaction() do the same, and what waits for the store does not hold up the event loop."""
    calls = []

    async def increment(draft):
        calls.append(draft["counter"]["n"])
        await asyncio.sleep(0)
        draft["counter"]["n"] += 1
        if len(calls) == 1:
            theirs.set("counter", "n", 5)
            theirs.persist()

    async def work():
        commit = await sales.atransaction(increment, message="m")
        assert (calls, commit.message, sales.get("counter", "n")) == ([0, 5], "m", 6)
        assert (await sales.atransaction(lambda draft: draft["counter"].update(n=7))).revision > commit.revision
        here, entered, go_on = threading.current_thread(), asyncio.Event(), threading.Event()
        loop, commit = asyncio.get_running_loop(), sales._backend.commit

        def slow(writes):
            assert threading.current_thread() is not here
            loop.call_soon_threadsafe(entered.set)
            assert go_on.wait(SECONDS)
            return commit(writes)

        async def block():
            async with sales.aedit() as draft:
                draft["counter"]["n"] += 1
            return draft.commit

        sales._backend.commit = slow
        task = asyncio.create_task(block())
        await asyncio.wait_for(entered.wait(), SECONDS)  # the loop runs while the commit is under way
        go_on.set()
        assert not (await task).already_so

        async def failing():
            async with sales.aedit() as draft:
                draft["counter"]["n"] = 99
                raise RuntimeError

        with pytest.raises(RuntimeError):
            await failing()
        assert sales.get("counter", "n") == 8

    asyncio.run(work())


# --- acknowledged is done ----------------------------------------------------------------------------


def draw(handles, *, reads):
    """Have threads take one from either of two documents as long as both together have any; return what is left."""
    handles[0].set("left", {"n": 12})
    handles[0].set("right", {"n": 12})
    handles[0].persist()
    for handle in handles:
        handle.reload()

    def take(draft, side):
        if draft["left"]["n"] + draft["right"]["n"] > 0:
            draft[side]["n"] -= 1

    def work(number):
        side = ("left", "right")[number % 2]
        while (
            not handles[number // 2].transaction(lambda draft: take(draft, side), attempts=100, reads=reads).already_so
        ):
            pass

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    handles[0].reload()
    return handles[0].get("left", "n") + handles[0].get("right", "n")


def test_no_more_is_taken_than_there_is(sales, theirs):
    """With reads=True a rule over two documents holds, although each block writes one of them only."""
    assert draw([sales, theirs], reads=True) == 0


def test_control_of_a_rule_over_what_was_only_read(sales, theirs):
    """Without it two blocks that read both and write one each break the rule together."""
    assert any(draw([sales, theirs], reads=False) < 0 for _ in range(20))


def increments(store, handles=4, each=40):
    """Have threads with handles of their own increment one counter; return the acknowledged, and what it says."""
    MemoryBackend.open({"store": store}).create_namespace("sales")
    tool = MemoryBackend.open({"store": store})
    tool.commit([Write("sales", "counter", b'{"n": 0}', ANY)])
    configs = [Confo._new(f"writer {number}") for number in range(handles)]
    for config in configs:
        config.load_backend({"store": store}, "store", "memory")

    def work(config):
        sales, acknowledged = config.namespace("sales", backend="store"), 0
        for number in range(each):
            try:
                if number % 2:
                    sales.transaction(lambda draft: draft["counter"].update(n=draft["counter"]["n"] + 1))
                else:
                    with sales.edit() as draft:
                        draft["counter"]["n"] += 1
            except ConflictError:
                continue
            acknowledged += 1
        return acknowledged

    with ThreadPoolExecutor(handles) as pool:
        acknowledged = sum(pool.map(work, configs))
    for config in configs:
        config.close()
    return acknowledged, tool.load("sales")["counter"]["n"]


def test_acknowledged_increments_are_in_the_counter(credentials):
    """N edits that were acknowledged are N, from many threads and handles at once."""
    acknowledged, found = increments(credentials["store"])
    assert acknowledged == found
    assert acknowledged >= 80


def test_control_of_agreeing_values(credentials, monkeypatch):
    """An edit that takes an equal value for an agreement loses increments, which the count of calls shows."""
    end = Editor.end
    monkeypatch.setattr(Editor, "end", lambda self: {n: d._replace(guards=frozenset()) for n, d in end(self).items()})
    for attempt in range(20):
        acknowledged, found = increments(f"{credentials['store']}{attempt}")
        if acknowledged != found:
            return
    raise AssertionError("no increment was lost")


STEPS = st.lists(st.tuples(st.integers(0, 1), st.sampled_from("ab"), st.integers(0, 2)), min_size=1, max_size=8)


@given(STEPS)
def test_interleaved_blocks_are_as_if_one_after_the_other(steps):
    """Of blocks that begin on one state, those that are taken have, each, seen what was there when it was committed."""
    state = {"a": 0, "b": 0}
    seen = [dict(state), dict(state)]
    for who, field, more in steps:
        mine = {**seen[who], field: seen[who][field] + more}
        merged = merge(Draft(seen[who], mine, frozenset({(field,)})), state)
        taken = not merged.clashes
        assert taken is (seen[who][field] == state[field])
        if taken:
            assert merged.draft.mine == {**state, field: state[field] + more}
            state = dict(merged.draft.mine)
        seen[who] = dict(state)
