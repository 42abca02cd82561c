"""A sender and a receiver over a wire that loses, repeats, reorders, delays and is cut; what holds whatever it does."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from random import Random
from typing import Literal

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from actrzmq.core.credit import FIRST_BYTES, Budget
from actrzmq.core.receiving import ReceiveChannel
from actrzmq.core.sending import SendChannel
from actrzmq.core.tombstones import Tombstones
from actrzmq.errors import Status
from actrzmq.wire.codec import decode_stream_messages, encode_stream_messages
from actrzmq.wire.messages import Channel, End, EndAck, Frames, Grant, Lane, OnStreamPlane, Probe, Resend, Reset
from tests.core.channels import MIB, failure, frame

CHANNEL = Channel(77)
To = Literal["sender", "receiver"]


@dataclass
class Weather:
    """What the wire does to a message, as probabilities, and for how long it takes."""

    lose: float = 0
    repeat: float = 0
    delay: int = 1
    jitter: int = 0
    cut: set[To] = field(default_factory=set)


FAIR = Weather()


class Pair:
    """Both halves of one channel, their user, and the wire between them."""

    def __init__(
        self,
        dice: Random,
        lane: Lane = Lane.RELIABLE,
        window_frames: int = 8,
        window_bytes: int = 2000,
        memory: int = MIB,
    ) -> None:
        self.dice = dice
        self.weather = Weather()
        self.now = 1000
        self.budget = Budget(memory)
        self.tombstones = Tombstones()
        self.receiver = ReceiveChannel(CHANNEL, "acme/rows", lane, window_frames, window_bytes, self.budget)
        first = self.receiver.grant()
        self.sender = SendChannel(CHANNEL, "acme/rows", lane, first.limit_frames, first.limit_bytes, self.now)
        self.lane = lane
        self.wants_to_push = 0
        self.wants_to_end = False
        self.pushed: list[int] = []
        self.delivered: list[int] = []
        self.sizes: list[int] = []
        self.on_the_wire = 0
        self.asked: list[bool] = []
        self._order = count()
        self._wire: list[tuple[int, int, To, bytes, tuple[bytes, ...]]] = []

    # the wire

    def send(self, to: To, message: OnStreamPlane, payloads: tuple[bytes, ...] = ()) -> None:
        weather = self.weather
        if to in weather.cut or self.dice.random() < weather.lose:
            return
        self.on_the_wire += 1
        header = encode_stream_messages([message])
        for _ in range(1 + (self.dice.random() < weather.repeat)):
            at = self.now + weather.delay + self.dice.randint(0, weather.jitter)
            heappush(self._wire, (at, next(self._order), to, header, payloads))

    def arrive(self) -> None:
        while self._wire and self._wire[0][0] <= self.now:
            _, _, to, header, payloads = heappop(self._wire)
            (message,) = decode_stream_messages(header, payloads)
            if to == "receiver":
                self.to_receiver(message)
            else:
                self.to_sender(message)

    def to_receiver(self, message: OnStreamPlane) -> None:
        channel = self.receiver
        if channel.is_over:
            channel.close()
            self.tombstones.bury(CHANNEL, channel.last_words)
            words = self.tombstones.answer(CHANNEL)
            if isinstance(message, Probe | End) and words is not None:
                self.send("sender", words)
            return
        match message:
            case Frames():
                for one in channel.frames(message, self.now):
                    self.delivered.append(one.sequence())
                    self.sizes.append(len(one.payload()))
            case Probe():
                channel.probe(message, self.now)
            case End():
                channel.end(message, self.now)
            case Reset():
                channel.peer_reset(message)
        self.say(channel.answers())

    def to_sender(self, message: OnStreamPlane) -> None:
        match message:
            case Grant():
                self.sender.granted(message, self.now)
            case Resend():
                self.sender.resend(message.start, self.now)
            case EndAck():
                self.sender.end_acked(self.now)
            case Reset():
                self.sender.peer_reset(message)

    def say(self, answers: list[Grant | Resend | EndAck | Reset]) -> None:
        for answer in answers:
            self.send("sender", answer)

    # the users

    def push(self) -> None:
        while self.wants_to_push and self.sender.state.name == "OPEN":
            size = self.dice.choice((0, 1, 10, 100, 500, 3000))
            if not self.sender.push(frame(len(self.pushed) + 1, size), size):
                break
            self.wants_to_push -= 1
            self.pushed.append(size)
        if self.wants_to_end and not self.wants_to_push and self.sender.state.name == "OPEN":
            self.sender.end(self.now)

    def complete(self, count: int) -> None:
        channel = self.receiver
        if channel.is_over:
            return
        channel.completed_frames += min(count, channel.received - channel.completed_frames)
        self.say(channel.progress(self.now))

    # time

    def step(self, completes: int = 1000) -> None:
        """Everything that happens at this moment."""
        self.arrive()
        self.complete(completes)
        self.push()
        for parcel in self.sender.take():
            self.send("receiver", parcel.message, parcel.payloads)
        for question, over_control in self.sender.tick(self.now):
            self.asked.append(over_control)
            self.send("receiver", question)
        self.say(self.receiver.tick(self.now))
        self.check()

    def advance(self, until: int, completes: int = 1000) -> None:
        """Let time pass, from one moment at which something happens to the next."""
        self.step(completes)
        while True:
            moments = [self.sender.next_deadline(), self.receiver.next_deadline()]
            moments += [self._wire[0][0]] if self._wire else []
            ahead = min([max(moment, self.now + 1) for moment in moments if moment is not None], default=until)
            if ahead >= until:
                break
            self.now = ahead
            self.step(completes)
        self.now = until
        self.step(completes)

    def heal(self, within: int = 60_000) -> None:
        """Fair weather, until all that is wanted has happened."""
        self.weather = Weather()
        until = self.now + within
        while not self.is_done and self.now < until:
            self.advance(self.now + 100)
        assert self.is_done, "the wire has healed, and the stream has not"
        self.advance(self.now + 5000)
        self.receiver.close()

    @property
    def is_done(self) -> bool:
        if self.wants_to_push and not (self.sender.is_over or self.receiver.is_over):
            return False
        if self.wants_to_end:
            return self.sender.is_over and self.receiver.is_over
        return self.sender.completed == self.receiver.completed_frames == len(self.pushed) - self.sender.dropped

    # what always holds

    def check(self) -> None:
        sender, receiver = self.sender, self.receiver
        missing = self.lane is Lane.LATENCY_FIRST
        assert self.delivered == sorted(set(self.delivered)), "in order, and once"
        assert missing or self.delivered == list(range(1, len(self.delivered) + 1)), "a prefix of what was pushed"
        assert self.sizes == [self.pushed[number - 1] for number in self.delivered], "whole"
        assert sender.completed <= receiver.completed_frames <= receiver.received <= sender.sent
        assert sender.sent <= receiver.grant().limit_frames, "no more than was granted"
        assert receiver.missing <= sender.dropped
        assert not receiver.drops["frames.without_credit"]
        promised = receiver.grant().limit_bytes - receiver.completed_bytes
        assert promised <= self.budget.memory + 1
        ledger = sender.statistics()
        assert ledger["taken"] == len(self.pushed)
        if sender.is_over:
            assert sender._flight.kept_bytes == 0

    def check_complete(self) -> None:
        """The stream has ended well: every frame was delivered or, latency-first, counted as dropped."""
        assert self.sender.is_completed
        assert self.receiver.is_completed
        assert self.sender.completed == len(self.delivered) == self.receiver.completed_frames
        assert self.receiver.missing == self.sender.dropped
        assert len(self.pushed) == len(self.delivered) + self.sender.dropped
        assert self.budget.used == 0


STORMS = {
    "fair": Weather(),
    "lossy": Weather(lose=0.3),
    "very lossy": Weather(lose=0.7),
    "repeating": Weather(repeat=0.5),
    "reordering": Weather(jitter=50),
    "slow": Weather(delay=400, jitter=100),
    "all at once": Weather(lose=0.3, repeat=0.3, delay=20, jitter=80),
    "no way there": Weather(cut={"receiver"}),
    "no way back": Weather(cut={"sender"}),
    "cut": Weather(cut={"sender", "receiver"}),
}


@pytest.mark.parametrize("lane", Lane)
@pytest.mark.parametrize("storm", STORMS)
@pytest.mark.parametrize("seed", range(6))
def test_whatever_the_wire_does_the_stream_completes_once_it_has_healed(storm: str, lane: Lane, seed: int) -> None:
    dice = Random(seed)
    pair = Pair(dice, lane, window_frames=dice.choice((1, 4, 64)), window_bytes=dice.choice((1, 500, 20_000)))
    pair.advance(pair.now + 10)
    pair.weather = STORMS[storm]
    for _ in range(10):
        pair.wants_to_push += dice.randint(0, 30)
        pair.advance(pair.now + dice.randint(0, 700), completes=dice.randint(0, 5))
    pair.wants_to_end = True
    pair.advance(pair.now + dice.randint(0, 3000), completes=dice.randint(0, 5))
    pair.heal()
    pair.check_complete()


@pytest.mark.parametrize("lost", [Frames, Grant, End, EndAck, Resend])
@pytest.mark.parametrize("nth", [1, 2, 3, 4])
def test_no_single_message_is_needed(lost: type[OnStreamPlane], nth: int) -> None:
    pair = Pair(Random(nth))
    seen: Counter[type] = Counter()
    send = pair.send

    def lose_one(to: To, message: OnStreamPlane, payloads: tuple[bytes, ...] = ()) -> None:
        kind = type(message)
        seen[kind] += 1
        makes_a_gap = lost is Resend and kind is Frames and seen[kind] == 1
        if not makes_a_gap and (kind is not lost or seen[kind] != nth):
            send(to, message, payloads)

    pair.send = lose_one  # type: ignore[method-assign]  # this wire loses one message and no other
    pair.wants_to_push = 40
    pair.advance(pair.now + 500)
    pair.wants_to_end = True
    pair.heal(within=10_000)
    pair.check_complete()
    assert seen[lost] or nth > 1


@pytest.mark.parametrize("way", ["sender", "receiver"])
def test_a_cut_of_two_minutes_costs_questions_that_become_rare_and_alternate(way: To) -> None:
    pair = Pair(Random(1))
    pair.wants_to_push = 100
    pair.weather = Weather(cut={way})
    pair.advance(pair.now + 120_000)
    assert 55 <= len(pair.asked) <= 70
    assert pair.asked == [turn % 2 == 1 for turn in range(len(pair.asked))]
    pair.wants_to_end = True
    pair.heal(within=10_000)
    pair.check_complete()


def test_a_gap_does_not_start_a_storm() -> None:
    pair = Pair(Random(1), window_frames=1024, window_bytes=MIB)
    pair.advance(pair.now + 10)
    pair.weather = Weather(delay=20, cut={"receiver"})
    pair.wants_to_push = 1
    pair.advance(pair.now + 10)
    pair.weather = Weather(delay=20, repeat=0.5)
    for _ in range(50):
        pair.wants_to_push += 1
        pair.advance(pair.now + 2)
    pair.advance(pair.now + 500)
    assert pair.sender.completed == 51
    assert pair.sender.statistics()["resent"] <= 2 * 51


def test_a_receiver_that_completes_nothing_is_sent_one_window_and_no_more() -> None:
    pair = Pair(Random(1), window_frames=1024, window_bytes=8 * MIB, memory=64 * MIB)
    pair.wants_to_push = 100_000
    pair.advance(pair.now + 60_000, completes=0)
    assert sum(pair.pushed) < FIRST_BYTES + 3000
    assert pair.budget.used < FIRST_BYTES + 3000


@pytest.mark.parametrize("seed", range(20))
def test_a_receiver_that_cancels_ends_both_sides(seed: int) -> None:
    pair = Pair(Random(seed))
    pair.weather = Weather(lose=0.5, jitter=30)
    pair.wants_to_push = 50
    pair.advance(pair.now + 400, completes=2)
    pair.receiver.reset(failure(Status.CANCELLED))
    pair.say(pair.receiver.answers())
    pair.wants_to_end = True
    pair.heal()
    done = pair.receiver.completed_frames == len(pair.pushed)
    assert pair.sender.is_completed == done
    assert pair.budget.used == 0


@pytest.mark.parametrize("seed", range(20))
def test_a_sender_that_gives_up_ends_both_sides_where_its_reset_arrives(seed: int) -> None:
    pair = Pair(Random(seed))
    pair.weather = Weather(lose=0.3, jitter=30)
    pair.wants_to_push = 50
    pair.advance(pair.now + 400, completes=2)
    reset = pair.sender.reset(failure(Status.ABORTED))
    pair.weather = Weather()
    pair.send("receiver", reset)
    pair.advance(pair.now + 1000)
    pair.receiver.close()
    assert pair.receiver.is_over
    assert pair.budget.used == 0
    assert reset.last >= pair.receiver.received


class Stream(RuleBasedStateMachine):
    """Users and weather do what they like."""

    @initialize(
        seed=st.integers(0, 2**32),
        lane=st.sampled_from(Lane),
        frames=st.sampled_from([1, 2, 8, 300]),
        size=st.sampled_from([1, 700, 100_000]),
        memory=st.sampled_from([1, 1000, MIB]),
    )
    def open(self, seed: int, lane: Lane, frames: int, size: int, memory: int) -> None:
        self.pair = Pair(Random(seed), lane, frames, size, memory)

    @rule(frames=st.integers(1, 400))
    def push(self, frames: int) -> None:
        if not self.pair.wants_to_end:
            self.pair.wants_to_push += frames

    @rule(length=st.integers(0, 1500), completes=st.integers(0, 20))
    def wait(self, length: int, completes: int) -> None:
        self.pair.advance(self.pair.now + length, completes)

    @rule(
        lose=st.sampled_from([0, 0.1, 0.5, 0.9]),
        repeat=st.sampled_from([0, 0.5]),
        delay=st.sampled_from([0, 5, 350]),
        jitter=st.sampled_from([0, 40, 400]),
        cut=st.sets(st.sampled_from(["sender", "receiver"])),
    )
    def change_weather(self, lose: float, repeat: float, delay: int, jitter: int, cut: set[To]) -> None:
        self.pair.weather = Weather(lose, repeat, delay, jitter, cut)

    @rule()
    @precondition(lambda self: not self.pair.wants_to_end)
    def end(self) -> None:
        self.pair.wants_to_end = True

    @rule(
        message=st.sampled_from(
            [
                Grant(CHANNEL, 0, 0, 0, 0),
                Grant(CHANNEL, 5, 2**62, 1, 1),
                Grant(CHANNEL, 2**62, 0, 1, 1),
                Resend(CHANNEL, 1),
                Resend(CHANNEL, 2**62),
                Resend(CHANNEL, 0),
            ]
        )
    )
    def say_nonsense_to_the_sender(self, message: Grant | Resend) -> None:
        self.pair.to_sender(message)

    @rule(
        message=st.sampled_from(
            [
                Frames(CHANNEL, 0, [frame(9999)]),
                Frames(CHANNEL, 2**62, [frame(9999)]),
                Frames(CHANNEL, 1, []),
                Probe(CHANNEL, 0),
                Probe(CHANNEL, 2**62),
            ]
        )
    )
    def say_nonsense_to_the_receiver(self, message: Frames | Probe) -> None:
        self.pair.to_receiver(message)

    @invariant()
    def what_always_holds(self) -> None:
        if hasattr(self, "pair"):
            self.pair.check()

    def teardown(self) -> None:
        if hasattr(self, "pair"):
            self.pair.wants_to_end = True
            self.pair.heal()
            self.pair.check_complete()


TestStream = Stream.TestCase
TestStream.settings = settings(max_examples=100, stateful_step_count=20, deadline=None)
