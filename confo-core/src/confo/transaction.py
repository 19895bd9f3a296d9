"""Blocks that edit, and functions that edit again after a conflict: in a ``with`` block, in a loop, in asyncio.

Only the way that leads to the commit differs; the commit itself is one function that the caller hands in.
"""

from __future__ import annotations

import contextlib
import inspect
import random
import threading
from collections.abc import Awaitable, Callable, Iterator
from types import TracebackType
from typing import Any, NoReturn

from confo.editor import Editor
from confo.errors import ConflictError, InvalidOption
from confo.model import Commit
from confo.replica import pause

Finish = Callable[[Editor], Commit]
"""Commits what an editor's block wrote."""
_PAUSE = threading.Event()  # never set: an interruptible wait


class Edit:
    """What ``edit()`` returns: it begins with the ``with`` block, and commits when that is left."""

    _WORD = "with"
    _CALL = "edit"

    def __init__(self, begin: Callable[[], Editor], finish: Finish) -> None:
        self._begin, self._finish = begin, finish
        self._editor: Editor | None = None

    def __enter__(self) -> Editor:
        """Begin, on what is committed now."""
        return self._entered()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Commit what the block wrote; nothing after an exception."""
        editor = self._left()
        if kind is None:
            editor.commit = self._finish(editor)

    def _entered(self) -> Editor:
        if self._editor is not None:
            raise InvalidOption(f"this {self._CALL}() has been used: call {self._CALL}() again for another block")
        self._editor = self._begin()
        return self._editor

    def _left(self) -> Editor:
        assert self._editor is not None  # noqa: S101 - a block is entered before it is left
        return self._editor

    def __repr__(self) -> str:
        """Show how it is used."""
        return f"<{type(self).__name__}: {self._use()}>"

    def _use(self) -> str:
        return f"{self._WORD} ns.{self._CALL}() as draft: draft['configuration']['field'] = value"

    def _refuse(self, *_: object) -> NoReturn:
        raise InvalidOption(f"{self._CALL}() is for a block: {self._use()}")

    __getitem__ = __setitem__ = __delitem__ = __contains__ = __iter__ = __len__ = _refuse

    def __getattr__(self, name: str) -> NoReturn:
        """Say how it is used."""
        raise AttributeError(f"{self._CALL}() has no attribute {name!r}; it is for a block: {self._use()}")


class AsyncEdit(Edit):
    """What ``aedit()`` returns: for an ``async with`` block, whose commit does not block the event loop."""

    _WORD = "async with"
    _CALL = "aedit"

    def __enter__(self) -> NoReturn:
        """Say how it is used."""
        self._refuse()

    async def __aenter__(self) -> Editor:
        """Begin, on what is committed now; that is in memory."""
        return self._entered()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Commit what the block wrote; nothing after an exception."""
        import asyncio

        editor = self._left()
        if kind is None:
            editor.commit = await asyncio.to_thread(self._finish, editor)


def transact(
    begin: Callable[[], Editor], finish: Finish, function: Callable[[Editor], object], attempts: int
) -> Commit:
    """Call a function with an editor and commit what it wrote; again after a conflict, at most so many times in all."""
    for left in _attempts(attempts):
        with left.conflict():
            editor = begin()
            if inspect.isawaitable(found := function(editor)):
                _refuse_awaitable(found)
            return finish(editor)
        _PAUSE.wait(left.seconds())
    raise AssertionError("unreachable")


async def atransact(
    begin: Callable[[], Editor],
    finish: Finish,
    function: Callable[[Editor], object | Awaitable[object]],
    attempts: int,
) -> Commit:
    """Do the same in asyncio, where the function may be a coroutine function."""
    import asyncio

    for left in _attempts(attempts):
        with left.conflict():
            editor = begin()
            if inspect.isawaitable(found := function(editor)):
                await found
            return await asyncio.to_thread(finish, editor)
        await asyncio.sleep(left.seconds())
    raise AssertionError("unreachable")


class _Attempt:
    """One attempt: whether another one follows it, and after how long."""

    def __init__(self, number: int, attempts: int) -> None:
        self._number, self._attempts = number, attempts

    @contextlib.contextmanager
    def conflict(self) -> Iterator[None]:
        """Take a conflict as the reason to try again; raise the one of the last attempt."""
        try:
            yield
        except ConflictError as error:
            if self._number + 1 == self._attempts:
                error.add_note(f"attempt {self._attempts} of {self._attempts}: somebody else was quicker each time")
                raise

    def seconds(self) -> float:
        """Return how long to wait: writers that met once do not meet again."""
        return pause(self._number, random.random())  # noqa: S311 - spreading, not hiding


def _attempts(attempts: Any) -> Iterator[_Attempt]:
    if not isinstance(attempts, int) or isinstance(attempts, bool) or attempts < 1:
        raise InvalidOption("attempts is a number of 1 or more")
    return (_Attempt(number, attempts) for number in range(attempts))


def _refuse_awaitable(found: Any) -> NoReturn:
    close = getattr(found, "close", None)
    if close is not None:
        close()  # a coroutine that is never awaited warns
    raise InvalidOption("transaction() takes a plain function; for a coroutine function there is atransaction()")
