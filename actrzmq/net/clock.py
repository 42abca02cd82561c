"""The only clock that decides anything."""

from __future__ import annotations

import time


def boottime_ms() -> int:
    """Milliseconds of CLOCK_BOOTTIME: it never jumps, and goes on while the machine is suspended."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000
