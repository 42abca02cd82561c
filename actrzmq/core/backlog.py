"""Frames that wait for credit, and give way to newer ones."""

from __future__ import annotations

from collections import deque

from actrzmq.wire.messages import DataStream

WAITING_FRAMES = 64
"""Frames that may wait, at most."""
WAITING_BYTES = 1024 * 1024
"""Bytes of their payloads; one frame may always wait, however large."""


class Backlog:
    """What a latency-first stream has taken and may not send yet, oldest first."""

    def __init__(self) -> None:
        self.dropped = 0
        """Frames that gave way."""
        self.kept_back = 0
        """Frames that came here and never got credit: they wait, gave way, or were there when it was cleared."""
        self._frames: deque[tuple[DataStream, int]] = deque()
        self._bytes = 0

    def push(self, frame: DataStream, size: int) -> None:
        """Let `frame` wait; the oldest give way to it where it is too much."""
        self._frames.append((frame, size))
        self._bytes += size
        self.kept_back += 1
        while len(self._frames) > WAITING_FRAMES or (self._bytes > WAITING_BYTES and len(self._frames) > 1):
            self._bytes -= self._frames.popleft()[1]
            self.dropped += 1

    def pop(self) -> tuple[DataStream, int]:
        """Take out the oldest, which has credit now, and its size. Raises `IndexError` if none waits."""
        frame, size = self._frames.popleft()
        self._bytes -= size
        self.kept_back -= 1
        return frame, size

    def clear(self) -> None:
        """Forget all that waits."""
        self._frames.clear()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._frames)
