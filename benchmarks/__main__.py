"""Run every benchmark, or those that are named, each in a process of its own, and print all their tables at the end.

python benchmarks [--quick] [read push ...]
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from measure import COLLECTED

ALL = (
    "read",
    "start",
    "push",
    "contention",
    "load",
    "files",
    "reader",
    "history",
    "backends",
    "zookeeper",
    "outage",
    "herd",
)


def main() -> None:
    """Run them one after another: they would disturb each other."""
    flags = [word for word in sys.argv[1:] if word.startswith("-")]
    names = [word for word in sys.argv[1:] if not word.startswith("-")] or list(ALL)
    if unknown := set(names) - set(ALL):
        sys.exit(f"no benchmark {', '.join(sorted(unknown))}; there are: {', '.join(ALL)}")
    with tempfile.NamedTemporaryFile("r", suffix=".txt", encoding="utf-8") as tables:
        for name in names:
            print(f"\n=== {name} ===", flush=True)
            script = Path(__file__).parent / f"{name}.py"
            subprocess.run([sys.executable, script, *flags], check=True, env={**os.environ, COLLECTED: tables.name})
        print("\n=== all figures ===")
        print(tables.read())


if __name__ == "__main__":
    main()
