"""Confo on Apache ZooKeeper: the backend of kind "zookeeper".

Importing this package does not load kazoo and starts nothing: the class is fetched when first used, so that Confo can
list its plugins without paying for one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from confo_zookeeper.backend import ZookeeperBackend

__all__ = ["ZookeeperBackend"]


def __getattr__(name: str) -> object:
    """Fetch the backend's class from where it lives (PEP 562)."""
    if name == "ZookeeperBackend":
        from confo_zookeeper.backend import ZookeeperBackend

        return ZookeeperBackend
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
