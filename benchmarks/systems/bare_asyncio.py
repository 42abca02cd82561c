"""The same traffic with no library but asyncio: frames with their length before them, on unix and TCP sockets.

Calls go from the client through a broker to the server, each as one frame and one `write`; streams go directly.
"""

from __future__ import annotations

import asyncio
import itertools
import struct
from collections.abc import Callable
from pathlib import Path

from benchmarks.generated.messages_pb2 import Note
from benchmarks.systems import Client, Place
from benchmarks.work import Figures, Rpc, Stream, Tally, Task, command, commanded, drive, echo, produce, summary

HEAD = struct.Struct("!IQ")
"""Bytes that follow, and to whom or from whom they go: in the lower half the number of a call."""


class Frames(asyncio.Protocol):
    """A connection that carries frames both ways, with back-pressure."""

    def __init__(self, take: Callable[[Frames, int, bytes], None]) -> None:
        self._take = take
        self._rest = bytearray()
        self._is_open = asyncio.Event()
        self._is_open.set()
        self.transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._rest += data
        at = 0
        while len(self._rest) - at >= HEAD.size:
            size, tag = HEAD.unpack_from(self._rest, at)
            end = at + HEAD.size + size
            if end > len(self._rest):
                break
            self._take(self, tag, bytes(memoryview(self._rest)[at + HEAD.size : end]))
            at = end
        del self._rest[:at]

    def send(self, tag: int, body: bytes) -> None:
        """One frame, without waiting."""
        assert self.transport is not None
        self.transport.write(HEAD.pack(len(body), tag) + body)

    async def send_in_turn(self, tag: int, body: bytes) -> None:
        """One frame, when the connection can take it."""
        if not self._is_open.is_set():
            await self._is_open.wait()
        self.send(tag, body)

    def pause_writing(self) -> None:
        self._is_open.clear()

    def resume_writing(self) -> None:
        self._is_open.set()


def broker(folder: str) -> None:
    """Pass on what comes: from the first who connects, which is the server, to the others, and back."""
    asyncio.run(_broker(f"{Path(folder) / 'bare'}"))


async def _broker(path: str) -> None:
    connections: list[Frames] = []
    numbers: dict[Frames, int] = {}

    def take(source: Frames, tag: int, body: bytes) -> None:
        if source is connections[0]:
            connections[tag >> 32].send(tag & 0xFFFFFFFF, body)
        else:
            connections[0].send(numbers[source] << 32 | tag, body)

    def accept() -> Frames:
        connection = Frames(take)
        numbers[connection] = len(connections)
        connections.append(connection)
        return connection

    server = await asyncio.get_running_loop().create_unix_server(accept, path)
    print("ready", path, flush=True)
    await server.serve_forever()


async def serve(place: Place, ready: Callable[[str], None]) -> None:
    """Answer until killed."""
    loop = asyncio.get_running_loop()
    running: set[asyncio.Task[None]] = set()

    async def answer(source: Frames, tag: int, body: bytes) -> None:
        request = Note.FromString(body)
        if request.command:
            await send_all(request)
        source.send(tag, (await echo(request)).SerializeToString())

    def take(source: Frames, tag: int, body: bytes) -> None:
        task = loop.create_task(answer(source, tag, body))
        running.add(task)
        task.add_done_callback(running.discard)

    await loop.create_unix_connection(lambda: Frames(take), place.broker)
    ready(place.broker)
    await asyncio.Event().wait()


async def send_all(request: Note) -> None:
    """Send one stream; an empty frame is its end."""
    port, task = commanded(request)
    assert isinstance(task, Stream)
    transport, frames = await asyncio.get_running_loop().create_connection(
        lambda: Frames(lambda source, tag, body: None), "127.0.0.1", int(port)
    )
    await produce(task, frames.send_in_turn)
    frames.send(0, b"")
    transport.close()


class Bare(Client):
    """The caller and receiver."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._open: dict[int, asyncio.Future[bytes]] = {}
        self.frames = Frames(self._take)

    async def run(self, task: Task) -> Figures:
        if isinstance(task, Rpc):
            return await drive(self._call, task)
        assert isinstance(task, Stream)
        return await self._receive(task)

    def _take(self, source: Frames, tag: int, body: bytes) -> None:
        self._open.pop(tag).set_result(body)

    async def _call(self, request: Note) -> Note:
        tag = next(self._numbers)
        future = self._open[tag] = asyncio.get_running_loop().create_future()
        self.frames.send(tag, request.SerializeToString())
        return Note.FromString(await future)

    async def _receive(self, task: Stream) -> Figures:
        loop = asyncio.get_running_loop()
        tally = Tally(task)
        done = tally.done = loop.create_future()
        queue: asyncio.Queue[bytes] = asyncio.Queue()
        server = await loop.create_server(
            lambda: Frames(lambda source, tag, body: queue.put_nowait(body)), "127.0.0.1", 0
        )
        port = str(server.sockets[0].getsockname()[1])
        asking = asyncio.create_task(self._call(command(task, port)))
        while payload := await queue.get():
            await callback(tally, payload)
        tally.end()
        await done
        await asking
        server.close()
        return summary([tally], task)


async def callback(tally: Tally, payload: bytes) -> None:
    """What is awaited for each frame."""
    tally.take(payload)


async def connect(place: Place) -> Bare:
    """Connect to the broker."""
    client = Bare()
    await asyncio.get_running_loop().create_unix_connection(lambda: client.frames, place.broker)
    return client
