"""The last that a node does: it ends what is open, or waits for its end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from actrzmq.core.session import Session
from actrzmq.net.clock import boottime_ms
from actrzmq.runtime.standing import Standing

SENDER_IDLE = 2_000
"""A stop waits for streams that are sent, as long as something moves at least this often (milliseconds)."""
RECEIVER_IDLE = 300
"""The same for streams that are received: what has come is dealt with, what may come later is not waited for."""
BACK_WITHIN = 2_000
"""Milliseconds to wait for a broker whose connection broke just now, where answers have still to go there."""

log = logging.getLogger("actrzmq.node")


class Draining:
    """How one node comes to its end in good order, within a time."""

    def __init__(self, session: Session, wake: Callable[[], None], standing: Standing) -> None:
        self._session = session
        self._wake = wake
        self._standing = standing

    async def drain(self, drain_ms: int, deadline: int) -> None:
        """Take no new work, and wait until what is open has ended, or `deadline`."""
        self._session.drain(boottime_ms())
        self._wake()
        await self.until(lambda: not self._session.serving.open_count, deadline)
        streams = self._session.streams
        await self._while_moving(lambda: streams.sending_count, lambda: streams.moved[0], SENDER_IDLE, deadline)
        cut_off = self._cut_off(deadline)  # before they are ended in order
        streams.drain_senders(boottime_ms())
        self._wake()
        await self.until(lambda: not streams.sending_count, deadline)  # what is left has been ended, and is awaited
        await self._while_moving(lambda: streams.open_count, lambda: streams.moved, RECEIVER_IDLE, deadline)
        cut_off = cut_off or self._cut_off(deadline)
        if not self._session.is_online:
            await self.until(self._is_answered, min(deadline, boottime_ms() + BACK_WITHIN))
        if any(cut_off):
            log.warning("drain time over drain_ms=%d; cut off calls=%d streams=%d", drain_ms, *cut_off)

    async def until(self, is_done: Callable[[], object], deadline: int) -> None:
        """Wait until `is_done()` or `deadline`, looking again every few milliseconds: this is the way out, once."""
        while not is_done() and boottime_ms() < deadline and not self._has_ended:  # noqa: ASYNC110 - the core has no events
            await asyncio.sleep(0.01)

    def _is_answered(self) -> bool:
        """Has everybody whose calls have run heard so? What was on its way when the connection broke is lost."""
        return not self._session.owes_answers

    def _cut_off(self, deadline: int) -> tuple[int, ...]:
        """How many calls and streams are open still; nothing before the drain time is over."""
        if boottime_ms() < deadline:
            return ()
        return self._session.serving.open_count, self._session.streams.open_count

    @property
    def _has_ended(self) -> bool:
        return self._standing.bug is not None or self._session.is_out

    async def _while_moving(
        self, is_open: Callable[[], object], mark: Callable[[], object], idle: int, deadline: int
    ) -> None:
        """Wait until nothing `is_open`, for as long as `mark` changes at least every `idle` milliseconds."""
        last, moved_at = mark(), boottime_ms()

        def is_still() -> bool:
            nonlocal last, moved_at
            now = boottime_ms()
            if mark() != last:
                last, moved_at = mark(), now
            return not is_open() or now - moved_at >= idle

        await self.until(is_still, deadline)
