"""Reading a watch past its signs of life."""

from __future__ import annotations

from confo import Batch, Watch


def news(watch: Watch) -> Batch:
    """Return the next batch that tells of a change."""
    return next(batch for batch in watch if batch.entries)
