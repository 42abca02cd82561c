"""Credit: how much each sender may send, so that all of them together never fill this node's memory.

Each stream has a window: what its sender may send beyond what is completed, in frames, and in bytes of payloads and
metadata. A window in bytes starts small, so that a
thousand idle streams fit into the budget, and doubles whenever half of it has been completed, as long as bytes are
what the stream runs short of. All windows come out of one budget. Nobody takes more than half of what is left in it,
so that the last to come always finds something; and where that is nothing, a stream still gets one byte. The rule of
the wire is that a frame may go while fewer bytes than the limit have gone, so one byte means one frame at a time.
A stream that moves gives its window back bit by bit and takes anew, which evens out who has how much.

Limits are absolute and never go down: what has been granted can't be taken back. What is promised beyond what is
completed, over all streams, is never more than the budget and one byte for each stream.
"""

from __future__ import annotations

FIRST_BYTES = 64 * 1024
"""A stream's window when it is opened, unless its largest is smaller."""


class Budget:
    """Bytes that all streams of a node may hold together. `used` is what has been promised or is held."""

    def __init__(self, memory: int) -> None:
        if memory < 1:
            raise ValueError(f"stream memory of {memory} bytes: expected at least 1")
        self.memory = memory
        self.used = 0

    @property
    def left(self) -> int:
        """What is not promised to anybody."""
        return max(0, self.memory - self.used)

    def take(self, wanted: int) -> int:
        """Take up to `wanted` bytes, at most half of what is left; returns how many."""
        taken = max(0, min(wanted, self.left // 2))
        self.used += taken
        return taken

    def charge(self, amount: int) -> None:
        """Take `amount`, whether it is there or not."""
        self.used += amount

    def give_back(self, amount: int) -> None:
        """Return what was taken."""
        self.used -= amount


class Window:
    """What one stream may send: `limit_frames` and `limit_bytes`, counted since it began."""

    def __init__(self, budget: Budget, frames: int, size: int) -> None:
        """At most `frames` frames and `size` bytes beyond what is completed. Raises `ValueError` for none."""
        if frames < 1 or size < 1:
            raise ValueError(f"a window of {frames} frames and {size} bytes: expected at least 1 of each")
        self._budget = budget
        self._frames = frames
        self._most = size
        self._target = min(size, FIRST_BYTES)
        self._charged = 0  # of the budget, for what lies between the completed bytes and `_reach`
        self._reach = 0  # the byte limit, or what has come if that is more
        self._completed_frames = 0  # as they were at the last slide
        self._completed_bytes = 0
        self.limit_frames = 0
        self.limit_bytes = 0
        self.slide(0, 0)

    def is_half_used(self, completed_frames: int, completed_bytes: int) -> bool:
        """Has half of what was last granted been completed?"""
        return self._is_half_of_frames(completed_frames) or self._is_half_of_bytes(completed_bytes)

    def slide(self, completed_frames: int, completed_bytes: int) -> None:
        """Move the limits on to a window beyond what is completed, and the window up if its bytes run short."""
        if completed_bytes > self._completed_bytes and self._is_half_of_bytes(completed_bytes):
            self._target = min(2 * self._target, self._most)
        self._completed_frames = completed_frames
        self._completed_bytes = completed_bytes
        self.limit_frames = max(self.limit_frames, completed_frames + self._frames)
        self._settle()
        more = self._budget.take(self._target - self._charged)
        if not more and not self._charged:
            self._budget.charge(1)  # nothing is left, so one frame at a time
            more = 1
        if more:
            self._charged += more
            self._reach = self.limit_bytes = completed_bytes + self._charged

    def overshot(self, received_bytes: int) -> None:
        """The last frame reached over the byte limit: its bytes count, so that the others get less meanwhile."""
        self._reach = max(self._reach, received_bytes)
        self._settle()

    def close(self) -> None:
        """Give everything back. Closing twice changes nothing; the window must not slide any more."""
        self._budget.give_back(self._charged)
        self._charged = 0

    def _settle(self) -> None:
        """Charge the budget for what may still come or has come and is not completed; no more, no less."""
        held = max(0, self._reach - self._completed_bytes)
        self._budget.charge(held - self._charged)
        self._charged = held

    def _is_half_of_frames(self, completed_frames: int) -> bool:
        granted = self.limit_frames - self._completed_frames
        return 2 * (completed_frames - self._completed_frames) >= granted

    def _is_half_of_bytes(self, completed_bytes: int) -> bool:
        granted = self.limit_bytes - self._completed_bytes
        return 2 * (completed_bytes - self._completed_bytes) >= granted
