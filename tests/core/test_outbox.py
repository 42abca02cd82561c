"""What a node says to one destination, gathered into batches within the limits of the wire."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actrzmq.core.outbox import ID_BYTES, Outbox, Parcel
from actrzmq.wire.codec import (
    BATCH_BYTES,
    BATCH_ENVELOPES,
    BODY_BYTES,
    HEADER_BYTES,
    LARGE_BYTES,
    LARGE_PER_MESSAGE,
    OPEN_AT_ONCE,
    decode_batch,
    encode_batch,
)
from actrzmq.wire.messages import Batch, Call, CallId, Cancel, Outstanding, Reply, Tell


def call(number: int, body: bytes = b"") -> Call:
    return Call(CallId(number), "route", body, 1_000)


def encoded(parcel: Parcel) -> bytes:
    return encode_batch(Batch(1, [*parcel.envelopes], tuple(parcel.settled), tuple(parcel.large)))


def test_what_is_posted_is_taken_once_and_in_order() -> None:
    outbox = Outbox()
    for number in range(3):
        outbox.post(Cancel(CallId(number)), 0, 0)
    assert outbox
    (parcel,) = outbox.take()
    assert parcel.envelopes == [Cancel(CallId(number)) for number in range(3)]
    assert not outbox.parcels
    assert outbox.take() == []


def test_a_batch_counts_its_age_from_its_first_envelope() -> None:
    outbox = Outbox()
    outbox.post(Cancel(CallId(1)), 0, 100)
    outbox.post(Cancel(CallId(2)), 0, 200)
    assert outbox.take()[0].since == 100


def test_a_batch_has_256_envelopes_at_most() -> None:
    outbox = Outbox()
    for number in range(BATCH_ENVELOPES + 1):
        outbox.post(Cancel(CallId(number)), 0, 0)
    assert [len(parcel.envelopes) for parcel in outbox.take()] == [BATCH_ENVELOPES, 1]


def test_a_batch_is_closed_when_it_is_long_enough() -> None:
    outbox = Outbox()
    for number in range(20):
        outbox.post(call(number, b"x" * 60_000), 60_000, 0)
    parcels = outbox.take()
    assert len(parcels) > 1
    assert all(len(encoded(parcel)) <= BATCH_BYTES + 61_000 for parcel in parcels)


def test_large_bodies_travel_beside_the_batch_four_at_most() -> None:
    outbox = Outbox()
    bodies = [bytes([number]) * LARGE_BYTES for number in range(LARGE_PER_MESSAGE + 1)]
    for number, body in enumerate(bodies):
        outbox.post(call(number, body), len(body), 0)
    first, second = outbox.take()
    assert (first.bodies, second.bodies) == (bodies[:LARGE_PER_MESSAGE], bodies[LARGE_PER_MESSAGE:])
    assert len(encoded(first)) < 500
    decoded = decode_batch(encoded(first), first.bodies)
    assert [envelope.body for envelope in decoded.envelopes if isinstance(envelope, Call)] == first.bodies


def test_a_batch_is_closed_when_its_large_bodies_are_long_enough() -> None:
    outbox = Outbox()
    for number in range(4):
        outbox.post(call(number, b"x" * BODY_BYTES), BODY_BYTES, 0)
    assert [len(parcel.bodies) for parcel in outbox.take()] == [1] * 4


@pytest.mark.parametrize("kind", [call(1), Reply(CallId(1), b""), Tell("route", b"", 5)])
def test_every_kind_of_body_may_be_large(kind: Call | Reply | Tell) -> None:
    from msgspec import structs

    outbox = Outbox()
    envelope = structs.replace(kind, body=b"x" * LARGE_BYTES)
    outbox.post(envelope, LARGE_BYTES, 0)
    (parcel,) = outbox.take()
    assert decode_batch(encoded(parcel), parcel.bodies).envelopes == [envelope]


def test_settled_ids_ride_with_what_is_said_next() -> None:
    outbox = Outbox()
    outbox.settle([CallId(1), CallId(2)], 0)
    outbox.post(Cancel(CallId(3)), 0, 0)
    (parcel,) = outbox.take()
    assert parcel.settled == [1, 2]
    assert parcel.envelopes == [Cancel(CallId(3))]


def test_a_list_of_all_that_may_be_open_fits_into_a_batch_whatever_is_said_before_and_after() -> None:
    ids = tuple(CallId(2**62 + number) for number in range(OPEN_AT_ONCE))
    outbox = Outbox()
    for number in range(4):
        outbox.post(call(number, b"x" * 60_000), 60_000, 0)
    outbox.post(Outstanding(ids, ids[-1]), ID_BYTES * len(ids), 0)
    outbox.post(call(5, b"x" * 60_000), 60_000, 0)
    parcels = outbox.take()
    assert sum(len(parcel.envelopes) for parcel in parcels) == 6
    assert max(len(encoded(parcel)) for parcel in parcels) <= HEADER_BYTES


def test_settled_ids_are_spread_over_batches_that_the_other_side_takes() -> None:
    ids = [CallId(2**62 + number) for number in range(100_000)]
    outbox = Outbox()
    for number in range(4):
        outbox.post(call(number, b"x" * 60_000), 60_000, 0)
    outbox.settle(ids, 0)
    outbox.post(call(5, b"x" * 60_000), 60_000, 0)
    parcels = outbox.take()
    assert [id for parcel in parcels for id in parcel.settled] == ids
    assert max(len(encoded(parcel)) for parcel in parcels) <= HEADER_BYTES


@given(st.lists(st.integers(0, 150_000), max_size=60))
def test_every_batch_is_one_that_the_other_side_takes(sizes: list[int]) -> None:
    outbox = Outbox()
    for number, size in enumerate(sizes):
        outbox.post(call(number, bytes(size)), size, 0)
    ids = []
    for parcel in outbox.take():
        header = encoded(parcel)
        assert len(header) <= HEADER_BYTES
        batch = decode_batch(header, parcel.bodies)
        assert [len(one.body) for one in batch.envelopes if isinstance(one, Call)] == [
            sizes[one.id] for one in batch.envelopes if isinstance(one, Call)
        ]
        ids += [one.id for one in batch.envelopes if isinstance(one, Call)]
    assert ids == list(range(len(sizes)))
