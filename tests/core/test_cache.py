"""The cache files: every damage is found, nobody else can read or plant one, and a killed writer leaves a whole one."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import itertools
import json
import logging
import os
import signal
import stat
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from confo import CacheError, Confo, Entry
from confo.cache import Cache, is_news, prepare
from confo.keeper import Keeper
from confo.kept import Damaged, Kept, decode, encode, pack
from tests.core.outages import SECONDS, Outage
from tests.reliability import cache_flips

HERE = Path(__file__).parent
posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has other ways of permission")

ENTRIES = {"database": Entry(b'{"host": "secret-1"}', 7), "api": Entry(b"not JSON", 5), "empty": Entry(b"", 6)}


def kept(revision=7, identity="cluster", known_at=1000.0, **entries):
    """Return what a file would hold."""
    found = {name: Entry(data, revision) for name, data in entries.items()} or ENTRIES
    return Kept("sales", identity, revision, known_at, pack(found))


@pytest.fixture
def cache(tmp_path):
    """Return the cache of one backend, in a folder of its own."""
    return Cache(prepare(tmp_path / "cache"), "etcd", "store", {"host": "127.0.0.1"})


@pytest.fixture
def file(cache):
    """Return the file of one namespace, which is not there yet."""
    return cache.file("sales")


# --- the format --------------------------------------------------------------------------------------


@given(
    identity=st.text(max_size=20),
    revision=st.integers(0, 2**63 - 1),
    known_at=st.floats(0, 1e12),
    entries=st.dictionaries(
        st.text(st.characters(), max_size=20), st.tuples(st.binary(max_size=50), st.integers(0, 2**63 - 1)), max_size=8
    ),
)
def test_what_is_written_is_read(identity, revision, known_at, entries):
    """Whatever names and bytes a store has: they come back as they were, undecoded."""
    expected = {name: Entry(*entry) for name, entry in entries.items()}
    written = Kept("sales", identity, revision, known_at, pack(expected))
    found = decode(encode(written))
    assert found == written
    assert found.entries() == expected


def test_every_single_bit_counts():
    """Each bit of a file that flips is found, wherever it is: in the first line, the second, a name or a value."""
    data = encode(kept())
    for at in range(len(data)):
        for bit in range(8):
            broken = bytearray(data)
            broken[at] ^= 1 << bit
            with pytest.raises(Damaged):
                decode(bytes(broken))


def test_every_truncation_counts():
    """A file that is shorter or longer than it was written is found, at every length."""
    data = encode(kept())
    for length in range(len(data)):
        with pytest.raises(Damaged):
            decode(data[:length])
    with pytest.raises(Damaged):
        decode(data + b"\0")


def test_control_the_digest_is_what_finds_it(monkeypatch):
    """The control: were the digest not compared, a flipped bit would be a wrong value."""

    class Anything:
        def hexdigest(self):
            return digest

    data = encode(kept())
    digest = data.split()[2].decode()
    broken = data.replace(b"secret-1", b"secret-0")
    monkeypatch.setattr(hashlib, "sha256", lambda body: Anything())
    assert decode(broken).entries()["database"].data == b'{"host": "secret-0"}'


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "does not begin like a cache file"),
        (b"\x80\x04\x95", "does not begin like a cache file"),
        (encode(kept()).replace(b"confo-cache 1", b"confo-cache 2"), "it is of format 2"),
    ],
)
def test_what_is_no_cache_file(data, why):
    """What is not ours, a pickle included, is refused with the reason."""
    with pytest.raises(Damaged, match=why):
        decode(data)


@pytest.mark.parametrize("head", [b"", b"{}\n", b"[]\n", b"nothing\n", b'{"namespace": 1}\n', b"\xff\n"])
def test_a_sound_file_of_something_else(head):
    """Bytes with a right digest and a wrong inside are damage as well, and no stack trace."""
    data = b"confo-cache 1 %s %d\n" % (hashlib.sha256(head).hexdigest().encode(), len(head)) + head
    with pytest.raises(Damaged, match="second line"):
        decode(data)
    with pytest.raises(Damaged, match="do not end where they should"):
        kept()._replace(packed=b"\0\1").entries()


def test_texts_hold_no_value(file, caplog):
    """Neither a repr nor an error nor a log line has anything of a document."""
    file.write(kept())
    file.path.write_bytes(file.path.read_bytes().replace(b"secret-1", b"secret-0"))
    with pytest.raises(CacheError) as caught, caplog.at_level(logging.DEBUG):
        file.read()
    assert "secret" not in repr(kept()) + str(caught.value) + caplog.text


def test_random_damage():
    """Random flips and truncations of files: the older generation or one clear error, never a wrong value."""
    came = cache_flips.main(300, seed=7)
    assert set(came) == {"the older generation", "a clear error"}
    assert came.total() == 300


def test_control_of_random_damage(monkeypatch):
    """The control: were damaged bytes believed, the script would call it wrong."""
    believed = Kept("small", "store", 3, 0.0, b"")
    monkeypatch.setattr("confo.cache.decode", lambda data: believed)
    assert any(what.startswith("WRONG") for what in cache_flips.main(20, seed=7))


# --- generations -------------------------------------------------------------------------------------


def test_two_generations(file, caplog):
    """The newest whole generation is read: a damaged one gives way to the older and says so; then it is an error."""
    assert file.read() is None
    file.write(kept(1))
    file.write(kept(2))
    assert file.read().revision == 2
    file.path.write_bytes(file.path.read_bytes()[:-1])
    assert file.read().revision == 1
    assert "the older generation of a cache file is read" in caplog.text
    file.older.write_bytes(b"")
    with pytest.raises(CacheError, match="nothing that was kept of sales can be used: .*bytes after its first line"):
        file.read()
    file.path.unlink()
    file.older.unlink()
    assert file.read() is None


def test_between_two_renames(file):
    """A writer that was killed after it put the old aside leaves the old."""
    file.write(kept(1))
    file.path.rename(file.older)
    assert file.read().revision == 1


def test_damage_does_not_replace_what_is_whole(file):
    """A damaged generation is written over; it never takes the place of the older whole one."""
    file.write(kept(1))
    file.write(kept(2))
    file.path.write_bytes(b"damage")
    file.write(kept(3))
    assert file.read().revision == 3
    file.path.unlink()
    assert file.read().revision == 1


@pytest.mark.parametrize(
    ("there", "new", "news"),
    [
        (kept(5), kept(6), True),
        (kept(6), kept(5), False),
        (kept(5), kept(5), False),
        (kept(5, known_at=1000.0), kept(5, known_at=1100.0), True),
        (kept(5, known_at=1100.0), kept(5, known_at=1000.0), False),
        (kept(6, known_at=1000.0), kept(5, known_at=1100.0), False),
        (kept(6, "other"), kept(5), True),
    ],
)
def test_what_is_news(there, new, news):
    """A later revision of the same store is, or a later time of the same; any state of another store is."""
    assert is_news(there, new) is news


def test_what_another_process_wrote_later_stays(file):
    """An older state of the same store does not replace a newer one, unless the store was set back."""
    file.write(kept(6))
    assert file.write(kept(5)) is False
    assert file.read().revision == 6
    assert file.write(kept(5), replaces=True) is True
    assert file.read().revision == 5
    assert not file.older.exists()


@posix
def test_one_writer_at_a_time(file, cache):
    """While one process writes another does not, and does not wait either."""
    from confo.cache import _locked

    with _locked(file._lock), pytest.raises(BlockingIOError):
        cache.file("sales").write(kept())
    assert cache.file("sales").write(kept()) is True


def test_forgetting(file):
    """What was kept of a deleted namespace goes, both generations; twice is once."""
    file.write(kept(1))
    file.write(kept(2))
    file.remove()
    file.remove()
    assert file.read() is None


# --- who may -----------------------------------------------------------------------------------------


@posix
def test_for_this_user_only(file):
    """Files are 0600 in a folder that is 0700, whatever the umask."""
    before = os.umask(0)
    try:
        file.write(kept(1))
        file.write(kept(2))
        made = prepare(file.path.parent / "deeper" / "cache")
    finally:
        os.umask(before)
    assert {stat.S_IMODE(path.stat().st_mode) for path in file.path.parent.glob("*sales*")} == {0o600}
    assert stat.S_IMODE(file.path.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(made.stat().st_mode) == 0o700


@posix
@pytest.mark.parametrize("how", ["link", "open", "theirs", "pipe", "folder"])
def test_what_others_may_have_planted(file, tmp_path, how):
    """A file that is a link, open to others, somebody else's or no file at all is not read."""
    file.write(kept())
    if how == "link":
        file.path.rename(tmp_path / "elsewhere")
        file.path.symlink_to(tmp_path / "elsewhere")
        why = "symbolic link"
    elif how == "open":
        file.path.chmod(0o640)
        why = "others may read or write it"
    elif how == "theirs":
        if os.geteuid() != 0:
            pytest.skip("only root can give a file to somebody else")
        os.chown(file.path, 12345, -1)
        why = "another user"
    else:
        file.path.unlink()
        file.path.mkdir(mode=0o700) if how == "folder" else os.mkfifo(file.path, 0o600)
        why = "no regular file|[Dd]irectory"
    with pytest.raises(CacheError, match=why):
        file.read()


