"""Frames into the messages that carry them, and what other things take in one."""

from __future__ import annotations

from typing import NamedTuple

from actrzmq.core.channel import fields_of
from actrzmq.wire.codec import BATCH_BYTES, BATCH_ENVELOPES, LARGE_BYTES, LARGE_PER_MESSAGE, without_payload
from actrzmq.wire.messages import Channel, DataStream, End, Frames, Instance, Metadata

MESSAGE_BYTES = 64
"""What `Frames` takes beside its frames, at most."""
FRAME_BYTES = 32
"""What a frame takes beside its stream id, payload and metadata, at most."""
INSTANCE_BYTES = 100
"""What an `Instance` takes beside its fingerprint, at most."""
CHARACTER_BYTES = 4
"""What a character takes in UTF-8, at most."""


class Parcel(NamedTuple):
    """One message, and the large payloads to be sent beside it.

    `size` estimates, from above, the bytes of the message without `payloads`. It has the frames from number `first` up
    to but not including `end`, which take `credit_bytes` of credit.
    """

    message: Frames | End
    payloads: tuple[bytes, ...]
    size: int
    first: int
    end: int
    credit_bytes: int


def pack(
    channel: Channel, stream_id: str, first: int, frames: list[DataStream], sizes: list[int], dropped: int
) -> list[Parcel]:
    """Parcels for `frames`, numbered from `first`, each within the limits of one message; `sizes` is what they take of
    the credit.
    """
    frame_bytes = FRAME_BYTES + CHARACTER_BYTES * len(stream_id)
    parcels = []
    for start in range(0, len(frames), BATCH_ENVELOPES):
        chunk, credit = frames[start : start + BATCH_ENVELOPES], sizes[start : start + BATCH_ENVELOPES]
        chunk_bytes = sum(credit)
        size = MESSAGE_BYTES + chunk_bytes + frame_bytes * len(chunk)
        number = first + start
        if size <= BATCH_BYTES and max(credit) < LARGE_BYTES:
            message = Frames(channel, number, chunk, (), dropped)
            parcels.append(Parcel(message, (), size, number, number + len(chunk), chunk_bytes))
        else:
            parcels += _pack_one_by_one(channel, number, chunk, frame_bytes, dropped)
    return parcels


def _pack_one_by_one(
    channel: Channel, first: int, frames: list[DataStream], frame_bytes: int, dropped: int
) -> list[Parcel]:
    parcels = []
    open = _OpenParcel(first)
    for frame in frames:
        _, _, payload, _, metadata = fields_of(frame)
        is_large = len(payload) >= LARGE_BYTES
        beside = metadata_bytes(metadata)
        size = frame_bytes + beside + (0 if is_large else len(payload))
        if not open.has_room(size, is_large):
            parcels.append(open.close(channel, dropped))
            open = _OpenParcel(open.first + len(open.frames))
        open.add(frame, len(payload) + beside, size, is_large)
    parcels.append(open.close(channel, dropped))
    return parcels


class _OpenParcel:
    """A parcel that frames are being put into."""

    def __init__(self, first: int) -> None:
        self.first = first
        self.frames: list[DataStream] = []
        self._large: list[int] = []
        self._payloads: list[bytes] = []
        self._size = MESSAGE_BYTES
        self._credit_bytes = 0

    def has_room(self, size: int, is_large: bool) -> bool:
        """Does one more frame fit? The first always does."""
        if not self.frames:
            return True
        return self._size + size <= BATCH_BYTES and not (is_large and len(self._payloads) >= LARGE_PER_MESSAGE)

    def add(self, frame: DataStream, credit_bytes: int, size: int, is_large: bool) -> None:
        if is_large:
            self._large.append(len(self.frames))
            self._payloads.append(frame.payload())
            frame = without_payload(frame)
        self.frames.append(frame)
        self._size += size
        self._credit_bytes += credit_bytes

    def close(self, channel: Channel, dropped: int) -> Parcel:
        message = Frames(channel, self.first, self.frames, tuple(self._large), dropped)
        end = self.first + len(self.frames)
        return Parcel(message, tuple(self._payloads), self._size, self.first, end, self._credit_bytes)


def credit_bytes(frame: DataStream) -> int:
    """What `frame` takes of a stream's credit; the same at both ends."""
    _, _, payload, _, metadata = fields_of(frame)
    return len(payload) + metadata_bytes(metadata) if metadata else len(payload)


def metadata_bytes(metadata: Metadata | None) -> int:
    """What `metadata` takes, at most."""
    if not metadata:
        return 0
    return sum(_text_bytes(key) + _text_bytes(value) + 8 for key, value in metadata.items())


def instance_bytes(instance: Instance) -> int:
    """What `instance` takes, at most."""
    return INSTANCE_BYTES + _text_bytes(instance.fingerprint)


def _text_bytes(text: str) -> int:
    return len(text) if text.isascii() else CHARACTER_BYTES * len(text)
