"""When to tell the operator that there is no broker: soon, then rarely."""

from __future__ import annotations

FIRST_AFTER = 1_000
"""Milliseconds without a broker after which it is told: a restart of it takes no longer."""
AGAIN_AFTER = 30_000
"""Milliseconds between two tellings of the same absence."""


class Absence:
    """One absence is told after a second, and then every half minute; the next one anew."""

    def __init__(self) -> None:
        self._tell_at = FIRST_AFTER

    def is_to_be_told(self, away: int) -> bool:
        """Is it time to tell that the broker has been away for `away` milliseconds? 0: it is there."""
        if not away:
            self._tell_at = FIRST_AFTER
        if away < self._tell_at:
            return False
        self._tell_at = away + AGAIN_AFTER
        return True
