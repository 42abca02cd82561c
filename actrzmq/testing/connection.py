"""One connection through a `FaultProxy`, and what may happen to it."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from typing import TYPE_CHECKING

from actrzmq.testing.pipes import Pipe

if TYPE_CHECKING:
    from actrzmq.testing.proxy import FaultProxy


class Direction(Enum):
    """Which way bytes go."""

    UP = "up"
    """From whoever connects to the proxy, to what is behind it."""
    DOWN = "down"


BOTH = (Direction.UP, Direction.DOWN)


class Connection:
    """One connection through a `FaultProxy`. All its verbs may be called from any thread, at any time."""

    def __init__(self, proxy: FaultProxy, near: socket.socket, far: socket.socket) -> None:
        self._proxy = proxy
        self._near, self._far = near, far
        self._pipes = {Direction.UP: Pipe(near, far, self._ended), Direction.DOWN: Pipe(far, near, self._ended)}
        self._is_half_open = False
        self.is_open = True

    def stall(self, *directions: Direction) -> None:
        """Let nothing through (both ways, unless told which): what is sent fills buffers, and then waits."""
        self._for(directions, Pipe.stall)

    def delay(self, seconds: float, *directions: Direction) -> None:
        """Have each byte arrive so much later, in order; what is under way as well, so that 0 lets it all through."""
        self._for(directions, lambda pipe: pipe.delay(seconds))

    def cut(self, after: int, *directions: Direction) -> None:
        """Let so many more bytes through, then reset: within a frame, if one is longer than that."""
        self._for(directions, lambda pipe: pipe.cut_after(after, self._reset))

    def reset(self) -> None:
        """Break it at once: both sides get a TCP reset, and lose what was in flight."""
        self._proxy.do(self._reset)

    def half_open(self, *, far_stays: bool = False) -> None:
        """The far side is gone, and the near one does not hear of it: what it sends goes nowhere, without an error.

        With `far_stays` it is the near side that is gone, and what is behind the proxy that does not hear of it.
        """
        self._proxy.do(lambda: self._half_open(far_stays))

    def heal(self) -> None:
        """Let everything through again. Who stayed in a half-open connection is told at last, by a reset."""
        self._proxy.do(self._heal)

    @property
    def carried(self) -> dict[Direction, int]:
        """How many bytes have gone through, each way."""
        return {direction: pipe.carried for direction, pipe in self._pipes.items()}

    # on the proxy's own loop

    def start(self) -> None:
        """Begin to carry."""
        for pipe in self._pipes.values():
            pipe.start()

    def close(self) -> None:
        """End without a fault, as the other side did."""
        if self.is_open:
            self.is_open = False
            for pipe in self._pipes.values():
                pipe.stop()
            close_soon(self._near)
            close_soon(self._far)
            self._proxy.forget(self)

    def _for(self, directions: tuple[Direction, ...], deed: Callable[[Pipe], None]) -> None:
        def act() -> None:
            for direction in directions or BOTH:
                deed(self._pipes[direction])

        self._proxy.do(act)

    def _reset(self) -> None:
        if self.is_open:
            self._proxy.counters["resets"] += 1
            for side in (self._near, self._far):
                reset_on_close(side)
            self.close()

    def _half_open(self, far_stays: bool) -> None:
        if self.is_open and not self._is_half_open:
            self._is_half_open = True
            stays, goes, gone = Direction.UP, Direction.DOWN, self._far
            if far_stays:
                stays, goes, gone = goes, stays, self._near
            self._pipes[goes].stop()
            self._pipes[stays].swallow()
            close_soon(gone)

    def _heal(self) -> None:
        if self._is_half_open:
            self._reset()
            return
        for pipe in self._pipes.values():
            pipe.heal()

    def _ended(self) -> None:
        """One side has closed, or broken: the other one learns of it, unless it is not to."""
        self.close()


def reset_on_close(side: socket.socket) -> None:
    """Have its end be a reset."""
    with suppress(OSError):
        side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def close_soon(side: socket.socket) -> None:
    """Close it once the loop has let go of its descriptor: those who waited for it have just been cancelled."""
    asyncio.get_running_loop().call_soon(side.close)
