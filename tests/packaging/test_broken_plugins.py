"""Twelve broken plugins, as wheels in a real environment: none of them hurts anybody but who asks for it."""

from __future__ import annotations

import json

import pytest

from tests.packaging.conftest import make_environment
from tests.packaging.projects import build, write

HOOK = """
from confo import hookimpl
from confo_memory import MemoryBackend
class Acme(MemoryBackend):
    {body}
@hookimpl
def confo_backend(kind{more}):
    {hook}
"""


def plugin(body="pass", hook="return Acme", more="", before=""):
    """Return a plugin module's text."""
    return before + HOOK.format(body=body, hook=hook, more=more)


RAISES = "\n".join(
    f"    def {method}(self, *args, **kwargs): raise RuntimeError('always')"
    for method in ["namespaces", "create_namespace", "delete_namespace", "load", "read", "scan", "commit", "watch"]
)

# name of the breakage: (kind, module's text, entry point's value, what the error says, metadata of its own)
BROKEN = {
    "an import that fails": ("acme", "import nowhere_to_be_found", None, "ModuleNotFoundError", {}),
    "an exit at import": ("acme", "raise SystemExit('bye')", None, "SystemExit at ", {}),
    "a syntax error": ("acme", "def broken(:\n", None, "SyntaxError", {}),
    "a wrong hook signature": ("acme", plugin(more=", colour"), None, "PluginValidationError", {}),
    "a missing hook": ("acme", "x = 1\n", None, "it has none of the hooks", {}),
    "a wrong return type": ("acme", plugin(hook="return 42"), None, "returned int, not a subclass", {}),
    "a duplicate kind": ("twin", plugin(), None, "two distributions claim the kind 'twin'", {}),
    "a kind that shadows ours": ("memory", plugin(), None, "two distributions claim the kind 'memory'", {}),
    "a slow import": ("acme", plugin(before="import threading\nthreading.Event().wait(2)\n"), None, None, {}),
    "raises in every method": ("acme", plugin(body="pass\n" + RAISES), None, "a defect: it raised RuntimeError", {}),
    "an older core pinned": ("acme", plugin(), None, "it needs confo-core<0.5", {"dependencies": ["confo-core<0.5"]}),
    "an entry point to nowhere": ("acme", "x = 1\n", "confo_acme.gone:away", "ModuleNotFoundError", {}),
}

PROGRAM = """
import json, logging, sys, time
kind = sys.argv[1]
began = time.monotonic()
import confo
from confo import Confo, plugins
seen = {"listed": {k: (p.distribution, p.version) for k, p in plugins.installed().items()}}
seen["loaded"] = [m for m in sys.modules if m.startswith("confo_")]
seen["quick"] = time.monotonic() - began < 1.5
other = "etcd" if kind == "memory" else "memory"
if other == "memory":
    with Confo("fine") as config:
        config.load_backend({}, "m", "memory")
        config.activate_backend("m")
        config.create_namespace("sales")
        config.use_namespace("sales")
        config.set("database", "host", "a")
        seen["works"] = config.persist() is not None
else:
    seen["works"] = plugins.load("etcd").__name__ == "EtcdBackend"
seen["untouched"] = [m for m in sys.modules if m.startswith("confo_acme")]
seen["error"] = seen["root"] = None
try:
    with Confo("broken") as config:
        config.load_backend({}, "b", kind)
        config.activate_backend("b")
        seen["opened"] = True
        config.create_namespace("sales")
except confo.PluginError as error:
    seen["error"] = f"PluginError: {error}"
except Exception as error:
    seen["error"] = f"{type(error).__name__}: {error}"
seen["secret"] = "always" in str(seen["error"])
seen["after"] = plugins.installed()[kind].error
print(json.dumps(seen))
"""


@pytest.fixture(params=list(BROKEN), ids=lambda name: name.replace(" ", "-"))
def broken(request, wheels, tmp_path):
    """Return a breakage and an environment with our wheels and the broken ones in it."""
    kind, text, value, says, project = BROKEN[request.param]
    names = ["confo-acme", "confo-acme-again"] if kind == "twin" else ["confo-acme"]
    made = []
    for name in names:
        package = name.replace("-", "_")
        points = {"confo.backends": {kind: value or f"{package}.plugin"}}
        made.append(build(write(tmp_path / name, name, points, {"plugin.py": text}, **project), tmp_path))
    environment = make_environment(tmp_path / "environment", "wheel", [*wheels["wheel"].values(), *made])
    return request.param, kind, says, environment


@pytest.mark.slow
def test_a_broken_plugin_hurts_only_who_asks_for_it(broken):
    """Importing, listing and every other backend work; asking for the broken one names its distribution and cause."""
    name, kind, says, environment = broken
    seen = json.loads(environment.run(PROGRAM, kind))
    assert seen["quick"]
    assert seen["works"] is True
    assert seen["loaded"] == seen["untouched"] == []
    assert {"memory", "etcd", kind} <= set(seen["listed"])
    if says:
        assert seen["error"].startswith("PluginError: ")
        assert "confo-acme 2.5" in seen["error"]
        assert says in seen["error"]
        if "two distributions" not in says:
            assert "entry point 'confo_acme." in seen["error"]
        if name != "raises in every method":  # what it does once it is open is not known to the listing
            assert says in seen["after"]
        assert seen["secret"] is False
    else:  # slow: it loads all the same, when it is asked for
        assert seen["error"] is None
