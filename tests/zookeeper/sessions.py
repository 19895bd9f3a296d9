"""Sessions that end: a backend's is expired by the ensemble, and what the program sees of it is timed."""

from __future__ import annotations

import contextlib
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from kazoo.client import KazooClient

from confo import ANY, Confo, Namespace, Write
from confo_zookeeper import ZookeeperBackend

SECONDS = 5.0
"""How long after a new session a program may read the old value, or hear nothing of a new one."""


class Recovery(NamedTuple):
    """Seconds after a session was expired: until a new one stood, then until the value was right and pushed again."""

    session: float
    value: float
    watch: float


def client_of(backend: ZookeeperBackend) -> KazooClient:
    """Return the backend's client, connected."""
    return backend._session.connect("look at the client")


def expire(backend: ZookeeperBackend, hosts: Sequence[str]) -> int:
    """End the backend's session and return its id: who takes a session over and closes it ends it for its owner.

    Unless that one was so quick as to take it back in between: then it goes on, and this is to be done again.
    """
    owner = client_of(backend).client_id
    other = KazooClient(",".join(hosts), client_id=owner)
    other.start()
    other.stop()
    other.close()
    return int(owner[0])


def end_session(backend: ZookeeperBackend, hosts: Sequence[str]) -> None:
    """Expire the backend's session, until it has another."""
    old = backend._session.id
    while backend._session.id == old:
        expire(backend, hosts)
        with contextlib.suppress(AssertionError):
            wait_until(partial(_differs, backend, old), 3.0)


def wait_until(condition: Callable[[], bool], seconds: float) -> float:
    """Wait until a condition holds and return how long it took; AssertionError if it does not come to."""
    began, tick = time.monotonic(), threading.Event()
    while not condition():
        assert time.monotonic() - began < seconds, f"it did not come within {seconds} s"
        tick.wait(0.002)
    return time.monotonic() - began


def recoveries(hosts: Sequence[str], count: int, rest: float = 0.0) -> Iterator[Recovery]:
    """Expire the session of a program that follows a namespace, again and again, while another one writes there.

    Each time a configuration is written, one is created and one deleted before the program can hear of it. ``rest``
    is the seconds between two: what follows a namespace backs off from a store that fails again too soon.
    """
    prefix = f"/expiry/{uuid.uuid4().hex}"
    writer = ZookeeperBackend.open({"hosts": hosts, "prefix": prefix})
    writer.create_namespace("sales")
    try:
        with Confo(uuid.uuid4().hex) as config:
            config.load_backend({"hosts": list(hosts), "prefix": prefix}, "store", "zookeeper")
            config.activate_backend("store")
            sales = config.namespace("sales")
            backend: Any = sales._replica.backend.inner  # type: ignore[attr-defined] # the guard that the core puts around it
            for number in range(count):
                threading.Event().wait(rest)
                old, made, gone = backend._session.id, f"n{number}", f"n{number - 1}"
                session = None
                while session is None:
                    expire(backend, hosts)
                    writer.commit(
                        [
                            Write("sales", "value", b'{"n": %d}' % number, ANY),
                            Write("sales", made, b"{}", ANY),
                            Write("sales", gone, None, ANY),
                        ]
                    )
                    with contextlib.suppress(AssertionError):
                        session = wait_until(partial(_differs, backend, old), 3.0)
                right = {"value": {"n": number}, made: {}}
                value = wait_until(partial(_is, sales, right), SECONDS)
                revision = writer.commit([Write("sales", made, b'{"pushed": true}', ANY)])
                began = time.monotonic()
                assert sales.wait_for(revision, SECONDS), f"nothing was pushed after expiry {number}"
                yield Recovery(session, value, time.monotonic() - began)
    finally:
        writer.close()


def _differs(backend: ZookeeperBackend, session: int) -> bool:
    return backend._session.id != session


def _is(namespace: Namespace, documents: Mapping[str, object]) -> bool:
    return namespace.all() == documents
