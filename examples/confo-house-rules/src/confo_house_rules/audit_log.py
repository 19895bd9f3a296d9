"""One line for every commit of this process: who, when, what, and no value."""

from __future__ import annotations

import logging

from confo import Commit, hookimpl

log = logging.getLogger("confo.audit")


@hookimpl
def confo_committed(commit: Commit) -> None:
    """Log the commit."""
    places = (f"{change.namespace}/{change.configuration}{list(change.fields)}" for change in commit.changes)
    log.info("revision %d by %s: %s (%s)", commit.revision, commit.author, ", ".join(places), commit.message or "-")
