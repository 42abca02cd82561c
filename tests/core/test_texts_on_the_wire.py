"""Metadata and errors beside the bodies: however much of them there is at once, batches stay within their limits."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from actrzmq.core.failures import failure_of
from actrzmq.core.session import Session
from actrzmq.errors import ActrNotFound, ActrRuntimeError, Status
from actrzmq.testing.simulation import SimNode, World
from actrzmq.wire.codec import HEADER_BYTES, encode_batch
from actrzmq.wire.messages import Batch, Reply

ROUTE = "test.Echo.Say"
METADATA = {f"key-{i}": "x" * 2_000 for i in range(10)}


def pair() -> tuple[World, SimNode, SimNode]:
    world = World(1)
    caller, callee = world.node("caller", "Caller"), world.node("callee", "Callee")
    world.run_until(lambda: caller.session.is_online and callee.session.is_online)
    return world, caller, callee


def call(outcome: Callable[[object], None], callee: SimNode) -> Callable[[Session, int], object]:
    return lambda session, now: session.call(callee.id.serial, ROUTE, b"", 5_000, outcome, now, metadata=METADATA)


def sizes(node: SimNode, said: Callable[[Session, int], object]) -> list[int]:
    """The bytes of the batches that `node` sends for what is `said`."""
    world_now = node.world.now
    said(node.session, world_now)
    parcels = [outgoing.parcel for outgoing in node.session.outgoing(world_now)]
    return [len(encode_batch(Batch(0, [*parcel.envelopes]))) for parcel in parcels]


def test_many_calls_with_much_metadata_go_in_several_batches() -> None:
    _, caller, callee = pair()

    def many(session: Session, now: int) -> None:
        for _ in range(200):
            call(lambda outcome: None, callee)(session, now)

    batches = sizes(caller, many)
    assert len(batches) > 10
    assert max(batches) < HEADER_BYTES


def test_many_tells_with_much_metadata_go_in_several_batches() -> None:
    _, caller, callee = pair()

    def many(session: Session, now: int) -> None:
        for _ in range(200):
            session.tell(callee.id.serial, ROUTE, b"", 5_000, now, metadata=METADATA)

    assert max(sizes(caller, many)) < HEADER_BYTES


def test_an_error_fits_into_a_message_however_much_it_says() -> None:
    error = ActrNotFound("é" * 10_000, details={str(i) * 100: "é" * 5_000 for i in range(1_000)})
    assert len(encode_batch(Batch(0, [Reply(1, b"", failure_of(error))]))) < HEADER_BYTES  # type: ignore[arg-type]


def test_what_can_not_be_encoded_travels_escaped() -> None:
    failure = failure_of(ActrNotFound("file \udcff", details={"\ud800": "é\ud800"}))
    assert failure.message == "file \\udcff"
    assert failure.details == {"\\ud800": "é\\ud800"}


@pytest.mark.parametrize("code", [99, -1, "NOT_FOUND"])
def test_a_code_that_is_none_travels_as_unknown(code: object) -> None:
    assert failure_of(ActrRuntimeError("x", code=code)).status == Status.UNKNOWN  # type: ignore[arg-type]
