"""The hook by which Confo finds this backend: entry-point group ``confo.backends``, name ``zookeeper``."""

from __future__ import annotations

from confo import Backend, hookimpl

KIND = "zookeeper"


@hookimpl
def confo_backend(kind: str) -> type[Backend] | None:
    """Return the class for the kind "zookeeper"; None for any other."""
    if kind != KIND:
        return None
    from confo_zookeeper.backend import ZookeeperBackend

    return ZookeeperBackend
