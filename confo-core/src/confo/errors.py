"""Everything Confo raises: one root, and leaves that are also the built-in they resemble.

A message says what happened, where, and what to do. Names of backends, namespaces, configurations and
fields stand in it; a value of a document, a password or a token never does. What a program may want to
look at is kept as attributes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Self


class ConfoError(Exception):
    """Root of all errors of Confo."""

    def __init__(
        self,
        message: str = "",
        *,
        backend: str | None = None,
        namespace: str | None = None,
        configuration: str | None = None,
        field: str | tuple[str, ...] | None = None,
        revision: int | None = None,
    ) -> None:
        super().__init__(message)
        self.backend = backend
        self.namespace = namespace
        self.configuration = configuration
        self.field = field
        self.revision = revision

    @property
    def driver_error(self) -> BaseException | None:
        """The driver's own error that this one was made of, for who needs its details; None if there was none.

        It is not printed above this one: what it says is in the message.
        """
        behind = self.__cause__ or self.__context__
        return behind.driver_error if isinstance(behind, ConfoError) else behind

    def instead_of(self, error: BaseException) -> Self:
        """Stand for a driver's error, which goes into the log at DEBUG: ``raise ours.instead_of(error) from None``."""
        from logging import getLogger  # only errors need it

        self.__context__, self.__suppress_context__ = error, True
        getLogger("confo").debug("%s: %s", type(self).__name__, self, exc_info=error)
        return self

    def __str__(self) -> str:
        """Return the message as it was written (KeyError would put it in quotes)."""
        return str(self.args[0]) if self.args else ""


# --- what was asked for is not there, or there already -------------------------------------------


class NoActiveBackend(ConfoError, RuntimeError):
    """An operation needs a backend and none is active."""


class NoNamespaceChosen(ConfoError, RuntimeError):
    """An operation needs a namespace and none is in use."""


class BackendNotFound(ConfoError, KeyError):
    """No backend was loaded under this name."""


class BackendExists(ConfoError, ValueError):
    """A backend is loaded under this name already."""


class NamespaceNotFound(ConfoError, KeyError):
    """The backend has no such namespace."""


class NamespaceExists(ConfoError, ValueError):
    """The backend has a namespace of this name already."""


class ConfigurationNotFound(ConfoError, KeyError):
    """The namespace has no such configuration."""


class ConfigurationExists(ConfoError, ValueError):
    """There is another document of this name already."""


class FieldNotFound(ConfoError, KeyError):
    """The configuration has no such field."""


class RevisionNotFound(ConfoError, LookupError):
    """A revision has not come yet, or what stood there is not known any more."""


# --- what was handed in, or is stored, is not right ----------------------------------------------


class InvalidName(ConfoError, ValueError):
    """A namespace or configuration name is outside the grammar."""


class InvalidDocument(ConfoError, ValueError):
    """A value is not JSON, a document not an object, or beyond the limits."""


class UnreadableDocument(ConfoError, ValueError):
    """The store holds bytes that are no document; they stay there untouched."""


class CredentialsError(ConfoError, ValueError):
    """Credentials are missing, unknown, or of the wrong type."""


class InvalidOption(ConfoError, ValueError):
    """An option has a value that it cannot have."""


class InvalidCallback(InvalidOption, TypeError):
    """A callback cannot be called back: it is no function, takes no event, or is async."""


class TooLarge(ConfoError, ValueError):
    """A commit is more than the backend takes at once; nothing was sent."""


class InvalidCommit(ConfoError, ValueError):
    """A commit of no writes, or of two writes to one name."""


# --- the store said no, or nothing ---------------------------------------------------------------


class CommitRefused(ConfoError, ValueError):
    """A plugin's policy refused a commit; nothing was sent."""


class BackendUnavailable(ConfoError, ConnectionError):
    """The store cannot be reached; what was asked did not happen."""


class NotReadyError(BackendUnavailable):
    """The store cannot be reached at the start, and nothing that was kept of it can stand in."""


class TooStale(ConfoError, TimeoutError):
    """What is here of the namespace is older than the program said it may be.

    ``age`` and ``limit`` are seconds.
    """

    def __init__(self, message: str = "", *, age: float = 0.0, limit: float = 0.0, **where: Any) -> None:
        super().__init__(message, **where)
        self.age = age
        self.limit = limit


class CacheError(ConfoError, OSError):
    """The folder for what is kept of a store cannot be used, or the files in it."""


class OutcomeUnknown(ConfoError, TimeoutError):
    """A commit was sent and its fate cannot be known from here.

    ``op_id`` names it: if it happened, a record of this id is in the history.
    """

    def __init__(self, message: str = "", *, op_id: str | None = None, **where: Any) -> None:
        super().__init__(message, **where)
        self.op_id = op_id


class PermissionDenied(ConfoError, PermissionError):
    """The store knows the user and forbids the operation."""


class AuthenticationFailed(PermissionDenied):
    """The store does not accept the user or the password."""


class BackendFailure(ConfoError, RuntimeError):
    """The store answered with an error that Confo has no better name for."""


class NotSupported(ConfoError, NotImplementedError):
    """The backend declares that it cannot do this."""


class UnsupportedServer(NotSupported):
    """The server is too old, or of another kind than the backend speaks to."""


class Closed(ConfoError, ValueError):
    """The backend, handle or watch was closed before."""


class Conflict(ConfoError, RuntimeError):
    """A guard of a commit failed: somebody else moved these keys; nothing was written."""

    def __init__(self, message: str = "", *, keys: Iterable[tuple[str, str]] = (), **where: Any) -> None:
        super().__init__(message, **where)
        self.keys: tuple[tuple[str, str], ...] = tuple(keys)


class ConflictError(ConfoError, RuntimeError):
    """The same field, or path, was changed here and in the store; nothing was written.

    ``collisions`` has one ``Collision`` per path; ``base``, ``mine`` and ``theirs`` are the first one's
    values (``confo.MISSING`` where the field was absent). The message has the names only.
    """

    def __init__(self, message: str = "", *, collisions: Iterable[Any] = (), **where: Any) -> None:
        super().__init__(message, **where)
        self.collisions = tuple(collisions)
        first = self.collisions[0] if self.collisions else None
        self.base: Any = getattr(first, "base", None)
        self.mine: Any = getattr(first, "mine", None)
        self.theirs: Any = getattr(first, "theirs", None)


class ResyncNeeded(ConfoError, LookupError):
    """A watch cannot go on from where it was: load the namespace anew."""


# --- plugins -------------------------------------------------------------------------------------


class PluginError(ConfoError, ImportError):
    """An installed plugin cannot be used; the message names its distribution and version."""


class BackendNotInstalled(PluginError, ModuleNotFoundError):
    """No installed distribution provides this kind of backend."""


class UnknownConstant(ConfoError, AttributeError):
    """``confo.Backends`` has no such constant, as no such backend is installed."""
