"""xoscar: actors with async methods, as Ray's and Mars's are. Arguments are pickled; here they are encoded messages."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import xoscar

from benchmarks.generated.messages_pb2 import Note
from benchmarks.systems import Client, Place
from benchmarks.work import Figures, Rpc, Task, drive, echo


class Bench(xoscar.Actor):  # type: ignore[misc]
    """Answers calls."""

    async def echo(self, data: bytes) -> bytes:
        reply: bytes = (await echo(Note.FromString(data))).SerializeToString()
        return reply


def free_port() -> int:
    """A port that nobody had a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def serve(place: Place, ready: Callable[[str], None]) -> None:
    """Answer until killed."""
    pool = await xoscar.create_actor_pool(f"127.0.0.1:{free_port()}", n_process=0)
    await xoscar.create_actor(Bench, address=pool.external_address, uid="bench")
    ready(pool.external_address)
    await pool.join()


class Xoscar(Client):
    """The caller."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    async def run(self, task: Task) -> Figures:
        assert isinstance(task, Rpc)
        return await drive(self._call, task)

    async def _call(self, request: Note) -> Note:
        return Note.FromString(await self._actor.echo(request.SerializeToString()))


async def connect(place: Place) -> Xoscar:
    """Find the actor."""
    return Xoscar(await xoscar.actor_ref(address=place.server, uid="bench"))
