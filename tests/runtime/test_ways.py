"""The ways that streams take out of a running node: open while they are needed, and nothing lost where they are not."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from types import SimpleNamespace

import pytest
import zmq

from actrzmq import ActrId, ActrRef, DataStream
from actrzmq.core.broker import BrokerLimits
from actrzmq.net import sockets
from actrzmq.wire.codec import encode_stream_messages
from actrzmq.wire.messages import Channel, Resend
from tests.net.peers import Broker
from tests.runtime.harness import Script, World, ask, to, until


@pytest.fixture
def broker() -> Iterator[Broker]:
    """A broker that nodes talk to often, so that they look around often."""
    with Broker(BrokerLimits(renew=50)) as broker:
        yield broker


def ways(node: ActrRef) -> int:
    """How many ways out of it are open."""
    return len(node._engine.shell.plane._pushes)


async def send(sender: ActrRef, receiver: ActrRef, count: int, midway: Callable[[], None] = lambda: None) -> None:
    """Send a stream that is whole, or raise; `midway` is done when half of it has gone."""
    got: list[int] = []

    async def take(frame: DataStream, sender: ActrId) -> None:
        got.append(frame.sequence())

    handle = await receiver.context().register_stream("s", take)
    async with sender.context().open_stream(to(receiver), "s") as out:
        for number in range(count):
            if number == count // 2:
                midway()
            await out.send(bytes(100))
    assert await handle.wait_closed(5_000) == count
    assert got == list(range(1, count + 1))


async def test_a_node_has_one_connection_to_the_broker_whatever_it_does(world: World, broker: Broker) -> None:
    """Each costs the broker 20 to 28 KiB."""
    sender, receiver = await world.start("Sender"), await world.start("Receiver", Script())
    for _ in range(10):
        assert await ask(sender, to(receiver), "x") == "x"
        await sender.discover(receiver.actor_id().type)
    await send(sender, receiver, 10)
    assert broker.loop.statistics()["connections.made"] == 2


async def test_receivers_that_have_gone_leave_no_ways_to_them(world: World) -> None:
    direct = '[system.streams]\npath = "direct"'
    sender = await world.start("Sender", more=direct)
    before = len(os.listdir("/proc/self/fd"))
    receivers = [await world.start("Receiver", more=direct) for _ in range(5)]
    for receiver in receivers:
        await send(sender, receiver, 10)
    assert ways(sender) == 5
    for receiver in receivers:
        await receiver.shutdown()
    await until(lambda: ways(sender) == 0, "no ways to the dead")
    await until(lambda: len(os.listdir("/proc/self/fd")) <= before, "descriptors closed")


async def test_a_stream_that_rests_longer_than_its_way_is_kept_open_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    sender, receiver = await world.start("Sender"), await world.start("Receiver")
    reader = receiver.context().stream("s")
    await sender.context().send_stream(to(receiver), DataStream("s", 1, b"before"))
    assert (await anext(reader)).payload() == b"before"
    coming = asyncio.create_task(anext(reader))
    assert ways(sender) == 1
    monkeypatch.setattr("actrzmq.net.plane.IDLE", 300)
    await until(lambda: ways(sender) == 0, "the way is closed")
    await sender.context().send_stream(to(receiver), DataStream("s", 2, b"after"))
    assert (await asyncio.wait_for(coming, 5)).payload() == b"after"
    await asyncio.gather(sender.context().end_stream(to(receiver), "s"), anext(reader), return_exceptions=True)


async def test_more_messages_than_one_turn_takes_are_taken_in_the_next(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without waiting for a sign or a timer: at one message for each renewal these would take 5 s."""
    monkeypatch.setattr("actrzmq.net.plane.DRAIN", 1)
    node = await world.start()
    words = encode_stream_messages([Resend(Channel(7), 1)])  # it sends no such stream, which is counted
    with closing(sockets.push()) as push:
        sockets.connect(push, node._engine.shell.plane.data_endpoint)
        await until(lambda: sockets.send(push, [words]), "a connection")
        for _ in range(99):
            assert sockets.send(push, [words])
        await until(lambda: node.statistics().get("channel.unknown") == 100, "all of them", timeout_s=2)


@pytest.mark.parametrize("path", ["direct", "relay"])
async def test_what_a_full_way_drops_is_sent_again(world: World, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    streams = f'[system.streams]\npath = "{path}"'
    sender, receiver = await world.start("Sender", more=streams), await world.start("Receiver", more=streams)

    def jam() -> None:
        """The sender's sockets take nothing twice, and nothing may wait for them."""
        plane, refusals = sender._engine.shell.plane, iter(range(2))

        def send(socket: zmq.Socket[bytes], frames: Sequence[bytes]) -> bool:
            is_ours = socket in [push.socket for push in plane._pushes.values()]
            return sockets.send(socket, frames) if not is_ours or next(refusals, None) is None else False

        monkeypatch.setattr("actrzmq.net.plane.BACKLOG_BYTES", 0)
        monkeypatch.setattr("actrzmq.net.plane.sockets", SimpleNamespace(**{**vars(sockets), "send": send}))

    await send(sender, receiver, 4_000, jam)
    assert sender.statistics()["plane.dropped.backlog"] == 2
