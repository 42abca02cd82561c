"""Asks any echo server to say TEXT, TIMES times: `python client.py TEXT [TIMES]`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from actrzmq import ActrRuntimeError, ActrSystem, ActrType, Dest

from generated.remote.echo_server.echo_client import EchoClient
from generated.remote.echo_server.echo_pb2 import SayRequest

MANIFEST = Path(__file__).with_name("Actr.toml")
SERVERS = Dest.type(ActrType("acme", "EchoServer"))


async def main(text: str, times: int) -> None:
    async with await ActrSystem.from_toml(MANIFEST) as system:
        ref = await system.attach().start()
        echo = EchoClient(ref.context(), SERVERS)
        reply = await echo.say(SayRequest(text=text, times=times), wait=True)
        print(reply.text)


if __name__ == "__main__":
    try:
        asyncio.run(main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 1))
    except ActrRuntimeError as error:
        sys.exit(f"{error.code.name}: {error.message}")
