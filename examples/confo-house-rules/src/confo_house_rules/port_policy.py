"""No commit with a port that is none: every field named "port" is a number from 1 to 65535."""

from __future__ import annotations

from confo import ChangeSet, CommitRefused, hookimpl


@hookimpl
def confo_check_commit(change_set: ChangeSet) -> None:
    """Refuse a port out of range, wherever one was changed."""
    for change in change_set:
        port = (change.new or {}).get("port")
        if "port" in change.fields and port is not None and not (type(port) is int and 0 < port < 65536):
            # The place, not the value: what is refused may be a password in the wrong field.
            raise CommitRefused(f"{change.namespace}/{change.configuration}: 'port' is a number from 1 to 65535")
