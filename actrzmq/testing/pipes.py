"""One direction of a connection through a proxy: bytes in, bytes out, and what may happen to them between."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Callable
from contextlib import suppress

CHUNK = 64 * 1024
LATE_BYTES = 1024 * 1024
"""What may be under way with a delay; what is more waits where it came from."""


class Pipe:
    """Carries bytes from one socket to another, on the running loop, until either ends; then `ended` is called."""

    def __init__(self, source: socket.socket, sink: socket.socket, ended: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._source, self._sink = source, sink
        self._ended = ended
        self._tasks: list[asyncio.Task[None]] = []
        self._flows = asyncio.Event()
        self._flows.set()
        self._delay = 0.0
        self._left: int | None = None
        self._cut: Callable[[], None] = lambda: None
        self._is_swallowing = False
        self._late: deque[tuple[float, bytes]] = deque()
        """What is under way, and when it was taken."""
        self._late_bytes = 0
        self._changed = asyncio.Event()
        self.carried = 0

    def start(self) -> None:
        """Begin to carry."""
        self._tasks = [self._loop.create_task(self._take()), self._loop.create_task(self._give())]

    def stop(self) -> None:
        """Carry nothing any more."""
        for task in self._tasks:
            task.cancel()

    def stall(self) -> None:
        """Neither take nor give."""
        self._flows.clear()

    def delay(self, seconds: float) -> None:
        """Give everything so much later than it is taken, also what is under way already."""
        self._delay = seconds
        self._changed.set()

    def cut_after(self, count: int, cut: Callable[[], None]) -> None:
        """Give `count` more bytes, then call `cut`."""
        self._left, self._cut = count, cut

    def swallow(self) -> None:
        """Take everything and give nothing: the sink is gone."""
        self._is_swallowing = True
        self._changed.set()
        self._tasks[1].cancel()

    def heal(self) -> None:
        """Carry as if nothing had been."""
        self._left = None
        self.delay(0.0)
        self._flows.set()

    async def _take(self) -> None:
        try:
            while True:
                await self._flows.wait()
                while self._late_bytes >= LATE_BYTES and not self._is_swallowing:
                    await self._wait_for_change()
                data = await self._loop.sock_recv(self._source, CHUNK)
                if not data:
                    break
                if not self._is_swallowing:
                    self._late.append((self._loop.time(), data))
                    self._late_bytes += len(data)
                    self._changed.set()
        except OSError:
            pass  # reset: an end like any other
        if self._late_bytes and not self._is_swallowing:
            self._late.append((self._loop.time(), b""))  # what has been taken is given first
            self._changed.set()
            return
        await self._flows.wait()  # an end does not get through either
        self._ended()

    async def _give(self) -> None:
        try:
            while True:
                while (left := self._until_due()) is None or left > 0:
                    await self._wait_for_change(left)
                data = self._late[0][1]
                await self._flows.wait()
                if not data:
                    break
                await self._give_now(data)
                self._late.popleft()
                self._late_bytes -= len(data)
                self._changed.set()
        except OSError:
            pass
        self._ended()

    async def _give_now(self, data: bytes) -> None:
        is_last = self._left is not None and len(data) > self._left
        if self._left is not None:
            data = data[: self._left]
            self._left -= len(data)
        await self._loop.sock_sendall(self._sink, data)
        self.carried += len(data)
        if is_last:
            self._cut()
            await asyncio.Event().wait()  # it has been ended, and this task with it

    def _until_due(self) -> float | None:
        """Seconds until the next bytes are to be given; None while there are none."""
        return self._late[0][0] + self._delay - self._loop.time() if self._late else None

    async def _wait_for_change(self, at_most: float | None = None) -> None:
        self._changed.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(at_most):
                await self._changed.wait()
