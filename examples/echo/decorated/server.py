"""Serves `shout.Shout`, without a .proto file: a class, two decorators, and a message of protobuf's own."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from actrzmq import ActrSystem, Context, rpc, service
from google.protobuf.wrappers_pb2 import StringValue

MANIFEST = Path(__file__).with_name("server.toml")


@service("shout.Shout", exported=True)
class Shout:
    """Says it louder."""

    @rpc
    async def say(self, req: StringValue, ctx: Context) -> StringValue:
        return StringValue(value=req.value.upper() + "!")


async def main() -> None:
    async with await ActrSystem.from_toml(MANIFEST) as system:
        ref = await system.attach(Shout()).start()
        await ref.wait_for_ctrl_c_and_shutdown()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    asyncio.run(main())
