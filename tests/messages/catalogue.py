"""The catalogue of errors in docs/errors.md: the pages of this folder, one after the other.

``python -m tests.messages.catalogue > docs/errors.md`` writes it.
"""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
PAGES = ("writing", "living", "opening", "credentials", "servers", "files")
INTRO = """# What Confo says

Each mistake with the lines that make it, and the message. Every one of them is made by the tests and its message
compared, so this page is true. `<folder>` and the like stand for what differs from run to run; `config` is a `Confo`
with a store in memory, `sales` a namespace of it that has `database` with `host` and `port`, `folder` a folder of
files, `empty` a `Confo` that has loaded nothing. A message that begins with `WARNING` or `INFO` is a line in the log.
"""


def catalogue() -> str:
    """Return the page's text."""
    return "\n".join([INTRO, *(_deeper((HERE / f"{page}.md").read_text(encoding="utf-8")) for page in PAGES)])


def _deeper(page: str) -> str:
    """Return a page's text with each heading one level deeper; what is in a block of code is no heading."""
    lines, is_code = [], False
    for line in page.splitlines():
        is_code ^= line.startswith("```")
        lines.append(f"#{line}" if line.startswith("#") and not is_code else line)
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(catalogue())
