"""Starting: what ``import confo`` adds to a Python that does nothing.

How: pairs of fresh interpreters, ``python -c pass`` and ``python -c "import confo"``, in turn, each timed from its
start to its end; the medians are compared. One pair more is run before, so that no file is read from disk for the first
time. ``import confo`` fetches nothing but the facade. What a program pays that uses it is ``from confo import Confo``,
which has no target and stands there too (no backend included), as does the standard library's ``import json``.

    python benchmarks/start.py [--quick]
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable

from measure import Row, interleave, median, number, options, report, spread

PAIRS = 15
TARGET = 8.0
"""Milliseconds above the floor."""
SIDES = {
    "python -c pass": "pass",
    'python -c "import confo"': "import confo",
    'python -c "import json"': "import json",
    'python -c "from confo import Confo"': "from confo import Confo",
}


def starter(source: str) -> Callable[[], float]:
    """Return what measures the milliseconds of a Python that runs this."""

    def start() -> float:
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", source], check=True)
        return (time.perf_counter() - began) * 1e3

    return start


def main() -> None:
    """Measure and print."""
    quick = options(__doc__).quick
    starters = [starter(source) for source in SIDES.values()]
    interleave(1, *starters)
    found = dict(zip(SIDES, interleave(5 if quick else PAIRS, *starters), strict=True))

    print("Milliseconds from the start of the process to its end:")
    for name, samples in found.items():
        spread(name, samples, "ms")
    nothing, *others = SIDES
    rows = []
    for name in others:
        above = median(found[name]) - median(found[nothing])
        ratio = median(found[name]) / median(found[nothing])
        targeted = name.endswith('"import confo"')
        rows.append(
            Row(
                name,
                f"{number(median(found[name]))} / {number(median(found[nothing]))} ms",
                f"{ratio:.2f}x of python -c pass, {above:.1f} ms above",
                f"{TARGET:g} ms above" if targeted else "",
                missed=targeted and above > TARGET,
            )
        )
    report("Starting (ours / floor)", rows)


if __name__ == "__main__":
    main()
