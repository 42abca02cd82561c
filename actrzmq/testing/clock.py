"""Time that tests are in charge of: a clock to move by hand, and an event loop that never waits."""

from __future__ import annotations

import asyncio
import selectors
from typing import Any


class Clock:
    """What the machines of `actrzmq.core` take as `now`: milliseconds, which pass when the test says so.

    ::

        clock = Clock()
        leases.renew(serial, clock.now)
        assert leases.expire(clock.advance(10_000)) == [serial]
    """

    def __init__(self, now: int = 0) -> None:
        self._now = now

    @property
    def now(self) -> int:
        """The time, in milliseconds."""
        return self._now

    def __call__(self) -> int:
        """The time: for what takes a function, as `boottime_ms` is one."""
        return self._now

    def advance(self, milliseconds: int) -> int:
        """Let that much time pass, and return what time it is then. Time never goes backwards: `ValueError`."""
        if milliseconds < 0:
            raise ValueError(f"advance({milliseconds}): time does not go backwards")
        self._now += milliseconds
        return self._now


class JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop whose time jumps to whatever is waited for next: `asyncio.sleep(3600)` takes no time.

    ::

        with asyncio.Runner(loop_factory=JumpingLoop) as runner:
            runner.run(test())

    Everything happens in the order in which it would have happened. `loop.time()` starts at 0 and tells how long it
    would have taken. It is for code that waits for nothing but time and its own tasks. Threads, processes and the other
    side of a socket don't hurry: they may find that time has jumped while they worked, so don't run nodes on it.
    """

    def __init__(self) -> None:
        self._jumped = 0.0
        super().__init__(_Jumping(self))

    def time(self) -> float:
        """Seconds that would have passed."""
        return self._jumped

    def jump(self, seconds: float) -> None:
        """Have that much time passed at once."""
        self._jumped += seconds


class _Jumping(selectors.DefaultSelector):
    """Waits for no time: where the loop would, that time has passed."""

    def __init__(self, loop: JumpingLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> Any:
        """What is ready now. Without any timer there is something else to wait for, and it is waited for."""
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        ready = super().select(0)
        if not ready:
            self._loop.jump(timeout)
        return ready
