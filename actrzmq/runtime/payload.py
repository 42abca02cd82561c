"""How a payload travels: the names that users of the Actr model know."""

from __future__ import annotations

from enum import IntEnum

from actrzmq.errors import ActrConfigError
from actrzmq.wire.messages import Lane


class PayloadType(IntEnum):
    """What a call, tell or stream asks of the transport."""

    RpcReliable = 0
    """A call in order of arrival."""
    RpcSignal = 1
    """A call that overtakes what waits in the callee's queue."""
    StreamReliable = 2
    """Every frame, in order, with flow control."""
    StreamLatencyFirst = 3
    """Never waits: drops the oldest unsent frame, and counts it."""
    MediaRtp = 4
    """Media of WebRTC; refused."""


def is_signal(payload_type: PayloadType | None) -> bool:
    """Does a call of this type overtake others? Raises `ActrConfigError` for types that calls do not have."""
    if payload_type not in (None, PayloadType.RpcReliable, PayloadType.RpcSignal):
        raise ActrConfigError(f"{payload_type!r} is for streams or media; a call takes RpcReliable or RpcSignal")
    return payload_type is PayloadType.RpcSignal


def lane_of(payload_type: PayloadType) -> Lane:
    """The lane of a stream. Raises `ActrConfigError` for types that streams do not have."""
    match payload_type:
        case PayloadType.StreamReliable:
            return Lane.RELIABLE
        case PayloadType.StreamLatencyFirst:
            return Lane.LATENCY_FIRST
    raise ActrConfigError(f"{payload_type!r} is not for streams; take StreamReliable or StreamLatencyFirst")
