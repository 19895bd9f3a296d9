"""A TCP proxy for the tests: it cuts connections after so many bytes, stalls, refuses, and opens again on command."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self

CHUNK = 4096
"""Bytes that are passed on at once: the precision of a cut."""
TURNS = 5
"""Turns of the loop in which a connection that was being accepted comes to be, and an aborted one closes its socket."""
SECONDS = 10.0
"""How long a command may take."""


class Proxy:
    """Listens on a free port of 127.0.0.1 and passes on to another, until told otherwise; from any thread.

    ``cuts`` gives for each connection, in order, how many bytes of answers it may carry: then it is reset. Where it
    ends, or gives None, there is no limit.
    """

    def __init__(self, port: int, *, cuts: Iterator[int | None] | None = None) -> None:
        self.target = port
        self.cut_count = 0
        self.carried = 0
        self._cuts = cuts if cuts is not None else iter(())
        self._open = True
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(SECONDS)
        self.port: int = self._server.sockets[0].getsockname()[1]

    def __repr__(self) -> str:
        state = "open" if self._open else "cut"
        return f"<Proxy 127.0.0.1:{self.port} to {self.target}: {state}, {self.cut_count} cuts>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def endpoint(self) -> str:
        """Return host and port as credentials take them."""
        return f"127.0.0.1:{self.port}"

    def cut(self) -> None:
        """Reset every connection, and each new one at once, until ``reopen``."""
        self._do(self._cut)

    def cut_once(self) -> None:
        """Reset every connection; new ones are welcome."""
        self._do(self._reset)

    def reopen(self) -> None:
        """Pass on again."""
        self._do(lambda: setattr(self, "_open", True))

    def stall(self) -> None:
        """Pass nothing on, either way, with all connections open: a network that swallows."""
        self._do(self._flowing.clear)

    def go_on(self) -> None:
        """Pass on what was held."""
        self._do(self._flowing.set)

    def close(self) -> None:
        """End every connection and the thread; idempotent."""
        if self._loop.is_closed():
            return
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(SECONDS)
        self._loop.close()

    # --- in the proxy's own thread ---------------------------------------------------------------

    def _do(self, action: Callable[[], object]) -> None:
        done = threading.Event()

        def run() -> None:
            action()
            done.set()

        self._loop.call_soon_threadsafe(run)
        assert done.wait(SECONDS), f"{self!r} does not obey"

    def _cut(self) -> None:
        self._open = False
        self._reset()

    def _reset(self) -> None:
        self.cut_count += 1
        for writer in self._writers:
            writer.transport.abort()

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._accept, "127.0.0.1", 0)

    async def _end(self) -> None:
        self._server.close()
        self._reset()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for _ in range(TURNS):
            for writer in self._writers:  # accepted, but cancelled before its task began
                writer.transport.abort()
            await asyncio.sleep(0)
        await self._server.wait_closed()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        task = self._loop.create_task(self._carry(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        mine = {writer}
        try:
            if not self._open:
                return
            try:
                far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
            except OSError:  # nobody listens there now
                return
            mine.add(far_writer)
            self._writers |= mine
            ways = [
                asyncio.ensure_future(self._pass_on(reader, far_writer, None)),
                asyncio.ensure_future(self._pass_on(far_reader, writer, next(self._cuts, None))),
            ]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
        finally:
            self._writers -= mine
            for one in mine:
                one.transport.abort()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limit: int | None) -> None:
        """Pass bytes on until an end, or until ``limit`` of them went through."""
        left = limit
        try:
            while left is None or left > 0:
                data = await reader.read(CHUNK if left is None else min(CHUNK, left))
                await self._flowing.wait()
                if not data:
                    return
                writer.write(data)
                await writer.drain()
                self.carried += len(data)
                left = None if left is None else left - len(data)
            self.cut_count += 1
        except OSError:  # reset by one side, which ends both
            return
