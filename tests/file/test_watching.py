"""Watching: foreign edits are pushed, or looked for where nobody pushes; one of many is found without the others."""

from __future__ import annotations

import json
import time

import pytest

from confo import ANY, Batch, Entry, ResyncNeeded, Write
from confo_file import notifier
from confo_file import watch as watching
from confo_file.folder import Folder


def begun(backend):
    """Return a watch from now on that stands."""
    watch = backend.watch("sales", backend.load("sales").revision)
    assert next(watch).entries == {}
    return watch


def told(watch):
    """Return the next batch that has entries."""
    return next(batch for batch in watch if batch.entries)


def test_an_edit_is_pushed(root, backend):
    """An edit, a new file and a deletion by hand reach a watch, with revisions that grow."""
    watch = begun(backend)
    path = root / "sales/a.json"
    path.write_text("{}")
    made = told(watch)
    path.write_text('{"n": 1}')
    changed = told(watch)
    path.unlink()
    gone = told(watch)
    assert made.entries == {"a": Entry(b"{}", made.revision)}
    assert changed.entries == {"a": Entry(b'{"n": 1}', changed.revision)}
    assert gone.entries == {"a": None}
    assert made.revision < changed.revision < gone.revision


def test_an_edit_where_nobody_tells(root, backend, monkeypatch, caplog):
    """Where the system tells of no change, it is looked for."""

    def refuse(*arguments):
        raise OSError("too many open files")

    monkeypatch.setattr(notifier, "RustNotify", refuse)
    monkeypatch.setattr(watching, "POLL_SECONDS", 0.05)
    watch = begun(backend)
    assert "looked for" in caplog.text
    (root / "sales/a.json").write_text("{}")
    assert told(watch).entries["a"].data == b"{}"


def test_a_half_written_file_is_not_told(root, backend):
    """A watch tells of a file that an editor truncates and writes once it is whole, and of others by then."""
    backend.commit([Write("sales", "a", b'{"n": 1}', 0)])
    watch = begun(backend)
    with (root / "sales/a.json").open("w") as file:
        file.write('{"n":')
        file.flush()
        backend.commit([Write("sales", "b", b"{}", 0)])
        file.write(" 2}")
        file.flush()
        entries = dict(told(watch).entries)
        while set(entries) != {"a", "b"}:
            entries.update(told(watch).entries)
    assert entries["a"].data == b'{"n": 2}'


def test_one_among_many(root, backend, monkeypatch):
    """One changed file among 10,000 is told without reading any other."""
    for number in range(10_000):
        (root / f"sales/n{number}.json").write_text(json.dumps({"n": number}))
    watch = begun(backend)
    read, files = Folder.read, []

    def counting(folder, name, *most):
        files.append(name)
        return read(folder, name, *most)

    monkeypatch.setattr(Folder, "read", counting)
    (root / "sales/n5000.json").write_text("{}")
    assert set(told(watch).entries) == {"n5000"}
    assert {name for name in files if name != "journal"} == {"n5000.json"}


def test_a_removed_namespace(root, backend):
    """A folder that somebody removed is told as the end of all that was in it."""
    backend.commit([Write("sales", name, b"{}", 0) for name in "ab"])
    watch = begun(backend)
    for path in (root / "sales").iterdir():
        path.unlink()
    (root / "sales").rmdir()
    gone: set[str] = set()
    while gone != {"a", "b"}:
        gone |= {name for name, entry in told(watch).entries.items() if entry is None}


def test_another_store_in_its_place(root, backend, opening):
    """A watch of a folder whose state was made anew says load anew, though its revisions look alike."""
    for _ in range(3):
        revision = backend.commit([Write("sales", "a", b"{}", ANY)])
    watch = backend.watch("sales", revision)
    next(watch)
    for path in sorted((root / ".confo").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    other = opening()
    for _ in range(5):
        other.commit([Write("sales", "a", b"{}", ANY)])
    with pytest.raises(ResyncNeeded):
        told(watch)


def test_a_commit_that_came_and_went(backend):
    """What several commits made of a name is told as the last of them left it."""
    watch = begun(backend)
    for number in range(5):
        revision = backend.commit([Write("sales", "a", b"%d" % number, ANY)])
    assert told(watch) == Batch(revision, {"a": Entry(b"4", revision)})


def test_the_system_tells_no_more(root, backend, monkeypatch, caplog):
    """When what tells of changes breaks for good, edits are looked for from then on, and one line says so."""
    monkeypatch.setattr("confo_file.notifier.Hearing._wait", lambda _: 1 // 0)
    monkeypatch.setattr("confo_file.notifier.MOST_FAILURES", 3)
    monkeypatch.setattr("confo_file.watch.POLL_SECONDS", 0.05)
    watch = begun(backend)
    with notifier.CHANGED:
        assert notifier.CHANGED.wait_for(lambda: not backend._notifier.is_told, 10.0)
    (root / "sales/a.json").write_text('{"n": 1}')
    assert next(batch for batch in watch if batch.entries).entries["a"].data == b'{"n": 1}'
    assert [record.levelname for record in caplog.records if "looked for" in record.message] == ["WARNING"]


@pytest.mark.parametrize("layout", ["a mounted ConfigMap", "in the root", "a namespace", "a file"])
def test_what_links_lead_to(root, opening, layout):
    """What links below the root lead to is followed within a second; a switch of ``..data`` is one batch."""
    places = {
        "a mounted ConfigMap": ("sales/..1", {"sales/..data": "..1", "sales/a.json": "..data/a.json"}),
        "in the root": ("..1/sales", {"..data": "..1", "sales": "..data/sales"}),
        "a namespace": ("real", {"sales": "real"}),
        "a file": ("real", {"sales/a.json": "../real/a.json", "sales/b.json": "../real/b.json"}),
    }
    old, links = places[layout]
    if layout == "a mounted ConfigMap":
        links["sales/b.json"] = "..data/b.json"
    write(root / old, 1)
    for link, target in links.items():
        (root / link).parent.mkdir(exist_ok=True)
        (root / link).symlink_to(target)
    backend = opening()
    state = backend.load("sales")
    assert {name: entry.data for name, entry in state.entries.items()} == dict.fromkeys("ab", b'{"n": 1}')
    watch = backend.watch("sales", state.revision)
    next(watch)
    switches = next((link for link in links if link.endswith("..data")), None)
    began = time.monotonic()
    if switches is None:
        write(root / old, 2)
    else:
        write(root / old.replace("..1", "..2"), 2)
        (root / "next").symlink_to("..2")
        (root / "next").rename(root / switches)
    seen: dict[str, bytes | None] = {}
    batches = 0
    while seen != dict.fromkeys("ab", b'{"n": 2}'):
        batch = next(watch)
        seen |= {name: entry and entry.data for name, entry in batch.entries.items()}
        batches += bool(batch.entries)
    assert time.monotonic() - began < 1.0
    assert switches is None or batches == 1


def write(folder, number):
    """Write two documents of this number."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in "ab":
        (folder / f"{name}.json").write_text(f'{{"n": {number}}}')
