"""Distributed configuration: the same few lines on a dict, a folder of files and an etcd cluster.

    with confo.connect("etcd://127.0.0.1:2379/sales") as sales:      # or file:///srv/settings/sales, memory:///sales
        sales.get("database", "host", default="localhost")           # from memory: no lock, no network
        sales["database"]["host"]                                    # the same, as in a dict

        with sales.edit(message="move to the new host") as draft:    # one atomic commit on leaving the block
            draft["database"]["host"] = "10.0.0.7"

        sales.on_change(lambda event: print(event.new), "database")  # called for every commit, whoever made it
        sales.history(limit=5)                                       # who changed what; sales.rollback(revision)

``connect(url, create=True)`` makes what is missing, and without a URL takes the one in CONFO_URL. ``confo.aconnect`` is
the same in asyncio. ``help(confo.Namespace)`` tells what a namespace can do, ``help(confo.Confo)`` how a program holds
several backends, ``dir(confo)`` lists everything, and ``python -m confo`` what is installed and what is broken.

Importing this package loads nothing else: every name is fetched when first used.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

TYPE_CHECKING = False  # known to type checkers under this name; importing typing would take 5 ms

if TYPE_CHECKING:
    from confo import Backends, Exceptions, errors, extensions, logging, plugins

    __version__: str
    from confo.backend import ANY, HEARTBEAT_SECONDS, Backend, Batch, Capabilities, Watch, Write
    from confo.codec import FrozenDict, FrozenList
    from confo.Confo import Confo
    from confo.copying import Copied
    from confo.credentials import CredentialsReader
    from confo.editor import DocumentEditor, Editor
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
    from confo.model import MISSING, Change, ChangeSet, Collision, Commit, Entry, Snapshot, State, Status, Unreadable
    from confo.namespace import Namespace
    from confo.packing import Digest
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
    "Copied",
    "CredentialsError",
    "CredentialsReader",
    "Digest",
    "DocumentEditor",
    "Editor",
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
    "Unreadable",
    "UnreadableDocument",
    "UnsupportedServer",
    "Watch",
    "Write",
    "aconnect",
    "connect",
    "errors",
    "extensions",
    "hookimpl",
    "logging",
    "open",
    "plugins",
]

_NAMES = frozenset(__all__)
_MODULES = ("Backends", "Exceptions", "errors", "extensions", "logging", "plugins")
_HOME = {  # where a name lives that is not an error
    **dict.fromkeys(
        ("ANY", "HEARTBEAT_SECONDS", "Backend", "Batch", "Capabilities", "Watch", "Write"), "confo.backend"
    ),
    **dict.fromkeys(("FrozenDict", "FrozenList"), "confo.codec"),
    **dict.fromkeys(
        ("MISSING", "Change", "ChangeSet", "Collision", "Commit", "Entry", "Snapshot", "State", "Status", "Unreadable"),
        "confo.model",
    ),
    **dict.fromkeys(("Event", "Subscription"), "confo.events"),
    **dict.fromkeys(("aconnect", "connect", "open"), "confo.entry"),
    "Confo": "confo.Confo",
    "Copied": "confo.copying",
    "CredentialsReader": "confo.credentials",
    **dict.fromkeys(("DocumentEditor", "Editor"), "confo.editor"),
    "Digest": "confo.packing",
    "Namespace": "confo.namespace",
    "Retention": "confo.retention",
    "hookimpl": "confo.hookspecs",
}


def __getattr__(name: str) -> object:
    """Fetch a name of the facade from where it lives (PEP 562)."""
    if name == "__version__":
        import importlib_metadata

        return importlib_metadata.version("confo-core")
    if name in _MODULES:
        return importlib.import_module(f"confo.{name}")
    if name not in _NAMES:
        raise AttributeError(f"module 'confo' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME.get(name, "confo.errors")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List what is public."""
    return sorted({*_NAMES, "__version__"})


class PublicNames(list[str]):
    """``__all__``: every public name for ``import *``, and the front page for ``help(confo)``.

    ``help`` asks whether a name is in it, and would print the methods of fifty classes in full.
    """

    def __contains__(self, name: object) -> bool:
        """Tell whether a name is on the front page."""
        return name in ("aconnect", "connect", "open")


globals()["__all__"] = PublicNames(__all__)  # this way type checkers keep the list above


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
