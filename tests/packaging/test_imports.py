"""What importing Confo does and does not do, as users have it: from wheels, and editable."""

from __future__ import annotations

import json

import pytest

from tests.packaging.distributions import DISTRIBUTIONS, ROOT

pytestmark = pytest.mark.slow  # builds every wheel, makes two environments, starts a process for each case

ORDERS = {
    "package first": "from confo import Confo as one; from confo.Confo import Confo as two",
    "module first": "from confo.Confo import Confo as one; from confo import Confo as two",
    "attribute": "import confo.Confo; one = confo.Confo; from confo.Confo import Confo as two",
    "attribute, before and after": "import confo; one = confo.Confo; import confo.Confo; two = confo.Confo",
    "constants first": "from confo import Backends as BE; from confo.Confo import Confo as one; "
    "from confo import Confo as two",
    "by name": "import importlib; module = importlib.import_module('confo.Confo'); one = module.Confo; "
    "import confo; two = confo.Confo",
    "star": "from confo import *; one = Confo; from confo.Confo import Confo as two",
}


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_every_way_to_import_gives_the_same_class(environment, order):
    """``from confo import Confo`` and ``from confo.Confo import Confo`` are one class, in either order."""
    environment.run(
        f"{order}\n"
        "import pickle, confo\n"
        "assert isinstance(one, type), one\n"
        "assert one is two is confo.Confo\n"
        "assert pickle.loads(pickle.dumps(one)) is one\n"
    )


@pytest.mark.parametrize("order", ["from confo import Confo", "from confo.Confo import Confo"])
def test_the_class_crosses_processes(environment, order):
    """A class that was pickled in one process is found by another that has imported nothing of Confo."""
    pickled = environment.run(f"{order}\nimport pickle\nprint(pickle.dumps(Confo).hex())")
    environment.run(
        "import pickle, sys\n"
        "found = pickle.loads(bytes.fromhex(sys.argv[1]))\n"
        "from confo import Confo\n"
        "assert found is Confo",
        pickled.strip(),
    )


def test_the_environments_are_what_they_claim(environment):
    """A control: the wheel's code lies in the environment, the editable's in this repository."""
    for distribution in DISTRIBUTIONS:
        place = environment.run(f"import {distribution.package} as it; print(it.__file__)")
        assert place.startswith(str(ROOT)) == (environment.flavour == "editable")


WATCH_THE_IMPORT = """
import json, sys
import threading  # known before, so that what is new is the import's own
before = set(sys.modules)
events = []
sys.addaudithook(lambda event, arguments: events.append(event))
start = threading.Thread.start  # which has no audit event before Python 3.12
threading.Thread.start = lambda thread: (events.append("threading.Thread.start"), start(thread))[1]
{program}
print(json.dumps({{"modules": sorted(set(sys.modules) - before), "events": events,
                  "threads": [thread.name for thread in threading.enumerate()]}}))
"""


def watch(environment, program):
    """Run a program; return the modules that it imported, its audit events and its threads at the end."""
    return json.loads(environment.run(WATCH_THE_IMPORT.format(program=program)))


STARTED = {
    "_thread.start_joinable_thread",
    "_thread.start_new_thread",
    "socket.__new__",
    "subprocess.Popen",
    "threading.Thread.start",
}


def test_importing_confo_loads_and_starts_nothing(environment):
    """``import confo`` imports neither pluggy nor metadata, gRPC or a backend; no thread, no socket."""
    seen = watch(environment, "import confo")
    third_party = {name.partition(".")[0] for name in seen["modules"]}
    ours = {distribution.package for distribution in DISTRIBUTIONS} - {"confo"}
    unwanted = {"pluggy", "importlib_metadata", "zipp", "grpc", "google", "etcd3", "kazoo", *ours}
    assert not third_party & unwanted
    assert not {"importlib.metadata", "email", "socket", "asyncio", "ssl"} & set(seen["modules"])
    assert not STARTED & set(seen["events"])
    assert seen["threads"] == ["MainThread"]


def test_importing_the_class_loads_no_plugin_and_starts_nothing(environment):
    """``from confo.Confo import Confo`` looks for no backend: that is ``load_backend``'s work."""
    seen = watch(environment, "from confo.Confo import Confo")
    ours = {distribution.package for distribution in DISTRIBUTIONS} - {"confo"}
    assert not {name.partition(".")[0] for name in seen["modules"]} & {"grpc", "etcd3", *ours}
    assert not STARTED & set(seen["events"])


@pytest.mark.parametrize(
    ("program", "event"),
    [
        ("import threading; t = threading.Thread(target=int); t.start(); t.join()", "threading.Thread.start"),
        ("import socket; socket.socket().close()", "socket.__new__"),
    ],
    ids=["thread", "socket"],
)
def test_the_watch_sees_what_it_looks_for(environment, program, event):
    """A control: a thread and a socket that are gone at once are noticed all the same."""
    assert event in STARTED & set(watch(environment, program)["events"])


def test_every_kind_is_found_once(environment):
    """The registry of kinds lists each of ours once, with its distribution, and loads none to do so."""
    kinds = {kind: distribution.name for distribution in DISTRIBUTIONS for kind in distribution.kinds}
    listed = environment.run(
        "import json, sys, confo\n"
        "found = confo.plugins.installed()\n"
        "print(json.dumps({kind: plugin.distribution for kind, plugin in found.items()}))\n"
        "assert not {'grpc', 'confo_memory', 'confo_etcd'} & set(sys.modules)\n"
    )
    assert kinds.items() <= json.loads(listed).items()
