"""What is said of a commit: pure comparisons of what a writer wanted with what came of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from confo import MISSING, BackendUnavailable, ConflictError, UnreadableDocument
from confo_testkit.faults import CommitFault
from confo_testkit.stateful.model import Edit, FieldEdit, Stored


def check_commit(
    edit: Edit | None, side: str, before: Stored | None, after: Stored | None, since: list[Stored | None]
) -> None:
    """Compare one configuration before and after a commit that went well with what its writer wanted."""
    if edit is None:
        assert after == before, "a configuration changed that was not edited"
    elif isinstance(before, bytes):
        assert after == before, "bytes that are no document were written over"
        assert not edit.sets or side == "theirs", "an edit was lost"
    elif edit.deleted:
        if after is None:
            expected = before is None or before == edit.base or side == "mine" or _agreed(edit, before)
            assert expected, "deleted, though somebody changed it"
        else:
            assert after == before != edit.base, "not deleted"
            assert side == "theirs" or len(since) > 1, "not deleted"
    elif before is None:
        _check_made(edit, side, after)
    else:
        assert isinstance(after, dict), "an edited configuration is gone"
        # Who insists on a document that was gone for a while brings all of it back.
        back = set() if None not in since or side != "mine" else {*before, *after} - {*edit.fields}
        for key in ({*before, *after} | {*edit.fields}) - back:
            seen = [(state or {}).get(key, MISSING) for state in since if not isinstance(state, bytes)]
            if side == "theirs" and None in since and after.get(key, MISSING) == before.get(key, MISSING):
                continue  # it was gone when that was decided, and made again before the commit came
            _check_field(edit.fields.get(key), side, before.get(key, MISSING), after.get(key, MISSING), seen)


def _agreed(edit: Edit, before: dict[str, Any]) -> bool:
    """Tell whether somebody else only deleted fields that this writer had deleted, before it set others anew."""
    set_anew = any(len(one.bases) > 1 for one in edit.fields.values())
    return set_anew and before.items() <= (edit.base or {}).items()


def _check_made(edit: Edit, side: str, after: Stored | None) -> None:
    """Compare a configuration that was not there with what its writer wanted."""
    if after is None:
        assert not edit.sets or side == "theirs", "an edit was lost"
        return
    assert isinstance(after, dict)
    assert after.items() >= edit.sets.items(), "an edit was lost"
    if side != "mine":
        assert edit.base is None, "made again, though somebody deleted it"
        assert after == edit.sets, "fields came back that somebody deleted"


def _check_field(edit: FieldEdit | None, side: str, before: Any, after: Any, seen: list[Any]) -> None:
    if edit is None:
        assert after == before, "a field changed that was not edited"
    elif after == edit.mine:
        assert before in (*edit.bases, edit.mine) or side == "mine", "written over what somebody else wrote"
    else:
        assert after == before, "a field has a value that nobody wanted"
        assert any({value} != set(edit.bases) for value in seen), "an edit was lost"
        assert side == "theirs" or edit.mine is MISSING, "an edit was lost"


def check_error(
    edits: Mapping[str, Edit],
    since: Callable[[str, Edit], list[Stored | None]],
    side: str,
    faults: list[CommitFault],
    error: Exception,
) -> None:
    """See that an error has a reason."""
    if isinstance(error, BackendUnavailable):
        assert CommitFault.UNAVAILABLE in faults, "nothing was unavailable"
    elif isinstance(error, UnreadableDocument):
        assert any(isinstance(one, bytes) for name, edit in edits.items() for one in since(name, edit))
    elif isinstance(error, ConflictError):
        assert side == "raise", "a conflict, though it was said who is right"
        assert error.collisions
        for collision in error.collisions:
            edit = edits[collision.configuration]
            states = since(collision.configuration, edit)
            if collision.field is None:
                assert any(state is None or (edit.deleted and state != edit.base) for state in states)
                continue
            wanted = edit.fields[collision.field]
            assert collision.mine == wanted.mine
            values = [(state or {}).get(collision.field, MISSING) for state in states if not isinstance(state, bytes)]
            assert any(value != wanted.mine and {value} != set(wanted.bases) for value in values), (
                f"nobody else changed {collision.configuration}/{collision.field}"
            )


def check_edit(
    before: Mapping[str, Stored], seen: Mapping[str, dict[str, Any]], looked: list[tuple[str, str]]
) -> dict[str, Any]:
    """See that what a block looked at was so when its commit was made; return the document that it counted in.

    ``seen`` is what it saw, ``looked`` where it looked: first at what it counted.
    """
    for name, key in looked:
        assert not isinstance(before.get(name), bytes), "computed from what cannot be read"
        assert _look(before.get(name), key) == _look(seen.get(name), key), "computed from what was not so any more"
    found = before.get(looked[0][0])
    return found if isinstance(found, dict) else {}


def check_edit_error(
    error: Exception,
    faults: list[CommitFault],
    seen: Mapping[str, dict[str, Any]],
    looked: list[tuple[str, str]],
    states: Mapping[str, list[Stored | None]],
) -> None:
    """See that the error of an edit has a reason: a fault, or a state in which something was not what it saw."""
    if isinstance(error, BackendUnavailable):
        assert CommitFault.UNAVAILABLE in faults, "nothing was unavailable"
        return
    unreadable = any(isinstance(one, bytes) for name, _ in looked for one in states[name])
    if isinstance(error, UnreadableDocument):
        assert unreadable, "it can be read"
        return
    assert isinstance(error, ConflictError)
    assert error.collisions
    assert unreadable or any(
        _look(state, key) != _look(seen.get(name), key)
        for name, key in looked
        for state in states[name]
        if not isinstance(state, bytes)
    ), "a conflict, and nobody changed what it saw"


def _look(stored: Stored | None, key: str) -> tuple[bool, Any]:
    """Return whether there is a document, and what stands in a field of it."""
    return (False, None) if not isinstance(stored, dict) else (True, stored.get(key, MISSING))
