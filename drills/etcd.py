"""Drills: real etcd servers are killed, paused, cut off and compacted for minutes, and every change is counted.

``nox -s drills``, or ``python -m drills.etcd --seed 7 --seconds 30`` from the project's root. Which fault comes when
is drawn from the seed, which is printed. Ends with 1 if a change was lost, doubled, or reported as what it was not.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import random
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping

from confo_etcd import EtcdBackend
from tests.etcd.drilling import SECONDS, Follower, Writer, following, summary, verify_history
from tests.proxy import Proxy
from tests.servers import EtcdCluster, EtcdServer, etcd_binaries

PACE = 0.01  # seconds that a writer rests after a commit: drills run beside other work
MOST_FAULTS = 60  # in one drill, however quickly they are over
_NEVER = threading.Event()  # never set: an interruptible wait


def main() -> int:
    """Run the drills and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6), help="of what comes when")
    parser.add_argument("--seconds", type=float, default=40.0, help="of faults in each of the drills (default 40)")
    parser.add_argument("--only", choices=DRILLS, help="one drill instead of all")
    parser.add_argument("--server", choices=sorted(etcd_binaries()), help="one server instead of all")
    options = parser.parse_args()
    logging.getLogger("confo").setLevel(logging.ERROR)  # that a stream broke is what happens all the time here
    say(f"seed {options.seed}")
    failed = 0
    for label in [options.server] if options.server else etcd_binaries():
        for name in [options.only] if options.only else DRILLS:
            began = time.monotonic()
            try:
                said = DRILLS[name](label, draw(f"{options.seed} {label} {name}"), options.seconds)
            except Exception:  # noqa: BLE001 - the other drills are worth running
                failed += 1
                said = f"FAILED\n{traceback.format_exc()}"
            say(f"{label}, {name}, {time.monotonic() - began:.0f} s: {said}")
    return 1 if failed else 0


def one_server(label: str, chance: random.Random, seconds: float) -> str:
    """Break one server and the network before it; two writers and two followers go on."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(EtcdServer(etcd_binaries()[label]))
        proxy = stack.enter_context(Proxy(server.port, cuts=limits(draw(str(chance.random())))))
        truth = opened(stack, [server.endpoint])
        crew = Crew(stack, chance, [[proxy.endpoint], [server.endpoint]], followers=[proxy.endpoint, server.endpoint])

        def kill() -> None:
            server.kill()
            rest(chance, 0.0, 1.0)
            server.start()

        def pause() -> None:
            server.pause()
            rest(chance, 0.5, 4.0)
            server.resume()

        def cut() -> None:
            proxy.cut()
            rest(chance, 0.0, 2.0)
            proxy.reopen()

        def stall() -> None:
            proxy.stall()
            rest(chance, 0.5, 3.0)
            proxy.go_on()

        def compact() -> None:
            proxy.cut()
            crew.work_on(crew.writers[1:])
            server.ctl("compact", str(crew.writers[1].commits[-1].revision))
            proxy.reopen()

        return crew.run(truth, [kill, pause, cut, stall, compact, proxy.cut_once], seconds)


def three_members(label: str, chance: random.Random, seconds: float) -> str:
    """Kill and pause the members of a cluster, also two of three at once; two writers and a follower go on."""
    with contextlib.ExitStack() as stack:
        cluster = stack.enter_context(EtcdCluster(etcd_binaries()[label]))
        turns = [cluster.endpoints[turn:] + cluster.endpoints[:turn] for turn in range(3)]
        truth = opened(stack, cluster.endpoints)
        crew = Crew(stack, chance, turns[:2], followers=[turns[2]])

        def kill_leader() -> None:
            leader = cluster.leader()
            leader.kill()
            crew.work_on(crew.writers)
            leader.start()

        def pause_leader() -> None:
            leader = cluster.leader()
            leader.pause()
            rest(chance, 0.5, 4.0)
            leader.resume()

        def kill_any() -> None:
            member = chance.choice(cluster.members)
            member.kill()
            rest(chance, 0.0, 1.0)
            member.start()

        def lose_quorum() -> None:
            gone = chance.sample(cluster.members, 2)
            for member in gone:
                member.kill()
            rest(chance, 0.0, 6.0)
            for member in gone:
                member.start(wait=False)
            for member in gone:
                member.wait_until_ready()

        def compact() -> None:
            member = chance.choice(cluster.members)
            member.ctl("compact", str(crew.writers[0].commits[-1].revision))

        return crew.run(truth, [kill_leader, kill_leader, pause_leader, kill_any, lose_quorum, compact], seconds)


DRILLS: Mapping[str, Callable[[str, random.Random, float], str]] = {
    "one-server": one_server,
    "three-members": three_members,
}


class Crew:
    """The writers and followers of one drill."""

    def __init__(
        self,
        stack: contextlib.ExitStack,
        chance: random.Random,
        endpoints: list[list[str]],
        *,
        followers: list[str] | list[list[str]],
    ) -> None:
        self.chance = chance
        self.followers = [stack.enter_context(Follower(stack.enter_context(following(where)))) for where in followers]
        self.writers = [
            stack.enter_context(Writer(sales, name, chance.randrange(10**9), pace=PACE))
            for name, where in zip(("anna", "berta"), endpoints, strict=True)
            for sales in [stack.enter_context(following(where, timeout=chance.choice((0.5, 1.0, 5.0))))]
        ]

    def work_on(self, writers: list[Writer]) -> None:
        """Wait for some more commits of each."""
        for writer in writers:
            writer.wait_for(self.chance.randrange(1, 20))

    def run(self, truth: EtcdBackend, faults: list[Callable[[], object]], seconds: float) -> str:
        """Let faults happen for so long, check everything, and return what happened in one line."""
        until, count = time.monotonic() + seconds, 0
        while time.monotonic() < until and count < MOST_FAULTS:
            self.work_on(self.writers)
            self.chance.choice(faults)()
            count += 1
        self.work_on(self.writers)
        for writer in self.writers:
            writer.finish()
        verify_history(truth, self.writers, self.followers)
        resyncs = sum(follower.kinds.count("resync") for follower in self.followers)
        return f"{count} faults; {summary(self.writers)}; followers: {resyncs} resyncs, all is there once"


def opened(stack: contextlib.ExitStack, endpoints: list[str]) -> EtcdBackend:
    """Return a backend of the drill's own, with the namespace in it."""
    backend = EtcdBackend.open({"endpoints": endpoints})
    stack.callback(backend.close)
    backend.create_namespace("sales")
    return backend


def draw(seed: str) -> random.Random:
    """Return what to draw from: the same for the same seed."""
    return random.Random(seed)  # noqa: S311 - to be repeatable, not secret


def limits(chance: random.Random) -> Iterator[int | None]:
    """Yield how many bytes of answers a connection carries before a cut: the first few, no end, then 4 kB to 4 MB."""
    yield from (None for _ in range(4))
    while True:
        yield 2**12 * 2 ** chance.randrange(11)


def rest(chance: random.Random, least: float, most: float) -> None:
    """Leave things as they are for a time, in seconds."""
    assert most < SECONDS  # noqa: S101 - a fault must not outlast what the crew waits for
    _NEVER.wait(chance.uniform(least, most))


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
