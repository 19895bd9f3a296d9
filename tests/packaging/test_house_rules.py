"""The example of plugins across backends, from its wheel."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.packaging.conftest import make_environment
from tests.packaging.projects import build

EXAMPLE = Path(__file__).parents[2] / "examples" / "confo-house-rules"

PROGRAM = """
import json, logging
lines = []
class Keep(logging.Handler):
    def emit(self, record):
        lines.append(record.getMessage())
logging.getLogger("confo.audit").setLevel(logging.INFO)
logging.getLogger("confo.audit").addHandler(Keep())
import confo
with confo.open("memory:///sales", create=True) as config:
    config.set("database", {"port": 5432, "password": "hunter2"}, None)
    revision = config.persist(message="first", author="kabelo").revision
    config.set("database", "port", 70000)
    refused = []
    for message in ("port", " "):
        try:
            config.persist(message=message, author="kabelo")
        except confo.CommitRefused as error:
            refused.append(str(error))
        config.set("database", "port", 5433)
print(json.dumps({"lines": lines, "revision": revision, "refused": refused,
                  "listed": {k: p.distribution for k, p in confo.plugins.extensions().items()}}))
"""


@pytest.mark.slow
def test_house_rules(wheels, tmp_path):
    """Policies refuse a port out of range and a commit without a message; every commit has an audit line, no value."""
    made = [*wheels["wheel"].values(), build(EXAMPLE, tmp_path)]
    environment = make_environment(tmp_path / "environment", "wheel", made)
    seen = json.loads(environment.run(PROGRAM))
    assert seen["listed"] == dict.fromkeys(("audit-log", "message-policy", "port-policy"), "confo-house-rules")
    assert seen["lines"] == [f"revision {seen['revision']} by kabelo: sales/database['port', 'password'] (first)"]
    port, message = seen["refused"]
    assert port == (
        "the plugin port-policy (confo-house-rules 1.0.0) refuses this commit: sales/database: 'port' is a number from "
        "1 to 65535; nothing was sent"
    )
    assert message == (
        "the plugin message-policy (confo-house-rules 1.0.0) refuses this commit: kabelo gave no message: "
        "persist(message='why'); nothing was sent"
    )
