"""The pytest plugin that says of each backend whether it passes the contract; installed with this distribution.

What it counts are the contract's test functions, for each server of a fixture with ``params`` by itself: where all say
the same there is one line, and a server that is missing takes nothing from the others. A run of only some of the tests,
or with one replaced by a subclass, claims nothing.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from importlib.metadata import PackageNotFoundError, entry_points, packages_distributions, version
from typing import Any, Final

import pytest

_CONTRACT: Final = "confo_testkit.contract"
_ATTRIBUTE: Final = "confo_contract"  # of a report: what is known where the test ran, for where the summary is made
_COLLECTED: Final = pytest.StashKey[dict[str, list[str]]]()
_REPORTS: Final = pytest.StashKey[list[pytest.TestReport]]()


def pytest_configure(config: pytest.Config) -> None:
    """Begin to count."""
    config.stash[_COLLECTED] = {}
    config.stash[_REPORTS] = []
    config.pluginmanager.register(_Collector(config), "confo-contract")


class _Collector:
    """Keeps the reports of contract tests; an object, as this hook is not handed the configuration."""

    def __init__(self, config: pytest.Config) -> None:
        self._reports = config.stash[_REPORTS]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if getattr(report, _ATTRIBUTE, None) is not None:
            self._reports.append(report)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Generator[None, None, None]:
    """Note which contract tests a selection leaves out."""
    before = [item for item in items if _place(item)]
    yield
    kept = set(items)
    for item in before:
        if item not in kept:
            test_class, test = _place(item) or ("", "")
            config.stash[_COLLECTED].setdefault(test_class, []).append(test)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note in the report of a contract test what the summary must know; it may be made in another process."""
    report = yield
    place = _place(item)
    if place is not None:
        assert isinstance(item, pytest.Function)
        assert item.cls is not None
        backend = item.funcargs.get("backend")
        own, replaced = _contract_tests(item.cls)
        facts = {
            "class": place[0],
            "test": place[1],
            "tests": own,
            "whole": any(base.__name__ == "BackendContract" for base in item.cls.__mro__),
            "left_out": sorted({*replaced, *item.config.stash[_COLLECTED].get(place[0], [])}),
            "on": _servers(item),
            "backend": None if backend is None else _identity(type(backend)),
        }
        setattr(report, _ATTRIBUTE, facts)
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print one line for each backend."""
    from confo_testkit.contract import CONTRACT_VERSION

    for backend, passed, verdict in _verdicts(config.stash[_REPORTS], CONTRACT_VERSION):
        terminalreporter.write_line(f"{backend} {verdict}", green=passed is True, red=passed is False)


def _verdicts(reports: list[pytest.TestReport], contract: int) -> Iterator[tuple[str, bool | None, str]]:
    """Yield each backend, whether it passes (None: nobody can tell), and that in words."""
    identities: dict[str, tuple[str, str]] = {}
    for report in reports:
        facts = getattr(report, _ATTRIBUTE)
        if facts["backend"]:
            identities[facts["class"]] = tuple(facts["backend"])
    by_backend: dict[tuple[str, str] | str, list[pytest.TestReport]] = {}
    for report in reports:
        test_class = getattr(report, _ATTRIBUTE)["class"]
        by_backend.setdefault(identities.get(test_class, test_class), []).append(report)
    for who, theirs in by_backend.items():
        name = who if isinstance(who, str) else describe(*who)
        found = {
            on: _verdict([(report, getattr(report, _ATTRIBUTE)) for report in some], f"confo contract {contract}")
            for on, some in _by_server(theirs).items()
        }
        if len(set(found.values())) == 1:
            yield name, *next(iter(found.values()))
        else:
            for on, verdict in found.items():
                yield f"{name} on {on}", *verdict


def _by_server(reports: list[pytest.TestReport]) -> dict[str, list[pytest.TestReport]]:
    """Return the reports of each server; those of no server in particular are of each."""
    servers = dict.fromkeys(on for report in reports if (on := getattr(report, _ATTRIBUTE)["on"])) or {"": None}
    return {on: [report for report in reports if getattr(report, _ATTRIBUTE)["on"] in ("", on)] for on in servers}


def _verdict(reports: list[tuple[pytest.TestReport, dict[str, Any]]], contract: str) -> tuple[bool | None, str]:
    wanted = {(facts["class"], test) for _, facts in reports for test in facts["tests"]}
    left_out = {(facts["class"], test) for _, facts in reports for test in facts["left_out"]}
    failed = {(facts["class"], facts["test"]) for report, facts in reports if report.failed}
    skipped = {(facts["class"], facts["test"]) for report, facts in reports if report.skipped}
    ran = {(facts["class"], facts["test"]) for report, facts in reports if report.when == "call"} - left_out - skipped
    total = len(wanted)
    if failed:
        return False, f"fails {contract}: {len(failed)} of {total}"
    if not any(facts["whole"] for _, facts in reports):
        from confo_testkit.contract import BackendContract

        total += len(_contract_tests(BackendContract)[0])
    if len(ran & wanted) < total:
        return None, f"ran {len(ran & wanted)} of {total} tests of {contract}"
    return True, f"passes {contract}"


def _place(item: pytest.Item) -> tuple[str, str] | None:
    """Return the test class and the test function's name, if it is one of the contract's."""
    if not isinstance(item, pytest.Function) or item.cls is None or item.parent is None:
        return None
    name = item.originalname
    return (item.parent.nodeid, name) if name in _contract_tests(item.cls)[0] else None


def _servers(item: pytest.Function) -> str:
    """Return what the fixtures of a test were given by their ``params``: the server that it runs on."""
    callspec = getattr(item, "callspec", None)
    if callspec is None:
        return ""
    given = [mark.args[0] for mark in item.iter_markers("parametrize") if mark.args]
    own = {name.strip() for names in given for name in (names.split(",") if isinstance(names, str) else names)}
    return ", ".join(str(value) for name, value in callspec.params.items() if name not in own)


def _contract_tests(cls: type) -> tuple[list[str], list[str]]:
    """Return the names of the contract's tests that a class has, and those of them that it replaces."""
    bases = [base for base in cls.__mro__ if base.__module__.startswith(_CONTRACT)]
    names = sorted({name for base in bases for name in vars(base) if name.startswith("test_")})
    return names, [name for name in names if not _is_ours(getattr(cls, name))]


def _is_ours(test: object) -> bool:
    return str(getattr(test, "__module__", "")).startswith(_CONTRACT)


def _identity(backend: type) -> list[str]:
    return [backend.__module__, backend.__qualname__]


def describe(module: str, backend: str) -> str:
    """Return the distribution and its version that a backend's class comes from, and the class."""
    package = module.partition(".")[0]
    try:
        name = _distribution(package)
        return f"{name} {version(name)} ({backend})"
    except (LookupError, PackageNotFoundError):
        return f"{module} ({backend})"


def _distribution(package: str) -> str:
    """Return the name of the distribution that a package comes from: by its plugins, as editable ones list no files."""
    for group in ("confo.backends", "pytest11"):
        for entry_point in entry_points(group=group):
            if entry_point.value.partition(":")[0].partition(".")[0] == package and entry_point.dist is not None:
                return entry_point.dist.name
    return packages_distributions()[package][0]
