"""A watch: what fires is gathered into one state and told as one batch, until the connection breaks."""

from __future__ import annotations

import os
import time

from confo import BackendUnavailable, Batch, Closed, ConfoError, Entry, ResyncNeeded, Watch
from confo_zookeeper.layout import Layout
from confo_zookeeper.reading import State, children, entry, gather, get, look
from confo_zookeeper.session import Session
from confo_zookeeper.trail import Trail, nothing_was_deleted
from confo_zookeeper.tripwire import Tripwire
from confo_zookeeper.wire import Probe

QUIET_SECONDS = 3.0
"""How long a watch hears nothing before it asks whether the server is there. Also how often it tries again to read
what an ACL forbade: a change of an ACL fires no watch."""

RENEWAL_SECONDS = 0.5
"""How long a watch that lost its connection waits for another, and how long it must have lived to go on with it. One
stands after some 50 to 200 ms if a server is there; if none is, the core hears of the loss at once."""


class ZookeeperWatch(Watch):
    """The commits to a namespace after a revision; see ``confo.Watch`` for how it ends.

    It connects when it is first waited for. A batch has all commits up to its revision that were not told before: the
    znodes that fired and their names are read as one state, so it is never half a commit.
    """

    def __init__(self, session: Session, layout: Layout, namespace: str, after: int) -> None:
        self._session, self._layout, self._namespace = session.branch(), layout, namespace
        self._asked = f"watch namespace {namespace!r}"
        self._revision = after
        self._names: set[str] = set()
        self._forbidden: set[str] = set()
        self._try_again_at = 0.0
        self._session_id, self._began_at = 0, 0.0
        self._wire: Tripwire | None = None
        self._closed = False
        self._failure: ConfoError | None = None
        self._pid = os.getpid()
        self._session.own(self)

    def __repr__(self) -> str:
        """Show the namespace and how far it came."""
        state = "closed" if self._closed else "failed" if self._failure else "open"
        return f"<ZookeeperWatch of {self._namespace}: {state}, revision {self._revision}>"

    def __next__(self) -> Batch:
        """Wait for the next commits; StopIteration once closed."""
        if self._pid != os.getpid():
            raise BackendUnavailable(f"cannot {self._asked}: the watch belongs to the process before the fork")
        while self._failure is None and not self._closed:
            try:
                return self._advance()
            except ConfoError as error:
                self._failure = self._after(error)
                self._end()
        if self._closed or self._session.closed:
            raise StopIteration
        assert self._failure is not None  # noqa: S101 - there is no batch for no other reason
        raise self._failure

    def close(self) -> None:
        """End the watch and wake who waits in it; idempotent, at once, from any thread."""
        self._closed = True
        self._session.call_off()
        wire = self._wire
        if wire is not None:
            wire.stop()
        self._end()

    def _after(self, error: ConfoError) -> ConfoError | None:
        """Return the error to end with, None to go on where it was: a connection was lost, and the session stands.

        The core backs off from what is unavailable. That is right for a server that is down; after an expired session,
        or a connection that is back at once, there is nothing to wait for.
        """
        if not isinstance(error, BackendUnavailable) or not self._session_id:
            return error
        standing = self._session.standing(RENEWAL_SECONDS)
        if standing not in {0, self._session_id}:
            return self._resync("the session that it stood in has expired")
        lived = time.monotonic() - self._began_at
        return None if standing and lived > RENEWAL_SECONDS else error

    def _end(self) -> None:
        wire, self._wire = self._wire, None
        if wire is not None and self._pid == os.getpid():
            wire.close()
        if self._closed or self._failure is not None:
            self._session.disown(self)

    # --- asking ----------------------------------------------------------------------------------

    def _advance(self) -> Batch:
        wire = self._wire
        if wire is None:
            return self._begin()
        quiet = not wire.wait(QUIET_SECONDS)
        if quiet and not self._forbidden:
            # No event came before this answer, so nothing of the namespace had changed at its zxid.
            zxid = self._session.call(Probe(), self._asked).zxid
            with wire.news:
                if not wire.has_fired():
                    return self._told(Batch(max(self._revision, zxid), {}))
        changed, deleted, listing = wire.take()
        if wire.broken:
            raise BackendUnavailable(f"cannot {self._asked}: the connection to ZooKeeper was lost")
        if wire.stopped:
            raise Closed("the watch is closed")
        again: set[str] = set()
        if quiet or time.monotonic() > self._try_again_at:
            again, self._try_again_at = set(self._forbidden), time.monotonic() + QUIET_SECONDS
        return self._gather(wire, changed, deleted, listing=listing, again=again)

    def _begin(self) -> Batch:
        """Arm every watch since the revision: the server fires at once what changed after it."""
        session, path = self._session, self._layout.namespace(self._namespace)
        wire = self._wire = Tripwire(session.connect(self._asked), self._layout, self._namespace)
        self._session_id, self._began_at = session.id, time.monotonic()
        now = look(session, [get(path), children(path)], self._asked, fresh=True)
        znode, names = now.results
        state = State(now.zxid, znode and znode.stat, frozenset(names or ()), {})
        gone = self._gone(state)
        self._names = set(names or ())
        wire.there = znode is not None
        pending = wire.arm(self._names, since=self._revision)
        pending += wire.arm((), since=state.zxid, listing=True)
        for one in pending:
            session.wait(one, self._asked)
        changed, deleted, listing = wire.take()
        self._names |= gone
        with session.trails() as trails:
            trail = trails.get(self._namespace)
            self._forbidden = set() if trail is None else trail.forbidden & self._names
        return self._gather(wire, changed, deleted | gone, listing=listing, again=self._forbidden)

    def _gone(self, now: State) -> set[str]:
        """Return the names that there may have been at the revision, and are not any more; or raise ResyncNeeded."""
        if now.zxid < self._revision:
            raise self._resync(f"the store is at revision {now.zxid} only: it was set back")
        there = now.children or frozenset()
        with self._session.trails() as trails:
            trail = trails.get(self._namespace)
            if trail is not None and trail.session_id != self._session.id:
                del trails[self._namespace]
                raise self._resync("the session that it was read in has expired")
            names = None if trail is None else trail.names_since(self._revision)
        if names is not None:
            return names - there
        core_own_and_absent = now.stat is None and self._namespace.startswith(".")
        if core_own_and_absent or (now.stat is not None and nothing_was_deleted(now.stat, self._revision)):
            return set()
        raise self._resync("ZooKeeper does not remember what was deleted since")

    def _resync(self, reason: str) -> ResyncNeeded:
        return ResyncNeeded(
            f"the watch of namespace {self._namespace!r} cannot go on after revision {self._revision}: {reason}",
            namespace=self._namespace,
            revision=self._revision,
        )

    def _gather(self, wire: Tripwire, changed: set[str], deleted: set[str], *, listing: bool, again: set[str]) -> Batch:
        changed = changed | (again - deleted)
        state = gather(self._session, wire, self._names, changed, deleted, listing=listing, asked=self._asked)
        # The list tells of deletions too: newer servers (CVE-2024-23944) fire no watch on a forbidden znode.
        gone = set() if state.children is None else self._names - state.children
        entries: dict[str, Entry | None] = dict.fromkeys(gone)
        for name, znode in state.found.items():
            if znode is None:
                if name in self._names:
                    entries[name] = None
            elif znode.stat.mzxid > self._revision or (name in self._forbidden and not znode.problem):
                entries[name] = entry(znode)
        return self._told(Batch(max(self._revision, state.zxid), entries))

    def _told(self, batch: Batch) -> Batch:
        """Remember what a batch tells, here and for those who watch later."""
        gone = {name for name, entry in batch.entries.items() if entry is None}
        self._names -= gone
        self._names.update(batch.entries.keys() - gone)
        self._revision = batch.revision
        self._forbidden -= batch.entries.keys()
        self._forbidden.update(name for name, entry in batch.entries.items() if entry and entry.problem)
        with self._session.trails() as trails:
            trail = trails.get(self._namespace)
            if trail is None:
                trail = trails[self._namespace] = Trail(self._session.id, batch.revision)
                trail.tell(batch.revision, self._names, ())
            trail.tell(batch.revision, batch.entries.keys() - gone, gone)
            trail.forbidden = set(self._forbidden)
        return batch
