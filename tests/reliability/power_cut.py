"""Cut the power under a process that commits as fast as it can: what was acknowledged is there, nothing is torn.

Needs root and a loop device: the folder is on an ext4 of its own in a file, and the power is cut by the file system's
own shutdown, which writes nothing more, not even its journal. Two naive ways to write are cut as well: they show what
this finds.

python -m tests.reliability.power_cut [--cycles 100] [--naive 60] [--seed N]
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import fcntl
import json
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from confo_file import FileBackend
from tests.reliability import folders, kills

EXT4_IOC_SHUTDOWN = 0x8004587D  # _IOR('X', 125, __u32), include/uapi/linux/ext4.h
NOLOGFLUSH = struct.pack("I", 2)
SIZE_MB = 64
Writer = Callable[[Path, int, int], None]


class Disk:
    """An ext4 in a file, whose power can be cut."""

    def __init__(self, place: Path) -> None:
        self._image, self.mounted = place / "disk", place / "mounted"
        self.mounted.mkdir()
        with self._image.open("wb") as image:
            image.truncate(SIZE_MB << 20)
        run("mkfs.ext4", "-q", "-F", str(self._image))
        self.mount()

    def mount(self) -> None:
        """Switch it on."""
        run("mount", "-o", "loop", str(self._image), str(self.mounted))

    def flush(self) -> None:
        """Write out what waits, as a busy system does at any moment: it may be a half of something."""
        fd = os.open(self.mounted, os.O_RDONLY)
        try:
            ctypes.CDLL(None).syncfs(fd)
        finally:
            os.close(fd)

    def cut(self) -> None:
        """Cut the power, and switch it on again."""
        fd = os.open(self.mounted, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, EXT4_IOC_SHUTDOWN, NOLOGFLUSH)
        finally:
            os.close(fd)

    def restart(self) -> None:
        """Switch it off and on."""
        self.unmount()
        self.mount()

    def unmount(self) -> None:
        """Switch it off."""
        run("umount", str(self.mounted))


def why_not() -> str | None:
    """Return why no power can be cut here, None if it can."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        return "a power cut needs Linux and root"
    missing = [tool for tool in ("mkfs.ext4", "mount", "umount") if shutil.which(tool) is None]
    if missing:
        return f"a power cut needs {', '.join(missing)}"
    with tempfile.TemporaryDirectory(prefix="confo-power-") as place:
        try:
            Disk(Path(place)).unmount()
        except (OSError, subprocess.CalledProcessError) as error:
            return f"a power cut needs a loop device: {error}"
    return None


@contextlib.contextmanager
def disk() -> Iterator[Disk]:
    """Give a disk."""
    with tempfile.TemporaryDirectory(prefix="confo-power-") as place:
        made = Disk(Path(place))
        try:
            yield made
        finally:
            made.unmount()


def cut_under(made: Disk, writer: Writer, root: Path, start: int, chance: random.Random) -> int:
    """Let a process write numbers from here on, cut the power, and return the last one that it acknowledged."""
    hear, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            writer(root, start, tell)
        finally:
            os._exit(1)
    os.close(tell)
    told = os.read(hear, 8)  # it is at work
    for _ in range(chance.randrange(3)):
        threading.Event().wait(chance.uniform(0.0, 0.08))
        made.flush()
    threading.Event().wait(chance.uniform(0.0, 0.08))
    made.cut()
    threading.Event().wait(0.002)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    while more := os.read(hear, 1 << 16):
        told += more
    os.close(hear)
    made.restart()
    return int.from_bytes(told[-8:], "big")


def confo(cycles: int, chance: random.Random) -> Counter[str]:
    """Cut the power under Confo; return how often the commit under way had come to be, was lost, or was torn."""
    found: Counter[str] = Counter(torn=0, lost=0)
    with disk() as made:
        root = made.mounted / "root"
        FileBackend.open({"config_path": root, "create": True}).close()
        backend = FileBackend.open({"config_path": root})
        backend.create_namespace("sales")
        backend.close()
        subprocess.run(["sync"], check=True)
        number = 0
        for _ in range(cycles):
            acknowledged = cut_under(made, kills.write_pairs, root, number, chance)
            backend = FileBackend.open({"config_path": root})
            try:
                folders.check_files(root)
                number = kills.check_pair(backend, acknowledged)
                found["old" if number == acknowledged else "new"] += 1
            except (AssertionError, ValueError) as error:
                found["lost" if "acknowledged" in str(error) else "torn"] += 1
                print(f"  {type(error).__name__}: {error}")  # noqa: T201
                number = acknowledged
            finally:
                backend.close()
    return found


def truncate(path: Path, data: bytes) -> None:
    """Write in place, as in 2021."""
    path.write_bytes(data)


def rename(path: Path, data: bytes) -> None:
    """Write beside and rename, and trust the disk."""
    beside = path.with_suffix(".new")
    beside.write_bytes(data)
    beside.replace(path)


def naive(write: Callable[[Path, bytes], None], cycles: int, chance: random.Random) -> Counter[str]:
    """Cut the power under a naive way to write one file; return how often it was torn, and how often lost."""
    found: Counter[str] = Counter(torn=0, lost=0)

    def writer(path: Path, start: int, tell: int) -> None:
        while True:
            start += 1
            write(path, json.dumps({"n": start, "text": "x" * 2000}).encode())
            os.write(tell, start.to_bytes(8, "big"))

    with disk() as made:
        path, number = made.mounted / "a.json", 0
        for _ in range(cycles):
            number = cut_under(made, writer, path, number, chance)
            try:
                there = json.loads(path.read_bytes())["n"] if path.exists() else 0
            except ValueError:
                found["torn"] += 1
            else:
                found["lost"] += there < number
    return found


def run(*command: str) -> None:
    """Run a command."""
    subprocess.run(command, check=True, capture_output=True)


def main() -> int:
    """Run all and print the counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cycles", type=int, default=100)
    parser.add_argument("--naive", type=int, default=60)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    options = parser.parse_args()
    if reason := why_not():
        print(reason)  # noqa: T201
        return 1
    chance = random.Random(options.seed)
    print(f"seed {options.seed}")  # noqa: T201
    for name, write in (("truncate and write", truncate), ("rename without fsync", rename)):
        print(f"{name}: {options.naive} power cuts: {dict(naive(write, options.naive, chance))}", flush=True)  # noqa: T201
    found = confo(options.cycles, chance)
    print(f"confo: {options.cycles} power cuts: {dict(found)}")  # noqa: T201
    return 1 if found["torn"] or found["lost"] else 0


if __name__ == "__main__":
    sys.exit(main())
