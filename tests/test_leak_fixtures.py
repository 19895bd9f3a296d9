"""The controls of tests/conftest.py: each shows that a check can fail."""

from __future__ import annotations

from pathlib import Path

import pytest

CONFTEST = Path(__file__).with_name("conftest.py")
needs_proc = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="descriptors are listed in /proc")


@pytest.fixture
def run(pytester, monkeypatch):
    """Return a function that runs a test file under this project's conftest, in a process of its own."""
    monkeypatch.delenv("CONFO_REQUIRE_SERVERS", raising=False)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # half the time, and nothing else's doing
    conftest = CONFTEST.read_text(encoding="utf-8").replace("PATIENCE = 5.0", "PATIENCE = 0.2")
    pytester.makeconftest(conftest)
    pytester.makeini("[pytest]\nmarkers = allow_leaks(reason): as in the project\n")

    def run(source: str):
        pytester.makepyfile(source)
        return pytester.runpytest_subprocess("-ra", "-p", "no:cacheprovider")

    return run


def test_a_leaked_thread_fails_its_test(run):
    """A thread that outlives its test fails it, by name."""
    result = run(
        """
        import threading

        def test_leaks():
            threading.Thread(target=threading.Event().wait, name="the-leaked-one", daemon=True).start()
        """
    )
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*left behind: thread 'the-leaked-one'*"])


def test_a_thread_that_is_about_to_end_is_no_leak(run):
    """A thread that ends on its own is waited for."""
    result = run(
        """
        import threading

        def test_ends():
            threading.Thread(target=threading.Event().wait, args=(0.05,)).start()
        """
    )
    result.assert_outcomes(passed=1)


@needs_proc
def test_a_leaked_socket_fails_its_test(run):
    """A socket that stays open after its test fails it, by number and kind."""
    result = run(
        """
        import socket
        kept = []

        def test_leaks():
            kept.append(socket.socket())
        """
    )
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*left behind: descriptor *: socket:*"])


@needs_proc
def test_a_leaked_file_fails_its_test(run):
    """A file that stays open after its test fails it, by path."""
    result = run(
        """
        kept = []

        def test_leaks(tmp_path):
            kept.append((tmp_path / "the-leaked-one").open("w"))
        """
    )
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*left behind: descriptor *the-leaked-one*"])


@needs_proc
def test_a_descriptor_is_recognised_by_what_it_is(run):
    """A test that closes a descriptor and leaks another under the same number is caught."""
    result = run(
        """
        import os
        import pytest

        @pytest.fixture(scope="module")
        def number():
            return os.open("/dev/null", os.O_RDONLY)

        def test_leaks(number):
            os.close(number)
            assert os.open("/dev/zero", os.O_RDONLY) == number
        """
    )
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*left behind: descriptor *: /dev/zero"])


def test_what_a_wider_fixture_holds_is_no_leak(run):
    """A session's server may keep its thread and its socket from one test to the next."""
    result = run(
        """
        import socket, threading
        import pytest

        @pytest.fixture(scope="session")
        def server():
            stop = threading.Event()
            thread = threading.Thread(target=stop.wait)
            thread.start()
            with socket.socket() as sock:
                yield sock
            stop.set()
            thread.join()

        def test_first(server): ...
        def test_second(server): ...
        """
    )
    result.assert_outcomes(passed=2)


def test_a_test_may_say_that_it_leaks(run):
    """The marker allow_leaks switches the check off for one test."""
    result = run(
        """
        import socket
        import pytest
        kept = []

        @pytest.mark.allow_leaks(reason="to see that it may")
        def test_leaks():
            kept.append(socket.socket())
        """
    )
    result.assert_outcomes(passed=1)


SKIPPED = """
import pytest

def test_passes(): ...

@pytest.mark.skip(reason="no etcd-9.9 on this machine")
def test_wants_a_server(): ...
"""


def test_a_skipped_server_that_is_required_fails_the_run(run, monkeypatch):
    """With CONFO_REQUIRE_SERVERS a test skipped for want of such a server fails the run and is named."""
    monkeypatch.setenv("CONFO_REQUIRE_SERVERS", "etcd-1.0, etcd-9.9")
    result = run(SKIPPED)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*required servers were missing*", "*test_wants_a_server: *no etcd-9.9*"])


def test_a_module_skipped_for_a_required_server_fails_the_run(run, monkeypatch):
    """A module that skips itself whole while it is collected is no way round."""
    monkeypatch.setenv("CONFO_REQUIRE_SERVERS", "etcd-9.9")
    result = run("import pytest\npytest.skip('no etcd-9.9 here', allow_module_level=True)\n")
    assert result.ret != pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["*required servers were missing*"])


@pytest.mark.parametrize("required", ["", "etcd-1.0"])
def test_other_skips_are_allowed(run, monkeypatch, required):
    """A skip that names no required server does not fail the run."""
    monkeypatch.setenv("CONFO_REQUIRE_SERVERS", required)
    assert run(SKIPPED).ret == pytest.ExitCode.OK
