"""Streams over a simulated wire: opening, paths, loss, ends, and the ends of those who send and receive."""

from __future__ import annotations

import gc
from typing import Any

import pytest

from actrzmq.core.peer import Peer
from actrzmq.core.session import SessionLimits
from actrzmq.core.streams import OutState, OutStream, StreamLimits, Wish
from actrzmq.errors import (
    ActrNotFound,
    ActrOverloaded,
    ActrPermissionDenied,
    ActrRuntimeError,
    ActrStreamError,
    ActrTimeoutError,
)
from actrzmq.testing.simulation import Collector, SimNode, World
from actrzmq.wire.messages import Batch, DataStream, Lane, Opened, OpenStream, Path


class Sender:
    """A sink for the sending half: pushes `count` frames as credit allows, then ends."""

    def __init__(self, node: SimNode, stream_id: str, count: int, size: int = 10) -> None:
        self.node = node
        self.stream_id = stream_id
        self.count = count
        self.size = size
        self.sent = 0
        self.stream: OutStream
        self.outcome: Any = ...
        self.ends = True

    def __call__(self, opened: Any) -> None:
        if isinstance(opened, ActrRuntimeError):
            self.outcome = opened
        else:
            self.node.later(0, self.push)

    def writable(self) -> None:
        self.node.later(0, self.push)

    def closed(self, outcome: Any) -> None:
        self.outcome = outcome

    def push(self) -> None:
        if self.stream.state is OutState.CLOSED:
            return
        channel = self.stream.channel
        assert channel is not None
        while self.sent < self.count:
            frame = DataStream(self.stream_id, self.sent + 1, b"x" * self.size)
            if not channel.push(frame, self.size):
                break
            self.sent += 1
        self.node.do(lambda session, now: session.streams.queued(self.stream))
        if self.sent == self.count and self.ends:
            self.node.do(lambda session, now: session.streams.end(self.stream, now))


class Pair:
    def __init__(self, seed: int = 1, limits: SessionLimits | None = None) -> None:
        self.world = World(seed)
        self.sender = self.world.node("sender", "Sender")
        self.receiver = self.world.node("receiver", "Receiver", limits)
        self.world.run_until(lambda: self.sender.session.is_online and self.receiver.session.is_online)

    def register(self, stream_id: str = "s", pace: int = 0, sender: Any = None) -> Collector:
        sink = Collector(self.receiver, pace)
        self.receiver.do(lambda session, now: session.streams.register(stream_id, sender, sink, now))
        return sink

    def send(
        self,
        count: int,
        stream_id: str = "s",
        wish: Wish = Wish.AUTO,
        size: int = 10,
        lane: Lane = Lane.RELIABLE,
        node: SimNode | None = None,
        timeout: int = 30_000,
    ) -> Sender:
        node = node or self.sender
        sink = Sender(node, stream_id, count, size)
        peer = node.session.peer(self.receiver.id.serial, "stream")
        sink.stream = node.do(
            lambda session, now: session.streams.open(peer, stream_id, lane, wish, timeout, sink, now)
        )
        return sink

    def assert_at_rest(self) -> None:
        self.world.run(3_000)
        for node in self.world.nodes.values():
            if node.is_up:
                assert node.session.streams.open_count == 0


def sequences(sink: Collector) -> list[int]:
    return [frame.sequence() for frame in sink.frames]


@pytest.mark.parametrize("wish", list(Wish))
def test_a_stream_arrives_in_order_and_its_end_is_acknowledged(wish: Wish) -> None:
    pair = Pair()
    sink = pair.register()
    sender = pair.send(5_000, wish=wish)
    pair.world.run_until(lambda: sender.outcome is not ...)
    assert sender.outcome is None
    assert sink.outcome is None
    assert sequences(sink) == list(range(1, 5_001))
    pair.assert_at_rest()


@pytest.mark.parametrize("wish", list(Wish))
def test_an_opening_that_its_sender_has_given_up_does_not_take_the_place_of_the_next(wish: Wish) -> None:
    pair = Pair()
    late = pair.send(5, wish=wish, timeout=1_000)
    pair.world.run(1_500)
    assert isinstance(late.outcome, ActrTimeoutError)
    again = pair.send(5, wish=wish)
    pair.world.run(500)
    sink = pair.register()
    pair.world.run_until(lambda: again.outcome is not ...)
    assert (again.outcome, sink.outcome) == (None, None)
    assert sequences(sink) == list(range(1, 6))


def test_large_payloads_arrive_whole() -> None:
    pair = Pair()
    sink = pair.register()
    sender = pair.send(20, size=1_000_000)
    pair.world.run_until(lambda: sender.outcome is not ...)
    assert [len(frame.payload()) for frame in sink.frames] == [1_000_000] * 20


