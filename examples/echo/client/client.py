"""Asks any echo server to say TEXT, TIMES times: `python client.py TEXT [TIMES]`."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from actrzmq import ActrNotFound, ActrRuntimeError, ActrSystem, ActrType, Dest

from generated.remote.echo_server.echo_client import EchoClient
from generated.remote.echo_server.echo_pb2 import SayRequest

MANIFEST = Path(__file__).with_name("Actr.toml")
SERVERS = Dest.type(ActrType("acme", "EchoServer"))
WAIT_S = 10


async def main(text: str, times: int) -> None:
    async with await ActrSystem.from_toml(MANIFEST) as system:
        async with asyncio.timeout(WAIT_S):
            ref = await system.attach().start()
        echo = EchoClient(ref.context(), SERVERS)
        reply = await echo.say(SayRequest(text=text, times=times), timeout_ms=WAIT_S * 1000, wait=True)
        print(reply.text)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, usage=argparse.SUPPRESS)
    parser.add_argument("text", metavar="TEXT")
    parser.add_argument("times", metavar="TIMES", type=int, nargs="?", default=1)
    given = parser.parse_args()
    try:
        asyncio.run(main(given.text, given.times))
    except KeyboardInterrupt:
        sys.exit(130)
    except TimeoutError:
        print("client.py: no broker; start it with `actrzmq-broker`", file=sys.stderr)
        sys.exit(3)
    except ActrRuntimeError as error:
        print(f"client.py: {error.code.name}: {error.message}", file=sys.stderr)
        sys.exit(4 if isinstance(error, ActrNotFound) else 1)
