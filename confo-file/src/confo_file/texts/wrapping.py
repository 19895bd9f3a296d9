"""What surrounds a text in its file: a byte order mark, and the line ends."""

from __future__ import annotations

import codecs
from typing import NamedTuple

from confo_file.texts.problem import Problem

BOM = codecs.BOM_UTF8


class Wrapping(NamedTuple):
    """How a file keeps its text."""

    mark: bool = False
    """It begins with a byte order mark."""
    carriage: bool = False
    """Its lines end with CR LF."""

    def wrap(self, text: str) -> bytes:
        """Return a text as such a file's bytes."""
        if self.carriage:
            text = text.replace("\n", "\r\n")
        return (BOM if self.mark else b"") + text.encode()


def unwrap(data: bytes) -> tuple[str, Wrapping]:
    """Return a file's text with plain line ends, and how it was kept; Problem if it is no UTF-8."""
    mark = data.startswith(BOM)
    body = data[len(BOM) :] if mark else data
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        line = body[: error.start].count(b"\n") + 1
        raise Problem("this is not UTF-8", line) from None
    carriage = "\r\n" in text and text.count("\r\n") == text.count("\n")
    return (text.replace("\r\n", "\n") if carriage else text), Wrapping(mark, carriage)
