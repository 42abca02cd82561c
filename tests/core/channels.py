"""Shorthand for tests of channels."""

from __future__ import annotations

from actrzmq.core.credit import Budget
from actrzmq.core.packing import Parcel
from actrzmq.core.receiving import ReceiveChannel
from actrzmq.core.sending import SendChannel
from actrzmq.errors import Status
from actrzmq.wire.messages import Channel, DataStream, End, Failure, Frames, Grant, Lane

CHANNEL = Channel(77)
STREAM = "acme/rows"
MIB = 1024 * 1024


def frame(number: int, size: int = 10, stream_id: str = STREAM, metadata: dict[str, str] | None = None) -> DataStream:
    """Frame number `number`, with a payload of `size` bytes."""
    return DataStream(stream_id, number, bytes(size), metadata=metadata)


def numbers(frames: list[DataStream]) -> list[int]:
    """The users' numbers of `frames`."""
    return [one.sequence() for one in frames]


def sender(lane: Lane = Lane.RELIABLE, limit_frames: int = 1000, limit_bytes: int = MIB, now: int = 0) -> SendChannel:
    """A sending half that has just been opened."""
    return SendChannel(CHANNEL, STREAM, lane, limit_frames, limit_bytes, now)


def receiver(
    lane: Lane = Lane.RELIABLE, window_frames: int = 8, window_bytes: int = MIB, budget: Budget | None = None
) -> ReceiveChannel:
    """A receiving half that has just been opened."""
    return ReceiveChannel(CHANNEL, STREAM, lane, window_frames, window_bytes, budget or Budget(64 * MIB))


def push(channel: SendChannel, count: int, size: int = 10) -> int:
    """Push up to `count` frames, numbered as the user would; returns how many were taken."""
    start = channel.statistics()["taken"]
    for number in range(start + 1, start + count + 1):
        if not channel.push(frame(number, size), size):
            return number - start - 1
    return count


def sent_numbers(parcels: list[Parcel]) -> list[int]:
    """The users' numbers in `parcels`."""
    return [n for parcel in parcels if isinstance(parcel.message, Frames) for n in numbers(parcel.message.frames)]


def ends(parcels: list[Parcel]) -> list[End]:
    """The Ends in `parcels`."""
    return [parcel.message for parcel in parcels if isinstance(parcel.message, End)]


def grant(received: int = 0, completed: int = 0, limit_frames: int = 0, limit_bytes: int = 0) -> Grant:
    """A grant on the channel."""
    return Grant(CHANNEL, received, completed, limit_frames, limit_bytes)


def frames(first: int, count: int, size: int = 10, dropped: int = 0) -> Frames:
    """A message with `count` frames from number `first` on."""
    return Frames(CHANNEL, first, [frame(n, size) for n in range(first, first + count)], (), dropped)


def failure(status: Status = Status.CANCELLED, message: str = "no more") -> Failure:
    """A failure as it travels."""
    return Failure(status, "ActrStreamError", message)
