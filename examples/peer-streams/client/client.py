"""Exchanges streams with a server: `python client.py NAME FRAMES`, both ways at once."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from actrzmq import ActrId, ActrNotFound, ActrRuntimeError, ActrSystem, ActrType, Context, DataStream, Dest

from generated import session_actor, tempo_actor
from generated.local import session_pb2
from generated.remote.duplex_server.duplex_client import DuplexClient
from generated.remote.duplex_server.duplex_pb2 import ExchangeRequest
from tempo import Tempo

MANIFEST = Path(__file__).with_name("Actr.toml")
SERVER = ActrType("acme", "DuplexServer")
WAIT_S = 10


class Session(session_actor.SessionHandler):
    """What the main program asks."""

    async def run(self, req: session_pb2.RunRequest, ctx: Context) -> session_pb2.RunResponse:
        server = await ctx.discover(SERVER, timeout_ms=WAIT_S * 1000)
        down, up = f"{req.name}-down", f"{req.name}-up"
        numbers: list[int] = []

        async def take(frame: DataStream, sender: ActrId) -> None:
            numbers.append(frame.sequence())

        handle = await ctx.register_stream(down, take, server)  # before asking for the stream
        async with asyncio.TaskGroup() as both:
            asked = ExchangeRequest(down=down, up=up, frames=req.frames)
            exchange = both.create_task(DuplexClient(ctx, Dest.actor(server)).exchange(asked))
            both.create_task(self._send(ctx, server, up, req.frames))
        await handle.wait_closed()
        if numbers != list(range(1, exchange.result().sent + 1)):
            raise ActrRuntimeError(f"{down}: expected {exchange.result().sent} frames in order")
        return session_pb2.RunResponse(sent=exchange.result().received, received=len(numbers))

    async def _send(self, ctx: Context, server: ActrId, stream_id: str, frames: int) -> None:
        async with ctx.open_stream(Dest.actor(server), stream_id) as out:
            for number in range(1, frames + 1):
                await out.send(f"up {number}".encode())


async def main(name: str, frames: int) -> None:
    async with await ActrSystem.from_toml(MANIFEST) as system:
        node = system.attach(session_actor.SessionWorkload(Session()), tempo_actor.TempoWorkload(Tempo()))
        async with asyncio.timeout(WAIT_S):
            ref = await node.start()
        request = session_pb2.RunRequest(name=name, frames=frames)
        done = await ref.call(request.route_key, request)
        print(f"{name}: {done.sent} frames up, {done.received} frames down")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, usage=argparse.SUPPRESS)
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("frames", metavar="FRAMES", type=int)
    given = parser.parse_args()
    try:
        asyncio.run(main(given.name, given.frames))
    except KeyboardInterrupt:
        sys.exit(130)
    except TimeoutError:
        print("client.py: no broker; start it with `actrzmq-broker`", file=sys.stderr)
        sys.exit(3)
    except ActrRuntimeError as error:
        print(f"client.py: {error.code.name}: {error.message}", file=sys.stderr)
        sys.exit(4 if isinstance(error, ActrNotFound) else 1)
