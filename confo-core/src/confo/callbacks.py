"""Functions that programs hand over to be called back: what they must be, and what is said when they fail."""

from __future__ import annotations

import inspect
import logging
import traceback
from collections.abc import Callable
from typing import Any

from confo.errors import InvalidCallback

log = logging.getLogger("confo")


def check(callback: object, argument: str) -> None:
    """Refuse what could never be called back with one argument, at once; InvalidCallback names it."""
    if not callable(callback):
        raise InvalidCallback(
            f"a callback is a function of one argument, the {argument}; not {type(callback).__name__}"
        )
    if _is_async(callback):
        raise InvalidCallback(
            f"the callback {name_of(callback)} is async, and callbacks are called in a thread without an event loop: "
            "iterate `async for event in namespace.changes()` instead"
        )
    try:
        inspect.signature(callback).bind(None)
    except TypeError:
        raise InvalidCallback(
            f"the callback {name_of(callback)} must take one argument, the {argument}: it takes "
            f"{inspect.signature(callback)}"
        ) from None
    except ValueError:
        return  # a function of C without a signature is believed


def call(callback: Callable[..., object], argument: object) -> None:
    """Call back; whatever the callback raises is logged with its traceback and changes nothing here.

    The text of the error is the callback's own and may quote a document: its type and the frames are logged, no text.
    """
    try:
        result = callback(argument)
    except BaseException as error:  # noqa: BLE001 - it may raise anything, and the next event comes all the same
        trace = error.__traceback__.tb_next if error.__traceback__ else None
        told = f"the callback {name_of(callback)} raised {type(error).__name__} on {argument!r}"
        if isinstance(error, SystemExit):
            told += ": sys.exit() in a callback cannot end the process; os.kill(os.getpid(), signal.SIGTERM) can"
        log.error("%s\n%s", told, "".join(traceback.format_tb(trace)).rstrip())  # noqa: TRY400 - without its text
        return
    if inspect.iscoroutine(result):
        result.close()
        log.error("the callback %s returned a coroutine, which nobody runs: use namespace.changes()", name_of(callback))


def name_of(callback: object) -> str:
    """Return a callback's name, file and line, as far as it tells them."""
    inner: Any = getattr(callback, "func", callback)  # of a functools.partial
    name = getattr(inner, "__qualname__", type(inner).__qualname__)
    code = getattr(getattr(inner, "__func__", inner), "__code__", None)
    return f"{name} ({code.co_filename}:{code.co_firstlineno})" if code else name


def _is_async(callback: object) -> bool:
    call_method = getattr(type(callback), "__call__", None)  # noqa: B004 - its kind is asked, not whether it is there
    return inspect.iscoroutinefunction(callback) or inspect.iscoroutinefunction(call_method)
