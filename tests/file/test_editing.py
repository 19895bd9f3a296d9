"""What people do to the files while programs have them: nothing of theirs is lost, nothing half-done is taken."""

from __future__ import annotations

import json
import os
import socket
import stat
import threading
import uuid

import pytest

import confo
from confo import ANY, BackendFailure, Conflict, Confo, Entry, InvalidName, PermissionDenied, Write
from confo_file import FileBackend, journal


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
    """Two files of one configuration trouble that configuration alone, until one of them is gone."""
    backend.commit([Write("sales", "a", b"{}", 0), Write("sales", "b", b'{"n":1}', 0)])
    before = backend.load("sales").entries["a"].revision
    (root / "sales/a.yaml").write_text("x: 1")
    entries = backend.load("sales").entries
    assert entries["b"].problem == ""
    assert "a.json and a.yaml are files of one configuration: remove or rename one" in entries["a"].problem
    assert entries["a"].revision > before
    assert backend.read("sales", ["a", "b"]) == entries
    with pytest.raises(BackendFailure, match=r"a\.json and a\.yaml"):
        backend.commit([Write("sales", "a", b"{}", ANY)])
    assert backend.commit([Write("sales", "b", b'{"n":2}', ANY)])
    (root / "sales/a.json").unlink()
    assert backend.read("sales", ["a"])["a"].data == b'{"x":1}'
    (root / "sales/B.json").write_text("{}")
    entries = backend.load("sales").entries
    assert "differ in upper and lower case only" in entries["b"].problem
    assert backend.read("sales", ["b"]) == {"b": entries["b"]}
    assert backend.read("sales", ["b"])["b"].problem == entries["b"].problem


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


@pytest.mark.parametrize(
    ("what", "says", "error"),
    [
        ("link", "leads out of", PermissionDenied),
        ("dangling", "leads nowhere", PermissionDenied),
        ("loop", "symbolic links", PermissionDenied),
        ("folder", "no regular file", BackendFailure),
        ("pipe", "no regular file", BackendFailure),
        ("socket", "no regular file", BackendFailure),
    ],
)
def test_what_is_no_file(root, backend, tmp_path, monkeypatch, what, says, error):
    """A link that leads out, a folder, a pipe or a socket in place of a file is not read, waited for or replaced."""
    secret = tmp_path / "secret.json"
    secret.write_text('{"password": "hunter2"}')
    path = root / "sales/a.json"
    monkeypatch.chdir(root / "sales")  # a socket's path is short
    with socket.socket(socket.AF_UNIX) as listening:
        {
            "link": lambda: path.symlink_to(secret),
            "dangling": lambda: path.symlink_to("nowhere"),
            "loop": lambda: path.symlink_to("a.json"),
            "folder": path.mkdir,
            "pipe": lambda: os.mkfifo(path),
            "socket": lambda: listening.bind("a.json"),
        }[what]()
        entry = backend.load("sales").entries["a"]
        assert entry.data == b""
        assert says in entry.problem
        assert str(path) in entry.problem
        before = path.lstat()
        with pytest.raises(error, match=r"sales/a\.json is"):
            backend.commit([Write("sales", "a", b"{}", ANY)])
        assert path.lstat() == before
        assert secret.read_text() == '{"password": "hunter2"}'


def test_links_that_lead_out_are_followed_when_asked(root, tmp_path):
    """With follow_links=True a link may lead out of the folder; it is read, and never written through."""
    (root / "sales").mkdir()
    (tmp_path / "elsewhere.json").write_text('{"n": 1}')
    (root / "sales/a.json").symlink_to(tmp_path / "elsewhere.json")
    backend = FileBackend.open({"config_path": root, "follow_links": True})
    try:
        assert backend.load("sales").entries["a"].data == b'{"n": 1}'
        with pytest.raises(PermissionDenied, match="is a symbolic link"):
            backend.commit([Write("sales", "a", b"{}", ANY)])
    finally:
        backend.close()


