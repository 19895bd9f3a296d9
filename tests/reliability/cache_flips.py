"""Damage: random bit flips and truncations of cache files, and what is read then.

Each round damages the newest generation of a namespace's file, every tenth round the older one as well: one to eight
bits flipped, the end cut off, or both. Then the file is read as a starting program reads it. Right is: the newest or
the older generation exactly as it was written, or a CacheError. Anything else is a wrong value. Most files are of 20
configurations; one round in a hundred has 1,000, of 1 MiB.

    python -m tests.reliability.cache_flips [--rounds 100000] [--seed 1]
"""

from __future__ import annotations

import argparse
import logging
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from confo import CacheError, Entry
from confo.cache import Cache, CacheFile, prepare
from confo.kept import Kept, encode, pack


class Generations:
    """A file with two generations, as bytes to damage and as what they hold."""

    def __init__(self, file: CacheFile, chance: random.Random, count: int, size: int) -> None:
        self.file = file
        self.newest, self.older = (self._state(chance, revision, count, size) for revision in (2, 1))
        self.bytes = {kept.revision: encode(kept) for kept in (self.newest, self.older)}

    def _state(self, chance: random.Random, revision: int, count: int, size: int) -> Kept:
        entries = {f"service-{n}": Entry(chance.randbytes(size), revision) for n in range(count)}
        return Kept(self.file.namespace, "store", revision, 1000.0 + revision, pack(entries))

    def round(self, chance: random.Random, *, both: bool) -> str:
        """Damage, read, and say what came."""
        broken = [damaged(self.bytes[2], chance), damaged(self.bytes[1], chance) if both else self.bytes[1]]
        self.file.path.write_bytes(broken[0])
        if both:
            self.file.older.write_bytes(broken[1])
        try:
            found = self.file.read()
        except CacheError:
            return "a clear error" if both else "WRONG: the older generation was whole and not read"
        finally:
            if both:
                self.file.older.write_bytes(self.bytes[1])
        if found == self.newest and broken[0] == self.bytes[2]:
            return "the newest generation, as the flips undid each other"
        if found == self.older and broken[1] == self.bytes[1]:
            return "the older generation"
        return "WRONG: a value that was never written"


def damaged(data: bytes, chance: random.Random) -> bytes:
    """Return the bytes with a few bits flipped, or cut off, or both."""
    broken, how = bytearray(data), chance.randrange(3)
    if how != 1:
        for _ in range(chance.randint(1, 8)):
            broken[chance.randrange(len(broken))] ^= 1 << chance.randrange(8)
    if how != 0:
        del broken[chance.randrange(len(broken)) :]
    return bytes(broken)


def main(rounds: int, seed: int) -> Counter[str]:
    """Run so many rounds and count what came of them."""
    chance, came = random.Random(seed), Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        cache = Cache(prepare(Path(folder) / "cache"), "test", "store", {})
        small = Generations(cache.file("small"), chance, 20, 100)
        large = Generations(cache.file("large"), chance, 1000, 1024)
        for one in (small, large):
            one.file.write(one.older)
            one.file.write(one.newest)
        for number in range(rounds):
            one = large if number % 100 == 50 else small
            came[one.round(chance, both=number % 10 == 0)] += 1
    return came


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)  # each round would log what it found
    began = time.monotonic()
    found = main(options.rounds, options.seed)
    for what, count in found.most_common():
        sys.stdout.write(f"{count:8,}  {what}\n")
    wrong = sum(count for what, count in found.items() if what.startswith("WRONG"))
    seconds = time.monotonic() - began
    sys.stdout.write(f"{wrong:8,}  wrong, of {found.total():,} rounds in {seconds:.0f} s, seed {options.seed}\n")
    sys.exit(wrong > 0)
