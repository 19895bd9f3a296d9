"""Documents as data: texts that are documents of Confo, and bytes that are none, each with the reason.

A line of ``valid.jsonl`` or ``invalid.jsonl`` is an object: ``what`` it is; its bytes, as ``parts`` (texts with how
often each stands, one after the other) or in ``hex``; and for one that is no document the ``reason``, words of the
error that it gets.
"""

from __future__ import annotations

import json
from importlib.resources import files
from typing import NamedTuple


class Sample(NamedTuple):
    """Bytes as they may lie in a store; ``reason`` is None if they are a document."""

    what: str
    data: bytes
    reason: str | None


def valid() -> list[Sample]:
    """Return the documents, at least one."""
    return samples(_text("valid"), "valid.jsonl")


def invalid() -> list[Sample]:
    """Return what is no document, at least one."""
    return samples(_text("invalid"), "invalid.jsonl")


def samples(text: str, where: str) -> list[Sample]:
    """Read samples from lines of JSON; LookupError if there are none, as nothing would be tried then."""
    rows = [json.loads(line) for line in text.split("\n") if line.strip()]
    if not rows:
        raise LookupError(f"the corpus {where} is empty: every test over it would pass")
    return [Sample(row["what"], _bytes(row), row.get("reason")) for row in rows]


def _text(name: str) -> str:
    return files(__name__).joinpath(f"{name}.jsonl").read_text(encoding="utf-8")


def _bytes(row: dict[str, object]) -> bytes:
    coded, parts = row.get("hex"), row.get("parts")
    if isinstance(coded, str):
        return bytes.fromhex(coded)
    assert isinstance(parts, list)
    return "".join(text * times for text, times in parts).encode()
