"""Confo on real servers that are killed, paused, cut off and replaced: it heals, and every change is there once.

The longer forms of these tests are in ``drills/``: ``nox -s drills``.
"""

from __future__ import annotations

import itertools
import json
import random
import shutil
import subprocess
import sys
import threading
from contextlib import ExitStack

import grpc
import pytest

from confo import ANY, Editor, OutcomeUnknown, State, Write
from confo.changes import Draft
from confo.events import Hub
from confo.outcome import TABLE, After, Meaning
from confo.replica import Replica
from confo_etcd.connection import Connection
from confo_etcd.credentials import parse
from confo_etcd.schema import schema
from tests.etcd.drilling import (
    COUNTERS,
    SECONDS,
    Follower,
    Writer,
    following,
    read_history,
    summary,
    until,
    verify_history,
)
from tests.proxy import Proxy
from tests.servers import EtcdCluster, EtcdServer, etcd_binary, free_ports

pytestmark = pytest.mark.slow

SEED = 20261122
BRISK = ["--heartbeat-interval=50", "--election-timeout=500"]  # ms; half of what etcd takes by default


@pytest.fixture
def seed():
    """Give the seed of the writers' work, and print it for who has to repeat a failure."""
    say(f"seed {SEED}")
    return SEED


@pytest.fixture
def own_server(label):
    """Give a server that the test may set back or replace."""
    with EtcdServer(etcd_binary(label), arguments=BRISK) as server:
        yield server


@pytest.fixture
def truth(own_server, opening):
    """Give a backend around Confo, to see what a store of the test's own has."""
    backend = opening(host="127.0.0.1", port=own_server.port)
    backend.create_namespace("sales")
    return backend


@pytest.fixture(scope="module")
def one(label):
    """Give a server that the module's tests kill, pause and start again; its data stay."""
    with EtcdServer(etcd_binary(label), arguments=BRISK) as server:
        yield server


@pytest.fixture
def shop(one, prefix, opening):
    """Give a backend around Confo, to see what is in the part of that server that only this test uses."""
    if one.is_running:
        one.resume()
    else:
        one.start()
    backend = opening(endpoints=[one.endpoint], prefix=prefix)
    backend.create_namespace("sales")
    return backend


@pytest.fixture
def entering():
    """Enter context managers, and leave them after the test, the last one first."""
    with ExitStack() as stack:
        yield stack.enter_context


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """Back off by at most a fifth of a second; the drills wait as long as programs do."""
    monkeypatch.setattr("confo.replica.LONGEST_PAUSE", 0.2)


def say(text):
    """Print a line, which pytest shows where a test failed."""
    print(text)  # noqa: T201


def finish(truth, writers, followers):
    """End the writers' work and check everything."""
    for writer in writers:
        writer.finish()
    verify_history(truth, writers, followers)
    say(summary(writers))


# --- one server ----------------------------------------------------------------------------------


def test_a_server_that_is_killed(one, shop, prefix, seed, entering):
    """A server that is killed while a writer persists, and started again: each commit is there and told once."""
    follower = entering(Follower(entering(following(one.endpoint, prefix=prefix))))
    writer = entering(Writer(entering(following(one.endpoint, prefix=prefix)), "anna", seed))
    own_follower = entering(Follower(writer.sales))
    for times in (1, 2):
        writer.wait_for(20)
        one.kill()
        follower.wait_for_kind("stale", times)
        one.start()
        follower.wait_for_kind("ready", times)
    writer.wait_for(20)
    finish(shop, [writer], [follower])
    assert "resync" not in follower.kinds, "a server that kept its data needs none"
    own_follower.wait_for(writer.commits[-1].revision)
    assert own_follower.state == follower.state


def test_a_server_that_is_paused(one, shop, prefix, seed, entering):
    """A server that hangs for longer than the writer's timeout: what it did not answer is found out, not doubled."""
    follower = entering(Follower(entering(following(one.endpoint, prefix=prefix))))
    writer = entering(Writer(entering(following(one.endpoint, prefix=prefix, timeout=0.3)), "anna", seed))
    for _ in range(2):
        writer.wait_for(10)
        one.pause()
        writer.wait_for_failed_sendings(2)
        one.resume()
    writer.wait_for(10)
    finish(shop, [writer], [follower])
    assert not writer.unknown


