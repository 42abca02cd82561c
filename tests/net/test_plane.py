"""A node's stream plane on real sockets: which ways out are open, what waits on them, and what is dropped."""

import asyncio
import os
from collections import Counter
from collections.abc import Coroutine, Iterator
from contextlib import closing, contextmanager
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
import zmq

from actrzmq.core.paths import StreamParcel, Via
from actrzmq.core.session import Session
from actrzmq.identity import ActrType, Serial
from actrzmq.net import sockets
from actrzmq.net.plane import DRAIN_BYTES, IDLE, Plane
from actrzmq.wire.codec import BODY_BYTES, TOKEN_BYTES, decode_stream_messages, encode_stream_messages
from actrzmq.wire.messages import PROTOCOL, Channel, DataStream, Frames, Path, Probe, Register, Resend
from tests.net.peers import wait_until

NOBODY = "tcp://127.0.0.1:1"
ONE, OTHER = Serial(1), Serial(2)
SIZE = 5
"""Bytes of a message that says a small number."""


class Taker:
    """A PULL that a node, or the broker's relay, could listen at."""

    def __init__(self) -> None:
        self.socket, self.endpoint = sockets.pull()
        self.watching = sockets.monitor(self.socket, zmq.EVENT_DISCONNECTED)

    def take(self, is_relayed: bool = False) -> int:
        """The number in the next message."""
        assert self.socket.poll(5_000), "nothing came"
        frames = sockets.receive(self.socket, 8, BODY_BYTES, Counter())
        assert frames
        assert (len(frames[0]) == TOKEN_BYTES + 8) is is_relayed
        messages = decode_stream_messages(frames[is_relayed], frames[is_relayed + 1 :], BODY_BYTES)
        assert isinstance(messages[0], Probe)
        return messages[0].last

    def is_silent(self) -> bool:
        """Has nothing come?"""
        return not self.socket.poll(50)

    def lost_a_peer(self) -> bool:
        """Has somebody closed a way to here, or does so soon?"""
        return bool(self.watching.poll(5_000)) and sockets.take_event(self.watching) == zmq.EVENT_DISCONNECTED

    def close(self) -> None:
        """Close both."""
        self.socket.disable_monitor()
        self.watching.close(0)
        self.socket.close(0)


class Node:
    """A plane, and a session that knows where frames are relayed."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.woken = asyncio.Event()
        self.plane = Plane(self.loop, self.woken.set)
        self.plane.open()
        register = Register(1, PROTOCOL, b"", 0, ActrType("acme", "Node"), "node")
        self.session = Session(register, lambda route: None, os.urandom, 0)
        self.session.registration.token = bytes(TOKEN_BYTES)

    def relay_at(self, endpoint: str) -> None:
        """The node has registered with a broker that relays there."""
        self.session.registration.relay = endpoint
        self.plane.relay_at(endpoint)

    def send(self, via: Via, number: int, now: int = 0) -> None:
        """Send a message that says `number`."""
        self.plane.send(StreamParcel(via, [Probe(Channel(7), number)], [], SIZE), self.session, now)

    def flush(self, *ways: Via) -> None:
        """Send what waits, as soon as there are connections."""

        async def connected() -> None:
            async with asyncio.timeout(5):
                while any(map(self.plane.is_blocked, ways)):
                    self.plane.flush()
                    await asyncio.sleep(0.002)

        self.run(connected())

    def run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run that on the loop of the plane."""
        self.loop.run_until_complete(coroutine)

    def close(self) -> None:
        """Close everything."""
        self.plane.close()
        self.loop.close()


@pytest.fixture
def node() -> Iterator[Node]:
    with closing(Node()) as node:
        yield node


@pytest.fixture
def taker() -> Iterator[Taker]:
    with closing(Taker()) as taker:
        yield taker


@pytest.fixture
def other_taker() -> Iterator[Taker]:
    with closing(Taker()) as taker:
        yield taker


def direct(serial: Serial, endpoint: str) -> Via:
    """The direct way there."""
    return Via(Path.DIRECT, serial, endpoint)


