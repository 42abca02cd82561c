"""The receiving program of a simulated stream."""

from __future__ import annotations

from functools import partial
from typing import Any

from actrzmq.core.streams import Receiver
from actrzmq.testing.simulation.node import SimNode
from actrzmq.wire.messages import DataStream


class Collector:
    """A sink for a test: what was delivered, and how the stream ended. Each frame takes `pace` milliseconds."""

    def __init__(self, node: SimNode, pace: int = 0) -> None:
        self._node = node
        self._pace = pace
        self._busy_until = 0
        self.frames: list[DataStream] = []
        self.outcome: Any = ...
        """`...` while the stream is open."""

    def deliver(self, receiver: Receiver, frames: list[DataStream]) -> None:
        """Take frames; each is done after its time."""
        world = self._node.world
        for frame in frames:
            self._busy_until = max(self._busy_until, world.now) + self._pace
            self._node.later(self._busy_until - world.now, partial(self._done, receiver, frame))

    def closed(self, outcome: Any) -> None:
        """The stream has ended."""
        self.outcome = outcome

    def _done(self, receiver: Receiver, frame: DataStream) -> None:
        stream = receiver.stream
        if self.outcome is not ... or stream is None:
            return
        self.frames.append(frame)
        stream.channel.completed_frames += 1
        self._node.session.streams.progressed(receiver, self._node.world.now)