@posix
def test_writing_follows_no_link(file, tmp_path):
    """A link in the place of a file is replaced, and what it points at is left alone."""
    target = tmp_path / "precious"
    target.write_bytes(b"precious")
    for path in (file.path, file._fresh):
        path.symlink_to(target)
    file.write(kept())
    assert target.read_bytes() == b"precious"
    assert file.read() == kept()
    file._lock.unlink()
    file._lock.symlink_to(target)
    with pytest.raises(OSError, match=os.strerror(errno.ELOOP)):
        file.write(kept(8))


@posix
@pytest.mark.parametrize("how", ["wide", "link", "file", "theirs", "beneath a file"])
def test_a_folder_that_will_not_do(tmp_path, how):
    """A folder that others can look into, that is a link or no folder, is refused when the backend is loaded."""
    folder = tmp_path / "cache"
    if how == "wide":
        folder.mkdir()
        folder.chmod(0o755)
    elif how == "link":
        (tmp_path / "real").mkdir(mode=0o700)
        folder.symlink_to(tmp_path / "real")
    elif how == "theirs":
        if os.geteuid() != 0:
            pytest.skip("only root can give a folder to somebody else")
        folder.mkdir(mode=0o700)
        os.chown(folder, 12345, -1)
    elif how == "file":
        folder.write_bytes(b"")
    else:
        folder.write_bytes(b"")
        folder = folder / "inside"
    config = Confo(uuid.uuid4().hex)
    with pytest.raises(CacheError, match="the cache folder"):
        config.load_backend({}, "store", "memory", cache=folder)
    assert config.get_backends()["all_backends"] == []


