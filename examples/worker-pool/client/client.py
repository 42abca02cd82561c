"""Has JOBS numbers factored by whichever workers there are: `python client.py JOBS [AT_ONCE]`."""

from __future__ import annotations

import asyncio
import math
import sys
from collections import Counter
from pathlib import Path

from actrzmq import ActrRuntimeError, ActrSystem, ActrType, Dest

from generated.remote.worker_pool.pool_client import WorkerClient
from generated.remote.worker_pool.pool_pb2 import FactorRequest

MANIFEST = Path(__file__).with_name("Actr.toml")
POOL = Dest.type(ActrType("acme", "Worker"))
FIRST = 1_000_003_000_000


async def main(jobs: int, at_once: int) -> None:
    async with await ActrSystem.from_toml(MANIFEST) as system:
        ref = await system.attach().start()
        workers = WorkerClient(ref.context(), POOL)
        done: Counter[str] = Counter()
        free = asyncio.Semaphore(at_once)

        async def factor(number: int) -> None:
            async with free:
                reply = await workers.factor(FactorRequest(number=number), wait=True)
            if math.prod(reply.factors) != number:
                raise ActrRuntimeError(f"{number} is not the product of {list(reply.factors)}")
            done[reply.worker] += 1

        async with asyncio.TaskGroup() as all_jobs:
            for number in range(FIRST, FIRST + jobs):
                all_jobs.create_task(factor(number))
        for worker, count in sorted(done.items()):
            print(f"{count:6} by {worker}")
        print(
            f"{done.total():6} done by {len(done)} workers; {ref.statistics().get('calls.tried_again', 0)} tried again"
        )


if __name__ == "__main__":
    try:
        asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 16))
    except* ActrRuntimeError as failed:
        sys.exit(f"{len(failed.exceptions)} jobs failed; the first: {failed.exceptions[0]}")
