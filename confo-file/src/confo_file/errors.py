"""The edge: what the system's errors mean to Confo. They are kept as ``driver_error``, and not printed above ours."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator

from confo import BackendUnavailable, ConfoError, OutcomeUnknown, PermissionDenied

_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


@contextlib.contextmanager
def translated(asked: str) -> Iterator[None]:
    """Turn an OSError into one of Confo's: it surely did not happen."""
    try:
        yield
    except ConfoError:  # some are OSErrors as well
        raise
    except OSError as error:
        forbidden = error.errno in _FORBIDDEN
        who = f" as user id {os.geteuid()}" if forbidden and hasattr(os, "geteuid") else ""
        meaning = PermissionDenied if forbidden else BackendUnavailable
        need = "; to read needs r and x on the folders, to commit w as well" if forbidden else ""
        raise meaning(f"cannot {asked}{who}: {_said(error)}; nothing was written{need}").instead_of(error) from None


@contextlib.contextmanager
def doubtful(asked: str) -> Iterator[None]:
    """Turn an OSError into OutcomeUnknown: it may have happened, or will when the next who can finishes it."""
    try:
        yield
    except OSError as error:
        raise OutcomeUnknown(f"{asked} may have happened: {_said(error)}").instead_of(error) from None


def _said(error: OSError) -> str:
    code = errno.errorcode.get(error.errno or 0, type(error).__name__)
    return f"{code} ({error.strerror or 'no reason given'})"
