"""Bare pyzmq, the floor: sync sockets, a plain loop, as many hops as actrzmq has, one message for each call or frame.

Calls go from the client's DEALER to the broker's ROUTER to the server's DEALER, over unix sockets as those of actrzmq
do; frames from PUSH to PULL over loopback TCP. It does the same protobuf work and awaits the same handlers, and nothing
else: no deadlines, no errors, no acknowledgements.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import zmq

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
    echo,
    payloads,
    summary,
)

SERVER = b"server"
UNCOPIED = 64 * 1024
"""From this size on it is cheaper to send without a copy."""
WINDOW_FRAMES, WINDOW_BYTES = 4_096, 8 * 1024 * 1024
"""What may be under way in a stream: as much as with the defaults of actrzmq."""

Socket = zmq.Socket[bytes]


def broker(folder: str) -> None:
    """Pass on what comes, each message to the name in its second frame."""
    router: Socket = zmq.Context().socket(zmq.ROUTER)
    router.setsockopt(zmq.ROUTER_MANDATORY, 1)
    router.setsockopt(zmq.BACKLOG, 1_024)
    endpoint = f"ipc://{Path(folder) / 'bare'}"
    router.bind(endpoint)
    print("ready", endpoint, flush=True)
    while True:
        sender, receiver, body = router.recv_multipart()
        router.send_multipart([receiver, sender, body])


def dealer(endpoint: str, name: bytes = b"") -> Socket:
    """A socket to the broker."""
    socket: Socket = zmq.Context.instance().socket(zmq.DEALER)
    if name:
        socket.setsockopt(zmq.IDENTITY, name)
    socket.connect(endpoint)
    return socket


async def serve(place: Place, ready: Callable[[str], None]) -> None:
    """Answer until killed."""
    socket = dealer(place.broker, SERVER)
    ready(place.broker)
    while True:
        sender, body = socket.recv_multipart()
        request = Note.FromString(body)
        if request.command:
            await send_all(request)
        reply = await echo(request)
        socket.send_multipart([sender, reply.SerializeToString()])


async def send_all(request: Note) -> None:
    """Send one stream; an empty message is its end."""
    endpoint, task = commanded(request)
    assert isinstance(task, Stream)
    socket: Socket = zmq.Context.instance().socket(zmq.PUSH)
    socket.setsockopt(zmq.SNDHWM, window(task))
    socket.connect(endpoint)
    copy = task.size < UNCOPIED
    for payload in payloads(task):
        socket.send(payload, 0, copy)
    socket.send(b"")
    socket.close()


def window(task: Stream) -> int:
    """Half of the messages that may be under way: each side has a queue."""
    return max(1, min(WINDOW_FRAMES, WINDOW_BYTES // task.size) // 2)


class Bare(Client):
    """The caller and receiver."""

    def __init__(self, socket: Socket) -> None:
        self._socket = socket

    async def run(self, task: Task) -> Figures:
        if isinstance(task, Rpc):
            return self._call(task)
        assert isinstance(task, Stream)
        return await self._receive(task)

    def _call(self, task: Rpc) -> Figures:
        body = bytes(task.size)
        meter = Meter(task)
        sent: dict[int, float] = {}
        number = 0
        while meter.runs() or sent:
            while len(sent) < task.in_flight and (meter.runs() or not sent):
                number += 1
                sent[number] = clock()
                self._socket.send_multipart([SERVER, Note(number=number, body=body).SerializeToString()])
            _, answer = self._socket.recv_multipart()
            reply = Note.FromString(answer)
            before = sent.pop(reply.number)
            check(reply, reply.number, task.size)
            meter.took(before, clock())
        return meter.figures()

    async def _receive(self, task: Stream) -> Figures:
        socket: Socket = zmq.Context.instance().socket(zmq.PULL)
        socket.setsockopt(zmq.RCVHWM, window(task))
        endpoint = f"tcp://127.0.0.1:{socket.bind_to_random_port('tcp://127.0.0.1')}"
        self._socket.send_multipart([SERVER, command(task, endpoint).SerializeToString()])
        tally = Tally(task)
        while payload := socket.recv():
            await callback(tally, payload)
        tally.end()
        socket.close()
        self._socket.recv_multipart()
        return summary([tally], task)


async def callback(tally: Tally, payload: bytes) -> None:
    """What is awaited for each frame."""
    tally.take(payload)


async def connect(place: Place) -> Bare:
    """Connect to the broker."""
    return Bare(dealer(place.broker))