def test_a_compaction_while_nobody_listens(one, shop, prefix, seed, entering):
    """What a follower missed and the store has forgotten is one resync, and then the true state."""
    proxy = entering(Proxy(one.port))
    follower = entering(Follower(entering(following(proxy.endpoint, prefix=prefix))))
    writer = entering(Writer(entering(following(one.endpoint, prefix=prefix)), "anna", seed))
    writer.wait_for(10)
    follower.wait_for(writer.commits[-1].revision)
    proxy.cut()
    follower.wait_for_kind("stale")
    writer.wait_for(50)
    one.ctl("compact", str(writer.commits[-1].revision))
    proxy.reopen()
    follower.wait_for_kind("ready")
    writer.wait_for(10)
    finish(shop, [writer], [follower])
    assert follower.kinds.count("resync") == 1


def test_a_token_that_is_gone(label, seed, entering, opening):
    """A writer and a follower whose tokens the server does not accept any more go on with new ones."""
    arguments = [*BRISK, "--bcrypt-cost=4"] + (["--auth-token-ttl=1"] if label == "etcd-3.5" else [])
    server = entering(EtcdServer(etcd_binary(label), arguments=arguments))
    for words in ("user add root:hunter2", "user grant-role root root", "auth enable"):
        server.ctl(*words.split())
    user = {"user": "root", "password": "hunter2"}
    truth = opening(endpoints=[server.endpoint], **user)
    truth.create_namespace("sales")
    proxy = entering(Proxy(server.port))
    follower = entering(Follower(entering(following(proxy.endpoint, **user))))
    sales = entering(following(server.endpoint, **user))
    first = sales._backend.inner._session._process().token
    entering(Writer(sales, "anna", seed)).finish()
    if label == "etcd-3.5":
        wait_until_tokens_expire(server, user)
    else:  # whose tokens live for five minutes; this forgets them all
        server.ctl("auth", "disable", user="root:hunter2")
        server.ctl("auth", "enable")
    proxy.cut_once()
    follower.wait_for_kind("ready")
    writer = entering(Writer(sales, "berta", seed))
    writer.wait_for(10)
    writer.finish()
    verify_history(truth, followers=[follower])
    assert sales._backend.inner._session._process().token not in (None, first)


def wait_until_tokens_expire(server, user):
    """Wait until a token of now, not used since, is refused; one that was used lives on, so each is tried once."""
    connection = Connection(server.endpoint, parse({"endpoints": [server.endpoint]}))
    request = schema().AuthenticateRequest(name=user["user"], password=user["password"])
    tokens = iter([connection.call("Authenticate", request, 5, ()).token for _ in range(40)])

    def refused():
        threading.Event().wait(0.2)
        try:
            connection.call("Range", schema().RangeRequest(key=b"/"), 5, (("token", next(tokens)),))
        except grpc.RpcError:
            return True
        return False

    try:
        until(refused, "the end of a token")
    finally:
        connection.close()


def test_cuts_during_a_catch_up(one, shop, prefix, seed, entering):
    """A catch-up of thousands of events over a connection that is cut every few kB: none is lost, none comes twice."""
    chance = random.Random(seed)
    # A server tells up to a thousand revisions in one message, which has to come through whole: 80 kB here.
    cuts = (None if number == 0 else 2**12 * 2 ** chance.randrange(6) for number in itertools.count())
    proxy = entering(Proxy(one.port, cuts=cuts))
    follower = entering(Follower(entering(following(proxy.endpoint, prefix=prefix))))
    proxy.cut()
    follower.wait_for_kind("stale")
    sales = entering(following(one.endpoint, prefix=prefix))
    for number in range(40):
        for place in chance.sample(range(50), 20):
            sales.set(f"shop{place}", {"number": number, "filler": "x" * chance.randrange(20)})
        last = sales.persist(message=f"number {number}").revision
    before = proxy.cut_count
    proxy.reopen()
    follower.wait_for(last)
    writer = entering(Writer(sales, "anna", seed, pace=0.02))
    for _ in range(6):
        writer.wait_for(5)
        proxy.cut_once()
    writer.finish()
    verify_history(shop, followers=[follower])
    total = sum(len(record.changes) for record in read_history(shop))
    assert sum(follower.commits.values()) == total
    say(f"{total:,} events over {proxy.cut_count - before} cuts")