def test_nothing_stays_of_a_sender_that_is_gone() -> None:
    pair = Pair()

    def stream(stream_id: str, node: SimNode) -> None:
        pair.register(stream_id)
        sender = pair.send(10, stream_id, node=node)
        pair.world.run_until(lambda: sender.outcome is None)

    gone = [pair.world.node(f"gone-{number}") for number in range(5)]
    pair.world.run_until(lambda: all(node.session.is_online for node in gone))
    for node in gone:
        stream(f"from-{node.name}", node)
        node.kill()
        pair.world.run(2_000)
    stream("from-one-who-stays", pair.sender)
    gc.collect()
    themselves = {id(node.session.peer(node.id.serial, "")) for node in gone}
    kept = [
        each for each in gc.get_objects() if type(each) is Peer and each.serial in {node.id.serial for node in gone}
    ]
    assert [peer for peer in kept if id(peer) not in themselves] == []


@pytest.mark.parametrize("cut", [("sender", "receiver"), ("receiver", "sender")])
def test_auto_takes_the_relay_where_the_direct_way_works_in_one_direction_only(cut: tuple[str, str]) -> None:
    pair = Pair()
    pair.world.cut_planes.add(cut)
    sink = pair.register()
    sender = pair.send(3_000)
    pair.world.run_until(lambda: sender.outcome is not ...)
    assert sender.stream.path is Path.RELAY
    assert sequences(sink) == list(range(1, 3_001))


def test_direct_only_fails_in_words_where_there_is_no_direct_way() -> None:
    pair = Pair()
    pair.world.cut_planes.add(("sender", "receiver"))
    pair.register()
    sender = pair.send(3, wish=Wish.DIRECT)
    pair.world.run_until(lambda: sender.outcome is not ..., within=1_500)
    assert "can't be reached directly" in str(sender.outcome)


@pytest.mark.parametrize("wish", [Wish.DIRECT, Wish.RELAY])
@pytest.mark.parametrize("seed", range(10))
def test_a_lossy_stream_plane_loses_repeats_and_reorders_nothing(seed: int, wish: Wish) -> None:
    pair = Pair(seed)
    sink = pair.register()
    sender = pair.send(3_000, wish=wish)
    pair.world.run_until(lambda: sender.stream.state is OutState.OPEN)
    pair.world.plane_loss = 0.3
    pair.world.run_until(lambda: sender.outcome is not ...)
    assert sequences(sink) == list(range(1, 3_001))
    assert sender.outcome is None
    pair.assert_at_rest()


@pytest.mark.parametrize("wish", [Wish.DIRECT, Wish.RELAY])
@pytest.mark.parametrize("seed", range(5))
def test_a_broker_crash_ends_no_stream(seed: int, wish: Wish) -> None:
    pair = Pair(seed)
    sink = pair.register(pace=1)
    sender = pair.send(2_000, wish=wish)
    pair.world.run(200)
    pair.world.broker.kill()
    pair.world.run(pair.world.dice.randint(50, 2_000))
    pair.world.broker.start()
    pair.world.run_until(lambda: sender.outcome is not ...)
    assert sequences(sink) == list(range(1, 2_001))
    assert sink.outcome is None


def test_a_direct_stream_goes_on_while_the_broker_is_away() -> None:
    pair = Pair()
    sink = pair.register(pace=1)
    sender = pair.send(3_000, wish=Wish.DIRECT)
    pair.world.run_until(lambda: len(sink.frames) > 10)
    pair.world.broker.kill()
    pair.world.run_until(lambda: sender.outcome is not ...)
    assert sequences(sink) == list(range(1, 3_001))


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("who", ["sender", "receiver"])
def test_resets_of_control_connections_lose_no_opening_and_no_end(seed: int, who: str) -> None:
    pair = Pair(seed)
    sinks = [pair.register(f"s{number}") for number in range(10)]
    senders = []
    for number in range(10):
        senders.append(pair.send(100, f"s{number}"))
        pair.world.run(pair.world.dice.randint(0, 10))
        pair.world.nodes[who].reset()
    pair.world.run_until(lambda: all(sender.outcome is not ... for sender in senders))
    assert all(sequences(sink) == list(range(1, 101)) for sink in sinks)
    pair.assert_at_rest()


def test_a_stream_that_comes_before_its_registration_is_awaited() -> None:
    pair = Pair()
    sender = pair.send(10)
    pair.world.run(4_000)
    sink = pair.register()
    pair.world.run_until(lambda: sender.outcome is not ...)
    assert sequences(sink) == list(range(1, 11))


