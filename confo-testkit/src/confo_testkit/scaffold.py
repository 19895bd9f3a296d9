"""Write a third-party distribution: a backend that passes the contract before its author has changed a line.

The templates are a distribution themselves, of the kind "shelf", so that what is generated is linted, typed and tested
like any other code; making another kind of it is exchanging that one word.
"""

from __future__ import annotations

import importlib.resources
import keyword
import re
import tempfile
from importlib.metadata import version
from pathlib import Path

KIND = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
"""A kind is a part of a distribution's name, of a package's and of a URL: what is allowed in all three."""
LONGEST_KIND = 40
OURS = frozenset({"memory", "etcd", "file", "zookeeper"})
TAKEN = frozenset({"core", "cli", "testkit"})
"""Not kinds, and yet ``confo-<name>`` is a distribution of ours."""

FILES = {  # template: where it goes
    "pyproject.toml": "pyproject.toml",
    "README.md": "README.md",
    "gitignore": ".gitignore",  # under its own name it would act on this repository
    "workflow.yml": ".github/workflows/test.yml",
    "confo_shelf/__init__.py": "src/confo_shelf/__init__.py",
    "confo_shelf/plugin.py": "src/confo_shelf/plugin.py",
    "confo_shelf/backend.py": "src/confo_shelf/backend.py",
    "confo_shelf/py.typed": "src/confo_shelf/py.typed",
    "confo_shelf/test_contract.py": "tests/test_contract.py",
}


class ScaffoldError(Exception):
    """The distribution cannot be made; nothing was written."""


def write_distribution(kind: str, into: Path) -> list[Path]:
    """Write ``confo-<kind>`` into a folder, all of it or nothing; return the new folder, then its files.

    Raises ScaffoldError for a name that cannot be a kind, a folder that is there, and what the system refuses.
    """
    check_kind(kind)
    target = into / f"confo-{kind}"
    if target.exists() or target.is_symlink():
        raise ScaffoldError(f"{target} exists already; choose another name or another folder with --into")
    if not into.is_dir():
        raise ScaffoldError(f"there is no folder {into} to make {target.name} in")
    files = render(kind)
    try:
        with tempfile.TemporaryDirectory(dir=into, prefix=f".{target.name}-") as scratch:
            whole = Path(scratch) / target.name
            for name, text in files.items():
                path = whole / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8", newline="\n")
            whole.rename(target)
    except OSError as error:
        raise ScaffoldError(f"{target} cannot be written: {error.strerror or error}") from error
    return [target, *(target / name for name in files)]


def check_kind(kind: str) -> None:
    """Raise ScaffoldError, with the reason, for a name that cannot be a new kind of backend."""
    if not KIND.fullmatch(kind):
        raise ScaffoldError(
            f"{kind!r} cannot be a kind: lower-case letters and digits, beginning with a letter, "
            "with single dashes inside; redis, or aws-s3"
        )
    if len(kind) > LONGEST_KIND:
        raise ScaffoldError(f"a kind has at most {LONGEST_KIND} characters, this one {len(kind)}")
    if keyword.iskeyword(kind):
        raise ScaffoldError(f"{kind!r} is a word of Python and cannot be a kind; try {kind}-store")
    if kind in OURS:
        raise ScaffoldError(f"the kind {kind!r} is Confo's own: two distributions that claim one kind are refused")
    if kind in TAKEN:
        raise ScaffoldError(f"confo-{kind} is a distribution of Confo's own; choose another name")


def render(kind: str) -> dict[str, str]:
    """Return the files of ``confo-<kind>``: path to text."""
    templates = importlib.resources.files("confo_testkit") / "templates" / "confo-shelf"
    words = {
        "~=0.0.0": "~=" + compatible_pin(version("confo-core")),
        "confo_shelf": f"confo_{kind.replace('-', '_')}",
        "Shelf": "".join(part.capitalize() for part in kind.split("-")),
        "shelf": kind,
    }
    pattern = re.compile("|".join(map(re.escape, words)))  # the longer before the shorter, as they stand above

    def fill(text: str) -> str:
        return pattern.sub(lambda found: words[found[0]], text)

    return {fill(path): fill((templates / name).read_text(encoding="utf-8")) for name, path in FILES.items()}


def compatible_pin(installed: str) -> str:
    """Return what ``~=`` takes to allow this minor from its beginning on; a version before it stands for itself."""
    release = re.fullmatch(r"(\d+)\.(\d+)\.\d+", installed)
    return f"{release[1]}.{release[2]}.0" if release else installed
