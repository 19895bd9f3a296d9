"""What may follow an error of a commit: every cell of the table."""

from __future__ import annotations

import itertools

import pytest

from confo import BackendUnavailable, Conflict, OutcomeUnknown, PermissionDenied, TooLarge
from confo.outcome import TABLE, After, Meaning, after_error, meaning


def test_the_table_is_complete():
    """There is an answer for every meaning, guarded or not, sent before or not."""
    assert set(TABLE) == set(itertools.product(Meaning, (True, False), (True, False)))


@pytest.mark.parametrize(
    ("error", "means"),
    [
        (OutcomeUnknown("x"), Meaning.UNKNOWN),
        (Conflict("x"), Meaning.LOST_RACE),
        (BackendUnavailable("x"), Meaning.NOT_DONE),
        (PermissionDenied("x"), Meaning.REFUSED),
        (TooLarge("x"), Meaning.REFUSED),
    ],
)
def test_what_errors_mean(error, means):
    """Every error of a commit has one meaning."""
    assert meaning(error) is means


@pytest.mark.parametrize(
    ("error", "guarded", "sent_before", "after"),
    [
        (BackendUnavailable("x"), True, False, After.RAISE),
        (BackendUnavailable("x"), True, True, After.REPEAT),
        (BackendUnavailable("x"), False, False, After.RAISE),
        (BackendUnavailable("x"), False, True, After.REPORT_UNKNOWN),
        (Conflict("x"), True, False, After.RAISE),
        (Conflict("x"), True, True, After.LOOK_UP),
        (Conflict("x"), False, False, After.RAISE),
        (Conflict("x"), False, True, After.REPORT_UNKNOWN),
        (PermissionDenied("x"), True, False, After.RAISE),
        (PermissionDenied("x"), True, True, After.REPORT_UNKNOWN),
        (PermissionDenied("x"), False, False, After.RAISE),
        (PermissionDenied("x"), False, True, After.REPORT_UNKNOWN),
        (OutcomeUnknown("x"), True, False, After.REPEAT),
        (OutcomeUnknown("x"), True, True, After.REPEAT),
        (OutcomeUnknown("x"), False, False, After.REPORT_UNKNOWN),
        (OutcomeUnknown("x"), False, True, After.REPORT_UNKNOWN),
    ],
)
def test_every_cell(error, guarded, sent_before, after):
    """Only a guarded write is ever sent again, and after an unknown outcome no error is taken for the whole truth."""
    assert after_error(error, guarded=guarded, sent_before=sent_before) is after
