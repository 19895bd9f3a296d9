"""Opening: credentials, URLs, folders that are not there, folders that may only be read."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import confo
from confo import ANY, BackendUnavailable, CredentialsError, PermissionDenied, Write
from confo_file import FileBackend
from confo_testkit.contract.processes import run_in_fork

NOBODY = 65534


def test_a_folder_that_is_not_there(tmp_path):
    """A folder that is not there is refused, and made for its owner alone if that is wanted."""
    path = tmp_path / "a/b"
    with pytest.raises(CredentialsError, match="a/b"):
        FileBackend.open({"config_path": path})
    FileBackend.open({"config_path": path, "create": True}).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    FileBackend.open({"config_path": str(path)}).close()


@pytest.mark.parametrize(
    "credentials",
    [{}, {"config_path": ""}, {"config_path": 7}, {"config_path": "a\0b"}, {"config_path": ".", "create": 1}],
    ids=str,
)
def test_wrong_credentials(credentials):
    """A credential that cannot be right is refused."""
    with pytest.raises(CredentialsError):
        FileBackend.open(credentials)


def test_a_file_in_place_of_the_folder(tmp_path):
    """What is no folder is refused."""
    (tmp_path / "file").write_text("")
    with pytest.raises(CredentialsError):
        FileBackend.open({"config_path": tmp_path / "file"})
    with pytest.raises(confo.ConfoError):
        FileBackend.open({"config_path": tmp_path / "file", "create": True})


def test_urls(root, backend):
    """``file://`` and an absolute path name the folder, the last part the namespace; a host has no meaning."""
    with confo.open(f"file://{root}/sales?durable=false") as config:
        config.set("database", "host", "::1")
        config.persist()
    assert backend.read("sales", ["database"])["database"].data == b'{\n  "host": "::1"\n}\n'
    for url in ("file://host/folder/sales", "file:///sales"):
        with pytest.raises(CredentialsError, match="file:///"):
            confo.open(url)


def test_durable_is_declared(opening):
    """A backend that does not wait for the disk says so."""
    assert opening().capabilities.durable
    assert not opening(durable=False).capabilities.durable


def test_a_folder_that_was_moved_away(root, backend):
    """While the folder is not there every call says so; when it is back, all goes on, watches included."""
    revision = backend.commit([Write("sales", "a", b"{}", 0)])
    watch = backend.watch("sales", revision)
    next(watch)
    away = root.rename(root.with_name("away"))
    with pytest.raises(BackendUnavailable, match="ENOENT"):
        backend.load("sales")
    with pytest.raises(BackendUnavailable):
        next(watch)
    away.rename(root)
    later = backend.commit([Write("sales", "a", b"1", ANY)])
    assert next(batch for batch in watch if batch.entries).revision == later


@pytest.fixture
def shared():
    """Return a folder whose parents everybody may enter."""
    place = Path(tempfile.mkdtemp(prefix="confo-file-"))
    place.chmod(0o755)
    yield place
    for path in [place, *place.rglob("*")]:
        path.chmod(0o755)
    shutil.rmtree(place)


