"""Asynchronous forms of calls that wait: the same call, in a thread, so that the event loop goes on."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def in_thread(call: Callable[P, T]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Return the asynchronous form of a method, for a class to keep under its name with an "a" before it."""

    @functools.wraps(call)
    async def asynchronous(*args: P.args, **kwargs: P.kwargs) -> T:
        import asyncio  # here, as few programs want it and importing it takes long

        return await asyncio.to_thread(call, *args, **kwargs)

    asynchronous.__name__ = f"a{call.__name__}"
    asynchronous.__qualname__ = call.__qualname__.removesuffix(call.__name__) + asynchronous.__name__
    asynchronous.__doc__ = f"Do what ``{call.__name__}`` does, without blocking the event loop."
    return asynchronous
