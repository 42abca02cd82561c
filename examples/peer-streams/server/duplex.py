"""The service `duplex.Duplex`."""

from __future__ import annotations

import asyncio

from actrzmq import ActrId, Context, Dest

from generated import duplex_actor
from generated.local import duplex_pb2 as pb2
from generated.remote.duplex_client.tempo_client import TempoClient
from generated.remote.duplex_client.tempo_pb2 import AgreeRequest


class Duplex(duplex_actor.DuplexHandler):
    """Streams both ways at once."""

    async def exchange(self, req: pb2.ExchangeRequest, ctx: Context) -> pb2.ExchangeResponse:
        caller = ctx.caller_id()
        assert caller is not None  # only a call from this very process has no caller
        # The caller's own handler is waiting for this one; it can be called all the same.
        agreed = await TempoClient(ctx, Dest.actor(caller)).agree(AgreeRequest(offered=req.frames))
        async with asyncio.TaskGroup() as both:
            sent = both.create_task(_send(ctx, caller, req.down, agreed.frames))
            received = both.create_task(_receive(ctx, caller, req.up))
        return pb2.ExchangeResponse(sent=sent.result(), received=received.result())


async def _send(ctx: Context, receiver: ActrId, stream_id: str, frames: int) -> int:
    async with ctx.open_stream(Dest.actor(receiver), stream_id) as out:
        for number in range(1, frames + 1):
            await out.send(f"down {number}".encode())
    return frames


async def _receive(ctx: Context, sender: ActrId, stream_id: str) -> int:
    received = 0
    async with ctx.stream(stream_id, sender) as frames:
        async for _ in frames:
            received += 1
    return received
