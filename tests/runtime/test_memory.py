"""What is over leaves nothing behind: neither the streams that have ended nor what their senders had at hand."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Awaitable, Callable

import pytest
from google.protobuf.wrappers_pb2 import StringValue

from actrzmq import ActrId, ActrRuntimeError, ActrStreamError, Context, DataStream
from actrzmq.core.outgoing import OutStream
from actrzmq.core.sending import SendChannel
from actrzmq.runtime.outlets import Outlet
from tests.runtime.harness import World, ask, to, until


async def take(frame: DataStream, sender: ActrId) -> None:
    """A callback that takes everything."""


@pytest.mark.parametrize("path", ["direct", "relay"])
async def test_nothing_stays_of_streams_that_have_ended_but_how(world: World, path: str) -> None:
    streams = f'[system.streams]\npath = "{path}"'
    sender, receiver = await world.start("Sender", more=streams), await world.start("Receiver", more=streams)
    for number in range(30):
        handle = await receiver.context().register_stream(f"s{number}", take)
        await sender.context().send_stream(to(receiver), DataStream(f"s{number}", 1, b"x"))
        await sender.context().end_stream(to(receiver), f"s{number}")
        await handle.wait_closed(5_000)
    gc.collect()
    assert sum(type(each) is OutStream for each in gc.get_objects()) <= 1
    await sender.context().end_stream(to(receiver), "s0")  # that it has ended is known still


async def test_calls_that_fail_and_streams_leave_nothing_to_the_collector(world: World) -> None:
    async def fail(req: StringValue, ctx: Context) -> StringValue:
        raise ValueError("as asked")

    caller, callee = await world.pair(fail)

    async def work() -> None:
        with pytest.raises(ActrRuntimeError):
            await ask(caller, to(callee))
        handle = await callee.context().register_stream("s", take)
        async with caller.context().open_stream(to(callee), "s") as out:
            await out.send(b"x")
        await handle.wait_closed(5_000)

    await work()
    gc.collect()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        for _ in range(3):
            await work()
        gc.collect()
        kinds = {type(each) for each in gc.garbage}
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
    assert not kinds & {OutStream, Outlet, SendChannel}
    assert not any(issubclass(kind, ActrRuntimeError) for kind in kinds)


class Ballast:
    """Something big that a sender has at hand."""


async def test_an_ended_stream_holds_nothing_of_those_who_were_told_so(world: World) -> None:
    sender, receiver = await world.start("Sender", drain_ms=200), await world.start("Receiver", drain_ms=200)
    await receiver.context().register_stream("s", take)

    async def send_on() -> weakref.ref[Ballast]:
        ballast = Ballast()
        try:
            while True:
                await sender.context().send_stream(to(receiver), DataStream("s", 1, b"x" * 100_000))
        except ActrRuntimeError:
            return weakref.ref(ballast)

    sending = asyncio.create_task(send_on())
    await until(lambda: sender.statistics()["streams.sending"], "a stream")
    await receiver.context().unregister_stream("s")
    ballast = await asyncio.wait_for(sending, 5)
    gc.collect()
    assert ballast() is None


@pytest.mark.parametrize("by", ["handle", "reader"])
async def test_how_a_received_stream_has_ended_holds_nothing_of_those_who_ask(world: World, by: str) -> None:
    context = (await world.start()).context()
    ask_again: Callable[[], Awaitable[object]]
    if by == "handle":
        handle = await context.register_stream("s", take)
        await handle.close()
        ask_again = handle.wait_closed
    else:
        reader = context.stream("s")
        await reader.aclose()
        ask_again = reader.__anext__

    async def wait() -> weakref.ref[Ballast]:
        ballast = Ballast()
        with pytest.raises(ActrStreamError, match="closed by its receiver"):
            await ask_again()
        return weakref.ref(ballast)

    kept = [await wait() for _ in range(3)]
    gc.collect()
    assert [ballast() for ballast in kept] == [None] * 3
