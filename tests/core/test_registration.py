"""A node's life with its broker, and what it knows of the broker's time."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from actrzmq.core.registration import (
    FULL_AGAIN,
    FULL_AGAIN_MOST,
    GOOD_TRIP,
    GRID,
    REGISTER_AGAIN,
    REGISTER_AGAIN_MOST,
    RELAYED_BYTES,
    REPORT_BYTES,
    SAMPLES,
    SILENCE,
    Clock,
    Life,
    Registration,
)
from actrzmq.identity import ActrType, serial_of
from actrzmq.wire.codec import decode_batch, encode_batch
from actrzmq.wire.messages import MAX_INT, PROTOCOL, Batch, Deregister, Drain, Register, Registered, Renew, Renewed

TYPE = ActrType("acme", "Echo")


class Node:
    """A `Registration` whose dice count."""

    def __init__(self) -> None:
        self.drawn = 0
        self.registration = Registration(self.draw, self.describe, 0)

    def draw(self, length: int) -> bytes:
        self.drawn += 1
        return bytes([self.drawn]) * length

    def describe(self, attempt: int, key: bytes, now: int) -> Register:
        return Register(attempt, PROTOCOL, key, 0, TYPE, "echo")

    def register(self, now: int = 0, **changes: Any) -> Registration:
        """Connect, and be taken at once."""
        (ask,) = self.registration.connected(now)
        assert isinstance(ask, Register)
        assert self.registration.registered(structs.replace(answer(ask.attempt, now), **changes), now)
        return self.registration


def answer(attempt: int, broker_time: int = 0) -> Registered:
    return Registered(attempt, 5, 77, broker_time, 9_000, 1_000, 4_000_000, b"token", "relay")


def test_it_registers_when_it_is_connected() -> None:
    node = Node()
    (ask,) = node.registration.connected(0)
    assert isinstance(ask, Register)
    assert (ask.attempt, serial_of(ask.key)) == (1, node.registration.serial)
    assert node.registration.life is Life.REGISTERING


def test_silence_is_answered_with_another_attempt() -> None:
    registration = Node().registration
    registration.connected(0)
    assert registration.tick(REGISTER_AGAIN - 1) == []
    (again,) = registration.tick(REGISTER_AGAIN)
    assert isinstance(again, Register)
    assert again.attempt == 2


def pauses(registration: Registration, now: int, count: int) -> list[int]:
    """So many milliseconds are between attempts that nobody answers, from the one that was made `now`."""
    found = []
    for _ in range(count):
        due = registration.next_deadline()
        assert due is not None
        assert registration.tick(due - 1) == []
        assert len(registration.tick(due)) == 1
        found.append(due - now)
        now = due
    return found


def test_a_broker_that_does_not_answer_is_asked_ever_more_rarely_up_to_some_seconds() -> None:
    registration = Node().registration
    registration.connected(0)
    first, *others = pauses(registration, 0, 8)
    assert first == REGISTER_AGAIN
    for pause, most in zip(others, (2_000, 4_000, *[REGISTER_AGAIN_MOST] * 5), strict=True):
        assert most * 3 // 4 <= pause <= most


def test_an_answer_that_takes_seconds_is_believed_in_the_end() -> None:
    registration = Node().registration
    registration.connected(0)
    takes, now, attempt = 5_000, 0, 1
    while (due := registration.next_deadline()) is not None and due < now + takes:
        assert now < 30_000
        assert len(registration.tick(due)) == 1
        now, attempt = due, attempt + 1
    assert registration.registered(answer(attempt), now + takes)


@pytest.mark.parametrize("is_answered", [False, True])
def test_after_an_answer_or_on_a_new_connection_a_node_asks_again_as_soon_as_at_first(is_answered: bool) -> None:
    registration = Node().registration
    registration.connected(0)
    spent = sum(pauses(registration, 0, 4))
    if is_answered:
        assert registration.registered(answer(5), spent)
        registration.register(spent)
    else:
        registration.disconnected(spent)
        registration.connected(spent)
    assert pauses(registration, spent, 1) == [REGISTER_AGAIN]


def test_a_refusal_is_an_answer() -> None:
    registration = Node().registration
    registration.connected(0)
    for now in range(0, 5_000, 500):
        registration.refused(is_fatal=False, retry_at=now + 500)
        assert len(registration.tick(now + 500)) == 1
    assert pauses(registration, 5_000, 1) == [REGISTER_AGAIN]


def test_an_answer_to_an_older_attempt_does_not_count() -> None:
    registration = Node().registration
    registration.connected(0)
    registration.tick(REGISTER_AGAIN)
    assert not registration.registered(answer(1), 1_100)
    assert registration.registered(answer(2), 1_100)
    assert not registration.registered(answer(2), 1_100)
    assert registration.life is Life.ONLINE


def test_what_the_broker_says_is_kept() -> None:
    registration = Node().register()
    assert (registration.session, registration.epoch, registration.token) == (5, 77, b"token")
    assert (registration.lease, registration.relay, registration.body_limit) == (9_000, "relay", 4_000_000)


def test_it_renews_as_often_as_the_broker_wants() -> None:
    registration = Node().register()
    registration.load = lambda: 3
    assert registration.tick(999) == []
    assert registration.tick(1_000) == [Renew(5, 1_000, 3, 0, 0, 0)]
    assert registration.tick(1_500) == []
    assert registration.next_deadline() == 2_000


@given(st.integers(0, 1_000), st.integers(50, 5_000))
def test_nodes_renew_at_the_same_moments_and_never_later_than_the_broker_wants(begun: int, every: int) -> None:
    registration = Node().register()
    registration.renew_every = every
    now = 1_000 + begun
    assert registration.tick(now)
    due = registration.next_deadline()
    assert due is not None
    assert due % GRID == 0
    assert max(now, now + every - GRID) < due <= now + every


def test_it_renews_at_once_when_much_has_come_in() -> None:
    registration = Node().register()
    registration.heard(REPORT_BYTES, 10)
    assert registration.next_deadline() == 10
    (renew,) = registration.tick(10)
    assert isinstance(renew, Renew)
    assert renew.received == REPORT_BYTES
    assert registration.next_deadline() == 1_000


def test_it_renews_at_once_when_much_was_relayed_to_it() -> None:
    registration = Node().register()
    registration.was_relayed(RELAYED_BYTES - 1, 5)
    assert registration.tick(5) == []
    registration.was_relayed(RELAYED_BYTES, 10)
    (renew,) = registration.tick(10)
    assert isinstance(renew, Renew)
    assert renew.relayed == RELAYED_BYTES
    registration.was_relayed(RELAYED_BYTES + 1, 11)
    assert registration.next_deadline() == 1_000


def test_what_was_told_in_the_millisecond_of_a_renewal_is_known_to_be_taken_after_the_next_one() -> None:
    registration = Node().register()
    for _ in range(2):
        registration.told(REPORT_BYTES, 10)
        assert registration.is_pressing
        said = registration.tick(10)
    assert said == []
    assert registration.next_deadline() == 11
    assert len(registration.tick(11)) == 1
    registration.renewed(Renewed(5, 77, 10, 10), 12)
    assert registration.told_and_not_taken == REPORT_BYTES
    registration.renewed(Renewed(5, 77, 11, 11), 12)
    assert registration.told_and_not_taken == 0


def test_it_renews_at_once_after_a_round_trip_too_long_to_know_the_time_by() -> None:
    node = Node()
    node.registration.connected(0)
    node.registration.registered(answer(1, 500), GOOD_TRIP + 1)
    assert len(node.registration.tick(GOOD_TRIP + 1)) == 1


def test_a_broker_that_says_nothing_for_two_seconds_is_silent() -> None:
    registration = Node().register()
    assert registration.silence(SILENCE - 1) == 0
    assert registration.silence(SILENCE + 5) == SILENCE + 5
    registration.heard(10, SILENCE + 5)
    assert registration.silence(SILENCE + 6) == 0
    registration.disconnected(SILENCE + 6)
    assert registration.silence(10 * SILENCE) == 0


def test_a_lost_connection_is_waited_for_without_a_word() -> None:
    registration = Node().register()
    registration.disconnected(10)
    assert registration.life is Life.OFFLINE
    assert registration.tick(100_000) == []
    assert registration.next_deadline() is None
    assert registration.register(100_000) == []


def test_the_broker_is_away_from_the_end_of_a_registration_to_the_next_one() -> None:
    node = Node()
    assert node.registration.away(70) == 70  # it has never been there
    node.registration.started(80)
    assert node.registration.away(85) == 5
    registration = node.register(100)
    assert registration.away(200) == 0
    registration.disconnected(300)
    assert registration.away(350) == 50
    registration.disconnected(400)
    registration.connected(500)
    assert registration.away(550) == 250  # connected, and not registered yet
    registration.registered(answer(2), 560)
    assert registration.away(600) == 0
    registration.connected(700)  # it knows us no longer
    assert registration.away(710) == 10


def test_who_has_left_misses_no_broker() -> None:
    registration = Node().registration
    registration.leave()
    assert registration.away(1_000) == 0


def test_a_new_key_is_a_new_serial_and_its_attempts_count_on() -> None:
    registration = Node().register()
    before = registration.serial
    registration.new_key()
    assert registration.serial == serial_of(registration.key) != before
    assert (registration.session, registration.token) == (0, b"")
    (ask,) = registration.register(10)
    assert isinstance(ask, Register)
    assert ask.attempt == 2
    assert not registration.registered(answer(1), 20)  # which was for the old key


def test_refused_for_good_is_out() -> None:
    registration = Node().registration
    registration.connected(0)
    registration.refused(is_fatal=True, retry_at=0)
    assert registration.life is Life.OUT
    assert registration.connected(10) == []


def test_refused_for_now_tries_again_at_the_time_given() -> None:
    registration = Node().registration
    registration.connected(0)
    registration.refused(is_fatal=False, retry_at=300)
    assert registration.tick(299) == []
    assert len(registration.tick(300)) == 1


def test_a_broker_that_is_full_is_asked_again_ever_later_up_to_some_seconds_by_the_same_node() -> None:
    registration = Node().registration
    registration.connected(0)
    serial, now, pauses = registration.serial, 0, []
    for _ in range(12):
        registration.put_off("it is full", 0.5, now)
        due = registration.next_deadline()
        assert due is not None
        assert registration.tick(due - 1) == []
        assert len(registration.tick(due)) == 1
        pauses.append(due - now)
        now = due
    assert pauses[:3] == [500, 750, 1_250]
    assert pauses[-1] == FULL_AGAIN + FULL_AGAIN_MOST // 2
    assert (registration.serial, registration.refusal) == (serial, "it is full")
    assert registration.registered(answer(13), now)
    assert registration.refusal == ""
    registration.put_off("it is full again", 0.5, now)
    registration.disconnected(now)
    assert registration.refusal == ""


def test_it_drains_and_leaves_with_its_session() -> None:
    registration = Node().register()
    assert registration.drain() == [Drain(5)]
    assert registration.leave() == [Deregister(5)]
    registration.deregistered()
    assert registration.life is Life.OUT


def test_leaving_without_a_broker_is_the_end() -> None:
    registration = Node().registration
    assert registration.drain() == []
    assert registration.leave() == []
    assert registration.life is Life.OUT


def test_another_broker_has_another_clock() -> None:
    node = Node()
    registration = node.register(0, broker_time=1_000_000)
    assert registration.clock.broker_time(10) == 1_000_010
    registration.disconnected(15)
    node.register(20, broker_time=5, epoch=78)
    assert registration.clock.broker_time(20) == 5


@pytest.mark.parametrize("changes", [{"session": 4}, {"epoch": 76}, {"sent": 5_000}])
def test_a_renewal_of_another_session_epoch_or_time_teaches_nothing(changes: dict[str, int]) -> None:
    registration = Node().register()
    fine = Renewed(5, 77, 90, 123)
    registration.renewed(structs.replace(fine, **changes), 91)
    assert registration.clock.broker_time(100) == 100


def test_an_unknown_time_is_told_as_unknown() -> None:
    clock = Clock()
    assert clock.broker_time(1_000) == 0
    assert clock.age(500, 1_000) == 0
    clock.learn(0, 10, 5_000)
    assert clock.age(0, 1_000) == 0


def test_the_shortest_of_the_last_ten_round_trips_is_believed() -> None:
    clock = Clock()
    clock.learn(0, 2, 1_001)
    for number in range(SAMPLES - 1):
        clock.learn(number, number + 100, 7)
    assert clock.age(1_001, 2) <= 2
    assert clock.is_good
    clock.learn(0, 100, 7)
    assert not clock.is_good


trips = st.lists(
    st.tuples(st.integers(0, 5_000), st.integers(0, 5_000), st.integers(0, 100_000)), min_size=1, max_size=15
)


@given(trips, trips, st.integers(-50_000, 50_000), st.integers(-50_000, 50_000), st.integers(0, 20_000))
def test_nothing_is_ever_taken_for_younger_than_it_is(
    sender: list[tuple[int, int, int]], receiver: list[tuple[int, int, int]], mine: int, yours: int, age: int
) -> None:
    """Two clocks that differ from the broker's by `mine` and `yours`, and round trips as long as they please."""
    clocks = []
    for trips, ahead in ((sender, mine), (receiver, yours)):
        clock = Clock()
        for there, back, at in trips:
            clock.learn(at, at + there + back, at + there + ahead + 10**6)
        clocks.append(clock)
    said = 10**7
    sent_at = clocks[0].broker_time(said - mine - 10**6)
    heard = said + age - yours - 10**6
    assert clocks[1].age(sent_at, heard) >= age
    slowest = sum(min(there + back for there, back, _ in trips[-SAMPLES:]) for trips in (sender, receiver))
    assert clocks[1].age(sent_at, heard) <= age + slowest


def test_a_broker_with_an_absurd_clock_does_not_make_a_node_say_what_nobody_understands() -> None:
    clock = Clock()
    clock.learn(0, 10, MAX_INT)
    decode_batch(encode_batch(Batch(clock.broker_time(5_000), [])))
