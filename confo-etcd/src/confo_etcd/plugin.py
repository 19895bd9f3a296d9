"""The hook by which Confo finds this backend: entry-point group ``confo.backends``, name ``etcd``."""

from __future__ import annotations

from confo import Backend, hookimpl

KIND = "etcd"


@hookimpl
def confo_backend(kind: str) -> type[Backend] | None:
    """Return the class for the kind "etcd"; None for any other."""
    if kind != KIND:
        return None
    from confo_etcd.backend import EtcdBackend

    return EtcdBackend
