"""nats-py with nats-server: request and reply, publish and subscribe with a callback."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Any

import nats

from benchmarks.generated.messages_pb2 import Note
from benchmarks.systems import Client, Place
from benchmarks.work import SLOW_S, Figures, Rpc, Stream, Tally, Task, command, commanded, drive, echo, produce, summary

NO_LIMIT = 1 << 40
"""Of what a subscription may have waiting: by default nats-py throws frames away when its callback is behind."""


async def serve(place: Place, ready: Callable[[str], None]) -> None:
    """Answer until killed."""
    connection = await nats.connect(f"nats://{place.broker}")
    sending: set[asyncio.Task[None]] = set()

    async def answer(message: Any) -> None:
        reply = await echo(Note.FromString(message.data))
        await message.respond(reply.SerializeToString())

    async def send(message: Any) -> None:
        name, task = commanded(Note.FromString(message.data))
        assert isinstance(task, Stream)
        for at in range(task.streams + task.slow):
            sending.add(asyncio.create_task(send_all(connection, f"{name}.{at}", task)))
        await message.respond(b"")

    await connection.subscribe("echo", cb=answer)
    await connection.subscribe("send", cb=send)
    await connection.flush()
    ready(place.broker)
    await asyncio.Event().wait()


async def send_all(connection: Any, subject: str, task: Stream) -> None:
    """Publish one stream; an empty message is its end."""
    await produce(task, lambda number, payload: connection.publish(subject, payload))
    await connection.publish(subject, b"")


class Nats(Client):
    """The caller and subscriber."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._names = itertools.count(1)

    async def run(self, task: Task) -> Figures:
        if isinstance(task, Rpc):
            return await drive(self._call, task)
        assert isinstance(task, Stream)
        return await self._receive(task)

    async def _call(self, request: Note) -> Note:
        reply = await self._connection.request("echo", request.SerializeToString(), timeout=30)
        return Note.FromString(reply.data)

    async def _receive(self, task: Stream) -> Figures:
        name = f"frames{next(self._names)}"
        tallies = [Tally(task) for _ in range(task.streams)]
        callbacks = [receiver(tally) for tally in tallies] + [dawdle] * task.slow
        subscriptions = [
            await self._connection.subscribe(
                f"{name}.{at}", cb=callback, pending_msgs_limit=NO_LIMIT, pending_bytes_limit=NO_LIMIT
            )
            for at, callback in enumerate(callbacks)
        ]
        await self._connection.flush()
        done = [tally.done for tally in tallies if tally.done is not None]
        await self._connection.request("send", command(task, name).SerializeToString(), timeout=30)
        await asyncio.gather(*done)
        for subscription in subscriptions:
            await subscription.unsubscribe()
        return summary(tallies, task)


def receiver(tally: Tally) -> Callable[[Any], Awaitable[None]]:
    """The callback that counts there."""
    tally.done = asyncio.get_running_loop().create_future()

    async def callback(message: Any) -> None:
        if message.data:
            tally.take(message.data)
        else:
            tally.end()

    return callback


async def dawdle(message: Any) -> None:
    """The callback of a slow stream."""
    await asyncio.sleep(SLOW_S)


async def connect(place: Place) -> Nats:
    """Connect to nats-server."""
    return Nats(await nats.connect(f"nats://{place.broker}"))
