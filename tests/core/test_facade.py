"""What ``import confo`` shows: its names, its help, its version, its log, and ``python -m confo``."""

from __future__ import annotations

import io
import logging
import pydoc
import re
import subprocess
import sys

import importlib_metadata

import confo


def test_help_begins_with_the_short_path():
    """help(confo) is two pages, and begins with the lines that most programs need."""
    text = pydoc.render_doc(confo, renderer=pydoc.plaintext)  # type: ignore[attr-defined] # as help() without a pager
    assert len(text.splitlines()) < 130
    assert text.index("confo.connect(") < text.index("PACKAGE CONTENTS")


def test_dir_is_what_is_public():
    """dir(confo) lists public names only: no module of the inside, nothing that was imported for the facade."""
    names = set(dir(confo))
    assert {"connect", "aconnect", "open", "Confo", "Namespace", "errors", "plugins", "logging"} <= names
    assert not {"view", "replica", "sys", "importlib", "TYPE_CHECKING", "ModuleType", "annotations"} & names
    everything = {}
    exec("from confo import *", everything)
    assert names - {"__version__"} == set(everything) - {"__builtins__"}


def test_it_has_a_version():
    """confo.__version__ is the version of the installed distribution."""
    assert confo.__version__ == importlib_metadata.version("confo-core")


def run(*command):
    """Run Python; return its status, what it printed and what it complained of."""
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout, done.stderr


def test_the_module_reports_what_is_installed():
    """``python -m confo`` lists the installed kinds with their versions, and ends with 0 when all of them work."""
    status, printed, complained = run("-m", "confo")
    assert (status, complained) == (0, "")
    assert re.search(r"^confo-core \S+, Python 3", printed)
    for kind in ("etcd", "file", "memory", "zookeeper"):
        assert re.search(rf"^  {kind} +confo-{kind} \S+: works$", printed, re.MULTILINE)


def test_the_module_reports_what_is_broken(tmp_path, monkeypatch):
    """``python -m confo`` says of a broken plugin what is wrong with it, and ends with 1."""
    info = tmp_path / "acme-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text("[confo.backends]\nacme = nowhere_at_all\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    status, printed, complained = run("-m", "confo")
    assert (status, complained) == (1, "")
    assert re.search(
        r"^  acme +acme 1.2: .*ModuleNotFoundError: no module named 'nowhere_at_all'$", printed, re.MULTILINE
    )
    assert re.search(r"^  memory .*: works$", printed, re.MULTILINE)


LOSE = """
import confo, logging
{setup}
config = confo.open("memory:///sales", create=True)
config.set("database", "host", "a")
config.close()
"""


def test_nothing_is_printed_unless_it_is_asked_for():
    """A warning of Confo's prints nothing by itself; after confo.logging.basic() it is a line with time and level."""
    assert run("-c", LOSE.format(setup="")) == (0, "", "")
    status, _, told = run("-c", LOSE.format(setup="confo.logging.basic()"))
    assert status == 0
    assert re.search(r"^[-\d]+ [\d:,]+ WARNING confo: closed sales with changes that were staged", told, re.MULTILINE)


def test_the_log_may_be_set_up_again():
    """Calling basic() twice prints every line once, at the level of the last call."""
    logger = logging.getLogger("confo")
    before = logger.level, list(logger.handlers)
    try:
        handler = confo.logging.basic("WARNING")
        assert confo.logging.basic("DEBUG") is handler
        stream = handler.setStream(io.StringIO())
        logger.debug("once")
        text = handler.setStream(stream).getvalue()
        assert text.count("once") == 1
    finally:
        logger.setLevel(before[0])
        logger.handlers[:] = before[1]
