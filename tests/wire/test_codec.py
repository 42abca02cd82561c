"""Messages into bytes and back, and whatever bytes a stranger may send."""

from __future__ import annotations

import contextlib
import time
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actrzmq.identity import Serial
from actrzmq.wire.codec import (
    BATCH_ENVELOPES,
    BODY_BYTES,
    HEADER_BYTES,
    DecodeError,
    decode_batch,
    decode_serial,
    decode_stream_messages,
    encode_batch,
    encode_serial,
    encode_stream_messages,
    without_payload,
)
from actrzmq.wire.messages import Batch, Call, CallId, Cancel, Channel, DataStream, Frames, Probe, Reply
from tests.wire.strategies import batches, stream_messages, with_body

RAW = msgspec.msgpack.Encoder()
TIME = 0.5
"""Seconds that nonsense may take at the very most, on a busy machine."""


def call(number: int, body: bytes = b"") -> Call:
    return Call(CallId(number), "pkg.Service.Method", body, 1_000)


def frames(*payloads: bytes, large: tuple[int, ...] = ()) -> Frames:
    return Frames(Channel(7), 1, [DataStream("s", n, payload) for n, payload in enumerate(payloads, 1)], large)


def is_batch_or_refused(header: bytes, bodies: list[bytes]) -> None:
    started = time.perf_counter()
    with contextlib.suppress(DecodeError):
        assert isinstance(decode_batch(header, bodies), Batch)
    assert time.perf_counter() - started < TIME


def is_messages_or_refused(header: bytes, payloads: list[bytes]) -> None:
    started = time.perf_counter()
    with contextlib.suppress(DecodeError):
        assert isinstance(decode_stream_messages(header, payloads), list)
    assert time.perf_counter() - started < TIME


@given(batches)
def test_a_batch_comes_out_as_it_went_in(batch: Batch) -> None:
    assert decode_batch(encode_batch(batch)) == batch


@given(stream_messages)
def test_stream_messages_come_out_as_they_went_in(messages: list[Any]) -> None:
    assert decode_stream_messages(encode_stream_messages(messages)) == messages


@given(st.lists(with_body, min_size=1, max_size=6), st.data())
def test_large_bodies_are_put_back_where_they_were(envelopes: list[Any], data: st.DataObject) -> None:
    large = sorted(data.draw(st.sets(st.integers(0, len(envelopes) - 1), max_size=4)))
    bodies = [b"large %d" % index for index in large]
    without = list(envelopes)
    for index, body in zip(large, bodies, strict=True):
        envelopes[index] = msgspec.structs.replace(envelopes[index], body=body)
        without[index] = msgspec.structs.replace(without[index], body=b"")
    encoded = encode_batch(Batch(0, without, (), tuple(large)))
    assert decode_batch(encoded, bodies).envelopes == envelopes


def test_large_payloads_are_put_back_across_messages() -> None:
    first, second = frames(b"", b"small", large=(0,)), frames(b"", b"", large=(1,))
    encoded = encode_stream_messages([first, Probe(Channel(7), 3), second])
    decoded = decode_stream_messages(encoded, [b"one", b"two"])
    assert isinstance(decoded[0], Frames)
    assert isinstance(decoded[2], Frames)
    assert [frame.payload() for frame in decoded[0].frames] == [b"one", b"small"]
    assert [frame.payload() for frame in decoded[2].frames] == [b"", b"two"]


def test_a_frame_without_its_payload_is_otherwise_the_same() -> None:
    frame = DataStream("s", 4, b"payload", 123, {"key": "value"})
    bare = without_payload(frame)
    assert bare == DataStream("s", 4, b"", 123, {"key": "value"})
    assert frame.payload() == b"payload"


@settings(max_examples=500)
@given(st.binary(max_size=200), st.lists(st.binary(max_size=10), max_size=3))
def test_any_bytes_are_a_batch_or_are_refused(header: bytes, bodies: list[bytes]) -> None:
    is_batch_or_refused(header, bodies)
    is_messages_or_refused(header, bodies)


@settings(max_examples=500)
@given(batches, st.data())
def test_a_batch_that_was_tampered_with_is_a_batch_or_is_refused(batch: Batch, data: st.DataObject) -> None:
    header = bytearray(encode_batch(batch))
    for _ in range(data.draw(st.integers(1, 4))):
        header[data.draw(st.integers(0, len(header) - 1))] = data.draw(st.integers(0, 255))
    is_batch_or_refused(bytes(header[: data.draw(st.integers(0, len(header)))]), [])
    is_batch_or_refused(bytes(header), [b"body"])
    is_messages_or_refused(bytes(header), [])


@settings(max_examples=300)
@given(stream_messages, st.data())
def test_stream_messages_that_were_tampered_with_are_messages_or_are_refused(
    messages: list[Any], data: st.DataObject
) -> None:
    header = bytearray(encode_stream_messages(messages))
    for _ in range(data.draw(st.integers(1, 4))):
        header[data.draw(st.integers(0, len(header) - 1))] = data.draw(st.integers(0, 255))
    is_messages_or_refused(bytes(header), data.draw(st.lists(st.binary(max_size=4), max_size=2)))


nested = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=5)
    | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=30,
)


