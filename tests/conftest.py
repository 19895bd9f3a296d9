"""What holds for every test: nothing is left behind, and a server that was asked for is really there."""

from __future__ import annotations

import contextlib
import gc
import os
import threading
import time
from pathlib import Path

import importlib_metadata  # noqa: F401 - it changes how metadata is found, which pytester would take back after a run
import pytest
from hypothesis import settings

settings.register_profile("confo", deadline=None)  # tests assert no times: a busy machine is slow, not wrong
settings.load_profile("confo")
pytest_plugins = ["pytester"]  # the tests of this file run pytest inside pytest

PATIENCE = 5.0  # seconds that a thread has to end, and a descriptor to close, after its test: both end on their own
_FOLDER_OF_DESCRIPTORS = Path("/proc/self/fd")  # Linux; elsewhere only threads are compared


@pytest.fixture(autouse=True)
def _leaves_nothing_behind(request):
    """Fail a test that leaves a thread, a socket or a file behind, and name it.

    Fixtures of a wider scope are set up before this one, so what they hold is no leak.
    """
    threads, descriptors = set(threading.enumerate()), _descriptors()
    yield
    if request.node.get_closest_marker("allow_leaks"):
        return
    deadline = time.monotonic() + PATIENCE
    leaks = [f"thread {thread.name!r}" for thread in _still_running(threads, deadline)]
    leaks += [f"descriptor {number}: {target}" for number, target in _still_open(descriptors, deadline)]
    if leaks:
        pytest.fail("this test left behind: " + ", ".join(leaks), pytrace=False)


def _still_running(before: set[threading.Thread], deadline: float) -> list[threading.Thread]:
    """Return the threads that started since and have not ended by the deadline."""
    started = [thread for thread in threading.enumerate() if thread not in before]
    # A dummy stands for a thread of C code (gRPC's) that once called into Python: nobody can join it, and it
    # stays listed after its thread is gone.
    started = [thread for thread in started if not isinstance(thread, threading._DummyThread)]
    for thread in started:
        with contextlib.suppress(RuntimeError):  # it is listed, and about to start
            thread.join(max(0.0, deadline - time.monotonic()))
    return [thread for thread in started if thread.is_alive()]


def _still_open(before: dict[int, str], deadline: float) -> list[tuple[int, str]]:
    """Return the descriptors that were opened since and are not closed by the deadline."""
    now = _descriptors()
    if now.items() <= before.items():
        return []
    gc.collect()  # in a cycle, it would close at any moment; its ResourceWarning is the test's failure then
    tick = threading.Event()  # never set: C code (gRPC's) closes on threads of its own, which nobody can join
    while (new := sorted(_descriptors().items() - before.items())) and time.monotonic() < deadline:
        tick.wait(0.01)
    return new


def _descriptors() -> dict[int, str]:
    """Return this process's open descriptors and what each is: a path, or a kind and an inode."""
    found = {}
    for link in _FOLDER_OF_DESCRIPTORS.iterdir() if _FOLDER_OF_DESCRIPTORS.is_dir() else ():
        try:
            found[int(link.name)] = str(link.readlink())
        except FileNotFoundError:  # the one by which the folder was listed
            continue
    return found


def pytest_report_header() -> list[str]:
    """Say which servers the tests run against, and which of them must be there."""
    lines = []
    try:
        from tests.servers import describe_servers
    except ModuleNotFoundError:  # this file on its own, in the tests of its fixtures
        pass
    else:
        lines.append(f"servers: {describe_servers()}")
    if required := _required_servers():
        lines.append(f"required servers: {', '.join(required)}")
    return lines


def _required_servers() -> list[str]:
    """Return the servers that CONFO_REQUIRE_SERVERS names, by commas: they must not be missing."""
    return [name for part in os.environ.get("CONFO_REQUIRE_SERVERS", "").split(",") if (name := part.strip())]


def _skipped_for_want_of_a_server(config: pytest.Config) -> list[str]:
    """Return what was skipped with a reason that names a required server."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    skipped = [] if reporter is None else reporter.stats.get("skipped", [])
    reasons = {
        report.nodeid: report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        for report in skipped
    }
    required = _required_servers()
    return [f"{test}: {why}" for test, why in reasons.items() if any(name in why for name in required)]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run that skipped a test for want of a required server: green must mean that it ran."""
    if session.exitstatus == pytest.ExitCode.OK and _skipped_for_want_of_a_server(session.config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Name the tests that were skipped for want of a required server."""
    if missing := _skipped_for_want_of_a_server(config):
        terminalreporter.section("FAILED: required servers were missing", red=True)
        for line in missing:
            terminalreporter.write_line(line)
