"""What a stream takes of time and memory, in numbers."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from actrzmq import ActrId, ActrRef, DataStream, Dest
from actrzmq.core.sending import MESSAGE_FRAMES
from tests.runtime.harness import World, spawn, to, until

FRAMES = 20_000
WINDOW = 4_096
"""Frames that a sender may be ahead of its receiver, where nothing else is set."""


async def feed(sender: ActrRef, receiver: ActrRef, stream_id: str, count: int) -> float:
    """Send so many frames; returns how many a second were completed."""
    started = time.perf_counter()
    async with sender.context().open_stream(to(receiver), stream_id) as out:
        for _ in range(count):
            await out.send(b"x" * 100)
    return count / (time.perf_counter() - started)


async def fast(frame: DataStream, sender: ActrId) -> None:
    """A callback that costs nothing."""


async def slow(frame: DataStream, sender: ActrId) -> None:
    """One that takes 10 ms."""
    await asyncio.sleep(0.01)


@pytest.mark.serial
async def test_a_fast_stream_keeps_its_pace_beside_a_slow_one(world: World) -> None:
    sender, receiver = await world.start("Sender"), await world.start("Receiver")
    context = receiver.context()
    for stream_id in ("warm-up", "solo"):
        await context.register_stream(stream_id, fast)
        solo = await feed(sender, receiver, stream_id, FRAMES)
    crawling = await context.register_stream("slow", slow)
    await context.register_stream("beside", fast)
    background = asyncio.create_task(feed(sender, receiver, "slow", 100_000))
    await until(lambda: crawling.frames, "the slow one is under way, its credit spent")
    beside = await feed(sender, receiver, "beside", FRAMES)
    assert not crawling.is_closed
    assert 0 < crawling.frames < 1_000
    background.cancel()
    await asyncio.gather(background, return_exceptions=True)
    assert beside > 0.5 * solo, f"{beside:.0f} of {solo:.0f} frames a second"


@pytest.mark.serial
async def test_a_sender_hears_of_progress_while_a_batch_is_worked_through(world: World) -> None:
    sender, receiver = await world.start("Sender"), await world.start("Receiver")

    async def slower(frame: DataStream, sender: ActrId) -> None:
        await asyncio.sleep(0.05)

    await receiver.context().register_stream("s", slower)
    for number in range(100):
        await sender.context().send_stream(to(receiver), DataStream("s", number, b"x"))
    (stream,) = sender._engine.session.streams._out._by_key.values()
    channel = stream.channel
    assert channel is not None
    heard = []
    for _ in range(4):
        done = channel.completed
        await until(lambda done=done: channel.completed > done, "news of progress")  # type: ignore[misc]
        heard.append(time.perf_counter())
    assert heard[-1] - heard[0] < 0.8, "probes alone would take more than 0.9 s"


@pytest.mark.serial
async def test_a_fast_plain_callback_keeps_its_pace_beside_14_slow_ones(world: World) -> None:
    sender, receiver = await world.start("Sender"), await world.start("Receiver")
    context = receiver.context()
    done = threading.Event()

    def plain(frame: DataStream, sender: ActrId) -> None:
        """One that costs nothing, but a thread."""

    def blocking(frame: DataStream, sender: ActrId) -> None:
        """One that blocks its thread for 10 ms."""
        done.wait(0.01)

    for stream_id in ("warm-up", "solo"):
        await context.register_stream(stream_id, plain)
        solo = await feed(sender, receiver, stream_id, FRAMES // 5)
    for i in range(14):
        await context.register_stream(f"slow-{i}", blocking)
    background = [asyncio.create_task(feed(sender, receiver, f"slow-{i}", 100_000)) for i in range(14)]
    streams = sender._engine.session.streams

    def is_spent(i: int) -> bool:
        stream = streams.find(receiver.actor_id().serial, f"slow-{i}")
        return stream is not None and stream.channel is not None and not stream.channel.can_push

    await until(lambda: all(map(is_spent, range(14))), "their credit is spent")
    await context.register_stream("beside", plain)
    beside = await feed(sender, receiver, "beside", FRAMES // 5)
    for feeding in background:
        feeding.cancel()
    await asyncio.gather(*background, return_exceptions=True)
    done.set()
    assert beside > 0.5 * solo, f"{beside:.0f} of {solo:.0f} frames a second"


SEND = """
import asyncio, sys
from actrzmq import ActrId, ActrSystem, DataStream, Dest
from pathlib import Path

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

async def main():
    receiver = Dest.actor(ActrId.parse(sys.argv[2]))
    async with await ActrSystem.from_toml(sys.argv[1]) as system:
        ref = await system.attach().start()
        async with ref.context().open_stream(receiver, "s") as out:
            for _ in range(3_000):
                await out.send(b"x" * 1_000)
            before = most = resident()
            for i in range(100_000):
                await out.send(b"x" * 1_000)
                if i % 1_000 == 0:
                    most = max(most, resident())
    print(most - before)

asyncio.run(main())
"""


async def test_a_sender_keeps_no_more_than_its_window_over_100_000_frames(world: World) -> None:
    """100 MB go to a receiver that takes its time; the sender, a process of its own, grows by less than two windows."""
    window = 1024 * 1_000

    async def take(frame: DataStream, sender: ActrId) -> None:
        if frame.sequence() % 1_000 == 0:
            await asyncio.sleep(0.01)

    receiver = await world.start("Receiver")
    handle = await receiver.context().register_stream("s", take)
    arguments = str(world.manifest("Sender")), str(receiver.actor_id())
    process = await asyncio.to_thread(spawn, SEND, *arguments, cwd=world.folder)
    try:
        out, err = await asyncio.to_thread(process.communicate, timeout=60)
    finally:
        process.kill()
    assert (process.returncode, err) == (0, "")
    assert await handle.wait_closed(5_000) == 103_000
    assert int(out) < 2 * window + (4 << 20)


async def test_a_sender_to_a_receiver_that_never_reads_sends_no_more_than_a_window(world: World) -> None:
    node = await world.start("Node", drain_ms=100)
    waiting = asyncio.Event()

    async def never(frame: DataStream, sender: ActrId) -> None:
        await waiting.wait()

    await node.context().register_stream("s", never)
    sent = 0

    async def send_on() -> None:
        nonlocal sent
        while True:
            await node.context().send_stream(Dest.local(), DataStream("s", sent, b"x"))
            sent += 1

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(send_on(), 0.5)
    assert sent == WINDOW


async def test_a_messages_worth_of_frames_leaves_before_the_sender_pauses(world: World) -> None:
    sender, receiver = await world.start("Sender"), await world.start("Receiver")
    await receiver.context().register_stream("s", fast)
    context = sender.context()
    async with context.open_stream(to(receiver), "s"):
        streams = sender._engine.session.streams  # as one has no way to see what has left
        stream = streams.find(receiver.actor_id().serial, "s")
        assert stream is not None
        assert stream.channel is not None
        for number in range(MESSAGE_FRAMES + 100):  # none of these waits, and so the loop does not turn
            await context.send_stream(to(receiver), DataStream("s", number, b"x"))
        assert stream.channel.sent == MESSAGE_FRAMES
