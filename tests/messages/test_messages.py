"""Every mistake on the pages beside this file gets the message that stands there, and one traceback."""

from __future__ import annotations

import ast
import logging
import traceback
from pathlib import Path

import pytest

import confo
from tests.messages import conftest
from tests.messages.catalogue import PAGES, catalogue
from tests.messages.pages import Mistake, mistakes, read


def named(mistake: Mistake) -> list[str]:
    """Return the fixtures that the lines of a mistake name."""
    used = {node.id for node in ast.walk(ast.parse(mistake.code)) if isinstance(node, ast.Name)}
    return sorted(name for name in used if type(vars(conftest).get(name)).__name__ == "FixtureFunctionDefinition")


MISTAKES = list(mistakes())


@pytest.mark.parametrize("mistake", MISTAKES, ids=map(repr, MISTAKES))
def test_message(mistake, request, caplog):
    """The mistake is answered with what its page says: the error or the line in the log, and nothing printed above."""
    names = {name: request.getfixturevalue(name) for name in named(mistake)}
    lines = compile(mistake.code, f"{mistake.page}.md", "exec")
    if mistake.kind in logging.getLevelNamesMapping():
        with caplog.at_level(mistake.kind, "confo"):
            exec(lines, {"confo": confo, **names})
        said = [record.getMessage() for record in caplog.records if record.levelname == mistake.kind]
        assert any(mistake.is_told_by(text) for text in said), said
        return
    with pytest.raises(Exception) as caught:
        exec(lines, {"confo": confo, **names})
    assert type(caught.value).__name__ == mistake.kind, caught.value
    assert mistake.is_told_by(str(caught.value)), str(caught.value)
    printed = "".join(traceback.format_exception(caught.value))
    assert printed.count("Traceback (most recent call last)") == 1, printed


def test_a_page_that_is_wrong_is_found():
    """The control: another text, another class or no error do not pass, and a block without a message is refused."""
    entry = "## A\n\n```python\n1 / 0\n```\n\n> ZeroDivisionError: division\n> by <what> at <port>\n"
    (mistake,) = read("page", entry)
    assert mistake == Mistake("page", "A", "1 / 0\n", "ZeroDivisionError", "division by <what> at <port>")
    assert mistake.is_told_by("division by zero at 2379")
    assert not mistake.is_told_by("division by at 2379")
    assert not mistake.is_told_by("a division by zero at 2379")
    with pytest.raises(ValueError, match="page.md has 2 blocks of Python, and 1"):
        read("page", entry + "\n## B\n\n```python\npass\n```\n")


def test_the_catalogue_is_what_is_tested():
    """docs/errors.md has every page of this folder, as it is; ``python -m tests.messages.catalogue`` writes it."""
    assert {mistake.page for mistake in MISTAKES} == set(PAGES)
    page = Path(__file__).parents[2] / "docs" / "errors.md"
    assert page.read_text(encoding="utf-8") == catalogue()
