"""Reading ranges of keys in pages, all of them at one revision."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from confo import ResyncNeeded, TooLarge
from confo_etcd.schema import Message, schema
from confo_etcd.session import Session

FIRST_PAGE = 500  # keys; nothing is known of their size yet
LARGEST_PAGE = 10_000  # keys; a larger page is not faster, and the server answers nobody else meanwhile
PAGE_BYTES = 3 * 1024 * 1024  # leaves room below the 4 MiB that gRPC and its proxies take by default
_RESTARTS = 10


class Page(NamedTuple):
    """Some key-values, the revision of the whole reading, and the cluster that it comes from."""

    kvs: Message
    revision: int
    cluster_id: int
    restarted: bool  # what came before this page is void


def next_limit(count: int, size: int) -> int:
    """Return how many keys to ask for next, after a page of ``count`` keys and ``size`` bytes; pure."""
    return max(1, min(LARGEST_PAGE, PAGE_BYTES * count // max(size, 1)))


def pages(
    session: Session,
    start: bytes,
    end: bytes,
    asked: str,
    *,
    first: int = FIRST_PAGE,
    reverse: bool = False,
    whole: bool = False,
) -> Iterator[Page]:
    """Yield the pages of a range, in order of key (or against it), at one revision; at least one page.

    That revision is the first page's, and the first page is linearizable; ``first`` is its size in keys.
    With ``whole`` the next page is asked for while the caller works on this one. When the revision is
    compacted meanwhile the reading starts again, which ``restarted`` tells. Each page is a call of its own,
    so the timeout is for a page and not for the whole.
    """
    wire = schema()
    send = session.ahead if whole else session.later
    for attempt in range(_RESTARTS):
        request = wire.RangeRequest(key=start, range_end=end, limit=first)
        if reverse:
            request.sort_order, request.sort_target = wire.RangeRequest.DESCEND, wire.RangeRequest.KEY
        try:
            yield from _read(request, lambda request: send("Range", request, asked), restarted=attempt > 0)
            return
        except ResyncNeeded:
            if attempt == _RESTARTS - 1:
                raise


def _read(request: Message, send: Callable[[Message], Callable[[], Message]], *, restarted: bool) -> Iterator[Page]:
    wait = send(request)
    while True:
        try:
            answer = wait()
        except TooLarge:
            if request.limit == 1:
                raise
            request.limit //= 2
            wait = send(request)
            continue
        kvs = answer.kvs
        request.revision = request.revision or answer.header.revision
        more = answer.more and kvs
        if more:
            request.limit = next_limit(len(kvs), answer.ByteSize())
            if request.sort_order:
                request.range_end = kvs[-1].key
            else:
                request.key = kvs[-1].key + b"\0"
            wait = send(request)
        yield Page(kvs, request.revision, answer.header.cluster_id, restarted)
        restarted = False
        if not more:
            return


def first_key(session: Session, key: bytes, end: bytes, asked: str) -> bytes | None:
    """Return the first key of a range, as it is now, or None if there is none."""
    request = schema().RangeRequest(key=key, range_end=end, limit=1, keys_only=True)
    kvs = session.call("Range", request, asked).kvs
    return bytes(kvs[0].key) if kvs else None
