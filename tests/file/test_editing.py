"""What people do to the files while programs have them: nothing of theirs is lost, nothing half-done is taken."""

from __future__ import annotations

import os
import stat
import threading

import pytest

from confo import ANY, BackendFailure, Conflict, Entry, InvalidName, PermissionDenied, Write
from confo_file import journal


def test_the_layout_of_2021(root, opening):
    """A folder of 2021 opens as it is, names with dots included, and stays in that layout."""
    (root / "sales").mkdir()
    (root / "sales/database.json").write_text('{"host": "127.0.0.1"}')
    (root / "sales/a.b.json").write_text("{}")
    (root / "sales/notes.txt").write_text("mine")
    backend = opening()
    assert backend.namespaces() == ["sales"]
    entries = backend.load("sales").entries
    assert {name: entry.data for name, entry in entries.items()} == {"database": b'{"host": "127.0.0.1"}', "a.b": b"{}"}
    backend.commit([Write("sales", "database", b"{}", entries["database"].revision)])
    assert sorted(path.name for path in (root / "sales").iterdir()) == ["a.b.json", "database.json", "notes.txt"]


def test_edits_of_one_size_in_one_tick(root, backend):
    """An edit in place of as many bytes, at once after a commit, is another state, and a guard sees it."""
    path = root / "sales/a.json"
    for number in range(20):
        revision = backend.commit([Write("sales", "a", b'{"n":%02d}' % number, ANY)])
        path.write_bytes(b'{"m":%02d}' % number)
        with pytest.raises(Conflict):
            backend.commit([Write("sales", "a", b"{}", revision)])
    path.write_bytes(b'{"m":98}')
    first = backend.read("sales", ["a"])["a"]
    path.write_bytes(b'{"m":99}')
    assert backend.read("sales", ["a"])["a"].data == b'{"m":99}'
    with pytest.raises(Conflict):
        backend.commit([Write("sales", "a", b"{}", first.revision)])


def test_all_processes_agree(root, backend, opening):
    """An edit gets one revision, whoever notices it first, and keeps it for who opens the folder later."""
    (root / "sales/a.json").write_text("{}")
    first = backend.load("sales")
    assert opening().load("sales").entries == first.entries
    assert opening().read("sales", ["a"]) == {"a": Entry(b"{}", first.revision)}


def test_a_half_written_file_is_waited_out(root, backend):
    """A load in the middle of an editor's truncate and write gives the document that comes of it."""
    path = root / "sales/a.json"
    path.write_text('{"n": 1}')
    backend.load("sales")
    with path.open("w") as file:
        file.write('{"n": ')
        file.flush()
        later = threading.Timer(0.2, lambda: (file.write("2}"), file.flush()))
        later.start()
        assert backend.load("sales").entries["a"].data == b'{"n": 2}'
        later.join()


def test_a_file_that_is_renamed_away_for_a_moment(root, backend):
    """A load while an editor has renamed the old file away, and not yet written the new one, gives the new one."""
    backend.commit([Write("sales", "a", b'{"n": 1}', 0)])
    path = root / "sales/a.json"
    path.rename(root / "sales/a.json~")
    later = threading.Timer(0.03, lambda: path.write_text('{"n": 2}'))
    later.start()
    assert backend.load("sales").entries["a"].data == b'{"n": 2}'
    later.join()


def test_what_stays_unreadable(root, backend):
    """What is no document after a while is handed over as it is, and other configurations with it."""
    backend.commit([Write("sales", "a", b"{}", 0)])
    (root / "sales/bad.json").write_text('{"n": ')
    entries = backend.load("sales").entries
    assert (entries["bad"].data, entries["a"].data) == (b'{"n": ', b"{}")
    backend.commit([Write("sales", "a", b'{"n": 1}', entries["a"].revision)])
    assert (root / "sales/bad.json").read_text() == '{"n": '


def test_two_files_of_one_name(root, backend):
    """Two files of one configuration are an error that names both, for who reads and for who writes."""
    backend.commit([Write("sales", "a", b"{}", 0)])
    (root / "sales/a.yaml").write_text("x: 1")
    for call in (
        lambda: backend.load("sales"),
        lambda: backend.read("sales", ["a"]),
        lambda: backend.commit([Write("sales", "a", b"{}", ANY)]),
    ):
        with pytest.raises(BackendFailure, match=r"a\.json and sales/a\.yaml"):
            call()
    (root / "sales/a.json").unlink()
    assert backend.read("sales", ["a"])["a"].data == b'{"x":1}'


