"""``python -m confo_testkit new NAME``: begin a backend of your own."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from confo_testkit.scaffold import ScaffoldError, write_distribution


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code: 0, or 2 when nothing was written."""
    parser = argparse.ArgumentParser(prog="python -m confo_testkit", description="For authors of backends of Confo.")
    commands = parser.add_subparsers(dest="command", required=True)
    new = commands.add_parser("new", help="write a distribution with a backend that passes the contract")
    new.add_argument("name", metavar="NAME", help='the kind, as users will write it: "redis" makes confo-redis')
    new.add_argument("--into", metavar="FOLDER", type=Path, default=Path(), help="where to make it (default: here)")
    asked = parser.parse_args(arguments)
    try:
        made = write_distribution(asked.name, asked.into)
    except ScaffoldError as error:
        sys.stderr.write(f"{parser.prog}: {error}\n")
        return 2
    folder = made[0]
    lines = [f"made {folder}:", *(f"    {path.relative_to(folder).as_posix()}" for path in made[1:])]
    lines += ["now:", f"    python -m pip install -e {folder}", f"    python -m pytest {folder}"]
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