def test_a_stream_that_nobody_registers_is_refused_after_five_seconds() -> None:
    pair = Pair()
    sender = pair.send(10)
    pair.world.run_until(lambda: sender.outcome is not ..., within=5_500)
    assert isinstance(sender.outcome, ActrNotFound)
    pair.assert_at_rest()


def test_the_first_opener_owns_the_stream_until_its_end() -> None:
    pair = Pair()
    sink = pair.register(pace=5)
    first = pair.send(100)
    pair.world.run(50)
    thief = pair.world.node("thief", "Thief")
    pair.world.run_until(lambda: thief.session.is_online)
    second = pair.send(5, node=thief)
    pair.world.run_until(lambda: second.outcome is not ...)
    assert isinstance(second.outcome, ActrStreamError)
    pair.world.run_until(lambda: first.outcome is not ...)
    assert sequences(sink) == list(range(1, 101))


def test_a_registration_may_be_for_one_sender_only() -> None:
    pair = Pair()
    pair.register(sender=pair.sender.id.serial)
    thief = pair.world.node("thief", "Thief")
    pair.world.run_until(lambda: thief.session.is_online)
    stolen = pair.send(5, node=thief)
    pair.world.run_until(lambda: stolen.outcome is not ...)
    assert isinstance(stolen.outcome, ActrPermissionDenied)


def test_a_dead_sender_ends_the_stream_at_its_receiver_with_the_last_good_frame() -> None:
    pair = Pair()
    sink = pair.register()
    sender = pair.send(50)
    sender.ends = False
    pair.world.run_until(lambda: len(sink.frames) == 50)
    pair.sender.kill()
    pair.world.run_until(lambda: sink.outcome is not ..., within=1_100)
    assert sink.outcome.details["last"] == "50"


def test_a_dead_receiver_ends_the_stream_at_its_sender() -> None:
    pair = Pair()
    pair.register(pace=1_000)
    sender = pair.send(100_000)
    pair.world.run(500)
    pair.receiver.kill()
    pair.world.run_until(lambda: sender.outcome is not ..., within=1_100)
    assert isinstance(sender.outcome, ActrRuntimeError)
    assert sender.sent <= 1_024


def test_a_receiver_that_stops_listening_is_heard_by_the_sender() -> None:
    pair = Pair()
    sink = pair.register(pace=10)
    sender = pair.send(100_000)
    pair.world.run_until(lambda: len(sink.frames) > 5)
    receiver = pair.receiver.session.streams.receiver("s")
    assert receiver is not None
    why = ActrStreamError("enough")
    pair.receiver.do(lambda session, now: session.streams.unregister(receiver, why, now))
    pair.world.run_until(lambda: sender.outcome is not ..., within=100)
    assert "enough" in str(sender.outcome)
    pair.assert_at_rest()


def test_a_receiver_that_goes_after_acknowledging_everything_completes_the_stream() -> None:
    pair = Pair()
    sink = pair.register()
    sender = pair.send(20)
    sender.ends = False
    pair.world.run_until(lambda: len(sink.frames) == 20)
    pair.world.run(500)
    receiver = pair.receiver.session.streams.receiver("s")
    assert receiver is not None
    why = ActrStreamError("done", code=ActrStreamError.default_code.CANCELLED)
    pair.receiver.do(lambda session, now: session.streams.unregister(receiver, why, now))
    pair.world.run_until(lambda: sender.outcome is not ...)
    assert sender.outcome is None


@pytest.mark.parametrize("wish", [Wish.DIRECT, Wish.RELAY])
def test_a_receiver_that_leaves_when_it_has_everything_leaves_the_sender_no_doubt(wish: Wish) -> None:
    """What it has acknowledged directly may be lost with its sockets, or come later than the news that it has gone."""
    pair = Pair()
    sink = pair.register(pace=10)
    sender = pair.send(20, wish=wish)
    pair.world.run_until(lambda: len(sink.frames) == 15)
    pair.world.cut_planes.add(("receiver", "sender"))
    pair.world.run_until(lambda: sink.outcome is None)
    pair.receiver.do(lambda session, now: session.leave(now))
    pair.world.run_until(lambda: sender.outcome is not ...)
    assert sender.outcome is None


def test_a_sender_that_changes_the_path_in_the_middle_of_a_stream_ends_it_and_nothing_else() -> None:
    pair = Pair()
    sink = pair.register()
    sender = pair.send(20, wish=Wish.DIRECT)
    sender.ends = False
    pair.world.run_until(lambda: len(sink.frames) == 20)
    again = Batch(0, [OpenStream(sender.stream.open, "s", Lane.RELIABLE, Path.RELAY)])
    pair.receiver.do(lambda session, now: session.receive(pair.sender.id.serial, again, None, 100, now))
    assert isinstance(sink.outcome, ActrStreamError)
    pair.world.run_until(lambda: sender.outcome is not ...)
    pair.assert_at_rest()


