"""Reading one field: ``Confo.get("database", "host")`` beside plain Python methods that do two dictionary look-ups.

How: ``timeit`` runs the statement as a user writes it, attribute look-up and call included. The floors are methods of
a class of a few lines: one with the two arguments that it needs, one with the signature of ``Confo.get`` (two defaults,
which cost the interpreter a little). Their documents are literals, whose keys are the very objects that the statement
asks with, so that the interpreter compares nothing but addresses; a document out of JSON has keys of its own, hence the
third floor. Confo reads what another one committed, so its documents are decoded as a program's are. All sides run in
turn, in several processes, as comparing keys costs more in one process than in another (where its memory happens to
lie); the medians of all are compared. Nothing here does I/O, so the store is the process's memory. The lines without a
target are for information.

    python benchmarks/read.py [--quick]
"""

from __future__ import annotations

import json
import timeit
from collections.abc import Callable, Mapping
from typing import Any

from measure import compare, fresh, interleave, options, report, spread

from confo import Backends, Confo

PROCESSES = 7
ROUNDS = 5
CALLS = 200_000
DOCUMENT = {"host": "127.0.0.1", "port": 5432, "user": "sales", "timeout": 2.5}


class TwoArguments:
    """The least that can be written."""

    def __init__(self, documents: Mapping[str, Mapping[str, Any]]) -> None:
        self._documents = documents

    def get(self, name: str, field: str) -> Any:
        """Look up twice."""
        return self._documents[name][field]


class SameSignature:
    """The same, with the parameters of ``Confo.get``."""

    def __init__(self, documents: Mapping[str, Mapping[str, Any]]) -> None:
        self._documents = documents

    def get(self, name: str, field: str | None = None, default: Any = None) -> Any:  # noqa: ARG002 - the signature
        """Look up twice."""
        return self._documents[name][field]  # type: ignore[index] # as in Confo.get: None is no field


class OneLookUp:
    """A method that returns a whole document."""

    def __init__(self, documents: Mapping[str, Mapping[str, Any]]) -> None:
        self._documents = documents

    def get(self, name: str) -> Mapping[str, Any]:
        """Look up once."""
        return self._documents[name]


def timer(statement: str, target: object, calls: int) -> Callable[[], float]:
    """Return what measures the nanoseconds of one execution; ``x`` in the statement is the target."""
    timed = timeit.Timer(statement, globals={"x": target})
    return lambda: timed.timeit(calls) / calls * 1e9


def measure(rounds: int, calls: int) -> dict[str, list[float]]:
    """Return each side's nanoseconds a call, as this process has them."""
    documents = {f"service-{n}": dict(DOCUMENT) for n in range(100)} | {"database": dict(DOCUMENT)}
    with Confo("writer") as writer, Confo("reader") as config:
        for each in (writer, config):
            each.load_backend({"store": "benchmark"}, "memory", Backends.MEMORY_BACKEND)
            each.activate_backend("memory")
        writer.create_namespace("sales")
        writer.use_namespace("sales")
        for name, document in documents.items():
            writer.set(name, document, None)
        writer.persist()
        config.use_namespace("sales")
        sales = config.namespace("sales")
        config.get("database", "host")  # decodes it, once
        decoded = {"database": json.loads(json.dumps(DOCUMENT))}

        field, whole = "x.get('database', 'host')", "x.get('database')"
        sides = {
            "a method of two arguments": timer(field, TwoArguments(documents), calls),
            "a method with the signature of Confo.get": timer(field, SameSignature(documents), calls),
            "that method, over documents out of JSON": timer(field, SameSignature(decoded), calls),
            "Confo.get(name, field)": timer(field, config, calls),
            "Namespace.get(name, field)": timer(field, sales, calls),
            "Namespace[name][field]": timer("x['database']['host']", sales, calls),
            "Snapshot[name][field]": timer("x['database']['host']", sales.snapshot(), calls),
            "a method that returns a document": timer(whole, OneLookUp(documents), calls),
            "Confo.get(name)": timer(whole, config, calls),
            "Namespace.get(name)": timer(whole, sales, calls),
        }
        return dict(zip(sides, interleave(rounds, *sides.values()), strict=True))


def main() -> None:
    """Measure and print."""
    quick = options(__doc__).quick
    processes, calls = (2, CALLS // 10) if quick else (PROCESSES, CALLS)
    found: dict[str, list[float]] = {}
    for _ in range(processes):
        for name, samples in fresh(measure, ROUNDS, calls).items():
            found.setdefault(name, []).extend(samples)

    print("Nanoseconds a call:")
    for name, samples in found.items():
        spread(name, samples, "ns")
    two, same, parsed = list(found.values())[:3]
    one = found["a method that returns a document"]
    ours = found["Confo.get(name, field)"]
    report(
        "Reading (ours / floor)",
        [
            compare("Confo.get(name, field)", ours, same, unit="ns", of="the same signature", target=1.25),
            compare("Confo.get(name, field)", ours, two, unit="ns", of="two arguments", target=1.25),
            compare("Confo.get(name, field)", ours, parsed, unit="ns", of="that over documents out of JSON"),
            *(
                compare(name, found[name], same, unit="ns", of="the same signature")
                for name in ("Namespace.get(name, field)", "Namespace[name][field]", "Snapshot[name][field]")
            ),
            *(
                compare(name, found[name], one, unit="ns", of="one look-up")
                for name in ("Confo.get(name)", "Namespace.get(name)")
            ),
        ],
    )


if __name__ == "__main__":
    main()
