"""Processes and threads: what a fork, an interpreter's end and many callers do to a backend."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor

from confo import Write

FORK = """
    import json, os, sys, threading
    from confo import ANY, BackendUnavailable, Write
    from confo_etcd import EtcdBackend

    def news(watch):
        return next(batch for batch in watch if batch.entries)

    backend = EtcdBackend.open({"host": "127.0.0.1", "port": int(sys.argv[1]), "prefix": sys.argv[2]})
    revision = backend.commit([Write("sales", "a", b"1", ANY)])
    watch = backend.watch("sales", revision - 1)
    news(watch)
    told = []
    reader = threading.Thread(target=lambda: told.append(news(watch).revision))
    reader.start()
    pid = os.fork()
    if pid == 0:
        try:
            assert backend.load("sales").entries["a"].revision == revision
            try:
                next(watch)
            except BackendUnavailable as error:
                assert "before the fork" in str(error)
            watch.close()  # ours to forget, not to break
            own = backend.watch("sales", revision - 1)
            assert news(own).revision == revision
            backend.close()
            os._exit(0)
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
    assert os.waitpid(pid, 0)[1] == 0
    revision = backend.commit([Write("sales", "a", b"2", ANY)])
    reader.join(10)
    assert told == [revision], told
    backend.close()
    print("well")
"""


def run(code, *arguments):
    """Run code in an interpreter of its own and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_fork(server, prefix, backend):
    """A forked child loads and watches on channels of its own, and the parent's watch goes on."""
    assert run(FORK, str(server.port), prefix) == "well"


def test_an_end_without_closing(server, prefix, backend):
    """A program that ends without closing ends: neither a backend nor a watch keeps it from that."""
    code = """
        import sys
        from confo import ANY, Write
        from confo_etcd import EtcdBackend

        backend = EtcdBackend.open({"host": "127.0.0.1", "port": int(sys.argv[1]), "prefix": sys.argv[2]})
        revision = backend.commit([Write("sales", "a", b"1", ANY)])
        watch = backend.watch("sales", revision - 1)
        print(next(batch for batch in watch if batch.entries).revision == revision)
    """
    assert run(code, str(server.port), prefix) == "True"


def test_many_callers(backend):
    """One backend serves many threads at once."""

    def work(number):
        revision = backend.commit([Write("sales", f"n{number}", b"1", 0)])
        return backend.read("sales", [f"n{number}"])[f"n{number}"].revision == revision

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(100)))
    assert len(backend.load("sales")) == 100


def test_repr(backend, server, prefix):
    """A backend shows where it is connected to and whether it is closed."""
    assert repr(backend) == f"<EtcdBackend at {server.endpoint}, prefix {prefix}>"
    backend.close()
    assert repr(backend) == f"<EtcdBackend at {server.endpoint}, prefix {prefix}, closed>"
