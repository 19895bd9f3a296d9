"""Distributed configuration: the same few lines on a dict, a folder of files and an etcd cluster.

Importing this package loads nothing else: every name of the facade is fetched when first used, so that
``import confo`` costs about a millisecond and starts nothing.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

TYPE_CHECKING = False  # known to type checkers under this name; importing typing would take 5 ms

if TYPE_CHECKING:
    from confo import Backends, Exceptions, plugins
    from confo.backend import ANY, HEARTBEAT_SECONDS, Backend, Batch, Capabilities, Watch, Write
    from confo.codec import FrozenDict, FrozenList
    from confo.Confo import Confo
    from confo.entry import aconnect, connect, open
    from confo.errors import (
        AuthenticationFailed,
        BackendExists,
        BackendFailure,
        BackendNotFound,
        BackendNotInstalled,
        BackendUnavailable,
        CacheError,
        Closed,
        CommitRefused,
        ConfigurationExists,
        ConfigurationNotFound,
        Conflict,
        ConflictError,
        ConfoError,
        CredentialsError,
        FieldNotFound,
        InvalidCallback,
        InvalidCommit,
        InvalidDocument,
        InvalidName,
        InvalidOption,
        NamespaceExists,
        NamespaceNotFound,
        NoActiveBackend,
        NoNamespaceChosen,
        NotReadyError,
        NotSupported,
        OutcomeUnknown,
        PermissionDenied,
        PluginError,
        ResyncNeeded,
        RevisionNotFound,
        TooLarge,
        TooStale,
        UnknownConstant,
        UnreadableDocument,
        UnsupportedServer,
    )
    from confo.events import Event, Subscription
    from confo.hookspecs import hookimpl
    from confo.model import MISSING, Change, ChangeSet, Collision, Commit, Entry, Snapshot, State, Status
    from confo.namespace import Namespace
    from confo.retention import Retention

__all__ = [
    "ANY",
    "HEARTBEAT_SECONDS",
    "MISSING",
    "AuthenticationFailed",
    "Backend",
    "BackendExists",
    "BackendFailure",
    "BackendNotFound",
    "BackendNotInstalled",
    "BackendUnavailable",
    "Backends",
    "Batch",
    "CacheError",
    "Capabilities",
    "Change",
    "ChangeSet",
    "Closed",
    "Collision",
    "Commit",
    "CommitRefused",
    "ConfigurationExists",
    "ConfigurationNotFound",
    "Conflict",
    "ConflictError",
    "Confo",
    "ConfoError",
    "CredentialsError",
    "Entry",
    "Event",
    "Exceptions",
    "FieldNotFound",
    "FrozenDict",
    "FrozenList",
    "InvalidCallback",
    "InvalidCommit",
    "InvalidDocument",
    "InvalidName",
    "InvalidOption",
    "Namespace",
    "NamespaceExists",
    "NamespaceNotFound",
    "NoActiveBackend",
    "NoNamespaceChosen",
    "NotReadyError",
    "NotSupported",
    "OutcomeUnknown",
    "PermissionDenied",
    "PluginError",
    "ResyncNeeded",
    "Retention",
    "RevisionNotFound",
    "Snapshot",
    "State",
    "Status",
    "Subscription",
    "TooLarge",
    "TooStale",
    "UnknownConstant",
    "UnreadableDocument",
    "UnsupportedServer",
    "Watch",
    "Write",
    "aconnect",
    "connect",
    "hookimpl",
    "open",
    "plugins",
]

_MODULES = ("Backends", "Exceptions", "extensions", "plugins")
_HOME = {  # where a name lives that is not an error
    **dict.fromkeys(
        ("ANY", "HEARTBEAT_SECONDS", "Backend", "Batch", "Capabilities", "Watch", "Write"), "confo.backend"
    ),
    **dict.fromkeys(("FrozenDict", "FrozenList"), "confo.codec"),
    **dict.fromkeys(
        ("MISSING", "Change", "ChangeSet", "Collision", "Commit", "Entry", "Snapshot", "State", "Status"), "confo.model"
    ),
    **dict.fromkeys(("Event", "Subscription"), "confo.events"),
    **dict.fromkeys(("aconnect", "connect", "open"), "confo.entry"),
    "Confo": "confo.Confo",
    "Namespace": "confo.namespace",
    "Retention": "confo.retention",
    "hookimpl": "confo.hookspecs",
}


def __getattr__(name: str) -> object:
    """Fetch a name of the facade from where it lives (PEP 562)."""
    if name in _MODULES:
        return importlib.import_module(f"confo.{name}")
    if name not in __all__:
        raise AttributeError(f"module 'confo' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME.get(name, "confo.errors")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the facade."""
    return sorted({*globals(), *__all__})


class NamesakePackage(ModuleType):
    """A package whose submodules named after the one class in them stand for that class.

    Importing a submodule binds it on its package; users have imported ``confo.Confo`` as a module and as the class
    since 2021, so here the class is bound, whichever way it was imported first.
    """

    def __setattr__(self, name: str, value: object) -> None:
        """Bind a submodule's namesake instead of the submodule."""
        namesake = getattr(value, name, None) if isinstance(value, ModuleType) else None
        super().__setattr__(name, namesake if isinstance(namesake, type) else value)


sys.modules[__name__].__class__ = NamesakePackage
