"""The backend: Confo's seam in terms of ZooKeeper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

from kazoo.exceptions import NodeExistsError, NoNodeError
from kazoo.protocol.serialization import Create, Delete

from confo import (
    Backend,
    BackendFailure,
    Capabilities,
    ConfoError,
    CredentialsError,
    Entry,
    NamespaceExists,
    NamespaceNotFound,
    Snapshot,
    Watch,
    Write,
)
from confo_zookeeper import committing, reading
from confo_zookeeper.attempts import Attempts, refusal
from confo_zookeeper.credentials import ALLOWED, parse
from confo_zookeeper.layout import Layout
from confo_zookeeper.outcome import translate
from confo_zookeeper.reading import children, entry, get, get_or_stat, look
from confo_zookeeper.session import Session
from confo_zookeeper.trail import Trail
from confo_zookeeper.watch import ZookeeperWatch
from confo_zookeeper.wire import Multi, Znode

_SHOWN = 20  # namespaces that an error lists; a message is to be read


class ZookeeperBackend(Backend):
    """Configurations in a ZooKeeper ensemble, version 3.5 or later.

    Znodes are ``<prefix>/<namespace>/<configuration>``. All methods may be called from any thread, also after a fork:
    each process has a session of its own. Every request is bounded by the credentials' ``timeout``.
    """

    capabilities = Capabilities(
        atomic_writes=committing.MAX_WRITES,
        max_value_bytes=committing.MAX_VALUE_BYTES,
        max_commit_bytes=committing.MAX_BYTES,
        durable=True,
        push=True,
        resumable=True,
        every_commit=False,
        shared=True,
    )

    credential_names = ALLOWED

    def __init__(self, session: Session, layout: Layout) -> None:
        self._session = session
        self._layout = layout

    def __repr__(self) -> str:
        """Show where it is connected to, never as whom with what."""
        state = ", closed" if self._session.closed else ""
        return f"<ZookeeperBackend at {self._session.where}, prefix {self._layout.prefix}{state}>"

    @classmethod
    def where(cls, credentials: Mapping[str, object]) -> str:
        """Return the servers' addresses."""
        return ", ".join(parse(credentials).hosts)

    @classmethod
    def open(cls, credentials: Mapping[str, object]) -> Self:
        """Connect.

        Raises CredentialsError, AuthenticationFailed, or BackendUnavailable if no host answers within the timeout.
        ZooKeeper takes any password: a wrong one shows as PermissionDenied when something is read or written.
        """
        checked = parse(credentials)
        backend = cls(Session(checked), Layout(checked.prefix))
        try:
            reading.find_out(backend._session, "open the store")
        except ConfoError:
            backend.close()
            raise
        return backend

    @classmethod
    def url_credentials(cls, location: str, folder: str) -> dict[str, object]:
        """Return the hosts: ``zookeeper://10.0.0.1:2181,10.0.0.2:2181/namespace``."""
        if folder.strip("/"):
            raise CredentialsError("a URL of ZooKeeper has one part in its path: zookeeper://host:port/namespace")
        return {"hosts": location.split(",")} if location else {}

    @property
    def identity(self) -> str:
        """Return what tells the store that the latest load saw from any other: when the prefix's znode was made."""
        return self._session.identity

    # --- namespaces ------------------------------------------------------------------------------

    def namespaces(self) -> list[str]:
        """Return the names of all namespaces, sorted."""
        asked = f"list the namespaces under {self._layout.prefix!r}"
        return self._layout.namespaces(self._look([children(self._layout.prefix)], asked)[0] or ())

    def create_namespace(self, namespace: str) -> None:
        """Create an empty namespace; the prefix comes into being with the first."""
        asked = f"create namespace {namespace!r}"
        create = Multi([Create(self._layout.namespace(namespace), b"", self._session.acl, 0)])
        while isinstance(refused := refusal(self._session.call(create, asked, write=True)), NoNodeError):
            self._make(self._layout.prefix, asked)
        if isinstance(refused, NodeExistsError):
            raise NamespaceExists(f"namespace {namespace!r} exists already", namespace=namespace)
        if refused is not None:
            raise translate(refused, asked, self._session.where) from None

    def delete_namespace(self, namespace: str) -> None:
        """Delete a namespace and all in it, at one revision; NamespaceNotFound if it is not there.

        TooLarge, with nothing deleted, if the names do not fit into one request: some ten thousand.
        """
        asked, path, prefix = f"delete namespace {namespace!r}", self._layout.namespace(namespace), self._layout.prefix
        attempts = Attempts(self._session, asked)
        while True:
            above, znode, names = self._look([get(prefix), get(path), children(path)], asked)
            if above is None or znode is None:
                raise self._not_found(namespace)
            inside = [Delete(f"{path}/{name}", committing.ANY_VERSION) for name in names or ()]
            multi = Multi([committing.count_up(prefix, above), *inside, Delete(path, committing.ANY_VERSION)])
            committing.fitting(multi, "delete its configurations first, some at a time")
            if attempts.send(multi, (above, znode, names)) is not None:
                return
            for refused in attempts.not_empty:
                if refused != path and (foreign := self._foreign(refused, asked)) is not None:
                    foreign.namespace = namespace
                    raise foreign

    # --- reading ---------------------------------------------------------------------------------

    def load(self, namespace: str) -> Snapshot:
        """Return the namespace as it is at one revision; NamespaceNotFound if it is not there."""
        session = self._session
        state = reading.load(session, self._layout, namespace)
        if state.stat is None and not namespace.startswith("."):
            raise self._not_found(namespace)
        entries = state.entries()
        with session.trails() as trails:
            trail = trails.get(namespace)
            if trail is None or trail.session_id != session.id:
                trail = trails[namespace] = Trail(session.id, state.zxid)
            trail.tell_state(state.zxid, entries.keys())
            trail.forbidden = {name for name, entry in entries.items() if entry.problem}
        return Snapshot(namespace, state.zxid, entries)

    def read(self, namespace: str, names: Sequence[str]) -> dict[str, Entry]:
        """Return those of these names that exist, as the leader has them now; up to 1,024 names at one revision."""
        paths = [self._layout.configuration(namespace, name) for name in names]
        found = self._look([get_or_stat(path) for path in paths], f"read from namespace {namespace!r}")
        return {name: entry(znode) for name, znode in zip(names, found, strict=True) if znode}

    def scan(
        self, namespace: str, *, start: str = "", limit: int = 100, reverse: bool = False
    ) -> list[tuple[str, Entry]]:
        """Return up to ``limit`` entries in order of name, from ``start`` (included) on.

        ZooKeeper gives all names of a namespace or none, so the cost grows with how many there are.
        """
        asked, path = f"scan namespace {namespace!r}", self._layout.namespace(namespace)
        while True:
            names = sorted(self._look([children(path)], asked)[0] or (), reverse=reverse)
            within = [name for name in names if not start or (name <= start if reverse else name >= start)]
            found = self.read(namespace, within[: max(0, limit)])
            if len(found) == len(within[: max(0, limit)]):  # else one was deleted meanwhile, and another has its place
                return list(found.items())

    # --- writing ---------------------------------------------------------------------------------

    def commit(self, writes: Sequence[Write]) -> int:
        """Write all or nothing, in one transaction, and return its zxid.

        TooLarge comes before anything is sent. What was refused since something moved meanwhile is looked at again.
        """
        planned = committing.plan(writes, self._layout)
        names = list(dict.fromkeys(write.namespace for write in writes))
        told = [name for name in names if not name.startswith(".")] or names  # the core's own need no mention
        asked = f"commit to namespace {', '.join(map(repr, told))}"
        attempts = Attempts(self._session, asked)
        fresh = False  # what is stale fails in the transaction, so only a refusal needs to be sure
        while True:
            above, seen = self._look_at(planned, names, asked, fresh=fresh)
            try:
                committing.conflicts(writes, seen)
                self._check_below(writes, planned, seen)
            except ConfoError:
                if fresh:
                    raise
                fresh = True
                continue
            multi = committing.transaction(writes, planned, above, seen, self._session.acl)
            revision = attempts.send(multi, (above, seen))
            if revision is not None:
                return revision
            fresh = True

    def _check_below(self, writes: Sequence[Write], planned: committing.Plan, seen: Sequence[Znode | None]) -> None:
        """Refuse to delete a configuration below which another tool has put znodes: ZooKeeper would not do it."""
        found = committing.with_znodes_below(writes, planned, seen)
        if found is None:
            return
        write, path = found
        asked = f"delete configuration {write.name!r} of namespace {write.namespace!r}"
        error = self._foreign(path, asked)
        if error is not None:
            error.namespace, error.configuration = write.namespace, write.name
            raise error

    def _foreign(self, path: str, asked: str) -> BackendFailure | None:
        """Return the error that tells of another tool's znodes below this one; None if there are none any more."""
        names = sorted(self._look([children(path)], asked)[0] or ())
        if not names:
            return None
        more = f" and {len(names) - 1:,} more" if len(names) > 1 else ""
        return BackendFailure(
            f"cannot {asked}: below it lies {path}/{names[0]}{more}, which another tool put there and Confo does not "
            f"delete; nothing was written: move it away or delete it with that tool, then try again"
        )

    def _look_at(
        self, planned: committing.Plan, names: Sequence[str], asked: str, *, fresh: bool
    ) -> tuple[dict[str, Znode], list[Znode | None]]:
        """Return the znodes above a commit's writes, and those of the writes; makes the core's own namespaces."""
        while True:
            reads = [*map(get, planned.above), *map(get_or_stat, planned.paths)]
            found = look(self._session, reads, asked, fresh=fresh).results
            above = dict(zip(planned.above, found, strict=False))
            missing = [name for name in names if above[self._layout.namespace(name)] is None]
            for name in missing:
                if not name.startswith("."):
                    raise self._not_found(name)
            if not missing:
                return above, found[len(above) :]
            for name in missing:
                self._make(self._layout.namespace(name), asked)
            fresh = True

    def _make(self, path: str, asked: str) -> None:
        """Create a znode if it is not there, and those above it; called like a read, as twice is once."""
        create = Multi([Create(path, b"", self._session.acl, 0)])
        while isinstance(refused := refusal(self._session.call(create, asked)), NoNodeError):
            self._make(path.rpartition("/")[0], asked)
        if refused is not None and not isinstance(refused, NodeExistsError):
            raise translate(refused, f"{asked}, at {path}", self._session.where) from None

    def _look(self, reads: Sequence[reading.Read], asked: str) -> list[Any]:
        return look(self._session, reads, asked, fresh=True).results

    def _not_found(self, namespace: str) -> NamespaceNotFound:
        try:
            names = self.namespaces()
        except ConfoError:  # not allowed to list them, or just gone: the error itself matters more
            there = ""
        else:
            shown = ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
            there = f"; those that exist: {shown}" if names else "; none exists yet"
        return NamespaceNotFound(
            f"no namespace {namespace!r} in ZooKeeper under {self._layout.prefix!r}{there}", namespace=namespace
        )

    # --- following -------------------------------------------------------------------------------

    def watch(self, namespace: str, after: int) -> Watch:
        """Tell what is committed to the namespace after this revision; connects when first waited for."""
        return ZookeeperWatch(self._session, self._layout, namespace, after)

    def close(self) -> None:
        """End every watch and call, the session and the connection of this process; idempotent."""
        self._session.close()
