"""Reading znodes so that what is returned was once the state of the store, all of it at one zxid.

A server from 3.6 on reads many znodes in one request, and no write comes between them. Where that is not to be had, as
there are more than fit into one request or the server is older, watches tell what moved meanwhile: it is read again.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import islice
from typing import Any, NamedTuple, TypeAlias

from kazoo.exceptions import KazooException, NoAuthError, NoNodeError
from kazoo.protocol.serialization import GetChildren, GetData

from confo import BackendUnavailable, ConfoError, Entry, UnsupportedServer
from confo_zookeeper.layout import Layout
from confo_zookeeper.outcome import Outcome, translate, verdict_on
from confo_zookeeper.session import Session
from confo_zookeeper.tripwire import Tripwire
from confo_zookeeper.wire import (
    Answer,
    CatchUp,
    Get,
    GetOrStat,
    HasStat,
    List,
    MultiRead,
    Pending,
    Probe,
    Request,
    Result,
    Stat,
    Znode,
)

PAGE = 1024
"""Znodes in one request, the most; with the longest names and prefix that is 0.8 MiB of the 1 that a server takes."""
PAGE_BYTES = 8 * 1024 * 1024
"""Bytes of an answer that pages after the first aim at: the server holds all of it in memory."""
WINDOW = 50
"""Plain reads under way at once. kazoo is woken by a byte for each, through a socket that holds a few hundred."""

Read: TypeAlias = GetData | GetChildren


class State(NamedTuple):
    """Some of a namespace at one zxid: its own znode's stat (None: it is not there), names and their znodes.

    ``children`` are all names that it has; this and ``stat`` are None if they were not asked for.
    """

    zxid: int
    stat: Stat | None
    children: frozenset[str] | None
    found: dict[str, Znode | None]

    def entries(self) -> dict[str, Entry]:
        """Return what was found, as entries."""
        return {name: entry(node) for name, node in self.found.items() if node is not None}


class Look(NamedTuple):
    """What reads found, in their order: None for what is not there.

    ``zxid`` is that of the last; ``at_once`` tells whether it is that of all.
    """

    zxid: int
    results: list[Any]
    at_once: bool


def get(path: str) -> Read:
    """Return the read of a znode: it gives a Znode."""
    return GetData(path, False)


def get_or_stat(path: str) -> Read:
    """Return the read of a znode that costs the others nothing where its ACL forbids it: a Znode with a ``problem``."""
    return GetOrStat(path, False)


def entry(znode: Znode) -> Entry:
    """Return what a configuration's znode holds, or why it cannot be read, as the core has it."""
    return Entry(znode.data, znode.stat.mzxid, znode.problem)


def children(path: str) -> Read:
    """Return the read of a znode's children: it gives their names."""
    return GetChildren(path, False)


def look(session: Session, reads: Iterable[Read], asked: str, *, fresh: bool = False) -> Look:
    """Read all of this; ``fresh``: as the leader has it now."""
    results: list[Any] = []
    zxid, at_once = 0, True
    for page in _pages(reads, results):
        at_once = at_once and session.reads_many and not results
        answer = _look_at(session, page, asked, fresh=fresh)
        zxid, at_once = answer.zxid, at_once and session.reads_many
        given = _with_stats(session, page, answer, asked)
        results += (_found(one, read.path, asked, session.where) for one, read in zip(given, page, strict=True))
    return Look(zxid, results, at_once)


def _with_stats(session: Session, page: Sequence[Read], answer: Answer, asked: str) -> list[Result]:
    """Return the results, with a Znode of its stat alone for each that may do without its data and is forbidden."""
    results = list(answer.results)
    forbidden = [
        place
        for place, (result, read) in enumerate(zip(results, page, strict=True))
        if isinstance(result, NoAuthError) and isinstance(read, GetOrStat)
    ]
    stats = _each(session, [HasStat(page[place].path, None) for place in forbidden], asked)
    for place, stat in zip(forbidden, stats, strict=True):
        results[place] = Znode(b"", _as_of(stat, answer.zxid), _forbidden(page[place].path, session.credentials.user))
    return results


def _as_of(stat: Result, zxid: int) -> Stat:
    """Return a stat as part of a state that was read just before it.

    What has changed in between was written at the state's zxid as far as anybody can tell. Guards made of this do not
    hold, and the watch fires for the change.
    """
    if stat is not None and not isinstance(stat, KazooException):
        known: Stat = stat
        return known if known.mzxid <= zxid else known._replace(mzxid=zxid)
    return Stat(zxid, zxid, 0, 0, 0, 0, 0, 0, 0, 0, zxid)  # it is gone by now, or the server keeps its stat to itself


def _forbidden(path: str, user: str | None) -> str:
    """Return why a znode cannot be read, and what to do."""
    if user is None:
        return (
            f"cannot read {path} without a user: the ACL of the znode does not allow it; "
            'give "zookeeper_user" and "zookeeper_passwd", or let everybody read it'
        )
    return (
        f"cannot read {path} as user {user!r}: the ACL of the znode does not allow it; let that user read it, and "
        "check the password: ZooKeeper takes any, and knows the user by it"
    )


