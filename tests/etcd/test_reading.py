"""Reading: pages at one revision, what belongs to a namespace, and what other tools left there."""

from __future__ import annotations

import threading

import pytest

from confo import ANY, NamespaceExists, NamespaceNotFound, ResyncNeeded, TooLarge, Write
from confo_etcd import connection, reading
from confo_etcd.committing import MAX_OPERATIONS
from confo_etcd.reading import LARGEST_PAGE, PAGE_BYTES, next_limit


def fill(backend, count, size=2):
    """Put so many configurations into "sales"; return the last revision."""
    names = [f"n{number:06d}" for number in range(count)]
    step = max(1, min(MAX_OPERATIONS, 1_000_000 // (size + 100)))
    revision = 0
    for start in range(0, count, step):
        revision = backend.commit([Write("sales", name, b"x" * size, ANY) for name in names[start : start + step]])
    return revision


def pages_of(backend, **options):
    """Read "sales" page by page, below the backend's own loading."""
    marker = backend._layout.marker("sales")
    return reading.pages(backend._session, marker, marker[:-1] + b"0", "load namespace 'sales'", **options)


@pytest.mark.parametrize(
    ("count", "size", "limit"),
    [
        (500, 500 * 100, LARGEST_PAGE),
        (500, 500 * 1024, PAGE_BYTES // 1024),
        (10, 10 * PAGE_BYTES, 1),
        (1, 0, LARGEST_PAGE),
    ],
)
def test_the_size_of_the_next_page(count, size, limit):
    """The next page has as many keys as fill three MiB at the size of the last one's, 1 to 10,000."""
    assert next_limit(count, size) == limit


def test_load_under_writers(server, prefix, backend, opening):
    """A load of 20,000 configurations in many pages is one state: what one commit writes far apart is equal."""
    fill(backend, 20_000)
    writer, done = opening(host="127.0.0.1", port=server.port, prefix=prefix), threading.Event()

    def write():
        writer.commit([Write("sales", name, b"1", ANY) for name in ("n000000", "n019999")])

    def write_on():
        while not done.is_set():
            write()

    write()
    thread = threading.Thread(target=write_on)
    thread.start()
    try:
        loads = [backend.load("sales") for _ in range(5)]
    finally:
        done.set()
        thread.join()
    for snapshot in loads:
        first, last = snapshot.entries["n000000"], snapshot.entries["n019999"]
        assert len(snapshot) == 20_000
        assert first == last
        assert first.revision <= snapshot.revision
    assert loads[0].revision < loads[-1].revision


def test_no_page_is_larger_than_grpc_allows(backend):
    """With documents of one size no page reaches gRPC's default limit of 4 MiB, and there are few of them."""
    fill(backend, 2_000, size=5_000)
    sizes = [sum(len(kv.value) for kv in page.kvs) for page in pages_of(backend)]
    assert sum(sizes) == 2_000 * 5_000
    assert max(sizes) < 4 * 1024 * 1024
    assert len(sizes) <= 5


@pytest.mark.parametrize("whole", [True, False])
def test_pages_that_are_too_large_are_halved(server, prefix, backend, opening, monkeypatch, whole):
    """A page that gRPC refuses is asked for again with half as many keys, until it passes."""
    fill(backend, 100, size=10_000)
    monkeypatch.setattr(connection, "MAX_RECEIVE", 100_000)
    narrow = opening(host="127.0.0.1", port=server.port, prefix=prefix)
    assert sum(len(page.kvs) for page in pages_of(narrow, whole=whole)) == 101  # the marker is one
    assert len(narrow.load("sales")) == 100


def test_one_entry_that_is_too_large(server, prefix, backend, opening, monkeypatch):
    """An entry that is too large by itself is an error and no endless halving."""
    fill(backend, 3, size=10_000)
    monkeypatch.setattr(connection, "MAX_RECEIVE", 5_000)
    narrow = opening(host="127.0.0.1", port=server.port, prefix=prefix)
    with pytest.raises(TooLarge, match="cannot load namespace 'sales'"):
        narrow.load("sales")


def compact(server, revision):
    """Throw away what the store keeps of the time before a revision."""
    server.ctl("compaction", "--physical", str(revision))


def test_compaction_between_pages(server, backend):
    """When the revision is compacted between two pages the reading starts again, and says so."""
    fill(backend, 1_500)
    pages = pages_of(backend)
    first = next(pages)
    compact(server, fill(backend, 1_500))
    rest = list(pages)
    assert [page.restarted for page in rest] == [True, *[False] * (len(rest) - 1)]
    assert {page.revision for page in rest} == {rest[0].revision}
    assert rest[0].revision > first.revision
    assert sum(len(page.kvs) for page in rest) == 1_501


def test_compaction_without_end(backend, monkeypatch):
    """A reading that never comes to an end because of compactions gives up with an error."""

    def compacted(*arguments, **options):
        raise ResyncNeeded("compacted")

    monkeypatch.setattr(backend._session, "call", compacted)
    with pytest.raises(ResyncNeeded):
        list(pages_of(backend))


def test_a_namespace_without_a_marker(server, prefix, backend):
    """A namespace that another tool made by a key in it is there: listed, loaded, written to, not to be created."""
    server.ctl("put", f"{prefix}analytics/database", '{"host": "h"}')
    assert backend.namespaces() == ["analytics", "sales"]
    assert backend.load("analytics").entries["database"].data == b'{"host": "h"}'
    with pytest.raises(NamespaceExists, match="'analytics' exists"):
        backend.create_namespace("analytics")


def test_what_is_not_ours(server, prefix, backend):
    """Deeper keys, keys beside the namespaces and namespaces of other names are nobody's here."""
    server.ctl("put", f"{prefix}sales/database", "{}")
    server.ctl("put", f"{prefix}sales/deep/er", "{}")
    server.ctl("put", f"{prefix}beside", "{}")
    server.ctl("put", f"{prefix}with blanks/database", "{}")
    server.ctl("put", f"{prefix}only/deep/er", "{}")
    assert backend.namespaces() == ["only", "sales"]
    assert list(backend.load("sales").entries) == ["database"]
    assert dict(backend.load("only").entries) == {}
    assert [name for name, _ in backend.scan("sales")] == ["database"]
    assert [name for name, _ in backend.scan("sales", reverse=True, limit=1)] == ["database"]
    backend.delete_namespace("only")
    assert backend.namespaces() == ["sales"]


def test_prefixes_do_not_mix(server, prefix, backend, opening):
    """Two prefixes of one store know nothing of each other, though one lies in the other."""
    inner = opening(host="127.0.0.1", port=server.port, prefix=f"{prefix}inner")
    inner.create_namespace("analytics")
    inner.commit([Write("analytics", "a", b"1", 0)])
    assert backend.load("sales").entries == {}
    assert inner.namespaces() == ["analytics"]


def test_not_found_lists_some(backend):
    """The error for an unknown namespace lists those that exist, twenty at most."""
    for number in range(25):
        backend.create_namespace(f"n{number:02d}")
    with pytest.raises(NamespaceNotFound) as caught:
        backend.load("nowhere")
    shown = ", ".join(f"n{number:02d}" for number in range(20))
    assert str(caught.value).endswith(f"; those that exist: {shown}, ...")


def test_a_long_scan(backend):
    """A scan over more than a page gives exactly what was asked for, in both directions."""
    fill(backend, 1_234)
    names = [f"n{number:06d}" for number in range(1_234)]
    assert [name for name, _ in backend.scan("sales", limit=1_200)] == names[:1_200]
    assert [name for name, _ in backend.scan("sales", limit=5_000, reverse=True)] == names[::-1]
    assert backend.scan("sales", limit=0) == []


def test_large_documents(backend):
    """Documents near etcd's limit are loaded and read together, far beyond what gRPC takes by default."""
    names = [f"n{number}" for number in range(8)]
    for name in names:
        backend.commit([Write("sales", name, name.encode() * 700_000, 0)])
    assert {name: len(entry.data) for name, entry in backend.read("sales", names).items()} == dict.fromkeys(
        names, 1_400_000
    )
    assert backend.load("sales").entries == backend.read("sales", names)