# --- where -------------------------------------------------------------------------------------------


def test_names_of_files(tmp_path):
    """A file belongs to a kind, a name and a store: another of each has another; a new password has the same."""

    def name(kind="etcd", backend="store", namespace="sales", **credentials):
        return Cache(tmp_path, kind, backend, {"host": "a", **credentials}).file(namespace).path.name

    names = [name(), name("zookeeper"), name(backend="b"), name(namespace="Sales"), name(host="b"), name(user="me")]
    assert len({each.lower() for each in names}) == len(names)
    same = [name(password="x"), name(password="y"), name(api_token="z"), name(timeout=3), name(cert_key="/k")]
    assert set(same) == {name()}
    assert name(path=tmp_path) == name(path=tmp_path) != name(path=tmp_path / "b")
    assert name(odd=object()) == name(odd=object())


def test_the_platforms_folder(monkeypatch, tmp_path):
    """Without a folder it is the platform's for this user, made when it is needed."""
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert prepare(None) == tmp_path / "xdg" / "confo"
    monkeypatch.setenv("XDG_CACHE_HOME", "not/absolute")  # to be ignored, says the specification
    assert prepare(None) == tmp_path / ".cache" / "confo"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert prepare(None) == tmp_path / "Library" / "Caches" / "confo"

    def homeless():
        raise RuntimeError("no home")

    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(CacheError, match="no home folder"):
        prepare(None)


