"""Frames that are on their way: sent, and not known to be completed."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from actrzmq.core.packing import Parcel

RESEND_EVERY = 100
"""What was sent again is not sent again within so many milliseconds: the request may have crossed it."""


class Flight:
    """Keeps parcels until all their frames are completed, and finds those to be sent again."""

    def __init__(self) -> None:
        self.completed = 0
        """Frames completed, of all that were ever sent."""
        self.completed_bytes = 0
        """Credit of the parcels that were completed as a whole."""
        self.resent = 0
        """Frames that were sent again."""
        self._parcels: deque[Parcel] = deque()
        self._again_from = 0  # 0 for nothing
        self._again_to = 0
        self._again_at: int | None = None

    def add(self, parcels: Sequence[Parcel]) -> None:
        """Keep `parcels`, which come after all that is kept."""
        self._parcels.extend(parcels)

    def complete(self, count: int) -> None:
        """The first `count` frames are done; parcels without others are forgotten."""
        if count <= self.completed:
            return
        self.completed = count
        parcels = self._parcels
        while parcels and parcels[0].end <= count + 1:
            self.completed_bytes += parcels.popleft().credit_bytes

    def ask_again(self, start: int, sent: int, now: int) -> bool:
        """Have the frames from `start` to `sent` sent again; False where they are done, or were, a moment ago.

        The receiver's requests only move forward, so whatever begins within what was sent again is an echo.
        """
        is_echo = self._again_at is not None and now - self._again_at < RESEND_EVERY and start <= self._again_to
        if start <= self.completed or is_echo:
            return False
        self._again_from, self._again_to, self._again_at = start, sent, now
        return True

    @property
    def is_asked_again(self) -> bool:
        """Is there something for `take_again`?"""
        return self._again_from > 0

    def take_again(self) -> list[Parcel]:
        """The parcels to be sent again, once, whole: the receiver cuts off what it has."""
        start, self._again_from = self._again_from, 0
        if not start:
            return []
        parcels = [parcel for parcel in self._parcels if parcel.end > start]
        self.resent += sum(parcel.end - parcel.first for parcel in parcels)
        return parcels

    def clear(self) -> None:
        """Forget all that is kept."""
        self._parcels.clear()
        self._again_from = 0

    @property
    def kept_bytes(self) -> int:
        """The credit of what is kept."""
        return sum(parcel.credit_bytes for parcel in self._parcels)