def test_a_network_that_swallows(one, shop, prefix, seed, entering):
    """A writer whose network carries nothing for longer than its timeout, then what was held: nothing is doubled."""
    proxy = entering(Proxy(one.port))
    follower = entering(Follower(entering(following(one.endpoint, prefix=prefix))))
    writer = entering(Writer(entering(following(proxy.endpoint, prefix=prefix, timeout=0.3)), "anna", seed))
    for heal in (proxy.go_on, proxy.cut_once):
        writer.wait_for(5)
        proxy.stall()
        writer.wait_for_failed_sendings(2)
        heal()
        proxy.go_on()
    writer.wait_for(5)
    finish(shop, [writer], [follower])
    assert not writer.unknown


# --- another store than before -------------------------------------------------------------------


def set_back(server, saved):
    """Put a server's older data in the place of those that it has."""
    server.kill()
    shutil.rmtree(server.folder / "data")
    shutil.copytree(saved, server.folder / "data")
    server.start()


def test_a_store_that_is_restored(own_server, truth, seed, entering, tmp_path):
    """A store that runs backwards, as it was restored from older data, is followed from there: one resync."""
    sales = entering(following(own_server.endpoint))
    with Writer(sales, "anna", seed) as writer:
        writer.wait_for(10)
        writer.finish()
    own_server.kill()
    shutil.copytree(own_server.folder / "data", tmp_path / "saved")
    own_server.start()
    with Writer(sales, "berta", seed) as lost:
        lost.wait_for(60)
    follower = entering(Follower(entering(following(own_server.endpoint))))
    follower.wait_for(lost.finish())
    set_back(own_server, tmp_path / "saved")
    follower.wait_for_kind("resync")
    assert "berta-left" not in follower.sales
    until(lambda: sales.status().revision < lost.commits[-1].revision, "the writer's own resync")
    writer = entering(Writer(sales, "carla", seed))
    writer.wait_for(10)
    writer.finish()
    verify_history(truth, followers=[follower])
    assert follower.kinds.count("resync") == 1


def test_another_cluster(own_server, truth, seed, entering):
    """Another cluster at the same endpoint is followed as what it is: one resync, and nothing of the old one stays."""
    follower = entering(Follower(entering(following(own_server.endpoint))))
    with Writer(entering(following(own_server.endpoint)), "anna", seed) as writer:
        writer.wait_for(10)
        follower.wait_for(writer.finish())
    own_server.peer_port = free_ports(1)[0]  # a cluster's id comes from its members' addresses
    own_server.restart(erase=True)
    for number in range(100):  # it is past the old one's revision, which alone would tell nothing
        truth.commit([Write(".other", f"n{number}", b"{}", ANY)])
    until(lambda: follower.sales.status().state is State.ERROR, "word that there is no such namespace")
    assert "anna-left" in follower.sales  # reads go on
    truth.create_namespace("sales")
    follower.wait_for_kind("resync")
    writer = entering(Writer(entering(following(own_server.endpoint)), "berta", seed))
    writer.wait_for(10)
    finish(truth, [writer], [follower])
    assert follower.kinds.count("resync") == 1


def test_a_restored_store_that_was_overtaken(own_server, truth, seed, entering, monkeypatch):
    """A store that was set back, and wrote on past what was seen, is found out by the comparison every few minutes."""
    monkeypatch.setattr("confo_etcd.watch.PROGRESS_PERIOD", 0.1)
    proxy = entering(Proxy(own_server.port))
    follower = entering(Follower(entering(following(proxy.endpoint))))
    sales = entering(following(own_server.endpoint))
    sales.set("database", "host", "a")
    follower.wait_for(sales.persist().revision)
    proxy.cut()
    follower.wait_for_kind("stale")
    own_server.restart(erase=True)
    truth.create_namespace("sales")
    for number in range(10):
        truth.commit([Write("sales", "other", b'{"number":%d}' % number, ANY)])
    follower.sales._replica._audit_at = 0.0  # now, and not in a few minutes
    proxy.reopen()
    follower.wait_for_kind("resync")
    assert dict(follower.sales) == {"other": {"number": 9}}


# --- three servers -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster(label):
    """Give three members, which the module's tests kill and start again."""
    with EtcdCluster(etcd_binary(label), arguments=BRISK) as cluster:
        yield cluster


@pytest.fixture
def shared(cluster, prefix, opening):
    """Give a backend on a part of the cluster that only this test uses."""
    backend = opening(endpoints=cluster.endpoints, prefix=prefix)
    backend.create_namespace("sales")
    return backend


