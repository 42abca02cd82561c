"""Messages to bytes and back. What comes in is checked here, once, against every limit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import msgspec
from msgspec import structs

from actrzmq.identity import Serial
from actrzmq.wire.messages import Batch, DataStream, Envelope, Frames, OnStreamPlane, Returned, WithBody

BATCH_ENVELOPES = 256
"""Envelopes in one batch, and frames in one `Frames`, at most."""
BATCH_BYTES = 256 * 1024
"""A sender closes a batch when it reaches this; one that is twice as long is refused."""
LARGE_BYTES = 64 * 1024
"""A body or payload this long travels as a ZeroMQ frame of its own, without a copy."""
LARGE_PER_MESSAGE = 4
HEADER_BYTES = 2 * BATCH_BYTES
OPEN_AT_ONCE = 50_000
"""Calls and streams that one node may have open to another: so many ids, in an `Outstanding`, fit into a header."""
BODY_BYTES = 4 * 1024 * 1024
"""The default limit of a body or payload."""
SERIAL_BYTES = 8
TOKEN_BYTES = 16

_Decoded = TypeVar("_Decoded")

_encoder = msgspec.msgpack.Encoder()
_batches = msgspec.msgpack.Decoder(Batch)
_stream_messages = msgspec.msgpack.Decoder(list[OnStreamPlane])


class DecodeError(Exception):
    """These bytes are not a message of this protocol, or are over one of its limits. Says why."""


def encode_batch(batch: Batch) -> bytes:
    """`batch` as bytes; its large bodies travel beside it."""
    return _encoder.encode(batch)


def decode_batch(header: bytes, bodies: Sequence[bytes] = (), body_limit: int = BODY_BYTES) -> Batch:
    """The batch in `header` with its large `bodies` back in place. Raises `DecodeError`."""
    batch = _decode(_batches, header)
    if len(batch.envelopes) > BATCH_ENVELOPES:
        raise DecodeError(f"{len(batch.envelopes)} envelopes in a batch, at most {BATCH_ENVELOPES}")
    if batch.large or bodies:
        _put_back(batch.envelopes, batch.large, bodies, body_limit)
    return batch


def decode_from_broker(
    header: bytes, rest: Sequence[bytes] = (), body_limit: int = BODY_BYTES
) -> tuple[Batch, Batch | None]:
    """What the broker says itself, and the batch that it returns, where it does. Raises `DecodeError`.

    The frames after the header are a batch that could not be delivered, with its bodies, or bodies of the broker's own.
    """
    batch = _decode(_batches, header)
    if batch.large or not rest:
        return decode_batch(header, rest, body_limit), None
    if not any(isinstance(envelope, Returned) for envelope in batch.envelopes):
        raise DecodeError("frames after a batch of the broker that returns nothing")
    return decode_batch(header), decode_batch(rest[0], rest[1:], body_limit)


def without_large_bodies(envelopes: Sequence[Envelope]) -> tuple[list[Envelope], tuple[int, ...], list[bytes]]:
    """`envelopes` without their large bodies, which of them had one, and these."""
    bare, large, bodies = list(envelopes), [], []
    for index, envelope in enumerate(envelopes):
        if isinstance(envelope, WithBody) and len(envelope.body) >= LARGE_BYTES:
            bare[index] = structs.replace(envelope, body=b"")
            large.append(index)
            bodies.append(envelope.body)
    return bare, tuple(large), bodies


def encode_stream_messages(messages: list[OnStreamPlane]) -> bytes:
    """`messages` for the stream plane as bytes; large payloads travel beside them."""
    return _encoder.encode(messages)


def decode_stream_messages(
    header: bytes, payloads: Sequence[bytes] = (), payload_limit: int = BODY_BYTES
) -> list[OnStreamPlane]:
    """The messages in `header` with their large `payloads` back in place. Raises `DecodeError`."""
    messages = _decode(_stream_messages, header)
    if len(messages) > BATCH_ENVELOPES:
        raise DecodeError(f"{len(messages)} messages at once, at most {BATCH_ENVELOPES}")
    taken = 0
    for message in messages:
        if type(message) is not Frames:
            continue
        if len(message.frames) > BATCH_ENVELOPES:
            raise DecodeError(f"{len(message.frames)} frames at once, at most {BATCH_ENVELOPES}")
        if message.large:
            taken = _put_payloads_back(message, payloads, taken, payload_limit)
    if taken != len(payloads):
        raise DecodeError(f"{len(payloads)} payloads beside the message, {taken} announced")
    return messages


def without_payload(frame: DataStream) -> DataStream:
    """A copy of `frame` whose payload travels in a ZeroMQ frame of its own."""
    return DataStream(frame.stream_id(), frame.sequence(), b"", frame.timestamp_ms(), frame.metadata())


def encode_serial(serial: Serial) -> bytes:
    """`serial` as the address frame of the control plane: 8 bytes, big endian."""
    return serial.to_bytes(SERIAL_BYTES)


def decode_serial(address: bytes) -> Serial:
    """The serial in an address frame. Raises `DecodeError`."""
    if len(address) != SERIAL_BYTES or address[0] & 0x80:
        raise DecodeError("an address that is not a serial of 63 bits")
    return Serial(int.from_bytes(address))


def _decode(decoder: msgspec.msgpack.Decoder[_Decoded], header: bytes) -> _Decoded:
    if len(header) > HEADER_BYTES:
        raise DecodeError(f"a header of {len(header)} bytes, at most {HEADER_BYTES}")
    try:
        return decoder.decode(header)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError, OverflowError) as error:
        raise DecodeError(str(error)) from None


def _put_back(envelopes: list[Envelope], large: tuple[int, ...], bodies: Sequence[bytes], limit: int) -> None:
    if len(large) != len(bodies):
        raise DecodeError(f"{len(bodies)} bodies beside the batch, {len(large)} announced")
    for index, body in zip(large, bodies, strict=True):
        _check_length(body, limit)
        envelope = envelopes[index] if 0 <= index < len(envelopes) else None
        if not isinstance(envelope, WithBody) or envelope.body:
            raise DecodeError(f"a body for envelope {index}, which takes none")
        envelopes[index] = structs.replace(envelope, body=body)


def _put_payloads_back(message: Frames, payloads: Sequence[bytes], taken: int, limit: int) -> int:
    frames = message.frames
    for index in message.large:
        if taken == len(payloads):
            raise DecodeError("a payload was announced and did not come")
        payload = payloads[taken]
        taken += 1
        _check_length(payload, limit)
        frame = frames[index] if 0 <= index < len(frames) else None
        if frame is None or frame.payload():
            raise DecodeError(f"a payload for frame {index}, which takes none")
        frames[index] = DataStream(frame.stream_id(), frame.sequence(), payload, frame.timestamp_ms(), frame.metadata())
    return taken


def _check_length(body: bytes, limit: int) -> None:
    if len(body) > limit:
        raise DecodeError(f"a body of {len(body)} bytes, at most {limit}")
