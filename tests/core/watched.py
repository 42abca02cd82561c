"""A world that looks at what is said between nodes, and keeps books of its own about credit.

They follow from the messages alone: what a receiver has granted (Opened, Grant), what it has said is done, and what its
sender then sent. Payloads are all of one size here, so a frame's number says how many bytes went before it.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from actrzmq.core.streams import StreamParcel
from actrzmq.testing.simulation import SimNode, World
from actrzmq.wire.codec import decode_batch
from actrzmq.wire.messages import Channel, EndAck, Frames, Grant, Opened


class Granted(Struct):
    """What the receiver of one channel has said so far."""

    frames: int = 0
    size: int = 0
    completed: int = 0
    is_acknowledged: bool = False


class WatchedWorld(World):
    """A `World` that notes in `broken` what was sent without credit. `payload` is the size of all payloads."""

    def __init__(self, *arguments: Any, payload: int) -> None:
        super().__init__(*arguments)
        self.broken: list[str] = []
        self.granted: dict[Channel, Granted] = {}
        self.frames_seen = 0
        self._payload = payload

    def to_broker(self, node: SimNode, frames: list[bytes]) -> None:
        """From a node to the broker: grants may be in what is for another node."""
        if frames[0]:
            self._note(decode_batch(frames[1], frames[2:]).envelopes)
        super().to_broker(node, frames)

    def to_stream_plane(self, node: SimNode, parcel: StreamParcel) -> None:
        """From a node to another: frames need credit."""
        self._note(parcel.messages)
        if parcel.via.serial != node.session.serial:  # what one grants oneself does not travel
            for message in parcel.messages:
                if isinstance(message, Frames):
                    self._check(node, message)
        super().to_stream_plane(node, parcel)

    def _note(self, messages: Any) -> None:
        for message in messages:
            if isinstance(message, Opened | Grant):
                known = self.granted.setdefault(message.channel, Granted())
                known.frames = max(known.frames, message.limit_frames)
                known.size = max(known.size, message.limit_bytes)
                if isinstance(message, Grant):
                    known.completed = max(known.completed, message.completed)
            elif isinstance(message, EndAck):
                self.granted.setdefault(message.channel, Granted()).is_acknowledged = True

    def _check(self, node: SimNode, message: Frames) -> None:
        last = message.first + len(message.frames) - 1
        self.frames_seen += len(message.frames)
        known = self.granted.get(message.channel, Granted())
        if last > known.frames or (last - 1) * self._payload >= known.size:
            self.broken.append(
                f"{node.name} sent frame {last} of a channel with credit for {known.frames} frames, {known.size} bytes"
            )
