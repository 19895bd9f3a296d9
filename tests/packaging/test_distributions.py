"""Every distribution is complete and says the same of itself as its siblings."""

from __future__ import annotations

import zipfile
from importlib.metadata import entry_points

import pytest
from packaging.metadata import Metadata
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from tests.packaging.distributions import DISTRIBUTIONS, ROOT

NAMES = [distribution.name for distribution in DISTRIBUTIONS]
each = pytest.mark.parametrize("distribution", DISTRIBUTIONS, ids=NAMES)
each_backend = pytest.mark.parametrize(
    "distribution",
    [distribution for distribution in DISTRIBUTIONS if distribution.kinds],
    ids=lambda distribution: distribution.name,
)
CORE = next(distribution for distribution in DISTRIBUTIONS if distribution.name == "confo-core")


def test_every_folder_is_a_distribution():
    """A folder named confo-* with no pyproject.toml would be left out of everything, silently."""
    assert sorted(path.name for path in ROOT.glob("confo-*")) == NAMES


@each
def test_a_distribution_is_named_as_its_folder(distribution):
    """Tools find a distribution by its folder, users by its name: they are the same."""
    assert distribution.name == distribution.folder.name


@each
@pytest.mark.parametrize("file", ["README.md", "CHANGELOG.md", "LICENSE"])
def test_a_distribution_has_its_papers(distribution, file):
    """What a reader looks for in a source distribution is there and is not empty."""
    assert (distribution.folder / file).read_text(encoding="utf-8").strip()


@each
def test_a_changelog_can_take_a_release(distribution):
    """Towncrier puts a release below its marker; without one it would land above the title."""
    changelog = (distribution.folder / "CHANGELOG.md").read_text(encoding="utf-8")
    assert changelog.startswith("# ")
    assert changelog.count("<!-- towncrier release notes start -->\n") == 1


@each
def test_a_distribution_carries_the_licence_of_the_repository(distribution):
    """The text that travels with a wheel is Apache-2.0, unchanged."""
    assert (distribution.folder / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
    assert "Apache License" in (ROOT / "LICENSE").read_text(encoding="utf-8")


@each
def test_a_distribution_states_its_licence_the_standard_way(distribution):
    """The licence is an SPDX expression with its file (PEP 639), and no classifier contradicts it."""
    assert distribution.project["license"] == "Apache-2.0"
    assert distribution.project["license-files"] == ["LICENSE"]
    assert not [line for line in distribution.project["classifiers"] if line.startswith("License ::")]


@each
def test_a_distribution_ships_its_types(distribution):
    """Type checkers read the annotations of an installed package only where py.typed is."""
    assert (distribution.folder / "src" / distribution.package / "py.typed").is_file()


@each
def test_versions_move_in_lockstep(distribution):
    """All distributions carry one version, so that a user need not know which goes with which."""
    assert distribution.project["version"] == CORE.project["version"]
    assert distribution.project["requires-python"] == CORE.project["requires-python"]


@each
def test_siblings_are_pinned_to_the_same_minor(distribution):
    """A distribution takes its siblings at its own version or a later fix of it, never at another minor."""
    extras = distribution.project.get("optional-dependencies", {})
    lines = [
        *distribution.project.get("dependencies", []),
        *(line for extra in extras.values() for line in extra),
    ]
    siblings = [line for line in lines if line.startswith("confo-")]
    version = Version(CORE.project["version"])
    for line in siblings:
        name, operator, pin = line.partition("~=")
        assert name in NAMES
        assert operator
        assert len(Version(pin).release) == 3, f"{line} would allow the next minor"
        allowed = SpecifierSet(f"~={pin}", prereleases=True)
        assert version in allowed
        assert f"{version.major}.{version.minor + 1}.0" not in allowed
    if distribution is not CORE:
        assert any(line.startswith("confo-core~=") for line in siblings)


def test_the_core_needs_two_packages():
    """confo-core brings pluggy and importlib-metadata, nothing else."""
    assert {requirement.name for requirement in CORE.requirements} == {"pluggy", "importlib-metadata"}


def test_the_core_has_an_extra_for_every_kind():
    """``pip install confo-core[etcd]`` is ``pip install confo-core confo-etcd``; so for every backend."""
    extras = CORE.project["optional-dependencies"]
    for distribution in DISTRIBUTIONS:
        for kind in distribution.kinds:
            assert [line.partition("~=")[0] for line in extras[kind]] == [distribution.name]


@each_backend
def test_a_kind_is_named_as_its_distribution(distribution):
    """confo-etcd brings the kind "etcd", from its own package."""
    assert list(distribution.kinds) == [distribution.name.removeprefix("confo-")]
    for value in distribution.kinds.values():
        assert value.partition(".")[0] == distribution.package


@each_backend
def test_an_entry_point_loads(distribution):
    """What a distribution registers can be imported, with what it needs and nothing more."""
    for kind in distribution.kinds:
        (entry_point,) = entry_points(group="confo.backends", name=kind)
        assert entry_point.load().confo_backend(kind=kind).__name__


@each
def test_a_wheel_holds_its_package_and_nothing_else(distribution, wheels):
    """A wheel brings one package with py.typed and its licence: it cannot overwrite a sibling's files."""
    with zipfile.ZipFile(wheels["wheel"][distribution.name]) as archive:
        names = archive.namelist()
    info = f"{distribution.name.replace('-', '_')}-{Version(distribution.project['version'])}.dist-info"
    assert {name.partition("/")[0] for name in names} == {distribution.package, info}
    assert f"{distribution.package}/py.typed" in names
    assert f"{info}/licenses/LICENSE" in names
    assert not [name for name in names if "/tests/" in name or name.endswith(".pyc")]


@each
def test_the_metadata_of_a_wheel_is_valid(distribution, wheels):
    """An index that checks the metadata takes it, licence expression included."""
    with zipfile.ZipFile(wheels["wheel"][distribution.name]) as archive:
        (path,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = Metadata.from_email(archive.read(path), validate=True)
    assert metadata.license_expression == "Apache-2.0"
    assert metadata.description == (distribution.folder / "README.md").read_text(encoding="utf-8")
