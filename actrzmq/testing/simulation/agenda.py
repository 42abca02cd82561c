"""The time of a simulated world: it jumps from event to event, so that hours pass in seconds."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush


class Agenda:
    """What is going to happen, and when. What was planned first for a moment comes first in it."""

    def __init__(self, now: int) -> None:
        self.now = now
        """Milliseconds; never goes backwards."""
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._count = 0

    def after(self, delay: int, deed: Callable[[], None]) -> None:
        """`deed` happens in `delay` milliseconds."""
        self._count += 1
        heappush(self._events, (self.now + delay, self._count, deed))

    def run(self, milliseconds: int) -> None:
        """Let that much time pass."""
        end = self.now + milliseconds
        while self._events and self._events[0][0] <= end:
            self.now, _, deed = heappop(self._events)
            deed()
        self.now = end

    def run_until(self, is_done: Callable[[], object], within: int = 60_000) -> None:
        """Let time pass until `is_done()`; `AssertionError` after `within` milliseconds."""
        end = self.now + within
        while not is_done():
            if self.now >= end:
                raise AssertionError(f"not within {within} ms")
            self.run(5)
