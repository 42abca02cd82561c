"""The service `echo.Echo`."""

from __future__ import annotations

from actrzmq import ActrRuntimeError, Context, Status

from generated import echo_actor
from generated.local import echo_pb2 as pb2

MOST = 100


class Echo(echo_actor.EchoHandler):
    """Says again what it is told."""

    async def say(self, req: pb2.SayRequest, ctx: Context) -> pb2.SayResponse:
        if not 0 <= req.times <= MOST:
            raise ActrRuntimeError(f"times: expected 0 to {MOST}, got {req.times}", code=Status.INVALID_ARGUMENT)
        return pb2.SayResponse(text=" ".join([req.text] * (req.times or 1)))