# --- keeping -----------------------------------------------------------------------------------------


@pytest.fixture
def outage():
    """Return a store with one configuration in its namespace "sales"."""
    outage = Outage()
    outage.put(database=b'{"host": "secret-1"}', odd=b"not JSON")
    return outage


@pytest.fixture
def config(outage, tmp_path):
    """Return a program that keeps what it knows."""
    with Confo(uuid.uuid4().hex) as config:
        config.load_backend({"store": outage.name}, "store", "memory", cache=tmp_path / "cache")
        config.activate_backend("store")
        yield config


def file_of(config):
    """Return the file of its namespace."""
    return config._loaded["store"]._keeper.cache.file("sales")


def wait_until(condition):
    """Wait until something holds of files, which nobody tells of."""
    deadline, tick = time.monotonic() + SECONDS, threading.Event()
    while not condition():
        assert time.monotonic() < deadline
        tick.wait(0.01)


def test_kept_as_stored(config, outage):
    """Each followed namespace is kept with the store's identity and revision, its documents as they are stored."""
    revision = config.namespace("sales").snapshot().revision
    wait_until(lambda: file_of(config).read() is not None)
    found = file_of(config).read()
    assert (found.identity, found.revision) == (outage.tool.identity, revision)
    stored = outage.tool.load("sales").entries
    assert found.entries() == {name: entry for name, entry in stored.items() if name != "odd"}, "what cannot be read"
    assert abs(found.known_at - time.time()) < 60


def test_kept_on_close(config, outage):
    """What came within the last second is written when the backend is closed."""
    sales = config.namespace("sales")
    wait_until(lambda: file_of(config).read() is not None)
    file = file_of(config)
    assert sales.wait_for(revision := outage.put(database=b'{"host": "last"}'))
    config.close()
    assert file.read().revision == revision
    assert file.read().entries()["database"].data == b'{"host": "last"}'


def test_at_most_every_second(config, outage, monkeypatch):
    """However fast changes come, they are written once a second."""
    from confo import keeper

    written = []

    def noted(entries):
        written.append(time.monotonic())
        return pack(entries)

    monkeypatch.setattr(keeper, "pack", noted)
    sales = config.namespace("sales")
    until = time.monotonic() + 1.2
    while time.monotonic() < until:
        revision = outage.put(database=b'{"n": %d}' % time.monotonic_ns())
    assert sales.wait_for(revision, SECONDS)
    wait_until(lambda: file_of(config).read().revision == revision)
    assert [later - earlier for earlier, later in itertools.pairwise(written) if later - earlier < 1] == []
    assert 2 <= len(written) <= 4


def test_nothing_new_is_not_written_again(config, outage, monkeypatch):
    """Commits to other namespaces, and commits that a namespace has already, write nothing."""
    config.namespace("sales")
    wait_until(lambda: file_of(config).read() is not None)
    before = file_of(config).path.stat()
    keeper = config._loaded["store"]._keeper
    keeper._write_all(300.0)
    assert file_of(config).path.stat() == before


def test_the_history_is_not_kept(config, tmp_path):
    """Records of commits are in no cache file: they hold the values of before."""
    sales = config.namespace("sales")
    sales.set("database", "host", "secret-2")
    sales.persist(message="m")
    sales.history()
    config.close()
    files = list((tmp_path / "cache").glob("*.cache"))
    assert [path.name.partition("-")[0] for path in files] == ["sales"]


def test_a_deleted_namespace_is_forgotten(config):
    """delete_namespace() takes the files along."""
    config.namespace("sales")
    wait_until(lambda: file_of(config).read() is not None)
    file = file_of(config)
    config.delete_namespace("sales")
    assert file.read() is None
    config.create_namespace("sales")
    config.namespace("sales")
    wait_until(lambda: file.read() is not None)
    assert file.read().entries() == {}