def test_rolling_kills_of_the_leader(cluster, shared, prefix, seed, entering):
    """Two writers increment the same counters while leader after leader is killed: the sum is what was reported."""
    turned = [cluster.endpoints[turn:] + cluster.endpoints[:turn] for turn in range(3)]
    follower = entering(Follower(entering(following(turned[2], prefix=prefix))))
    writers = [
        entering(Writer(entering(following(turned[turn], prefix=prefix, timeout=2)), name, seed))
        for turn, name in enumerate(("anna", "berta"))
    ]
    for _ in range(2):
        for writer in writers:
            writer.wait_for(8)
        leader = cluster.leader()
        leader.kill()
        for writer in writers:
            writer.wait_for(4)
        leader.start()
    finish(shared, writers, [follower])
    assert not any(writer.unknown for writer in writers)


def test_a_lost_quorum(cluster, shared, prefix, seed, entering):
    """Without a quorum a follower says within ten seconds that it is stale, reads on from memory, and comes back."""
    last = cluster.members[-1]
    follower = entering(Follower(entering(following(last.endpoint, prefix=prefix))))
    writer = entering(Writer(entering(following(cluster.endpoints, prefix=prefix, timeout=1)), "anna", seed))
    writer.wait_for(10)
    for member in cluster.members[:-1]:
        member.kill()
    follower.wait_for_kind("stale", seconds=12)
    assert follower.sales.status().state is State.STALE
    assert follower.sales.status().error
    assert follower.sales["anna-left"] == follower.sales["anna-right"]
    for member in cluster.members[:-1]:
        member.start(wait=False)
    follower.wait_for_kind("ready")
    writer.wait_for(10)
    finish(shared, [writer], [follower])
    assert follower.sales.status().state is State.READY


# --- several processes ---------------------------------------------------------------------------

PROCESS = """
import json, sys
from tests.etcd.drilling import Writer, following
endpoint, prefix, name, seed = sys.argv[1:]
with following(endpoint, prefix=prefix) as sales, Writer(sales, name, int(seed), pace=0.01) as writer:
    writer.wait_for(10)
    print("at work", flush=True)
    writer.wait_for(40)
    writer.finish()
    commits = {c.op_id: c.revision for c in writer.commits}
    print(json.dumps({"commits": commits, "unknown": writer.unknown, "acknowledged": writer.acknowledged}))
"""


def test_processes(one, shop, prefix, seed, entering):
    """Writers in processes of their own, and a server that is killed under them: what they report is what happened."""
    follower = entering(Follower(entering(following(one.endpoint, prefix=prefix))))
    command = [sys.executable, "-c", PROCESS, one.endpoint, prefix]
    processes = [
        entering(subprocess.Popen([*command, name, str(seed)], stdout=subprocess.PIPE, text=True))
        for name in ("anna", "berta")
    ]
    for process in processes:
        assert process.stdout.readline() == "at work\n"
    one.kill()
    one.start()
    told = [json.loads(process.stdout.read()) for process in processes]
    assert [process.wait(SECONDS) for process in processes] == [0, 0]
    verify_history(shop, followers=[follower])
    there = {record.op_id: record.revision for record in read_history(shop)}
    assert {op: revision for each in told for op, revision in each["commits"].items()} == there
    assert not any(each["unknown"] for each in told)
    counted = sum(document["n"] for name, document in shop.load("sales").items() if name in COUNTERS)
    assert counted == sum(each["acknowledged"] for each in told), "increments that were acknowledged were lost"


# --- controls: what is broken on purpose is found ------------------------------------------------


@pytest.fixture
def broken_answers(server, prefix, backend, entering):
    """Give a writer's namespace on which every fifth commit loses its answer, and is overtaken by somebody else's."""
    sales = entering(following(server.endpoint, prefix=prefix))
    commit, number = sales._backend.commit, itertools.count(1)

    def lose(writes):
        revision = commit(writes)
        if next(number) % 5 == 0:
            raise OutcomeUnknown("the answer was lost (on command)")
        return revision

    sales._backend.commit = lose
    return sales


