"""What is told is queued within limits, and what is lost of it is counted by its reason."""

from __future__ import annotations

from typing import Any

import pytest

from actrzmq.core.session import SessionLimits
from actrzmq.core.telling import CONGESTED_FOR
from actrzmq.core.turn import News
from actrzmq.errors import ActrOverloaded, ActrRuntimeError, ActrTransportError
from actrzmq.testing.simulation import World
from actrzmq.wire.messages import Batch, Reason, Returned, Tell

ROUTE = "test.Echo.Say"
TELL = Tell(ROUTE, b"x", 60_000)


class Office:
    """A node that tells another, which may send `unanswered` bytes before somebody takes them."""

    def __init__(self, unanswered: int = 10_000) -> None:
        self.world = World(1)
        self.teller = self.world.node("teller", "Teller", SessionLimits(unanswered=unanswered))
        self.hearer = self.world.node("hearer", "Hearer")
        self.heard: list[bytes] = []
        self.hearer.handlers[ROUTE] = self.hear
        self.world.run_until(lambda: self.teller.session.is_online and self.hearer.session.is_online)

    def hear(self, execution: Any) -> tuple[bytes, int]:
        self.heard.append(execution.request.body)
        return b"", 0

    def tell(self, body: bytes = b"hello") -> None:
        """Without giving the node a turn, like a loop that never waits for anything."""
        self.teller.session.tell(self.hearer.id.serial, ROUTE, body, 60_000, self.world.now)

    def tell_until_full(self, size: int, most: int = 1_000) -> int:
        for number in range(most):
            try:
                self.tell(b"x" * size)
            except ActrOverloaded:
                return number
        return most

    def turn(self) -> None:
        """Let what is queued go."""
        self.teller.do(lambda session, now: None)
        self.world.run(50)

    def come_back(self, reason: Reason, *envelopes: Tell) -> None:
        returned = Batch(0, [Returned(self.hearer.id.serial, reason)])
        batch = Batch(0, list(envelopes))
        self.teller.do(lambda session, now: session.receive(None, returned, batch, 0, now))


def test_tells_that_nobody_takes_from_the_queue_are_refused_at_a_limit_of_bytes() -> None:
    office = Office()
    assert office.tell_until_full(1_000) == 9
    office.turn()
    assert len(office.heard) == 9
    assert office.tell_until_full(1_000) == 9


def test_tells_that_nobody_takes_from_the_queue_are_refused_at_a_limit_of_their_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("actrzmq.core.telling.OPEN_AT_ONCE", 3)
    office = Office()
    assert office.tell_until_full(0) == 3


def test_one_tell_may_be_larger_than_the_limit() -> None:
    office = Office(unanswered=100)
    assert office.tell_until_full(1_000) == 1


def test_requests_that_wait_for_replies_count_against_tells() -> None:
    office = Office()
    office.teller.session.call(office.hearer.id.serial, ROUTE, b"x" * 9_000, 60_000, lambda _: None, office.world.now)
    assert office.tell_until_full(1_000) == 0


def test_after_tells_came_back_congested_the_next_are_refused_for_a_moment() -> None:
    office = Office()
    office.tell()
    office.come_back(Reason.CONGESTED, TELL)
    with pytest.raises(ActrOverloaded, match="did not take") as caught:
        office.tell()
    assert caught.value.details["retry_after_ms"] == str(CONGESTED_FOR)
    office.world.run(CONGESTED_FOR)
    office.tell()


@pytest.mark.parametrize("reason", [Reason.CONGESTED, Reason.UNKNOWN, Reason.UNREACHABLE, Reason.NOT_YET])
def test_each_tell_that_came_back_is_counted_as_lost(reason: Reason) -> None:
    office = Office()
    office.tell()
    office.turn()
    office.come_back(reason, TELL, TELL)
    assert office.teller.session.statistics()[f"tells.lost.{reason.name.lower()}"] == 2


def test_what_comes_back_again_and_again_is_said_once_in_a_while() -> None:
    office = Office()
    office.tell()
    for _ in range(3):
        office.come_back(Reason.CONGESTED, TELL)
    said = [text for news, text in office.teller.news if news is News.TELLS_LOST]
    assert len(said) == 1
    assert "congested" in said[0]


def test_tells_in_the_queue_when_the_connection_breaks_are_counted_as_lost() -> None:
    office = Office()
    office.tell()
    office.tell()
    office.teller.session.disconnected(office.world.now)
    assert office.teller.session.statistics()["tells.lost.disconnected"] == 2
    with pytest.raises(ActrRuntimeError):
        office.tell()


def test_nothing_is_told_by_way_of_a_broker_that_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes nothing out of the sockets, where nothing else bounds what tells pile up."""
    office = Office()
    monkeypatch.setattr(office.teller.session.registration, "silence", lambda now: 2_000)
    with pytest.raises(ActrTransportError, match="silent for 2000 ms"):
        office.tell()


@pytest.mark.parametrize("is_stopped", [False, True])
def test_tells_that_the_broker_has_not_taken_are_refused_at_a_limit(
    monkeypatch: pytest.MonkeyPatch, is_stopped: bool
) -> None:
    """They have left the queue, and sockets hold whatever they are given."""
    monkeypatch.setattr("actrzmq.core.telling.ON_THE_WAY", 8_000)
    monkeypatch.setattr("actrzmq.core.registration.REPORT_BYTES", 2_000)
    office = Office()
    if is_stopped:
        office.world.broker.stop()
    told = 0
    for _ in range(20):
        told += office.tell_until_full(1_000, most=1)
        office.turn()
    assert told == (7 if is_stopped else 20)
    office.world.broker.resume()
    office.world.run(1_000)
    assert len(office.heard) == told
    office.tell()
