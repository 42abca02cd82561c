"""Serves `echo.Echo` until it is told to stop."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from actrzmq import ActrSystem

from echo import Echo
from generated.echo_actor import EchoWorkload

MANIFEST = Path(__file__).with_name("Actr.toml")


async def main() -> None:
    async with await ActrSystem.from_toml(MANIFEST) as system:
        ref = await system.attach(EchoWorkload(Echo())).start()
        await ref.wait_for_ctrl_c_and_shutdown()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    asyncio.run(main())
