"""No commit without a reason: whoever changes something says why."""

from __future__ import annotations

from confo import CommitRefused, hookimpl


@hookimpl
def confo_check_commit(author: str, message: str) -> None:
    """Refuse a commit whose message is empty, whatever it changes."""
    if not message.strip():
        raise CommitRefused(f"{author} gave no message: persist(message='why')")
