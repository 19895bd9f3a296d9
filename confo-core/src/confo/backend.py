"""The seam: what a store must do to be a backend of Confo, all of it.

A backend keeps bytes under (namespace, name), each with the revision that wrote it, and tells of changes.
It knows nothing of JSON, drafts, merging or history, and it does not retry: the core resumes, backs off and
resolves unknown outcomes, once for all backends. Drivers' exceptions are translated into ``confo``'s at the
edge, and kept as ``driver_error``. Every call may come from any thread and is bounded in time by the backend's own
timeout.
Namespaces that begin with a dot are the core's: they need no ``create_namespace`` and are never listed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar, Final, Literal, NamedTuple, Self

from confo.errors import CredentialsError, NotSupported
from confo.model import Entry, Snapshot


class _Any(Enum):
    ANY = "ANY"

    def __repr__(self) -> str:
        return "ANY"


ANY: Final = _Any.ANY
"""The guard of an unguarded write."""


class Write(NamedTuple):
    """One write of a commit: ``data`` (None deletes), guarded by the revision that the writer saw.

    ``expected`` is that revision; 0: the name must not exist; ANY: whatever is there.
    """

    namespace: str
    name: str
    data: bytes | None
    expected: int | Literal[_Any.ANY]

    def __repr__(self) -> str:
        """Show the names, never the data."""
        size = "delete" if self.data is None else f"{len(self.data)} bytes"
        return f"<Write {self.namespace}/{self.name}: {size}, expected={self.expected!r}>"


class Batch(NamedTuple):
    """Whole commits as a watch tells them: the state of these names at this revision (None: deleted).

    An empty batch is a bookmark: nothing of this namespace changed up to this revision. One of the revision before
    is a sign of life.
    """

    revision: int
    entries: Mapping[str, Entry | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a backend can do; asking for what it cannot raises NotSupported, never a silent lesser thing."""

    atomic_writes: int
    """Most writes in one commit, all or nothing."""
    max_value_bytes: int
    """Largest entry, in bytes."""
    durable: bool
    """A commit survives the end of the store's process."""
    push: bool
    """``watch`` tells of changes as they happen; without, it raises NotSupported."""
    resumable: bool
    """``watch`` can go on from an older revision; without, it raises ResyncNeeded if anything was committed since."""
    every_commit: bool
    """Each ``Batch`` is exactly one commit; else it may be several whole ones."""
    shared: bool
    """Other processes see the same store."""
    keeps_bytes: bool = True
    """An entry comes back byte for byte; without, a document may come back laid out in another way."""
    reads_past: bool = False
    """``read_at`` can tell of older revisions, for a while; without, it raises NotSupported."""
    writable: bool = True
    """This process may commit, as far as could be seen when it was opened; without, a commit is PermissionDenied."""
    max_commit_bytes: int | None = None
    """Most bytes of one commit, keys and guards included; None: nothing but the entries is limited."""


HEARTBEAT_SECONDS: Final = 10.0
"""A watch that hears its store gives a batch at once, and at least this often: an empty one if there is nothing."""


class Watch(ABC):
    """A stream of batches in order of revision: iterate it in one thread, close it from any.

    It ends without an error only by ``close()``. It raises BackendUnavailable when the stream broke (the core
    opens another after the last revision it applied) and ResyncNeeded when it cannot go on from there.
    """

    def __iter__(self) -> Self:
        """Return itself."""
        return self

    @abstractmethod
    def __next__(self) -> Batch:
        """Wait for the next batch; StopIteration once closed."""

    @abstractmethod
    def close(self) -> None:
        """End the stream and wake who waits in it; idempotent, at once, from any thread."""


