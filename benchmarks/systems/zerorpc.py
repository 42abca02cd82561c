"""zerorpc: calls and streamed replies over ZeroMQ and msgpack, on gevent. A handler is a greenlet, not a coroutine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gevent
import zerorpc

from benchmarks.generated.messages_pb2 import Note
from benchmarks.systems import Client, Place
from benchmarks.work import (
    Figures,
    Meter,
    Rpc,
    Stream,
    Tally,
    Task,
    check,
    clock,
    command,
    commanded,
    payloads,
    summary,
)

PATIENCE_S = 30


class Bench:
    """Answers calls and streams."""

    def echo(self, data: bytes) -> bytes:
        request = Note.FromString(data)
        reply: bytes = Note(number=request.number, body=request.body).SerializeToString()
        return reply

    @zerorpc.stream  # type: ignore[untyped-decorator]
    def send(self, data: bytes) -> Iterator[bytes]:
        task = commanded(Note.FromString(data))[1]
        assert isinstance(task, Stream)
        return payloads(task)


async def serve(place: Place, ready: Callable[[str], None]) -> None:
    """Answer until killed."""
    server = zerorpc.Server(Bench(), heartbeat=None)
    endpoint = f"ipc://{Path(place.folder) / 'zerorpc'}"
    server.bind(endpoint)
    ready(endpoint)
    server.run()


class Zerorpc(Client):
    """The caller and receiver."""

    def __init__(self, client: Any) -> None:
        self._client = client

    async def run(self, task: Task) -> Figures:
        if isinstance(task, Rpc):
            return self._call(task)
        assert isinstance(task, Stream)
        return self._receive(task)

    def _call(self, task: Rpc) -> Figures:
        body = bytes(task.size)
        meter = Meter(task)

        def lane(number: int) -> None:
            while meter.runs():
                number += 1
                before = clock()
                request = Note(number=number, body=body)
                reply = Note.FromString(self._client.echo(request.SerializeToString()))
                check(reply, number, task.size)
                meter.took(before, clock())

        lanes = [gevent.spawn(lane, at << 32) for at in range(task.in_flight)]
        gevent.joinall(lanes, raise_error=True)
        return meter.figures()

    def _receive(self, task: Stream) -> Figures:
        tally = Tally(task)
        for payload in self._client.send(command(task, "").SerializeToString()):
            tally.take(payload)
        tally.end()
        return summary([tally], task)


async def connect(place: Place) -> Zerorpc:
    """Connect to the server."""
    client = zerorpc.Client(timeout=PATIENCE_S, heartbeat=None)
    client.connect(place.server)
    return Zerorpc(client)
