"""Reading the pages: headings, lines of Python, quoted messages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
_ENTRY = re.compile(
    r"^#{2,4} (?P<title>[^\n]+)\n"
    r"(?P<prose>(?:(?![#`>])[^\n]*\n)*)"
    r"```python\n(?P<code>(?:(?!```)[^\n]*\n)*)```\n\s*"
    r"(?P<quote>(?:>[^\n]*\n)+)",
    re.MULTILINE,
)
_BLOCK = re.compile(r"^```python$", re.MULTILINE)
_PLACEHOLDER = re.compile(r"<[a-z][a-z ]*>")


class Mistake(NamedTuple):
    """One mistake: where it is written, the lines that make it, and what is said: a class or a level, and the text."""

    page: str
    title: str
    code: str
    kind: str
    text: str

    def __repr__(self) -> str:
        return f"{self.page}: {self.title}"

    def is_told_by(self, text: str) -> bool:
        """Tell whether this text is the message, whatever stands for its placeholders."""
        parts = _PLACEHOLDER.split(self.text)
        return re.fullmatch(".+?".join(map(re.escape, parts)), text, re.DOTALL) is not None


def mistakes() -> Iterator[Mistake]:
    """Yield every mistake of every page; ValueError if one is not written as README.md says."""
    for page in sorted(HERE.glob("*.md")):
        if page.name != "README.md":
            yield from read(page.stem, page.read_text(encoding="utf-8"))


def read(page: str, text: str) -> list[Mistake]:
    """Return the mistakes of one page's text."""
    found = []
    for entry in _ENTRY.finditer(text):
        quoted = " ".join(line.removeprefix(">").strip() for line in entry["quote"].splitlines())
        kind, _, said = quoted.partition(": ")
        found.append(Mistake(page, entry["title"], entry["code"], kind, said))
    blocks = len(_BLOCK.findall(text))
    if len(found) != blocks:
        raise ValueError(f"{page}.md has {blocks} blocks of Python, and {len(found)} with a heading and a message")
    return found
