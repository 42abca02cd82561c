"""Asks any shouting server to say TEXT: `python client.py TEXT`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from actrzmq import ActrRuntimeError, ActrSystem, ActrType, Dest
from google.protobuf.wrappers_pb2 import StringValue

MANIFEST = Path(__file__).with_name("client.toml")
SERVERS = Dest.type(ActrType("acme", "ShoutServer"))


async def main(text: str) -> None:
    async with await ActrSystem.from_toml(MANIFEST) as system:
        ref = await system.attach().start()
        request = StringValue(value=text)
        reply = await ref.context().call(SERVERS, "shout.Shout.Say", request, wait=True, response_type=StringValue)
        print(reply.value)


if __name__ == "__main__":
    try:
        asyncio.run(main(sys.argv[1]))
    except ActrRuntimeError as error:
        sys.exit(f"{error.code.name}: {error.message}")
