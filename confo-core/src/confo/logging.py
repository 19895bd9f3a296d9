"""Logs on the terminal for who asks: ``confo.logging.basic()``.

All of Confo logs through ``logging.getLogger("confo")``, which has a NullHandler: nothing is printed unless a program
sets logging up, by its own means or by this.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, TextIO


def basic(level: int | str = "INFO") -> logging.StreamHandler[TextIO]:
    """Print Confo's log lines of this level and above on stderr, with time and level; return the handler.

    Calling it again changes the level. Other loggers are left alone.
    """
    logger = logging.getLogger("confo")
    handler = next((one for one in logger.handlers if isinstance(one, _Terminal)), None)
    if handler is None:
        handler = _Terminal()
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        logger.addHandler(handler)
    handler.setLevel(level)
    logger.setLevel(handler.level)
    return handler


class _Terminal(logging.StreamHandler[TextIO] if TYPE_CHECKING else logging.StreamHandler):  # type: ignore[misc]
    """The handler of ``basic``."""