class Backend(ABC):
    """One opened store."""

    capabilities: Capabilities

    @classmethod
    def where(cls, credentials: Mapping[str, object]) -> str:  # noqa: ARG003 - for those who override it
        """Return the address that credentials name, for messages; empty where there is none. Speaks to nobody."""
        return ""

    credential_names: ClassVar[Sequence[str]] = ()
    """The names of all credentials that it takes, for those who list or check them."""
    create_credentials: ClassVar[Mapping[str, object]] = {}
    """Credentials that make ``open`` create a store that is not there yet, such as ``{"create": True}`` of a folder."""

    @property
    def identity(self) -> str:
        """Name the store for good, as last seen and without asking it; empty when the store cannot tell.

        Another cluster, folder or store has another one, so that a store put in the place of another is noticed.
        """
        return ""

    @classmethod
    @abstractmethod
    def open(cls, credentials: Mapping[str, object]) -> Self:
        """Connect. Raises CredentialsError, BackendUnavailable or PermissionDenied; refuses unknown keys."""

    @classmethod
    def url_credentials(cls, location: str, folder: str) -> dict[str, object]:
        """Return the credentials that the parts of a URL stand for: ``kind://location/folder/namespace``.

        Here: one host, with or without a port, or several with commas. Override it for a store that is no server.
        """
        if folder.strip("/"):
            raise CredentialsError("a URL of a server has one part in its path: kind://host:port/namespace")
        if "," in location:
            return {"endpoints": location.split(",")}
        host, colon, port = location.rpartition(":")
        if not colon or location.endswith("]"):  # an IPv6 address without a port ends in its bracket
            return {"host": location.strip("[]")} if location else {}
        return {"host": host.strip("[]"), "port": int(port) if port.isdecimal() else port}

    @abstractmethod
    def namespaces(self) -> list[str]:
        """Return the names of all namespaces, sorted, the core's own left out."""

    @abstractmethod
    def create_namespace(self, namespace: str) -> None:
        """Create an empty namespace; NamespaceExists if it is there."""

    @abstractmethod
    def delete_namespace(self, namespace: str) -> None:
        """Delete a namespace and all in it, at one revision; NamespaceNotFound if it is not there."""

    @abstractmethod
    def load(self, namespace: str) -> Snapshot:
        """Return one consistent state at one revision; NamespaceNotFound if it is not there.

        What it returns is the caller's: it changes no more, and the caller may change its dict.
        """

    @abstractmethod
    def read(self, namespace: str, names: Sequence[str]) -> dict[str, Entry]:
        """Return those of these names that exist, as they are now; never from a stale replica."""

    @abstractmethod
    def scan(
        self, namespace: str, *, start: str = "", limit: int = 100, reverse: bool = False
    ) -> list[tuple[str, Entry]]:
        """Return up to ``limit`` entries in order of name, from ``start`` (included) on.

        ``reverse`` gives them from the greatest name down, ``start`` being the greatest ("": from the end).
        """

    def left_out(self, namespace: str) -> Mapping[str, str]:  # noqa: ARG002 - for those who override it
        """Return what lies in a namespace and is no configuration, by name, and why it is left out.

        Override it for a store where people lay other things beside: a folder's ``notes.txt``, a name with a blank.
        Called after ``load``; it need not ask the store again.
        """
        return {}

    def read_at(self, namespace: str, names: Sequence[str], revision: int) -> dict[str, Entry]:
        """Return those of these names that existed at an older revision, as they were then.

        RevisionNotFound when the store has forgotten it. Override it, and declare ``reads_past``, for a store that
        keeps what was overwritten: then even what other tools wrote can be looked up.
        """
        raise NotSupported(
            f"this store keeps no older state of {', '.join(names)}", namespace=namespace, revision=revision
        )

    @abstractmethod
    def commit(self, writes: Sequence[Write]) -> int:
        """Write all or nothing and return the new revision, greater than all before.

        Raises Conflict with every key whose guard failed, NamespaceNotFound, TooLarge before anything is sent,
        BackendUnavailable when it surely did not happen, OutcomeUnknown when that cannot be known.
        """

    @abstractmethod
    def watch(self, namespace: str, after: int) -> Watch:
        """Tell what is committed to the namespace after this revision.

        ResyncNeeded, here or from the stream, when the store forgot what came after it, or was never there.
        """

    @abstractmethod
    def close(self) -> None:
        """Let go of everything and end every watch; idempotent, bounded, from any thread."""