def _pages(reads: Iterable[Read], results: Sequence[Any]) -> Iterator[list[Read]]:
    """Yield the reads in pages, the first the largest; later ones go by the size of what was found before."""
    rest, limit = iter(reads), PAGE
    while page := list(islice(rest, limit)):
        yield page
        size = sum(len(one.data) for one in results if isinstance(one, Znode))
        limit = max(1, min(PAGE, PAGE_BYTES * len(results) // max(size, 1)))


def _look_at(session: Session, page: Sequence[Read], asked: str, *, fresh: bool) -> Answer:
    if session.reads_many:
        return session.call(MultiRead(page), asked, fresh=fresh)
    deadline = time.monotonic() + session.credentials.timeout
    while True:
        try:
            return _plainly(session, page, asked, fresh=fresh)
        except BackendUnavailable:
            if session.closed or time.monotonic() > deadline:
                raise


def find_out(session: Session, asked: str) -> None:
    """Find out whether the server reads many znodes in one request.

    One that does not says so out of turn, and closes the connection: so nothing else may be under way.
    """
    try:
        session.call(MultiRead([]), asked)
    except UnsupportedServer:
        session.reads_many = False
        session.call(Probe(), asked)  # lost with that connection, asked again on the next: what comes after is not


def _plainly(session: Session, page: Sequence[Read], asked: str, *, fresh: bool) -> Answer:
    if fresh:
        session.call(CatchUp("/"), asked)
    results = _each(session, [(List if isinstance(one, GetChildren) else Get)(one.path, None) for one in page], asked)
    # kazoo keeps no zxid of an answer that is an error, so the last one is an answer that is none.
    return session.call(Probe(), asked)._replace(results=results)


def _each(session: Session, requests: Sequence[Request], asked: str) -> list[Result]:
    """Return the result of each request, sent by itself and before the answer to the one before."""
    results: list[Result] = []
    for start in range(0, len(requests), WINDOW):
        pending = [session.send(one, asked) for one in requests[start : start + WINDOW]]
        results += [_result(session, one, asked) for one in pending]
    return results


def _result(session: Session, pending: Pending, asked: str) -> Result:
    try:
        answer = session.wait(pending, asked)
        return answer and answer.results[0]
    except ConfoError as error:
        cause = error.driver_error
        if isinstance(cause, KazooException) and verdict_on(cause).outcome is Outcome.REFUSED:
            return cause
        raise


def _found(result: Result, path: str, asked: str, where: str) -> Any:
    if isinstance(result, NoNodeError):
        return None
    if isinstance(result, KazooException):
        raise translate(result, f"{asked}, at {path}", where)
    return result


def load(session: Session, layout: Layout, namespace: str) -> State:
    """Return the whole of a namespace, of one state; and keep in mind what tells this store from another."""
    asked, path = f"load namespace {namespace!r}", layout.namespace(namespace)
    root, names = look(session, [get_or_stat(layout.prefix), children(path)], asked, fresh=True).results
    session.identify(root)
    names = names or []
    if len(names) + 2 <= PAGE and session.reads_many:
        seen = look(session, [get(path), children(path), *(get_or_stat(f"{path}/{name}") for name in names)], asked)
        znode, now, *found = seen.results
        if seen.at_once and set(now or ()) == set(names):
            return State(seen.zxid, znode and znode.stat, frozenset(names), dict(zip(names, found, strict=True)))
    with closing(Tripwire(session.connect(asked), layout, namespace)) as wire:
        return gather(session, wire, (), names, listing=True, asked=asked)


def gather(
    session: Session,
    wire: Tripwire,
    armed: Collection[str],
    changed: Iterable[str],
    deleted: Iterable[str] = (),
    *,
    listing: bool,
    asked: str,
) -> State:
    """Read these names, and whatever else fires meanwhile, until all of it is one state; what is there is armed then.

    ``armed`` are the names whose watches stand, but for those that have fired. With ``listing`` all names are read,
    and those that are news are found, too.
    """
    found: dict[str, Znode | None] = {}
    stat, names = None, None
    to_arm, to_read, fresh = set(changed), set(deleted), set[str]()
    gone_off = to_arm | to_read
    while True:
        pending = wire.arm(to_arm, listing=listing)
        fresh |= to_arm
        order = sorted(to_arm | to_read)
        head = [get(wire.path), children(wire.path)] if listing else []
        seen = look(session, [*head, *(get_or_stat(f"{wire.path}/{name}") for name in order)], asked)
        for one in pending:  # answered before, unless the connection was lost
            session.wait(one, asked)
        if listing:
            znode, now = seen.results[:2]
            stat, names, wire.there = znode and znode.stat, frozenset(now or ()), znode is not None
        found.update(zip(order, seen.results[len(head) :], strict=True))
        # What was armed, fired and read in this very request is known; it stays noted, to be armed at the next time.
        fired, to_read, listing = wire.take(but=order if seen.at_once else ())
        fresh -= fired | to_read
        gone_off |= fired | to_read
        there = {name for name in order if found[name] is not None}.union(names or ())
        unarmed = {name for name in there if name not in fresh and (name in gone_off or name not in armed)}
        to_arm = fired | unarmed
        if wire.broken:
            raise BackendUnavailable(f"cannot {asked}: the connection to ZooKeeper was lost")
        if not (to_arm or to_read or listing):
            return State(seen.zxid, stat, names, found)
