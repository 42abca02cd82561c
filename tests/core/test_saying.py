"""When what is queued for a peer is sent: at once where nothing else is under way, else in parts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from actrzmq.core.saying import LEAST, PARTS
from actrzmq.core.session import Session
from actrzmq.testing.simulation import World

ROUTE = "test.Echo.Say"


class Pair:
    """A node that calls another; nothing is sent unless a test lets it."""

    def __init__(self) -> None:
        self.world = World(1)
        self.caller = self.world.node("caller", "Caller")
        self.callee = self.world.node("callee", "Callee")
        self.callee.handlers[ROUTE] = lambda execution: None
        self.world.run_until(lambda: self.caller.session.is_online and self.callee.session.is_online)
        self.batches: list[int] = []

    @property
    def session(self) -> Session:
        return self.caller.session

    def call(self, body: bytes = b"x") -> None:
        """One call more; what is ripe is sent, as a shell would."""
        self.session.call(self.callee.id.serial, ROUTE, body, 1_000, lambda outcome: None, self.world.now)
        if self.session.saying.is_ripe:
            self.send()

    def send(self) -> None:
        """Send what there is."""
        self.batches += [len(outgoing.parcel.envelopes) for outgoing in self.session.outgoing(self.world.now)]


def test_a_call_with_nothing_else_under_way_is_sent_at_once() -> None:
    pair = Pair()
    pair.call()
    assert pair.batches == [1]


def test_a_call_beside_another_waits_for_the_end_of_the_turn() -> None:
    pair = Pair()
    pair.call()
    pair.call()
    assert pair.batches == [1]
    pair.send()
    assert pair.batches == [1, 1]
    assert not pair.session.saying.is_ripe


@given(st.integers(2, 300))
def test_of_many_calls_each_part_is_sent_as_soon_as_it_is_there(count: int) -> None:
    pair = Pair()
    for _ in range(count):
        pair.call()
    first, *parts = pair.batches
    assert first == 1
    under_way = 1
    for part in parts:
        under_way += part
        assert part >= LEAST
        assert part == LEAST or (part - 1) * PARTS < under_way  # it did not wait for more than its part
    left = count - under_way
    assert left < LEAST or left * PARTS < count


def test_what_fills_a_batch_is_sent_at_once() -> None:
    pair = Pair()
    pair.call()
    pair.call(bytes(300_000))
    pair.call(bytes(300_000))
    pair.call(bytes(300_000))
    assert pair.batches == [1]
    pair.call(bytes(300_000))
    assert pair.batches == [1, 4]


def test_without_a_broker_nothing_is_ripe() -> None:
    pair = Pair()
    pair.session.call(pair.callee.id.serial, ROUTE, b"", 1_000, lambda outcome: None, pair.world.now)
    assert pair.session.saying.is_ripe
    pair.session.disconnected(pair.world.now)
    assert not pair.session.saying.is_ripe
    pair.call()
    assert pair.batches == []
    assert not pair.session.saying.is_ripe


def test_a_reply_is_sent_at_once_when_nothing_else_runs() -> None:
    pair = Pair()
    ran: list[object] = []
    pair.callee.handlers[ROUTE] = ran.append  # it returns None: the handler goes on
    pair.caller.do(lambda session, now: [session.call(pair.callee.id.serial, ROUTE, b"", 1_000, print, now)] * 2)
    pair.caller.do(lambda session, now: session.call(pair.callee.id.serial, ROUTE, b"", 1_000, print, now))
    pair.world.run(50)
    first, second = ran
    answering = pair.callee.session
    answering.finish(first, b"", pair.world.now)  # type: ignore[arg-type]
    assert not answering.saying.is_ripe
    answering.finish(second, b"", pair.world.now)  # type: ignore[arg-type]
    assert answering.saying.is_ripe


def test_what_a_node_says_to_itself_does_not_travel_and_is_never_ripe() -> None:
    pair = Pair()
    pair.session.call(pair.caller.id.serial, ROUTE, b"", 1_000, lambda outcome: None, pair.world.now)
    assert not pair.session.saying.is_ripe
