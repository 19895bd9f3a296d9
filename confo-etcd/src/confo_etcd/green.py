"""gRPC in a process whose threads are greenlets, as gevent patches it, and gunicorn's workers of that kind.

gRPC waits in native code, which stops all greenlets at once, unless it is told of gevent before its first channel is
made. It knows no eventlet. Neither library is imported: who patched has imported it.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any

from confo import NotSupported

_told: set[int] = set()  # processes: a forked child has a hub of its own


def prepare() -> None:
    """Have gRPC wait as greenlets do, where threads are greenlets; NotSupported where it cannot."""
    gevent: Any = sys.modules.get("gevent.monkey")
    if gevent is not None and gevent.is_module_patched("threading") and os.getpid() not in _told:
        grpc_gevent: Any = import_module("grpc.experimental.gevent")  # which has no types
        grpc_gevent.init_gevent()  # harmless where the program has done it
        _told.add(os.getpid())
    eventlet: Any = sys.modules.get("eventlet.patcher")
    if eventlet is not None and eventlet.is_monkey_patched("thread"):
        raise NotSupported(
            "the etcd backend cannot be used where eventlet has patched the threads: gRPC does not know eventlet, and "
            "would stop the whole process; use gevent (gunicorn -k gevent) or threads (gunicorn -k gthread)"
        )
