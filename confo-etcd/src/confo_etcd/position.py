"""Where a watch stands, and what an answer of the server means from there. Pure: it decides, watch.py acts.

The order of the questions is the one that held under killed, paused and restored servers; asking in
another order loses events (etcd3aio resumed from the revision of a ``created`` answer, and did).
"""

from __future__ import annotations

from collections.abc import Iterable

from confo import BackendUnavailable, Batch, ConfoError, Entry, PermissionDenied, ResyncNeeded
from confo_etcd.connection import Version
from confo_etcd.schema import Message, schema


def trusts_progress(version: Version) -> bool:
    """Tell whether this server's progress notifications come after all events they speak of.

    Fixed in etcd 3.4.25 and 3.5.8 (CHANGELOG-3.4, CHANGELOG-3.5); before, one could overtake events.
    """
    return (3, 4, 25) <= version < (3, 5, 0) or version >= (3, 5, 8)


class Position:
    """The last revision that was handed over, and the events that wait for the rest of their answer."""

    def __init__(self, namespace: str, marker: bytes, revision: int, cluster_id: int | None) -> None:
        self.namespace = namespace
        self.revision = revision
        self.cluster_id = cluster_id
        self.version: Version = ()
        self._cut = len(marker)
        self._events: list[Message] = []

    def check_alive(self, answer: Message) -> None:
        """Raise if the server ended the watch: first of all, as such an answer says nothing else."""
        if not answer.canceled:
            return
        if answer.compact_revision > 0:
            raise self._resync(
                f"the store keeps nothing older than revision {answer.compact_revision}, "
                f"and revision {self.revision + 1} is next"
            )
        reason = answer.cancel_reason or "no reason given"
        if any(word in reason for word in ("permission denied", "auth", "user name is empty")):
            raise PermissionDenied(f"cannot watch namespace {self.namespace!r}: {reason}", namespace=self.namespace)
        raise BackendUnavailable(f"etcd ended the watch of namespace {self.namespace!r}: {reason}")

    def check_cluster(self, header: Message) -> None:
        """Raise if this is another cluster than the one that the position was taken in."""
        if not header.cluster_id:
            return  # etcd's gRPC proxy does not say it where it answers by itself
        if self.cluster_id is None:
            self.cluster_id = header.cluster_id
        elif header.cluster_id != self.cluster_id:
            raise self._resync("another cluster answers at this endpoint")

    def check_present(self, header: Message) -> None:
        """Raise if the store, asked with a quorum, is behind the position: it was restored from a backup."""
        self.check_cluster(header)
        if header.revision < self.revision:
            raise self._resync(f"the store was set back to revision {header.revision}")

    def take(self, answer: Message) -> list[Batch]:
        """Return the commits that an answer completes, whole and in order, each revision once."""
        if answer.created:
            return [Batch(self.revision, {})]  # its revision is the server's, and events before it are still to come
        if answer.events or answer.fragment or self._events:
            self._events.extend(answer.events)
            events, self._events = self._events, []
            if answer.fragment:
                # All but the last revision are whole: a long catch-up that is cut goes on from there.
                whole = len(events)
                while whole and events[whole - 1].kv.mod_revision == events[-1].kv.mod_revision:
                    whole -= 1
                events, self._events = events[:whole], events[whole:]
            return self._batches(events)
        if answer.header.revision > self.revision and trusts_progress(self.version):
            self.revision = answer.header.revision
        return [Batch(self.revision, {})]

    def _batches(self, events: Iterable[Message]) -> list[Batch]:
        delete = schema().Event.DELETE
        batches: list[Batch] = []
        entries: dict[str, Entry | None] = {}
        for event in events:
            kv = event.kv
            revision = kv.mod_revision
            if revision > self.revision:
                self.revision = revision
                entries = {}
                batches.append(Batch(revision, entries))
            elif not batches or revision < self.revision:
                continue  # 3.4.23 tells some events twice, and a lagging member tells old ones
            name = kv.key[self._cut :].decode("utf-8", "backslashreplace")
            if name and "/" not in name:
                entries[name] = None if event.type == delete else Entry(kv.value, revision)
        return [batch for batch in batches if batch.entries]

    def _resync(self, reason: str) -> ConfoError:
        return ResyncNeeded(
            f"the watch of namespace {self.namespace!r} cannot go on after revision {self.revision}: {reason}",
            namespace=self.namespace,
            revision=self.revision,
        )
