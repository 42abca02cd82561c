"""How long to wait before trying again."""

from __future__ import annotations


def full_jitter(attempt: int, dice: float, base: int = 20, cap: int = 1_000) -> int:
    """Milliseconds before attempt number `attempt` (from 1): anything up to `base` × 2^attempt, at most `cap`.

    `dice` is a random number from 0 to 1. "Full jitter" after the AWS Architecture Blog, "Exponential Backoff And
    Jitter" (2015): it spreads a crowd better than jitter around a fixed delay.
    """
    return int(dice * min(cap, base << min(attempt, 20)))
