"""grpc.aio: unary calls, and server streaming. There is no broker: the client is connected to the server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc

from benchmarks.generated.messages_pb2 import Note
from benchmarks.systems import Client, Place
from benchmarks.work import (
    SLOW_S,
    Figures,
    Rpc,
    Stream,
    Tally,
    Task,
    command,
    commanded,
    drive,
    echo,
    notes,
    payloads,
    summary,
)


async def answer(request: Note, context: Any) -> Note:
    """The unary method."""
    return await echo(request)


async def send_raw(request: Note, context: Any) -> AsyncIterator[bytes]:
    """Server streaming of bytes."""
    task = commanded(request)[1]
    assert isinstance(task, Stream)
    for payload in payloads(task):
        yield payload


async def send_notes(request: Note, context: Any) -> AsyncIterator[Note]:
    """Server streaming of messages, which gRPC encodes."""
    task = commanded(request)[1]
    assert isinstance(task, Stream)
    for note in notes(task):
        yield note


async def serve(place: Place, ready: Callable[[str], None]) -> None:
    """Answer until killed."""
    server = grpc.aio.server()
    methods = {
        "Echo": grpc.unary_unary_rpc_method_handler(answer, Note.FromString, Note.SerializeToString),
        "SendRaw": grpc.unary_stream_rpc_method_handler(send_raw, Note.FromString, None),
        "SendNotes": grpc.unary_stream_rpc_method_handler(send_notes, Note.FromString, Note.SerializeToString),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bench.Bench", methods),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    ready(f"127.0.0.1:{port}")
    await server.wait_for_termination()


class Grpc(Client):
    """The caller and receiver."""

    def __init__(self, channel: Any) -> None:
        encode = Note.SerializeToString
        self._echo = channel.unary_unary("/bench.Bench/Echo", encode, Note.FromString)
        self._raw = channel.unary_stream("/bench.Bench/SendRaw", encode, None)
        self._notes = channel.unary_stream("/bench.Bench/SendNotes", encode, Note.FromString)

    async def run(self, task: Task) -> Figures:
        if isinstance(task, Rpc):
            return await drive(self._echo, task)
        assert isinstance(task, Stream)
        tallies = [Tally(task) for _ in range(task.streams)]
        slow = asyncio.create_task(self._dawdle(task)) if task.slow else None
        await asyncio.gather(*[self._receive(task, tally) for tally in tallies])
        if slow is not None:
            slow.cancel()
        return summary(tallies, task)

    async def _receive(self, task: Stream, tally: Tally) -> None:
        method = self._raw if task.raw else self._notes
        async for frame in method(command(task, "")):
            await take(tally, frame)
        tally.end()

    async def _dawdle(self, task: Stream) -> None:
        async for _ in self._notes(command(task, "")):
            await asyncio.sleep(SLOW_S)


async def take(tally: Tally, frame: Note | bytes) -> None:
    """The callback."""
    if isinstance(frame, bytes):
        tally.take(frame)
    else:
        tally.take_note(frame)


async def connect(place: Place) -> Grpc:
    """Connect to the server."""
    channel = grpc.aio.insecure_channel(place.server)
    await channel.channel_ready()
    return Grpc(channel)
