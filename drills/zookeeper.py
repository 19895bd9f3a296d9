"""Drills: the sessions of a program on three ZooKeeper servers are expired, again and again, and its recovery is timed.

``nox -s drills -- zookeeper --expiries 50``, or ``python -m drills.zookeeper`` from the project's root. Each time a
configuration is written, one created and one deleted while the program cannot hear of it. Ends with 1 if the value was
not right, or a change not pushed, within 5 seconds of the new session.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import sys
from collections.abc import Sequence

from confo.replica import ALIVE_AFTER
from tests.zookeeper.servers import ZooEnsemble
from tests.zookeeper.sessions import SECONDS, Recovery, recoveries


def main() -> int:
    """Run the drill and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--expiries", type=int, default=50, help="how many sessions to expire (default 50)")
    count = parser.parse_args().expiries
    logging.getLogger("confo").setLevel(logging.ERROR)  # that a session is lost is what happens all the time here
    done: list[Recovery] = []
    with ZooEnsemble() as ensemble:
        try:
            done.extend(recoveries(ensemble.hosts, count, rest=ALIVE_AFTER + 0.5))  # keeps what came before an error
        except AssertionError as error:
            say(f"FAILED after {len(done)}: {error}")
    if done:
        say(f"{len(done)} of {count} expiries recovered within {SECONDS:g} s of the new session")
        say(f"  until a new session stood: {spread([one.session for one in done])}")
        say(f"  then until the value was right: {spread([one.value for one in done])}")
        say(f"  a change after that was seen in: {spread([one.watch for one in done])}")
    return 0 if len(done) == count else 1


def spread(seconds: Sequence[float]) -> str:
    """Return the median and the greatest, in milliseconds."""
    return f"{statistics.median(seconds) * 1e3:,.0f} ms median, {max(seconds) * 1e3:,.0f} ms at most"


def say(text: str) -> None:
    """Print, at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
