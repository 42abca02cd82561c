"""Asks a stream server for COUNT messages on the stream STREAM_ID, and prints them as they come.

Exits 0 if exactly these came, in order, once each; 1 if not; 2 for wrong arguments or a wrong manifest;
3 if there is no broker, 4 if there is no server. Told to stop, it leaves in order and exits with 128 and the
number of the signal: 130 after Ctrl-C, 143 after SIGTERM, 129 when its terminal has closed,
141 when nobody reads what it prints.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import math
import os
import signal
import sys
from pathlib import Path
from typing import NoReturn, TextIO

from actrzmq import (
    ActrConfigError,
    ActrId,
    ActrNode,
    ActrNotFound,
    ActrRef,
    ActrRuntimeError,
    ActrSystem,
    ActrTransportError,
    ActrType,
    Context,
    DataStream,
    Dest,
    StreamHandle,
)

HERE = Path(__file__).resolve().parent

try:
    from generated import local_stream_service_actor as local_service_actor
    from generated.local import stream_client_pb2 as pb2
    from generated.remote.stream_register_server_python import stream_server_pb2 as server_pb2
except ModuleNotFoundError as missing:
    if not (missing.name or "").startswith("generated"):
        raise
    print(
        "client.py: generated code is missing; "
        f"run `actr gen --input protos --output generated --language python` in {HERE}",
        file=sys.stderr,
    )
    sys.exit(2)

logger = logging.getLogger("client")

SERVER_TYPE = ActrType("acme", "StreamEchoServer")

# A server may leave its stream open after the last message: then that message is the end. One that ends its
# stream, as ours does, has shown that nothing more was to come.
LATE_END_S = 2.0


class LocalStreamService(local_service_actor.LocalStreamServiceHandler):
    """Called by this program itself: asks a server for a stream, and takes what it sends."""

    stream: StreamHandle
    server_id: ActrId
    sender: ActrId

    def __init__(self, server_type: ActrType) -> None:
        self.server_type = server_type
        self.sequences: list[int] = []
        self.complete = asyncio.Event()

    async def start_stream(self, req: pb2.StartStreamRequest, ctx: Context) -> pb2.StartStreamResponse:
        server_id = await ctx.discover(self.server_type)
        self.server_id = server_id

        async def stream_callback(stream: DataStream, sender_id: ActrId) -> None:
            logger.info("Received: %s", stream.payload().decode("utf-8"))
            self.sequences.append(stream.sequence())
            self.sender = sender_id
            if len(self.sequences) == req.message_count:
                self.complete.set()

        self.stream = await ctx.register_stream(req.stream_id, stream_callback)  # before asking for the stream
        register_req = server_pb2.RegisterStreamRequest(stream_id=req.stream_id, message_count=req.message_count)
        response = await ctx.call(Dest.actor(server_id), register_req.route_key, register_req)
        return pb2.StartStreamResponse(success=response.success, message=response.message)

    async def wait_ended(self) -> None:
        """Return when the stream has ended or has brought what was asked for, and close it; raise how it failed."""
        self.stream.expect(self.server_id)  # else nobody would say that it died before it had begun
        ended = asyncio.ensure_future(self.stream.wait_closed())
        complete = asyncio.ensure_future(self.complete.wait())
        try:
            await asyncio.wait((ended, complete), return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait((ended,), timeout=LATE_END_S)
            if ended.done():
                ended.result()
        finally:
            ended.cancel()
            complete.cancel()
            await self.stream.close()


class Lines(logging.StreamHandler[TextIO]):
    """Standard output. Where its reader has gone, as `head` does, the program is told to stop, once."""

    is_cut = False

    def handleError(self, record: logging.LogRecord) -> None:
        if not isinstance(sys.exc_info()[1], BrokenPipeError):
            super().handleError(record)
            return
        os.dup2(os.open(os.devnull, os.O_WRONLY), self.stream.fileno())  # for what is still written
        if not self.is_cut:
            self.is_cut = True
            signal.raise_signal(signal.SIGINT)


class Failure(Exception):
    """Why the program ends, in one line, and with which exit code."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class Arguments(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; try: python {self.prog} my-stream 10\n")


def count(text: str) -> int:
    """`text` as a number of messages; argparse turns the ValueError into its message."""
    value = int(text)
    if not 0 <= value < 2**31:
        raise ValueError(text)
    return value


def seconds(text: str) -> float:
    """`text` as a length of time; argparse turns the ValueError into its message."""
    value = float(text)
    if not 0 <= value < math.inf:
        raise ValueError(text)
    return value


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = Arguments(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
    parser.add_argument("stream_id", metavar="STREAM_ID")
    parser.add_argument("count", metavar="COUNT", type=count)
    parser.add_argument("--actr-toml", type=Path, default=HERE / "Actr.toml", help="default: beside this script")
    parser.add_argument(
        "--wait", type=seconds, default=10.0, metavar="SECONDS", help="for broker and server to come up (default 10)"
    )
    return parser.parse_args(arguments)


async def start(node: ActrNode, broker_url: str, deadline: float) -> ActrRef:
    """Start the node, and wait until `deadline` for the broker and for a server."""
    try:
        async with asyncio.timeout_at(deadline):
            ref = await node.start()
        remaining = max(0.0, deadline - asyncio.get_running_loop().time())
        await ref.discover(SERVER_TYPE, timeout_ms=round(remaining * 1000))
    except (TimeoutError, ActrTransportError):
        hint = "start it with `actrzmq-broker`, or say where it is in ACTRZMQ_BROKER"
        raise Failure(f"no broker at {broker_url}; {hint}", 3) from None
    except ActrNotFound as error:
        raise Failure(str(error), 4) from None
    return ref


async def receive(manifest: Path, stream_id: str, message_count: int, wait: float) -> None:
    """Receive the stream; raise `Failure`, or the library's own error, unless all of it came."""
    deadline = asyncio.get_running_loop().time() + wait
    async with await ActrSystem.from_toml(manifest) as system:
        handler = LocalStreamService(SERVER_TYPE)
        node = system.attach(local_service_actor.LocalStreamServiceWorkload(handler))
        ref = await start(node, system.manifest.broker_url, deadline)
        request = pb2.StartStreamRequest(stream_id=stream_id, message_count=message_count)
        response = await ref.call(request.route_key, request)
        if not response.success:
            raise Failure(f"the server refused the stream: {response.message}", 1)
        if not message_count:
            handler.complete.set()  # a server that sends nothing need not open a stream
        try:
            await handler.wait_ended()
        finally:
            got = len(handler.sequences)
            by = f" from {handler.sender}" if got else ""
            logger.info("Total: %d of %d messages%s", got, message_count, by)
        if handler.sequences != list(range(1, message_count + 1)):
            raise Failure(f"expected the messages 1 to {message_count}, in order, once each", 1)


def main() -> int:
    """The exit code, as the module says."""
    arguments = parse()
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    lines = Lines(sys.stdout)
    lines.setFormatter(logging.Formatter("%(message)s"))
    logger.setLevel(logging.INFO)
    logger.addHandler(lines)
    logger.propagate = False
    try:
        asyncio.run(receive(arguments.actr_toml, arguments.stream_id, arguments.count, arguments.wait))
    except KeyboardInterrupt:
        return 141 if lines.is_cut else 130
    except (Failure, ActrRuntimeError) as error:
        print(f"client.py: {error}", file=sys.stderr)
        return error.code if isinstance(error, Failure) else 2 if isinstance(error, ActrConfigError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