@settings(max_examples=500)
@given(nested, st.integers(0, 60))
def test_any_msgpack_is_a_batch_or_is_refused(value: Any, tag: int) -> None:
    for shape in (
        value,
        [0, value],
        [0, [value]],
        [0, [[tag, value]]],
        [0, [[tag, *value]]] if isinstance(value, list) else 0,
    ):
        is_batch_or_refused(RAW.encode(shape), [])
        is_messages_or_refused(RAW.encode(shape), [])


MONSTERS = {
    "deep": b"\x91" * HEADER_BYTES,
    "deep maps": b"\x81\xa0" * (HEADER_BYTES // 2),
    "many envelopes": b"\x92\x00\xdd" + (250_000).to_bytes(4) + b"\x91\x06" * 250_000,
    "many numbers": RAW.encode([0, [[44, list(range(100_000)), 5]]]),
    "a length that is a lie": b"\x92\x00\xdd\xff\xff\xff\xff",
    "a body that is a lie": b"\x92\x00\x91\x95\x28\x01\xa1r\xc6\xff\xff\xff\xff",
    "many frames": RAW.encode([[54, 1, 1, [["", 1, b""]] * 50_000]]),
    "many settled": RAW.encode([0, [], list(range(100_000))]),
    "a name of a megabyte": RAW.encode([0, [[16, "x" * (HEADER_BYTES - 20)]]]),
    "much metadata": RAW.encode([0, [[42, "r", b"", 1, False, {str(n): "" for n in range(50_000)}]]]),
    "a hostile type": RAW.encode([0, [[11, 1, ["a\n\x1b[2J", "b"]]]]),
    "http": b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n",
    "tls": bytes.fromhex("16030100c8010000c40303") + b"\x00" * 190,
    "nothing": b"",
}


@pytest.mark.parametrize("name", MONSTERS)
def test_monsters_are_refused_or_read_in_no_time(name: str) -> None:
    is_batch_or_refused(MONSTERS[name], [])
    is_messages_or_refused(MONSTERS[name], [])


def refuses(header: bytes, bodies: list[bytes], why: str) -> None:
    with pytest.raises(DecodeError, match=why):
        decode_batch(header, bodies)


def test_a_batch_has_256_envelopes_at_most() -> None:
    envelopes: list[Any] = [Cancel(CallId(number)) for number in range(BATCH_ENVELOPES)]
    assert len(decode_batch(encode_batch(Batch(0, envelopes))).envelopes) == BATCH_ENVELOPES
    refuses(encode_batch(Batch(0, [*envelopes, Cancel(CallId(1))])), [], "257 envelopes")


def test_a_header_has_a_limit() -> None:
    refuses(b"\x00" * (HEADER_BYTES + 1), [], "header of")


def test_a_body_beside_the_batch_has_a_limit() -> None:
    header = encode_batch(Batch(0, [call(1)], (), (0,)))
    assert decode_batch(header, [b"x" * BODY_BYTES])
    refuses(header, [b"x" * (BODY_BYTES + 1)], "a body of")


@pytest.mark.parametrize(
    ("envelope", "large", "bodies", "why"),
    [
        (call(1), (0,), [], "0 bodies beside"),
        (call(1), (), [b"x"], "1 bodies beside"),
        (call(1), (1,), [b"x"], "takes none"),
        (call(1), (-1,), [b"x"], "takes none"),
        (call(1, b"has one"), (0,), [b"x"], "takes none"),
        (Cancel(CallId(1)), (0,), [b"x"], "takes none"),
        (call(1), (0, 0), [b"x", b"y"], "takes none"),
    ],
)
def test_bodies_go_where_they_were_announced(envelope: Any, large: Any, bodies: list[bytes], why: str) -> None:
    refuses(encode_batch(Batch(0, [envelope], (), large)), bodies, why)


@pytest.mark.parametrize(
    ("message", "payloads"),
    [
        (frames(b"", large=(0,)), []),
        (frames(b""), [b"x"]),
        (frames(b"", large=(1,)), [b"x"]),
        (frames(b"", large=(-1,)), [b"x"]),
        (frames(b"has one", large=(0,)), [b"x"]),
        (frames(b"", large=(0,)), [b"x" * (BODY_BYTES + 1)]),
        (frames(*[b""] * (BATCH_ENVELOPES + 1)), []),
    ],
)
def test_payloads_go_where_they_were_announced(message: Frames, payloads: list[bytes]) -> None:
    with pytest.raises(DecodeError):
        decode_stream_messages(encode_stream_messages([message]), payloads)


@pytest.mark.parametrize("field", [-1, 2**63])
def test_a_number_out_of_range_is_refused(field: int) -> None:
    refuses(RAW.encode([0, [[9, field]]]), [], "int")


def test_a_field_from_a_later_version_is_ignored() -> None:
    assert decode_batch(RAW.encode([0, [[43, 5, "new"]], [], [], "newer"])).envelopes == [Cancel(CallId(5))]


def test_a_reply_without_what_is_optional_is_short() -> None:
    assert decode_batch(RAW.encode([0, [[41, 5, b"body"]]])).envelopes == [Reply(CallId(5), b"body")]


@given(st.integers(0, 2**63 - 1).map(Serial))
def test_a_serial_is_eight_bytes_and_back(serial: Serial) -> None:
    assert len(encode_serial(serial)) == 8
    assert decode_serial(encode_serial(serial)) == serial


@given(st.binary(max_size=20))
def test_any_address_is_a_serial_or_is_refused(address: bytes) -> None:
    try:
        assert encode_serial(decode_serial(address)) == address
    except DecodeError:
        assert len(address) != 8 or address[0] >= 0x80