def test_a_full_disk(config, outage, caplog, monkeypatch):
    """What cannot be written is said once and hurts nobody; when it can be written again, it is."""
    from confo import cache

    real = cache._write

    def full(path, data):
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(cache, "_write", full)
    sales = config.namespace("sales")
    wait_until(lambda: "cannot be kept" in caplog.text)
    keeper = config._loaded["store"]._keeper
    keeper._write_all(300.0)
    assert caplog.text.count(f"sales cannot be kept in {keeper.cache.folder}: {os.strerror(errno.ENOSPC)}") == 1
    assert sales["database"] == {"host": "secret-1"}
    monkeypatch.setattr(cache, "_write", real)
    keeper._write_all(300.0)
    assert file_of(config).read().entries()["database"].data == b'{"host": "secret-1"}'


@posix
def test_closing_while_another_process_writes(config, outage):
    """close() tries again when another process is in the middle of writing, for half a second."""
    from confo.cache import _locked

    sales = config.namespace("sales")
    wait_until(lambda: file_of(config).read() is not None)
    file = file_of(config)
    with contextlib.ExitStack() as held:
        held.enter_context(_locked(file._lock))
        assert sales.wait_for(revision := outage.put(database=b'{"host": "last"}'))
        threading.Timer(0.1, held.pop_all().close).start()
        config.close()
    assert file.read().revision == revision


def test_what_came_from_a_file_does_not_go_back(cache, outage):
    """A copy that never saw the store is not written: it would make an old state look newer."""
    from confo.first import First
    from confo.replica import Replica

    cache.file("sales").write(kept(known_at=1000.0))
    snapshot = outage.tool.load("sales")
    old = type(snapshot)("sales", 7, ENTRIES, source="cache")
    replica = Replica(outage.tool, "sales", follow=False, first=First(old, "cluster"))
    keeper = Keeper(cache)
    keeper.add(replica)
    keeper.stop()
    keeper.join(time.monotonic() + SECONDS)
    assert cache.file("sales").read().known_at == 1000.0


# --- processes ---------------------------------------------------------------------------------------


def writer(file, how, step):
    """Start a process that writes the file, to be killed at this step of its writing (0: never)."""
    command = [sys.executable, str(HERE / "cache_writer.py"), how, str(file.path.parent), str(step)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, cwd=HERE.parent.parent)


def is_whole(one):
    """Tell whether all of it is of one revision."""
    values = {json.loads(entry.data)["n"] for entry in one.entries().values()}
    return len(one.entries()) == 5000 and values == {entry.revision for entry in one.entries().values()} == {
        one.revision
    }


@pytest.fixture
def written(tmp_path):
    """Return the file that the writing processes write."""
    return Cache(prepare(tmp_path / "cache"), "test", "store", {}).file("sales")


@pytest.mark.slow
def test_a_writer_that_is_killed_at_each_step(written):
    """At whatever step of its writing a writer is killed, it leaves a whole state: that before or that after."""
    for step in range(1, 20):
        with writer(written, "as we do", step) as process:
            process.communicate(timeout=SECONDS)
        found = written.read()
        assert is_whole(found)
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL
    assert step > 5


@pytest.mark.slow
def test_control_a_writer_in_place(written):
    """The control: one that writes in place leaves half of it, and is found out."""
    with writer(written, "in place", 3) as process:
        process.communicate(timeout=SECONDS)
    assert process.returncode == -signal.SIGKILL
    with pytest.raises(Damaged, match="bytes after its first line"):
        decode(written.path.read_bytes())


@pytest.mark.slow
def test_a_writer_that_is_killed_at_any_moment(written):
    """Neither does it matter at which moment between its steps it is killed."""
    for number in range(8):
        with writer(written, "as we do", 0) as process:
            assert process.stdout.readline() == b"writing\n"
            threading.Event().wait(0.003 * number)  # any moment will do: it writes without a pause
            process.kill()
        assert is_whole(written.read())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_keeps_too(tmp_path):
    """A forked child goes on keeping what it follows, and neither holds up nor spoils its parent's files."""
    command = [sys.executable, "-W", "ignore::DeprecationWarning", str(HERE / "cache_forked.py"), str(tmp_path / "c")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False, cwd=HERE.parent.parent)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"child": "child", "parent": "parent", "status": 0, "threads": []}
