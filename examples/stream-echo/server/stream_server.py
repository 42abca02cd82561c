"""The service: feeds a stream to whoever asks for it."""

from __future__ import annotations

import asyncio

from actrzmq import Context, DataStream, Dest

from generated.local.stream_server_pb2 import RegisterStreamRequest, RegisterStreamResponse
from generated.stream_server_actor import StreamServerHandler


class StreamServer(StreamServerHandler):
    """Sends its callers as many messages as they want, one every `interval` seconds."""

    def __init__(self, interval: float = 1.0) -> None:
        self.interval = interval

    async def register_stream(self, req: RegisterStreamRequest, ctx: Context) -> RegisterStreamResponse:
        caller = ctx.caller_id()
        assert caller is not None  # only a call from this very process has no caller

        async def _send_stream_messages() -> None:
            for i in range(1, req.message_count + 1):
                await ctx.send_stream(
                    Dest.actor(caller),
                    DataStream(
                        stream_id=req.stream_id,
                        sequence=i,
                        payload=f"[server] Stream message {i} for {req.stream_id}".encode("utf-8"),
                    ),
                )
                await asyncio.sleep(self.interval)
            await ctx.end_stream(Dest.actor(caller), req.stream_id)

        asyncio.create_task(_send_stream_messages())
        return RegisterStreamResponse(success=True, message=f"Stream {req.stream_id} registered successfully")