@contextmanager
def jammed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No socket of a plane takes anything."""
    with monkeypatch.context() as patch:
        full = SimpleNamespace(**{**vars(sockets), "send": lambda socket, frames: False})
        patch.setattr("actrzmq.net.plane.sockets", full)
        yield


def descriptors() -> int:
    """How many are open."""
    return len(os.listdir("/proc/self/fd"))


def test_ways_to_the_dead_are_closed_and_ways_to_the_living_stay(node: Node, taker: Taker, other_taker: Taker) -> None:
    to_one, to_other = direct(ONE, taker.endpoint), direct(OTHER, other_taker.endpoint)
    node.send(to_one, 1)
    node.send(to_other, 1)
    node.flush(to_one, to_other)
    assert (taker.take(), other_taker.take()) == (1, 1)
    node.plane.forget({ONE})
    assert taker.lost_a_peer()
    node.send(to_other, 2)
    assert other_taker.take() == 2
    assert not other_taker.watching.poll(0)


def test_no_descriptor_is_left_of_ways_to_the_dead(node: Node) -> None:
    before = descriptors()
    for serial in range(1, 101):
        node.send(direct(Serial(serial), NOBODY), 1)
    assert descriptors() >= before + 100
    node.plane.forget({Serial(serial) for serial in range(1, 101)})
    wait_until(lambda: descriptors() <= before, "end of the descriptors")
    assert not node.plane.is_blocked(direct(ONE, NOBODY))


def test_a_way_that_nothing_goes_through_is_closed_and_opened_again_when_needed(node: Node, taker: Taker) -> None:
    via = direct(ONE, taker.endpoint)
    node.send(via, 1, now=1_000)
    node.flush(via)
    assert taker.take() == 1
    node.plane.sweep(1_000 + IDLE)
    node.send(via, 2, now=1_000 + IDLE)
    assert taker.take() == 2
    assert not taker.watching.poll(0), "it was closed too early"
    node.plane.sweep(1_000 + IDLE + IDLE // 2)
    node.send(via, 3, now=1_000 + IDLE + IDLE // 2)
    assert taker.take() == 3
    assert not taker.watching.poll(0), "it was closed too early"
    node.plane.sweep(1_001 + 2 * IDLE + IDLE // 2)
    assert taker.lost_a_peer()
    node.send(via, 4, now=1_002 + 3 * IDLE)
    node.flush(via)
    assert taker.take() == 4


def test_what_waits_for_one_way_is_bounded_and_the_rest_counted(
    node: Node, taker: Taker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actrzmq.net.plane.BACKLOG_BYTES", 3 * SIZE)
    via = direct(ONE, taker.endpoint)
    with jammed(monkeypatch):
        for number in range(1, 6):
            node.send(via, number)
        assert node.plane.is_blocked(via)
        assert node.plane.counters["dropped.backlog"] == 2
        node.send(direct(OTHER, NOBODY), 1)
        assert node.plane.counters["dropped.backlog"] == 2, "each way has room of its own"
    node.flush(via)
    assert [taker.take() for _ in range(3)] == [1, 2, 3]
    with jammed(monkeypatch):
        for number in range(6, 9):
            node.send(via, number)
        assert node.plane.counters["dropped.backlog"] == 2, "what has gone takes no room any more"
    node.flush(via)
    assert [taker.take() for _ in range(3)] == [6, 7, 8]


def test_what_waits_for_a_relay_that_has_moved_does_not_bar_the_way(node: Node, taker: Taker) -> None:
    to_one, to_other = Via(Path.RELAY, ONE), Via(Path.RELAY, OTHER)
    node.relay_at(NOBODY)
    node.send(to_one, 1)
    assert node.plane.is_blocked(to_one)
    assert node.plane.is_blocked(to_other), "there is one way for all that is relayed"
    node.relay_at(NOBODY)
    assert node.plane.is_blocked(to_one), "the same broker once more: what waits there is still good"
    node.relay_at(taker.endpoint)
    assert not node.plane.is_blocked(to_one)
    node.send(to_one, 2)
    node.send(to_other, 3)
    node.flush(to_one)
    assert [taker.take(is_relayed=True) for _ in range(2)] == [2, 3]
    assert taker.is_silent()


def test_a_relay_that_has_moved_leaves_direct_ways_alone(node: Node, taker: Taker) -> None:
    via = direct(ONE, taker.endpoint)
    node.send(via, 1)
    node.relay_at(NOBODY)
    node.flush(via)
    assert taker.take() == 1


def test_whatever_has_come_is_taken_without_another_sign(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """The descriptor tells of edges only: who leaves something must come back for it unasked."""
    monkeypatch.setattr("actrzmq.net.plane.DRAIN", 1)
    words = encode_stream_messages([Resend(Channel(7), 1)])  # it sends no such stream, which is counted
    with closing(sockets.push()) as push:
        sockets.connect(push, node.plane.data_endpoint)
        wait_until(lambda: sockets.send(push, [words]), "a connection")
        for _ in range(99):
            assert sockets.send(push, [words])

        async def take_all() -> None:
            async with asyncio.timeout(5):
                while node.session.streams.statistics().get("channel.unknown", 0) < 100:
                    if not node.plane.drain(node.session, 0):
                        await node.woken.wait()
                        node.woken.clear()

        node.run(take_all())


@pytest.mark.parametrize("nowhere", ["tcp://127.0.0.1:x", "nonsense"])
def test_an_endpoint_that_is_none_is_counted_as_such_and_costs_nothing(node: Node, nowhere: str) -> None:
    before = descriptors()
    node.send(direct(ONE, nowhere), 1)
    assert node.plane.counters == {"dropped.endpoint": 1}
    wait_until(lambda: descriptors() <= before, "end of the descriptors")


def test_a_node_takes_in_some_payloads_at_once_and_leaves_the_others_for_later(node: Node) -> None:
    count, taken = 8, [0]
    header = encode_stream_messages([Frames(Channel(7), 1, [DataStream("s", 1, b"")], (0,))])  # no such stream either
    with closing(sockets.push()) as push:
        sockets.connect(push, node.plane.data_endpoint)
        for _ in range(count):
            wait_until(lambda: sockets.send(push, [header, bytes(DRAIN_BYTES // 2)]), "a connection")

        async def take_all() -> None:
            async with asyncio.timeout(5):
                while taken[-1] < count:
                    if not node.plane.drain(node.session, 0):
                        await node.woken.wait()
                        node.woken.clear()
                    taken.append(node.session.streams.statistics().get("frames.unknown_channel", 0))

        node.run(take_all())
    assert all(after - before <= 2 for before, after in pairwise(taken))