def as_reader(shared, work):
    """Do this work as somebody who may read the folder and not write to it."""

    def child():
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        work()

    for path in [shared, *shared.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    run_in_fork(child, 10.0)
    for path in [shared, *shared.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)


@pytest.mark.parametrize("was_opened", [True, False], ids=["with .confo", "without"])
def test_who_may_only_read(shared, was_opened):
    """Who may only read loads and reads, hand-made edits included, and is told that he may not write."""
    (shared / "sales").mkdir()
    if was_opened:
        with_writer(shared, lambda backend: backend.commit([Write("sales", "a", b'{"n":1}', 0)]))
    (shared / "sales/b.json").write_text("{}")

    def read():
        backend = FileBackend.open({"config_path": shared})
        first, second = backend.load("sales"), backend.load("sales")
        assert first.entries == second.entries
        assert set(first.entries) == ({"a", "b"} if was_opened else {"b"})
        assert first.revision == second.revision
        assert not backend.capabilities.writable
        with pytest.raises(PermissionDenied, match=str(shared)):
            backend.commit([Write("sales", "a", b"{}", ANY)])
        backend.close()

    as_reader(shared, read)


def test_who_may_not_read(shared):
    """A folder of another user is refused in one line: its path, this user's id, and what is needed."""

    def read():
        with pytest.raises(PermissionDenied) as said:
            FileBackend.open({"config_path": shared})
        assert str(shared) in str(said.value)
        assert f"user id {os.geteuid()}" in str(said.value)
        assert "r and x" in str(said.value)
        assert "\n" not in str(said.value)

    def child():
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        read()

    shared.chmod(0o000)
    run_in_fork(child, 10.0)


READ_ONLY = """
import sys
from confo import PermissionDenied, connect
with connect("file://" + sys.argv[1] + "/sales") as sales:
    assert sales.get("a", "n") == 1
    try:
        sales.set("a", "n", 2)
        sales.persist()
    except PermissionDenied as error:
        assert sys.argv[1] in str(error) and "read-only" in str(error).lower(), error
    else:
        raise AssertionError("a read-only mount took a commit")
    assert sales.get_all() == {"a": {"n": 2}}
from confo_file import FileBackend
backend = FileBackend.open({"config_path": sys.argv[1]})
assert not backend.capabilities.writable
backend.close()
"""


@pytest.mark.parametrize("was_opened", [True, False], ids=["with .confo", "without"])
@pytest.mark.skipif(
    subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True).returncode != 0
    if shutil.which("unshare")
    else True,
    reason="this user cannot make mounts",
)
def test_a_read_only_mount(root, was_opened):
    """A folder that is mounted read-only is read, says that it takes nothing, and a commit names the folder."""
    (root / "sales").mkdir()
    (root / "sales/a.json").write_text('{"n": 1}')
    if was_opened:
        with_writer(root, lambda backend: backend.load("sales"))
    mount = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'
    command = ["unshare", "-m", "sh", "-c", mount, str(root), sys.executable, "-c", READ_ONLY, str(root)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    assert FileBackend.open({"config_path": root}).capabilities.writable


def test_who_may_only_read_follows(shared):
    """Who may only read is told what others commit, and what they edit."""
    (shared / "sales").mkdir()
    with_writer(shared, lambda backend: backend.commit([Write("sales", "a", b'{"n":1}', 0)]))
    reader, writer = os.pipe(), os.pipe()

    def follow():
        backend = FileBackend.open({"config_path": shared})
        watch = backend.watch("sales", backend.load("sales").revision)
        next(watch)
        for name in ("edited", "committed", "again"):
            os.write(reader[1], b"r")
            batch = next(batch for batch in watch if batch.entries)
            assert name in batch.entries, batch
            os.read(writer[0], 1)
        backend.close()

    pid = os.fork()
    if pid == 0:
        os.read(reader[0], 1)
        (shared / "sales/edited.json").write_text("{}")
        os.write(writer[1], b"w")
        os.read(reader[0], 1)
        with_writer(shared, lambda backend: backend.commit([Write("sales", "committed", b"{}", 0)]))
        os.write(writer[1], b"w")
        os.read(reader[0], 1)
        (shared / "sales/again.json").write_text("{}")
        os.write(writer[1], b"w")
        os._exit(0)
    try:
        if os.geteuid() == 0:
            as_reader_without_modes(follow)
        else:
            pytest.skip("one user cannot be two: this needs root")
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        for fd in (*reader, *writer):
            os.close(fd)


def as_reader_without_modes(work):
    """Do this work as nobody."""

    def child():
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        work()

    run_in_fork(child, 20.0)


def with_writer(root, work):
    """Do this work with a backend whose files everybody may read."""
    backend = FileBackend.open({"config_path": root})
    try:
        work(backend)
    finally:
        backend.close()
    for path in (root / "sales").glob("*"):
        path.chmod(0o644)


def test_what_is_no_regular_file(root, opening, caplog):
    """Pipes, sockets, folders, and links that lead round, out or nowhere cost themselves: no wait, one line each."""
    (root / "sales").mkdir()
    place = root / "sales"
    (place / "good.json").write_text('{"n": 1}')
    os.mkfifo(place / "pipe.json")
    (place / "folder.json").mkdir()
    for name, target in {"loop": "loop", "to": "fro", "fro": "to", "out": "../../x", "gone": "nowhere"}.items():
        (place / f"{name}.json").symlink_to(f"{target}.json")
    root.with_name("x.json").write_text('{"n": 2}')
    odd = {"pipe", "folder", "loop", "to", "fro", "out", "gone"}
    with confo.connect(f"file://{root}/sales") as sales:
        assert sales.get_all() == {"good": {"n": 1}}
        unreadable = sales.status().unreadable
        assert set(unreadable) == odd
        assert all(f"{place}/{name}.json" in why.reason for name, why in unreadable.items())
        assert "follow_links" in unreadable["out"].reason
        with sales.edit() as draft:
            draft["good"]["n"] = 2
        sales.reload()
    told = [record.message for record in caplog.records if "cannot be read" in record.message]
    assert len(told) == len(odd), told
    assert opening(follow_links=True).read("sales", ["out"])["out"].data == b'{"n": 2}'


def test_a_huge_file_is_not_read(root, monkeypatch):
    """A file that no document can be as large as is named with its size, not read, and takes nothing else away."""
    read = os.read
    largest = []

    def counting(fd, size):
        largest.append(size)
        return read(fd, size)

    monkeypatch.setattr(os, "read", counting)
    (root / "sales").mkdir()
    (root / "sales/good.json").write_text('{"x": 1}')
    with (root / "sales/huge.json").open("wb") as file:
        file.truncate(300_000_000)
    with confo.connect(f"file://{root}/sales") as sales:
        assert sales.get_all() == {"good": {"x": 1}}
        reason = "its 300,000,000 bytes are more than a document may have: 1,048,576 as JSON"
        assert reason in sales.status().unreadable["huge"].reason
        sales.set("huge", {"x": 2})
        sales.persist()
        assert sales["huge"] == {"x": 2}
    assert max(largest) < 20_000_000
