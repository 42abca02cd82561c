"""Asks any shouting server to say TEXT: `python client.py TEXT`."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from actrzmq import ActrNotFound, ActrRuntimeError, ActrSystem, ActrType, Dest
from google.protobuf.wrappers_pb2 import StringValue

MANIFEST = Path(__file__).with_name("client.toml")
SERVERS = Dest.type(ActrType("acme", "ShoutServer"))
WAIT_S = 10


async def main(text: str) -> None:
    async with await ActrSystem.from_toml(MANIFEST) as system:
        async with asyncio.timeout(WAIT_S):
            ref = await system.attach().start()
        request = StringValue(value=text)
        reply = await ref.context().call(
            SERVERS, "shout.Shout.Say", request, timeout_ms=WAIT_S * 1000, wait=True, response_type=StringValue
        )
        print(reply.value)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, usage=argparse.SUPPRESS)
    parser.add_argument("text", metavar="TEXT")
    given = parser.parse_args()
    try:
        asyncio.run(main(given.text))
    except KeyboardInterrupt:
        sys.exit(130)
    except TimeoutError:
        print("client.py: no broker; start it with `actrzmq-broker`", file=sys.stderr)
        sys.exit(3)
    except ActrRuntimeError as error:
        print(f"client.py: {error.code.name}: {error.message}", file=sys.stderr)
        sys.exit(4 if isinstance(error, ActrNotFound) else 1)
