"""The server's main program: one node that serves `StreamServer` until it is told to stop."""

from __future__ import annotations

import argparse
import asyncio
import logging
import math
import signal
import sys
from pathlib import Path
from typing import NoReturn

from actrzmq import ActrConfigError, ActrRuntimeError, ActrSystem

HERE = Path(__file__).resolve().parent

try:
    from generated.stream_server_actor import StreamServerWorkload
    from stream_server import StreamServer
except ModuleNotFoundError as missing:
    if not (missing.name or "").startswith("generated"):
        raise
    print(
        "server.py: generated code is missing; "
        f"run `actr gen --input protos --output generated --language python` in {HERE}",
        file=sys.stderr,
    )
    sys.exit(2)


class Arguments(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; try: python {self.prog} --help\n")


def seconds(text: str) -> float:
    """`text` as a length of time; argparse turns the ValueError into its message."""
    value = float(text)
    if not 0 <= value < math.inf:
        raise ValueError(text)
    return value


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = Arguments(description=__doc__, allow_abbrev=False)
    parser.add_argument("--actr-toml", type=Path, default=HERE / "Actr.toml", help="default: beside this script")
    parser.add_argument("--interval", type=seconds, default=1.0, help="seconds between two messages (default 1.0)")
    return parser.parse_args(arguments)


async def serve(manifest: Path, interval: float) -> signal.Signals | None:
    """Serve until SIGINT, SIGTERM or SIGHUP, and return which. Waits for the broker, if that is started later."""
    async with await ActrSystem.from_toml(manifest) as system:
        node = system.attach(StreamServerWorkload(StreamServer(interval)))
        ref = await node.start()
        return await ref.wait_for_ctrl_c_and_shutdown()


def main() -> int:
    """The exit code: 0 after a stop, 130 after Ctrl-C, 2 for a wrong manifest, 1 for any other failure.

    Told to stop before it serves, it exits with 128 and the number of the signal.
    """
    arguments = parse()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        stopped_by = asyncio.run(serve(arguments.actr_toml, arguments.interval))
    except KeyboardInterrupt:
        return 130
    except ActrRuntimeError as error:
        print(f"server.py: {error}", file=sys.stderr)
        return 2 if isinstance(error, ActrConfigError) else 1
    return 130 if stopped_by is signal.SIGINT else 0


if __name__ == "__main__":
    sys.exit(main())
