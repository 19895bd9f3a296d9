"""The backend: Confo's seam in terms of etcd."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Self

from confo import (
    Backend,
    Capabilities,
    ConfoError,
    Entry,
    NamespaceExists,
    NamespaceNotFound,
    PermissionDenied,
    ResyncNeeded,
    RevisionNotFound,
    Snapshot,
    Watch,
    Write,
)
from confo_etcd import committing, reading
from confo_etcd.credentials import ALLOWED, parse
from confo_etcd.layout import Layout, entries_of, past
from confo_etcd.outcome import needing
from confo_etcd.position import Position
from confo_etcd.schema import schema
from confo_etcd.session import Session
from confo_etcd.watch import EtcdWatch

HISTORY = ".history."
"""How the core's own namespace of a namespace's records begins."""
_SHOWN = 20  # namespaces that an error lists; a message is to be read


class EtcdBackend(Backend):
    """Configurations in an etcd cluster, version 3.4 or later.

    Keys are ``<prefix><namespace>/<configuration>``. All methods may be called from any thread, also after
    a fork: each process has channels of its own. Every request is bounded by the credentials' ``timeout``.
    """

    capabilities = Capabilities(
        atomic_writes=committing.MAX_OPERATIONS,
        max_value_bytes=committing.MAX_VALUE_BYTES,
        max_commit_bytes=committing.MAX_BYTES,
        durable=True,
        push=True,
        resumable=True,
        every_commit=True,
        shared=True,
        reads_past=True,
    )

    credential_names = ALLOWED

    def __init__(self, session: Session, layout: Layout) -> None:
        self._session = session
        self._layout = layout
        # The cluster that each namespace was loaded from: revisions of another one mean something else.
        self._clusters: dict[str, int] = {}
        self._first_cluster: int | None = None
        self._latest_cluster: int | None = None

    def __repr__(self) -> str:
        """Show where it is connected to, never as whom with what."""
        state = ", closed" if self._session.closed else ""
        return f"<EtcdBackend at {', '.join(self._session.endpoints)}, prefix {self._layout.prefix.decode()}{state}>"

    @classmethod
    def where(cls, credentials: Mapping[str, object]) -> str:
        """Return the servers' addresses."""
        return ", ".join(parse(credentials).endpoints)

    @classmethod
    def open(cls, credentials: Mapping[str, object]) -> Self:
        """Connect and authenticate.

        Raises CredentialsError, AuthenticationFailed, UnsupportedServer, or BackendUnavailable if no endpoint
        answers within the timeout. A user who may read only some namespaces is welcome.
        """
        checked = parse(credentials)
        backend = cls(Session(checked), Layout(checked.prefix))
        try:
            backend._greet()
        except ConfoError:
            backend.close()
            raise
        return backend

    def _greet(self) -> None:
        request = schema().RangeRequest(key=self._layout.prefix, limit=1, keys_only=True)
        try:
            answer = self._session.call("Range", request, "open the store")
        except PermissionDenied as error:
            # The user is known, and this key is not for everybody: what he may read shows when he does.
            if type(error) is not PermissionDenied:
                raise
        else:
            self._first_cluster = self._latest_cluster = answer.header.cluster_id

    @property
    def identity(self) -> str:
        """Return the id of the cluster that answered the latest load, as etcdctl writes it.

        A cluster that was restored under the names and addresses of the old one has the id of the old one: its
        revision tells them apart.
        """
        return "" if self._latest_cluster is None else f"{self._latest_cluster:x}"

    # --- namespaces ------------------------------------------------------------------------------

    def namespaces(self) -> list[str]:
        """Return the names of all namespaces, sorted; one request for each."""
        found = []
        start, prefix = self._layout.first, self._layout.prefix.decode()
        asked = f"list the namespaces under {prefix!r}"
        with needing(f"to list the namespaces the user needs a role with read on all of {prefix}"):
            while (key := reading.first_key(self._session, start, self._layout.end, asked)) is not None:
                namespace, start = self._layout.namespace_of(key)
                if namespace is not None:
                    found.append(namespace)
        # etcd's order is that of the keys, where "a-b/" comes before "a/".
        return sorted(found)

    def create_namespace(self, namespace: str) -> None:
        """Create a namespace by its marker; NamespaceExists also if another tool wrote keys without one."""
        asked = f"create namespace {namespace!r}"
        with self._roles([namespace], write=True):
            self._create(namespace, asked)

    def _create(self, namespace: str, asked: str) -> None:
        wire, marker = schema(), self._layout.marker(namespace)
        # The guard below makes the server look at every key of the namespace: do it only when there is none.
        if reading.first_key(self._session, marker, past(marker), asked) is None:
            request = wire.TxnRequest()
            request.compare.add(
                key=marker, range_end=past(marker), target=wire.Compare.VERSION, result=wire.Compare.EQUAL, version=0
            )
            request.success.add().request_put.CopyFrom(wire.PutRequest(key=marker))
            if self._session.call("Txn", request, asked, write=True).succeeded:
                return
        raise NamespaceExists(f"namespace {namespace!r} exists already", namespace=namespace)

    def delete_namespace(self, namespace: str) -> None:
        """Delete a namespace and all in it, at one revision; NamespaceNotFound if it is not there."""
        marker = self._layout.marker(namespace)
        request = schema().DeleteRangeRequest(key=marker, range_end=past(marker))
        asked = f"delete namespace {namespace!r}"
        with self._roles([namespace], write=True):
            deleted = self._session.call("DeleteRange", request, asked, write=True).deleted
        if not deleted:
            raise self._not_found(namespace)

    # --- reading ---------------------------------------------------------------------------------

    def load(self, namespace: str) -> Snapshot:
        """Return the namespace as it is at one revision, read in pages; NamespaceNotFound if it is not there.

        The timeout is for each page.
        """
        marker = self._layout.marker(namespace)
        entries: dict[str, Entry] = {}
        empty = True
        asked = f"load namespace {namespace!r}"
        with self._roles([namespace]):
            for page in reading.pages(self._session, marker, past(marker), asked, whole=True):
                if page.restarted:
                    entries.clear()
                empty = empty and not page.kvs
                self._latest_cluster = page.cluster_id
                entries.update(entries_of(page.kvs, len(marker)))
        if empty and not namespace.startswith("."):
            raise self._not_found(namespace)
        self._clusters[namespace] = page.cluster_id
        return Snapshot(namespace, page.revision, entries)

    def read(self, namespace: str, names: Sequence[str]) -> dict[str, Entry]:
        """Return those of these names that exist, as a quorum has them now; up to 128 names at one revision."""
        return self._read(namespace, names, revision=0)

    def read_at(self, namespace: str, names: Sequence[str], revision: int) -> dict[str, Entry]:
        """Return those of these names that existed at a revision; RevisionNotFound once etcd compacted it."""
        try:
            return self._read(namespace, names, revision)
        except ResyncNeeded as error:
            raise RevisionNotFound(
                f"etcd does not have revision {revision} of namespace {namespace!r}: it was compacted, or is to come",
                namespace=namespace,
                revision=revision,
            ) from error

    def _read(self, namespace: str, names: Sequence[str], revision: int) -> dict[str, Entry]:
        wire, marker = schema(), self._layout.marker(namespace)
        found: dict[str, Entry] = {}
        for start in range(0, len(names), committing.MAX_OPERATIONS):
            request = wire.TxnRequest()
            for name in names[start : start + committing.MAX_OPERATIONS]:
                key = self._layout.key(namespace, name)
                request.success.add().request_range.CopyFrom(wire.RangeRequest(key=key, revision=revision))
            with self._roles([namespace]):
                answer = self._session.call("Txn", request, f"read from namespace {namespace!r}")
            for response in answer.responses:
                found.update(entries_of(response.response_range.kvs, len(marker)))
        return found

    def scan(
        self, namespace: str, *, start: str = "", limit: int = 100, reverse: bool = False
    ) -> list[tuple[str, Entry]]:
        """Return up to ``limit`` entries in order of name, from ``start`` (included) on, at one revision.

        With ``reverse`` etcd sorts the whole range for each request, so the cost grows with what is before.
        """
        marker = self._layout.marker(namespace)
        first, end = marker + b"\0", past(marker)  # past the marker itself
        if start and reverse:
            end = self._layout.key(namespace, start) + b"\0"
        elif start:
            first = self._layout.key(namespace, start)
        found: list[tuple[str, Entry]] = []
        asked = f"scan namespace {namespace!r}"
        page_size = min(limit, reading.FIRST_PAGE)
        if limit <= 0:
            return found
        with self._roles([namespace]):
            for page in reading.pages(self._session, first, end, asked, first=page_size, reverse=reverse):
                if page.restarted:
                    found.clear()
                found.extend(entries_of(page.kvs, len(marker)).items())
                if len(found) >= limit:
                    break
        return found[:limit]

    # --- writing ---------------------------------------------------------------------------------

    def commit(self, writes: Sequence[Write]) -> int:
        """Write all or nothing, in one transaction, and return its revision.

        TooLarge comes before anything is sent. A namespace that another tool made without a marker gets
        one first. A transaction that only deletes what is not there makes no new revision: the store's is
        returned.
        """
        planned = committing.plan(writes, self._layout)
        with self._roles([write.namespace for write in writes], write=True):
            return self._commit(planned, writes)

    def _commit(self, planned: committing.Plan, writes: Sequence[Write]) -> int:
        written = dict.fromkeys(write.namespace for write in writes)
        names = [repr(name) for name in written if not name.startswith(".")] or [repr(name) for name in written]
        asked = f"commit to namespace {', '.join(names)}"
        for namespace in planned.unmarked:
            self._witness(namespace)
        missing: list[str] = []
        for _ in range(2):
            answer = self._session.call("Txn", planned.request, asked, write=True)
            if answer.succeeded:
                return int(answer.header.revision)
            missing = committing.refused(planned, answer)
            for namespace in missing:
                self._mark(namespace)
        raise self._not_found(missing[0])  # deleted between the marker and the repetition

    def _roles(self, namespaces: Sequence[str], *, write: bool = False) -> AbstractContextManager[None]:
        """Say which keys need which permission, where the server refuses this user."""
        prefix = self._layout.prefix.decode()
        history = any(namespace.startswith(HISTORY) for namespace in namespaces)
        users = sorted({namespace.removeprefix(HISTORY) for namespace in namespaces})
        if not (write or history):
            return needing(
                f"reading {', '.join(users)} needs read on {' and '.join(f'{prefix}{name}/' for name in users)}"
            )
        keys = " and ".join(f"{prefix}{name}/ and {prefix}{HISTORY}{name}/" for name in users)
        return needing(
            f"persist of {', '.join(users)} needs readwrite on {keys}: etcdctl role grant-permission ROLE readwrite "
            f"--prefix=true KEY"
        )

    def _mark(self, namespace: str) -> None:
        """Give a marker to a namespace that is there without one; NamespaceNotFound if it is not there."""
        wire, marker = schema(), self._layout.marker(namespace)
        request = wire.TxnRequest()
        # Guarded by a key that lies in it: a namespace deleted meanwhile must not come back.
        request.compare.add(
            key=self._witness(namespace), target=wire.Compare.VERSION, result=wire.Compare.GREATER, version=0
        )
        request.success.add().request_put.CopyFrom(wire.PutRequest(key=marker))
        # Called like a read, as doing it twice is doing it once.
        self._session.call("Txn", request, f"mark namespace {namespace!r}")

    def _witness(self, namespace: str) -> bytes:
        marker = self._layout.marker(namespace)
        key = reading.first_key(self._session, marker, past(marker), f"look for namespace {namespace!r}")
        if key is None:
            raise self._not_found(namespace)
        return key

    def _not_found(self, namespace: str) -> NamespaceNotFound:
        try:
            names = self.namespaces()
        except ConfoError:  # not allowed to list them, or just gone: the error itself matters more
            there = ""
        else:
            shown = ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
            there = f"; those that exist: {shown}" if names else "; none exists yet"
        return NamespaceNotFound(
            f"no namespace {namespace!r} in etcd under {self._layout.prefix.decode()!r}{there}", namespace=namespace
        )

    # --- following -------------------------------------------------------------------------------

    def watch(self, namespace: str, after: int) -> Watch:
        """Tell what is committed to the namespace after this revision; connects when first waited for."""
        marker = self._layout.marker(namespace)
        cluster = self._clusters.get(namespace, self._first_cluster)
        return EtcdWatch(self._session, namespace, marker, Position(namespace, marker, after, cluster))

    def close(self) -> None:
        """End every watch and call, and close the channels of this process; idempotent."""
        self._session.close()
