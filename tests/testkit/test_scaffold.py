"""``python -m confo_testkit new NAME`` writes a distribution that works; the example on SQLite is one that grew."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from confo_testkit import scaffold
from confo_testkit.__main__ import main
from tests.outsiders import install, kit_wheels, run_python, run_tests
from tests.packaging.conftest import make_environment

ROOT = Path(__file__).parents[2]
SQLITE = ROOT / "examples" / "confo-sqlite"


def content(folder: Path) -> dict[str, str]:
    """Return every file below a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8") for path in files}


# --- what it writes ------------------------------------------------------------------------------


def test_it_writes_a_whole_distribution(tmp_path, capsys):
    """One command makes every file that a distribution needs, says which, and says what to do next."""
    assert main(["new", "aws-s3", "--into", str(tmp_path)]) == 0
    made = tmp_path / "confo-aws-s3"
    assert list(tmp_path.iterdir()) == [made]
    assert sorted(content(made)) == [
        ".github/workflows/test.yml",
        ".gitignore",
        "README.md",
        "pyproject.toml",
        "src/confo_aws_s3/__init__.py",
        "src/confo_aws_s3/backend.py",
        "src/confo_aws_s3/plugin.py",
        "src/confo_aws_s3/py.typed",
        "tests/test_contract.py",
    ]
    said = capsys.readouterr().out
    assert all(name in said for name in content(made))
    assert said.splitlines()[-2:] == [f"    python -m pip install -e {made}", f"    python -m pytest {made}"]


def test_the_kind_is_everywhere(tmp_path):
    """The name stands in the distribution, the package, the class and the kind, and nothing is left of the template."""
    made, *_ = scaffold.write_distribution("aws-s3", tmp_path)
    files = content(made)
    assert not [name for name, text in files.items() if "shelf" in f"{name}{text}".lower()]
    project = tomllib.loads(files["pyproject.toml"])["project"]
    assert project["name"] == "confo-aws-s3"
    assert project["entry-points"]["confo.backends"] == {"aws-s3": "confo_aws_s3.plugin"}
    assert "class AwsS3Backend(Backend)" in files["src/confo_aws_s3/backend.py"]
    assert 'kind == "aws-s3"' in files["src/confo_aws_s3/plugin.py"]


def test_it_takes_the_minor_that_is_installed(tmp_path):
    """The new distribution depends on this minor of the core and of the testkit."""
    made, *_ = scaffold.write_distribution("redis", tmp_path)
    written = tomllib.loads((made / "pyproject.toml").read_text(encoding="utf-8"))
    core = tomllib.loads((ROOT / "confo-core" / "pyproject.toml").read_text(encoding="utf-8"))
    pin = scaffold.compatible_pin(core["project"]["version"])
    assert written["project"]["dependencies"] == [f"confo-core~={pin}"]
    assert written["dependency-groups"]["test"][0] == f"confo-testkit~={pin}"


@pytest.mark.parametrize(
    ("version", "pin"), [("1.4.7", "1.4.0"), ("2.0.0", "2.0.0"), ("1.0.0.dev0", "1.0.0.dev0"), ("3.1.0rc2", "3.1.0rc2")]
)
def test_a_pin_is_the_beginning_of_a_minor(version, pin):
    """Every fix of this minor is taken; a version before its release is taken by name."""
    assert scaffold.compatible_pin(version) == pin


def test_every_template_is_written():
    """A template that the list of files does not know would be left out, silently."""
    folder = Path(scaffold.__file__).parent / "templates" / "confo-shelf"
    there = {name for name in content_names(folder) if "__pycache__" not in name}
    assert there == set(scaffold.FILES)


def content_names(folder: Path) -> list[str]:
    """Return the paths of the files below a folder."""
    return [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]


