"""Loading a folder of 10,000 files: Confo's file backend beside reading and JSON-decoding them; one changed among them.

How: documents of about 150 bytes, the files in the system's cache. The floor lists the folder, reads each file and
decodes it with ``json.loads``. Ours is ``Confo.namespace(...)`` until it is ready, not followed, in a fresh process
each, on a folder that was opened before; beside it the same with every document decoded (``get_all``), and the very
first load, which notes all the files. The program of 2021 is written out below: it decoded with ``json.load`` and
copied, and loaded once more at ``use_namespace``.

One changed file: the time of a look of the watch after a hint, beside a load; and how many files it reads.

    python benchmarks/files.py [--quick]
"""

from __future__ import annotations

import copy
import gc
import json
import os
import shutil
import tempfile
import time
from functools import partial
from pathlib import Path

from measure import Row, compare, fresh, interleave, median, options, report, spread

from confo import ANY, Backends, Confo, Write
from confo_file import FileBackend
from confo_file.folder import Folder, Read

COUNT = 10_000
ROUNDS = 9


def fill(root: Path, count: int) -> None:
    """Write the files."""
    (root / "sales").mkdir(parents=True)
    for n in range(count):
        document = {"host": f"10.0.{n // 250 % 250}.{n % 250}", "port": 5432, "number": n, "comment": "x" * 80}
        (root / f"sales/service-{n:06d}.json").write_text(json.dumps(document))


# --- the sides, each in a process of its own -----------------------------------------------------------


def by_hand(root: Path, count: int, decode: bool = True) -> float:
    """Return the milliseconds to list, read and decode."""
    gc.collect()
    began = time.perf_counter()
    found = {}
    folder = root / "sales"
    for name in os.listdir(folder):  # noqa: PTH208 - pathlib would be a slower floor
        with open(f"{folder}/{name}", "rb") as file:  # noqa: PTH123 - likewise
            found[name[:-5]] = json.loads(file.read()) if decode else file.read()
    took = time.perf_counter() - began
    assert len(found) == count
    return took * 1e3


def as_in_2021(root: Path, count: int) -> float:
    """Return the milliseconds that the first Confo took: to load, and once more to use the namespace."""
    gc.collect()
    began = time.perf_counter()
    for _ in range(2):
        found = {}
        for path in (root / "sales").iterdir():
            with path.open() as file:
                found[path.name.split(".")[0]] = copy.copy(json.load(file))
    took = time.perf_counter() - began
    assert len(found) == count
    return took * 1e3


def by_confo(root: Path, count: int, decode: bool = False, first: bool = False) -> float:
    """Return the milliseconds until the namespace is loaded, and every document decoded if wanted."""
    if first:
        shutil.rmtree(root / ".confo", ignore_errors=True)
    with Confo("files") as config:
        config.load_backend({"config_path": root}, "files", Backends.FILE_BACKEND, follow=False)
        config.activate_backend("files")
        gc.collect()
        began = time.perf_counter()
        loaded = config.namespace("sales")
        if decode:
            config.use_namespace("sales")
            config.get_all()
        took = time.perf_counter() - began
        assert len(loaded) == count
    return took * 1e3


def one_changed(root: Path, rounds: int) -> tuple[list[float], int]:
    """Return the milliseconds of each look after another process's commit of one file, and how many files one read."""
    backend, other = FileBackend.open({"config_path": root}), FileBackend.open({"config_path": root})
    watch = backend.watch("sales", backend.load("sales").revision)
    next(watch)
    read, files = Folder.read, 0

    def counting(folder: Folder, name: str, most: int | None = None) -> Read:
        nonlocal files
        files += 1
        return read(folder, name, most)

    Folder.read = counting  # type: ignore[method-assign]
    took = []
    for number in range(rounds):
        other.commit([Write("sales", "service-000042", b'{"n":%d}' % number, ANY)])
        files = 0
        began = time.perf_counter()
        while not next(watch).entries:
            pass
        took.append((time.perf_counter() - began) * 1e3)
    backend.close()
    other.close()
    return took, files


def main() -> None:
    """Measure and print."""
    quick = options(__doc__).quick
    count, rounds = (COUNT // 10, 3) if quick else (COUNT, ROUNDS)
    with tempfile.TemporaryDirectory(prefix="confo-files-") as place:
        root = Path(place)
        fill(root, count)
        fresh(by_confo, root, count)
        loaded, decoded, floor, read, old = interleave(
            rounds,
            partial(fresh, by_confo, root, count),
            partial(fresh, by_confo, root, count, True),
            partial(fresh, by_hand, root, count),
            partial(fresh, by_hand, root, count, False),
            partial(fresh, as_in_2021, root, count),
        )
        first = [fresh(by_confo, root, count, False, True) for _ in range(rounds)]
        looks, files = fresh(one_changed, root, 50)
    print(f"Milliseconds for {count:,} files:")
    sides = {"Confo": loaded, "Confo, all decoded": decoded, "Confo, the first time": first}
    for name, samples in {**sides, "read and json": floor, "read": read, "2021": old, "one changed": looks}.items():
        spread(name, samples, "ms")
    of = "reading and json-decoding"
    rows = [
        compare("load", loaded, floor, unit="ms", of=of, target=1.3),
        compare("load and decode every document", decoded, floor, unit="ms", of=of),
        compare("the first load ever", first, floor, unit="ms", of=of),
        compare("the program of 2021", old, floor, unit="ms", of=of),
        compare("load", loaded, read, unit="ms", of="reading alone"),
        Row("one changed: a look", f"{median(looks):.2f} ms", f"{median(looks) / median(floor):.4f}x of {of}"),
        Row("one changed: files read", str(files), "of " + f"{count:,}", "1", missed=files > 1),
    ]
    report(f"Loading {count:,} files (ours / floor)", rows)


if __name__ == "__main__":
    main()
