"""actrzmq, as a user writes it: a service with a handler, a caller, and streams with a callback."""

from __future__ import annotations

import asyncio
import gc
import itertools
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from actrzmq import ActrId, ActrRuntimeError, ActrSystem, ActrType, Context, DataStream, Dest, rpc, service
from benchmarks.generated.messages_pb2 import Note
from benchmarks.systems import Client, Place
from benchmarks.work import (
    SLOW_S,
    Discover,
    Figures,
    Idle,
    Meter,
    Rpc,
    Stream,
    Tally,
    Task,
    clock,
    command,
    commanded,
    drive,
    echo,
    produce,
    summary,
)

ECHO = "bench.Bench.Echo"
SEND = "bench.Bench.Send"
SERVER = ActrType("bench", "Server")
PATIENCE_MS = 30_000


@service("bench.Bench", exported=True)
class Bench:
    """Answers calls, and sends streams to who asks for them."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    @rpc
    async def echo(self, req: Note, ctx: Context) -> Note:
        return await echo(req)

    @rpc
    async def send(self, req: Note, ctx: Context) -> Note:
        caller = ctx.caller_id()
        assert caller is not None
        name, task = commanded(req)
        sent = send_one if isinstance(task, Idle) else partial(send_all, task=task)
        for at in range(task.streams + getattr(task, "slow", False)):
            running = asyncio.create_task(sent(ctx, Dest.actor(caller), f"{name}.{at}"))
            self._tasks.add(running)
            running.add_done_callback(self._tasks.discard)
        return Note()


async def send_all(ctx: Context, dest: Dest, name: str, task: Stream) -> None:
    """Send one stream to its end. A slow one is closed by its receiver before."""

    def send(number: int, payload: bytes) -> Awaitable[None]:
        return ctx.send_stream(dest, DataStream(stream_id=name, sequence=number, payload=payload))

    with suppress(ActrRuntimeError):
        await produce(task, send)
        await ctx.end_stream(dest, name)


async def send_one(ctx: Context, dest: Dest, name: str) -> None:
    """Open a stream, send one frame, and leave it so."""
    await ctx.send_stream(dest, DataStream(stream_id=name, sequence=1, payload=b"x"))


class Ours(Client):
    """The caller and receiver."""

    def __init__(self, context: Context, server: ActrId) -> None:
        self._context = context
        self._dest = Dest.actor(server)
        self._names = itertools.count(1)

    async def run(self, task: Task) -> Figures:
        match task:
            case Rpc():
                call: Any = partial(self._context.call, self._dest, ECHO)  # a coroutine around it would cost
                return await drive(call, task)
            case Stream():
                return await self._receive(task)
            case Idle():
                return await self._leave_open(task)
            case Discover():
                return await self._look_up(task)

    async def _receive(self, task: Stream) -> Figures:
        name = str(next(self._names))
        tallies = [Tally(task) for _ in range(task.streams)]
        handles = [
            await self._context.register_stream(f"{name}.{at}", receiver(tally)) for at, tally in enumerate(tallies)
        ]
        slow = f"{name}.{task.streams}"
        if task.slow:
            await self._context.register_stream(slow, dawdle)
        await self._context.call(self._dest, SEND, command(task, name))
        for handle, tally in zip(handles, tallies, strict=True):
            await handle.wait_closed()
            tally.end()
        await self._context.unregister_stream(slow)
        return summary(tallies, task)

    async def _leave_open(self, task: Idle) -> Figures:
        name = str(next(self._names))
        come = 0
        all_here = asyncio.Event()

        async def callback(frame: DataStream, sender: ActrId) -> None:
            nonlocal come
            come += 1
            if come == task.streams:
                all_here.set()

        for at in range(task.streams):
            await self._context.register_stream(f"{name}.{at}", callback)
        await self._context.call(self._dest, SEND, command(task, name))
        async with asyncio.timeout(PATIENCE_MS / 1000):
            await all_here.wait()
        gc.collect()
        return {"streams": come}

    async def _look_up(self, task: Discover) -> Figures:
        meter = Meter(task)

        async def lane() -> None:
            while meter.runs():
                before = clock()
                await self._context.discover(SERVER)
                meter.took(before, clock())

        await asyncio.gather(*[lane() for _ in range(task.in_flight)])
        return meter.figures()


def receiver(tally: Tally) -> Callable[[DataStream, ActrId], Awaitable[None]]:
    """The callback that counts there."""

    async def callback(frame: DataStream, sender: ActrId) -> None:
        tally.take(frame.payload())

    return callback


async def dawdle(frame: DataStream, sender: ActrId) -> None:
    """The callback of a slow stream."""
    await asyncio.sleep(SLOW_S)


def manifest(place: Place, name: str) -> Path:
    """A manifest for one process, with the defaults of a user who has set nothing but this."""
    path = Path(place.folder) / f"{name}.toml"
    streams = "relay" if place.variant == "relay" else "direct"
    path.write_text(
        f'package = {{ name = "{name.lower()}", actr_type = {{ manufacturer = "bench", name = "{name}" }} }}\n'
        f'system = {{ broker = {{ url = "{place.broker}" }}, streams = {{ path = "{streams}" }} }}\n'
    )
    return path


async def serve(place: Place, ready: Callable[[str], None]) -> None:
    """Answer until killed."""
    system = await ActrSystem.from_toml(manifest(place, "Server"))
    ref = await system.attach(Bench()).start()
    ready(str(ref.actor_id()))
    await ref.wait_for_shutdown()


async def connect(place: Place) -> Ours:
    """Register, and find the server."""
    system = await ActrSystem.from_toml(manifest(place, "Client"))
    ref = await system.attach().start()
    return Ours(ref.context(), await ref.discover(SERVER, PATIENCE_MS))
