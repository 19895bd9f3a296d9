"""The exception names of 2021, each an alias into ``confo.errors``."""

from __future__ import annotations

from confo.errors import BackendNotFound as BackendNotFoundException
from confo.errors import ConfigurationNotFound, FieldNotFound, NamespaceNotFound
from confo.errors import CredentialsError as FileNotFoundException
from confo.errors import CredentialsError as ZookeeperHostNotFoundException
from confo.errors import CredentialsError as ZookeeperPortNotFoundException
from confo.errors import NamespaceExists as NamespaceExistsException
from confo.errors import NoActiveBackend as BackendsActivationException
from confo.errors import NoNamespaceChosen as NamespaceNotLoadedException

__all__ = [
    "BackendNotFoundException",
    "BackendsActivationException",
    "ConfigurationNotFound",
    "FieldNotFound",
    "FileNotFoundException",
    "NamespaceExistsException",
    "NamespaceNotFound",
    "NamespaceNotLoadedException",
    "ZookeeperHostNotFoundException",
    "ZookeeperPortNotFoundException",
]