def test_names_that_differ_in_case(backend):
    """A name that differs from another in case only is refused, also within one commit, and for namespaces."""
    backend.commit([Write("sales", "database", b"{}", 0)])
    with pytest.raises(InvalidName, match="Database.*database"):
        backend.commit([Write("sales", "Database", b"{}", 0)])
    with pytest.raises(InvalidName, match="case"):
        backend.commit([Write("sales", "x", b"{}", 0), Write("sales", "X", b"{}", 0)])
    with pytest.raises(InvalidName, match="case"):
        backend.create_namespace("Sales")
    assert set(backend.load("sales").entries) == {"database"}


@pytest.mark.parametrize("what", ["link", "dangling", "folder", "pipe"])
def test_what_is_no_file(root, backend, tmp_path, what):
    """A link, a folder or a pipe in place of a file is not followed, read, waited for or replaced."""
    secret = tmp_path / "secret.json"
    secret.write_text('{"password": "hunter2"}')
    path = root / "sales/a.json"
    {
        "link": lambda: path.symlink_to(secret),
        "dangling": lambda: path.symlink_to("nowhere"),
        "folder": path.mkdir,
        "pipe": lambda: os.mkfifo(path),
    }[what]()
    assert backend.load("sales").entries["a"].data == b""
    before = path.lstat()
    with pytest.raises(BackendFailure, match=r"sales/a\.json is no regular file"):
        backend.commit([Write("sales", "a", b"{}", ANY)])
    assert path.lstat() == before
    assert secret.read_text() == '{"password": "hunter2"}'


def test_a_namespace_that_is_a_link(root, backend, tmp_path):
    """A link in place of a namespace's folder could lead anywhere: it is none."""
    (tmp_path / "elsewhere").mkdir()
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    assert backend.namespaces() == ["sales"]
    for call in (
        lambda: backend.load("linked"),
        lambda: backend.commit([Write("linked", "a", b"{}", 0)]),
    ):
        with pytest.raises(PermissionDenied, match="linked"):
            call()
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_modes_are_kept(root, backend):
    """A file keeps its mode, whatever the umask; new ones are for their owner alone."""
    umask = os.umask(0o077)
    try:
        backend.commit([Write("sales", "a", b"{}", 0)])
        path = root / "sales/a.json"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        path.chmod(0o664)
        backend.commit([Write("sales", "a", b'{"n": 1}', ANY)])
        assert stat.S_IMODE(path.stat().st_mode) == 0o664
        assert stat.S_IMODE((root / "sales").stat().st_mode) == 0o700
        (root / "sales").chmod(0o750)
        backend.commit([Write("sales", "b", b"{}", 0)])
        assert stat.S_IMODE((root / "sales").stat().st_mode) == 0o750
    finally:
        os.umask(umask)


def test_a_namespace_with_other_files(root, backend):
    """A namespace in which somebody keeps other files is not deleted with them."""
    backend.commit([Write("sales", "a", b"{}", 0)])
    (root / "sales/notes.txt").write_text("mine")
    with pytest.raises(BackendFailure, match=r"notes\.txt"):
        backend.delete_namespace("sales")
    assert set(backend.load("sales").entries) == {"a"}


def test_who_saves_while_a_commit_is_under_way(root, backend, monkeypatch):
    """An edit between the look at the guards and the renaming stays: it is as if it had come just after."""
    revision = backend.commit([Write("sales", "a", b'{"n": 1}', 0), Write("sales", "b", b"{}", 0)])
    decide = journal.decide

    def edited_first(*arguments, **options):
        decide(*arguments, **options)
        (root / "sales/a.json").write_text('{"theirs": 1}')

    monkeypatch.setattr(journal, "decide", edited_first)
    mine = backend.commit([Write("sales", name, b'{"n": 2}', revision) for name in "ab"])
    monkeypatch.undo()
    entries = backend.load("sales").entries
    assert entries["b"] == Entry(b'{"n": 2}', mine)
    assert entries["a"].data == b'{"theirs": 1}'
    assert entries["a"].revision > mine


def test_the_state_is_lost(root, backend):
    """A folder whose ``.confo`` was deleted is read anew, and takes commits."""
    backend.commit([Write("sales", "a", b"{}", 0)])
    for path in sorted((root / ".confo").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (root / ".confo").rmdir()
    entry = backend.load("sales").entries["a"]
    assert entry.data == b"{}"
    assert backend.commit([Write("sales", "a", b'{"n": 1}', entry.revision)]) > entry.revision
