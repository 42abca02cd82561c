"""When to ask, for one who waits for news and hears none."""

from __future__ import annotations

QUIET = 300
"""Milliseconds without news after which to ask."""
QUIET_AT_MOST = 2_000
"""Milliseconds between two askings at last, while nothing changes."""


class Patience:
    """Asks after `QUIET`, then half as often again each time, up to `QUIET_AT_MOST`, until there is news."""

    def __init__(self) -> None:
        self.asked = 0
        self._quiet = QUIET
        self._ask_at: int | None = None

    def heard(self) -> None:
        """There is news: all starts anew."""
        self.asked = 0
        self._quiet = QUIET
        self._ask_at = None

    def postpone(self, now: int) -> None:
        """No news, but a sign of life, or something was done about it: wait a full term from now."""
        self._ask_at = now + self._quiet

    def is_over(self, now: int) -> bool:
        """Is it time to ask? If so the next term has begun. The first look starts the clock."""
        if self._ask_at is None:
            self._ask_at = now + self._quiet
        if now < self._ask_at:
            return False
        self.asked += 1
        self._quiet = min(self._quiet * 3 // 2, QUIET_AT_MOST)
        self._ask_at = now + self._quiet
        return True

    def next_deadline(self) -> int | None:
        """When it is over; None where the clock has not been started."""
        return self._ask_at
