"""The service `tempo.Tempo`, which the server calls while `Session.run` waits for it."""

from __future__ import annotations

from actrzmq import Context

from generated import tempo_actor
from generated.local import tempo_pb2 as pb2

MOST = 10_000


class Tempo(tempo_actor.TempoHandler):
    """Agrees to as many frames as the client will take."""

    async def agree(self, req: pb2.AgreeRequest, ctx: Context) -> pb2.AgreeResponse:
        frames = min(req.offered, MOST)
        print(f"agreed on {frames} frames while the exchange is under way")
        return pb2.AgreeResponse(frames=frames)