# --- what it refuses -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("Redis", "lower-case"),
        ("", "lower-case"),
        ("2fast", "beginning with a letter"),
        ("my_store", "single dashes"),
        ("my--store", "single dashes"),
        ("store-", "single dashes"),
        ("../etc", "cannot be a kind"),
        ("bücher", "lower-case"),
        ("redis\n", "lower-case"),
        ("x" * 41, "at most 40"),
        ("class", "a word of Python"),
        ("memory", "Confo's own"),
        ("etcd", "Confo's own"),
        ("file", "Confo's own"),
        ("zookeeper", "Confo's own"),
        ("core", "a distribution of Confo's own"),
    ],
)
def test_a_name_that_cannot_be(name, why, tmp_path, capsys):
    """A wrong name is one line that says why, exit code 2, and nothing written."""
    assert main(["new", name, "--into", str(tmp_path)]) == 2
    said = capsys.readouterr()
    assert why in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_there(tmp_path, capsys):
    """What is there already stays as it is."""
    (tmp_path / "confo-redis").mkdir()
    (tmp_path / "confo-redis" / "mine.py").write_text("mine")
    assert main(["new", "redis", "--into", str(tmp_path)]) == 2
    assert "exists already" in capsys.readouterr().err
    assert content(tmp_path) == {"confo-redis/mine.py": "mine"}


def test_a_folder_that_is_not_there(tmp_path, capsys):
    """The folder to write into is not made: it may be a typing error."""
    assert main(["new", "redis", "--into", str(tmp_path / "nowhere")]) == 2
    assert "nowhere" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch, capsys):
    """When writing fails half-way, nothing is left, and the error says what the system said."""
    write, written = Path.write_text, []

    def fails_later(path, *arguments, **options):
        written.append(path)
        if len(written) == 5:
            raise OSError(28, "No space left on device")
        return write(path, *arguments, **options)

    monkeypatch.setattr(Path, "write_text", fails_later)
    assert main(["new", "redis", "--into", str(tmp_path)]) == 2
    assert "No space left on device" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_no_command_is_a_usage_error(capsys):
    """Without a command the usage is shown, and the exit code is 2."""
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 2
    assert "new" in capsys.readouterr().err


# --- that it works -------------------------------------------------------------------------------


@pytest.mark.slow
def test_new_to_green(tmp_path, tmp_path_factory):
    """What the installed testkit writes is built as a wheel, installed, and passes the contract as generated."""
    author = make_environment(tmp_path / "author", "wheel", kit_wheels(tmp_path_factory))
    done = run_python(author, tmp_path, "-m", "confo_testkit", "new", "my-store")
    assert done.returncode == 0, done.stderr
    project = tmp_path / "confo-my-store"
    environment = install(tmp_path_factory, project)
    done = run_tests(environment, project)
    assert done.returncode == 0, done.stdout
    assert passed(done.stdout) > 30
    environment.run(readme_program(project))
    place = environment.run("import confo; print(confo.plugins.load('my-store').__module__)")
    assert place.strip() == "confo_my_store.backend"


@pytest.mark.slow
def test_a_defect_in_what_was_generated_is_found(tmp_path, tmp_path_factory):
    """A control: with one guard gone, the tests that are generated fail."""
    project, *_ = scaffold.write_distribution("my-store", tmp_path)
    backend = project / "src" / "confo_my_store" / "backend.py"
    code = backend.read_text(encoding="utf-8")
    assert code.count("            if moved:") == 1
    backend.write_text(code.replace("            if moved:", "            if not moved and False:"), encoding="utf-8")
    done = run_tests(install(tmp_path_factory, project), project, "-k", "guard")
    assert done.returncode == 1, done.stdout
    assert "test_guard_of_absence" in done.stdout


@pytest.mark.slow
def test_the_example_on_sqlite(tmp_path, tmp_path_factory):
    """The backend on SQLite, from its wheel with no source in reach, passes the contract and its own tests."""
    environment = install(tmp_path_factory, SQLITE)
    done = run_tests(environment, SQLITE)
    assert done.returncode == 0, done.stdout
    assert passed(done.stdout) > 40
    environment.run(readme_program(SQLITE).replace("/var/lib/shop", tmp_path.as_posix()))
    place = environment.run("import confo_sqlite; print(confo_sqlite.__file__)")
    assert place.startswith(str(environment.folder))


def readme_program(project: Path) -> str:
    """Return the program that a README shows."""
    (block,) = re.findall(
        r"^```python\n(.*?)^```$", (project / "README.md").read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    return f"{block}config.close()\n"


def passed(output: str) -> int:
    """Return how many tests pytest says have passed; one that skips or errs is none."""
    found = re.search(r"^(\d+) passed(?: in|,)", output, re.MULTILINE)
    assert found, output
    return int(found[1])