def doubled(monkeypatch):
    """Have the core read anew and redo, under a new op id, what has an unknown outcome."""
    persist = sys.modules["confo.commits"].persist
    signature = sys.modules["confo.history"].Signature

    def redo(backend, work, signed, **options):
        for _ in range(10):
            try:
                return persist(backend, work, signed, **options)
            except OutcomeUnknown:
                signed = signature.new(signed.author, signed.message)
                work = [again(one) for one in work]
        raise AssertionError("it never ends")

    def again(one):
        one.replica.reload()
        if one.drafts is None:
            return one
        found = {name: one.replica.view.committed(name) for name in one.drafts}
        return one._replace(drafts={name: Draft(now, {"n": (now or {"n": 0})["n"] + 1}) for name, now in found.items()})

    monkeypatch.setattr("confo.namespace.persist", redo)
    for guarded, sent_before in ((True, False), (True, True)):
        monkeypatch.setitem(TABLE, (Meaning.UNKNOWN, guarded, sent_before), After.REPORT_UNKNOWN)


def test_lost_answers_are_found_out(broken_answers, backend, seed, entering):
    """The controls' own store is one on which the core, as it is, loses and doubles nothing."""
    writer = entering(Writer(broken_answers, "anna", seed))
    writer.wait_for(40)
    finish(backend, [writer], [])


def test_control_of_redoing(broken_answers, backend, seed, entering, monkeypatch):
    """A core that reads anew and redoes what has an unknown outcome doubles increments, which is found."""
    doubled(monkeypatch)
    writer = entering(Writer(broken_answers, "anna", seed))
    writer.wait_for(40)
    with pytest.raises(AssertionError, match="reported as not done|doubled"):
        finish(backend, [writer], [])


def test_control_of_agreeing(server, prefix, backend, seed, entering, monkeypatch):
    """A core that takes an equal value for an agreement loses increments that it acknowledged, which is found."""
    end = Editor.end
    monkeypatch.setattr(Editor, "end", lambda self: {n: d._replace(guards=frozenset()) for n, d in end(self).items()})
    endpoint = server.endpoint
    writers = [
        entering(Writer(entering(following(endpoint, prefix=prefix)), name, seed))
        for name in ("anna", "berta", "clara")
    ]
    for writer in writers:
        writer.wait_for(60)
    with pytest.raises(AssertionError, match="increments were lost"):
        finish(backend, writers, [])


def test_control_of_not_looking(broken_answers, backend, seed, entering, monkeypatch):
    """A core that takes its own first success for a lost race misreports it, which is found."""
    monkeypatch.setitem(TABLE, (Meaning.LOST_RACE, True, True), After.RAISE)
    writer = entering(Writer(broken_answers, "anna", seed))
    writer.wait_for(40)
    with pytest.raises(AssertionError, match="happened|doubled"):
        finish(backend, [writer], [])


def test_control_of_a_batch_that_is_skipped(server, prefix, backend, seed, entering, monkeypatch):
    """A follower that skips one batch is found, by what it reads and by what it told."""
    follower = entering(Follower(entering(following(server.endpoint, prefix=prefix))))
    apply, replica, number = Replica._apply, follower.sales._replica, itertools.count(1)

    def skip(self, batch):
        lost = self is replica and batch.entries and next(number) == 7
        apply(self, batch._replace(entries={}) if lost else batch)

    monkeypatch.setattr(Replica, "_apply", skip)
    writer = entering(Writer(entering(following(server.endpoint, prefix=prefix)), "anna", seed))
    writer.wait_for(40)
    with pytest.raises(AssertionError, match="does not follow on|the number belies"):
        finish(backend, [writer], [follower])


def test_control_of_an_event_that_is_told_twice(server, prefix, backend, seed, entering, monkeypatch):
    """A follower that tells a change twice is found."""
    follower = entering(Follower(entering(following(server.endpoint, prefix=prefix))))
    publish, hub, number = Hub.publish, follower.sales._replica.hub, itertools.count(1)

    def twice(self, notice):
        publish(self, notice)
        if self is hub and next(number) == 7:
            publish(self, notice)

    monkeypatch.setattr(Hub, "publish", twice)
    writer = entering(Writer(entering(following(server.endpoint, prefix=prefix)), "anna", seed))
    writer.wait_for(40)
    with pytest.raises(AssertionError, match="does not follow on|was told after"):
        finish(backend, [writer], [follower])


def test_control_of_a_write_around_the_history(server, prefix, backend, seed, entering):
    """A document that nobody's record explains is found."""
    writer = entering(Writer(entering(following(server.endpoint, prefix=prefix)), "anna", seed))
    writer.wait_for(10)
    writer.finish()
    name, entry = next(iter(backend.load("sales").entries.items()))
    backend.commit([Write("sales", name, entry.data, entry.revision)])
    with pytest.raises(AssertionError):
        verify_history(backend, [writer])
