"""The service `pool.Worker`."""

from __future__ import annotations

import asyncio

from actrzmq import ActrRuntimeError, Context, Status

from generated import worker_actor
from generated.local import pool_pb2 as pb2


class Worker(worker_actor.WorkerHandler):
    """Finds factors, in a thread, so that the event loop goes on turning."""

    async def factor(self, req: pb2.FactorRequest, ctx: Context) -> pb2.FactorResponse:
        if req.number < 1:
            raise ActrRuntimeError("number: expected 1 or more", code=Status.INVALID_ARGUMENT)
        factors = await asyncio.to_thread(prime_factors, req.number)
        return pb2.FactorResponse(factors=factors, worker=str(ctx.self_id()))


def prime_factors(number: int) -> list[int]:
    """The prime factors of `number`, smallest first, by trial division."""
    factors, divisor = [], 2
    while divisor * divisor <= number:
        while number % divisor == 0:
            factors.append(divisor)
            number //= divisor
        divisor += 1
    return factors + [number] * (number > 1)