def test_a_receiver_takes_no_more_streams_than_its_limit() -> None:
    pair = Pair(limits=SessionLimits(streams=StreamLimits(streams=2)))
    for number in range(3):
        pair.register(f"s{number}")
    senders = [pair.send(1, f"s{number}") for number in range(3)]
    for one in senders[:2]:
        one.ends = False
    pair.world.run_until(lambda: senders[2].outcome is not ...)
    assert isinstance(senders[2].outcome, ActrOverloaded)
    assert "2 streams open already" in str(senders[2].outcome)


def test_a_question_over_the_control_plane_is_answered_there_though_the_direct_way_is_broken() -> None:
    pair = Pair()
    sink = pair.register()
    sender = pair.send(3_000, wish=Wish.DIRECT)
    pair.world.run_until(lambda: len(sink.frames) > 0)
    pair.world.cut_planes.add(("receiver", "sender"))
    pair.world.run_until(lambda: sender.outcome is not ...)
    assert sender.outcome is None
    assert sequences(sink) == list(range(1, 3_001))


def test_a_channel_that_is_in_use_is_not_given_to_a_second_stream() -> None:
    pair = Pair()
    pair.register("first")
    first = pair.send(1, "first", wish=Wish.RELAY)
    first.ends = False
    pair.world.run_until(lambda: first.sent == 1)
    second = pair.send(1, "second", wish=Wish.RELAY)
    assert first.stream.channel is not None
    opened = Opened(second.stream.open, first.stream.channel.channel, Path.RELAY, 10, 1_000, "")
    pair.sender.do(lambda session, now: session.streams._out.opened(second.stream.peer, opened, now))
    assert second.stream.state is OutState.OPENING
    assert pair.sender.session.streams._out._by_channel == {opened.channel: first.stream}


def test_an_abort_ends_both_sides_with_its_reason() -> None:
    pair = Pair()
    sink = pair.register()
    sender = pair.send(20)
    sender.ends = False
    pair.world.run_until(lambda: len(sink.frames) == 20)
    why = ActrStreamError("out of paper")
    pair.sender.do(lambda session, now: session.streams.abort(sender.stream, why, now))
    pair.world.run_until(lambda: sink.outcome is not ...)
    assert "out of paper" in str(sink.outcome)
    pair.assert_at_rest()


def test_a_slow_receiver_holds_the_sender_at_its_window_and_gets_everything() -> None:
    limits = SessionLimits(streams=StreamLimits(window_frames=16))
    pair = Pair(limits=limits)
    sink = pair.register(pace=10)
    sender = pair.send(500)
    worst = 0
    while sender.outcome is ...:
        pair.world.run(5)
        worst = max(worst, sender.sent - len(sink.frames))
    assert worst <= 16 + 8
    assert sequences(sink) == list(range(1, 501))


def test_a_latency_first_sender_never_waits_and_the_sums_add_up() -> None:
    pair = Pair()
    sink = pair.register(pace=50)
    sender = pair.send(5_000, lane=Lane.LATENCY_FIRST)
    pair.world.run_until(lambda: sender.outcome is not ...)
    channel = sender.stream.channel
    assert channel is not None
    assert sender.sent == 5_000
    assert channel.dropped > 0
    assert len(sink.frames) + channel.dropped == 5_000
    got = sequences(sink)
    assert got == sorted(set(got))
    assert got[-1] == 5_000


def test_a_thousand_streams_opened_and_dropped_leave_nothing() -> None:
    pair = Pair()
    senders = []
    for number in range(1_000):
        pair.register(f"s{number}")
        senders.append(pair.send(3, f"s{number}"))
    pair.world.run_until(lambda: all(sender.outcome is not ... for sender in senders))
    assert all(sender.outcome is None for sender in senders)
    pair.assert_at_rest()
    assert pair.receiver.session.streams.promised == 0


def test_frames_for_a_blocked_way_stay_where_they_are() -> None:
    pair = Pair()
    pair.register()
    sender = pair.send(10)
    sender.ends = False
    pair.world.run_until(lambda: sender.stream.state is OutState.OPEN)
    channel = sender.stream.channel
    assert channel is not None
    channel.push(DataStream("s", 1, b"x"), 1)
    streams = pair.sender.session.streams
    streams.queued(sender.stream)
    assert streams.outgoing(lambda via: True) == []
    assert [parcel.via for parcel in streams.outgoing(lambda via: False)] == [sender.stream.via]