def test_a_namespace_that_is_a_link(root, backend, tmp_path):
    """A namespace may be a link to a folder below the root; one that leads out is none."""
    (tmp_path / "elsewhere").mkdir()
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    (root / ".real").mkdir()
    (root / ".real/a.json").write_text('{"n": 1}')
    (root / "inside").symlink_to(".real")
    assert backend.namespaces() == ["inside", "sales"]
    assert backend.load("inside").entries["a"].data == b'{"n": 1}'
    for call in (
        lambda: backend.load("linked"),
        lambda: backend.commit([Write("linked", "a", b"{}", 0)]),
    ):
        with pytest.raises(PermissionDenied, match="linked is no folder, or a symbolic link that leads out"):
            call()
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.parametrize("kind", ["json", "yaml"])
def test_a_mounted_config_map(root, kind):
    """What Kubernetes mounts is read through its links, and the switch of ..data is one change of all documents."""
    (root / "sales").mkdir()
    base, names = root / "sales", ["a", "b", "c"]
    for version in (1, 2, 3):
        (base / f"..2026_{version}").mkdir()
        for name in names:
            text = json.dumps({"version": version}) if kind == "json" else f"version: {version}\n"
            (base / f"..2026_{version}/{name}.{kind}").write_text(text)
    (base / "..data").symlink_to("..2026_1")
    for name in names:
        (base / f"{name}.{kind}").symlink_to(f"..data/{name}.{kind}")
    with Confo(uuid.uuid4().hex) as config:
        config.load_backend({"config_path": root}, "files", "file")
        sales = config.namespace("sales", backend="files")
        assert sales.get_all() == {name: {"version": 1} for name in names}
        seen = []
        with sales.on_change(seen.append):
            for version in (2, 3):
                before = sales.snapshot().revision
                (base / "..data_tmp").symlink_to(f"..2026_{version}")
                (base / "..data_tmp").rename(base / "..data")
                assert sales.wait_for(before + 1, 10)
                assert sales.drain(10)
                assert sales.get_all() == {name: {"version": version} for name in names}
        assert [(event.configuration, event.new["version"]) for event in seen] == [
            (name, version) for version in (2, 3) for name in names
        ]
        assert len({event.revision for event in seen}) == 2
        sales.set("a", "version", 9)
        with pytest.raises(PermissionDenied, match="is a symbolic link, as Kubernetes mounts a ConfigMap"):
            sales.persist()
        sales.discard()


def test_a_name_that_is_not_utf8(root):
    """A file whose name is not UTF-8 is left alone, and edits of the others are still seen at once."""
    (root / "sales").mkdir()
    (root / "sales/db.json").write_text('{"n": 0}')
    with Confo(uuid.uuid4().hex) as config:
        config.load_backend({"config_path": root}, "files", "file")
        sales = config.namespace("sales", backend="files")
        assert sales.get("db", "n") == 0
        os.close(os.open(os.fsencode(root / "sales") + b"/caf\xe9.txt", os.O_WRONLY | os.O_CREAT))
        for number in (1, 2, 3):
            before = sales.snapshot().revision
            (root / "sales/db.json").write_text(f'{{"n": {number}}}')
            assert sales.wait_for(before + 1, 4), "found by looking at everything now and then only"
            assert sales.get("db", "n") == number


def test_what_is_left_out_is_named(root, backend):
    """Files that are no configurations' are named with the reason; other tools' own are nobody's business."""
    for name in ("my db.json", "X.JSON", "web.ini", ".git", "good.json"):
        (root / "sales" / name).write_text("{}")
    left_out = backend.left_out("sales")
    assert set(left_out) == {"my db.json", "X.JSON", "web.ini"}
    assert "no configuration's name" in left_out["my db.json"]
    assert "small letters: .json" in left_out["X.JSON"]
    assert "ends with .json, .yaml, .yml, .toml" in left_out["web.ini"]


def test_a_forked_child_follows(root):
    """A forked child hears of later edits as its parent does."""
    (root / "sales").mkdir()
    (root / "sales/db.json").write_text('{"n": 0}')
    with Confo(uuid.uuid4().hex) as config:
        config.load_backend({"config_path": root}, "files", "file")
        sales = config.namespace("sales", backend="files")
        revision = sales.snapshot().revision
        pid = os.fork()
        if pid == 0:
            os._exit(0 if sales.wait_for(revision + 1, 20) and sales.get("db", "n") == 1 else 1)
        (root / "sales/db.json").write_text('{"n": 1}')
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_a_commit_touches_what_differs(root):
    """A commit leaves the bytes and times of every file alone whose document it does not change."""
    texts = {"a.json": '{ "n" : 1 }', "b.json": '{"n":1}\n\n', "c.yaml": "n:   1  # one\n", "d.toml": "n=1 # one\n"}
    (root / "sales").mkdir(exist_ok=True)
    for name, text in texts.items():
        (root / "sales" / name).write_text(text)
    before = {name: (root / "sales" / name).stat() for name in texts}
    with confo.connect(f"file://{root}/sales") as sales:
        with sales.edit() as draft:
            draft["a"]["n"] = 2
            draft["b"] = {"n": 1}
            draft["c"]["n"] = 1
            draft["d"]["n"] = 1
        assert [change.configuration for change in draft.commit.changes] == ["a"]
        sales.set("b", "n", 1)
        assert sales.persist() is None
    after = {name: (root / "sales" / name).stat() for name in texts}
    assert (root / "sales/a.json").read_text() == '{ "n" : 2 }'
    for name in ("b.json", "c.yaml", "d.toml"):
        assert (root / "sales" / name).read_text() == texts[name]
        assert (after[name].st_ino, after[name].st_mtime_ns) == (before[name].st_ino, before[name].st_mtime_ns)


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
