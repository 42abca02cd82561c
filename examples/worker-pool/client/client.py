"""Has JOBS numbers factored by whichever workers there are: `python client.py JOBS [AT_ONCE]`."""

from __future__ import annotations

import argparse
import asyncio
import math
import sys
from collections import Counter
from pathlib import Path

from actrzmq import ActrNotFound, ActrRuntimeError, ActrSystem, ActrType, Dest

from generated.remote.worker_pool.pool_client import WorkerClient
from generated.remote.worker_pool.pool_pb2 import FactorRequest

MANIFEST = Path(__file__).with_name("Actr.toml")
POOL_TYPE = ActrType("acme", "Worker")
WAIT_S = 10
FIRST = 1_000_003_000_000


async def main(jobs: int, at_once: int) -> None:
    async with await ActrSystem.from_toml(MANIFEST) as system:
        async with asyncio.timeout(WAIT_S):
            ref = await system.attach().start()
        await ref.discover(POOL_TYPE, timeout_ms=WAIT_S * 1000)
        workers = WorkerClient(ref.context(), Dest.type(POOL_TYPE))
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
    parser = argparse.ArgumentParser(description=__doc__, usage=argparse.SUPPRESS)
    parser.add_argument("jobs", metavar="JOBS", type=int)
    parser.add_argument("at_once", metavar="AT_ONCE", type=int, nargs="?", default=16)
    given = parser.parse_args()
    try:
        asyncio.run(main(given.jobs, given.at_once))
    except KeyboardInterrupt:
        sys.exit(130)
    except TimeoutError:
        print("client.py: no broker; start it with `actrzmq-broker`", file=sys.stderr)
        sys.exit(3)
    except ExceptionGroup as failed:
        print(f"client.py: {len(failed.exceptions)} jobs failed; the first: {failed.exceptions[0]}", file=sys.stderr)
        sys.exit(1)
    except ActrRuntimeError as error:
        print(f"client.py: {error.code.name}: {error.message}", file=sys.stderr)
        sys.exit(4 if isinstance(error, ActrNotFound) else 1)
