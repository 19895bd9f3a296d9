"""Confo on etcd v3: the backend of kind "etcd".

Importing this package loads neither gRPC nor protobuf and starts nothing: the class is fetched when first
used, so that Confo can list its plugins without paying for one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from confo_etcd.backend import EtcdBackend

__all__ = ["EtcdBackend"]


def __getattr__(name: str) -> object:
    """Fetch the backend's class from where it lives (PEP 562)."""
    if name == "EtcdBackend":
        from confo_etcd.backend import EtcdBackend

        return EtcdBackend
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
