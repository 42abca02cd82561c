"""One process of the pool."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from actrzmq import ActrSystem

from generated.worker_actor import WorkerWorkload
from worker import Worker

MANIFEST = Path(__file__).with_name("Actr.toml")


async def main() -> None:
    async with await ActrSystem.from_toml(MANIFEST) as system:
        ref = await system.attach(WorkerWorkload(Worker())).start()
        await ref.wait_for_ctrl_c_and_shutdown()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    asyncio.run(main())
