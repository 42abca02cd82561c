"""`actr stream`: asks a service for a stream, and prints its frames."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click
import msgspec

from actrzmq.cli.calling import TIMEOUT_S, parse_metadata, prepare, read_json
from actrzmq.cli.exits import CommandError, Exit, printable
from actrzmq.cli.output import on_terminal, show_json_line
from actrzmq.cli.picking import target
from actrzmq.cli.visiting import broker_options, run_visit, seconds
from actrzmq.errors import ActrConfigError

if TYPE_CHECKING:
    from actrzmq.runtime.receiving import StreamReader
    from actrzmq.runtime.visitor import Visitor
    from actrzmq.wire.messages import DataStream


@click.command()
@click.argument("type_or_name", metavar="TYPE")
@click.argument("method", metavar="METHOD")
@click.argument("text", metavar="[JSON]", required=False)
@click.option("--stream-id", metavar="ID", help="The stream to take.  [default: the JSON's stream_id]")
@click.option("--count", type=click.IntRange(min=1), metavar="N", help="Stop after N frames.")
@click.option(
    "--timeout",
    type=seconds,
    default=TIMEOUT_S,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for the reply, and then for each frame.",
)
@click.option("-H", "--header", "pairs", multiple=True, metavar="KEY=VALUE", help="Metadata of the call; repeatable.")
@click.option("--json", "form", flag_value="json", help="Print each frame as one line of JSON.")
@click.option("--raw", "form", flag_value="raw", help="Print the bytes of the frames, and nothing between them.")
@broker_options
def stream(
    type_or_name: str,
    method: str,
    text: str | None,
    stream_id: str | None,
    count: int | None,
    timeout: float,
    pairs: Sequence[str],
    form: str | None,
    broker: str | None,
    realm: int | None,
    wait: float,
) -> int:
    """Call METHOD of one live instance of TYPE, and print the frames of the stream that it sends.

    The stream is registered before the call. Frames are printed as text, one a line, or in hex if they are none,
    until the stream ends or there have been N. TYPE, METHOD and JSON are as in `actr call`.

    \b
    Examples:
      actr stream acme+StreamEchoServer RegisterStream '{"stream_id": "x", "message_count": 3}'
      actr stream acme+Camera Watch '{"stream_id": "live"}' --count 1 --raw > picture.jpg
    """
    service = target(type_or_name)
    metadata = parse_metadata(pairs)
    request_text = read_json(text)
    wanted = stream_id if stream_id is not None else _stream_id_in(request_text)

    async def main(visitor: Visitor) -> None:
        from actrzmq.runtime.dest import Dest

        request = await prepare(visitor, service, method, request_text)
        instance = await visitor.context.discover(request.actor_type)
        frames = visitor.context.stream(wanted)  # before anything is asked for
        try:
            await request.send(visitor, Dest.actor(instance), timeout, metadata)
            await _print(frames, count, timeout, form)
        finally:
            await frames.aclose()

    return run_visit(main, broker, realm, wait)


def _stream_id_in(text: str) -> str:
    """The `stream_id` of a request. Raises `ActrConfigError` if it has none."""
    try:
        request = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ActrConfigError(f"the request is no JSON: {error}") from None
    for key in ("stream_id", "streamId"):
        found = request.get(key) if isinstance(request, dict) else None
        if isinstance(found, str) and found:
            return found
    raise ActrConfigError("the JSON has no stream_id, so nobody knows which stream to take; say it with --stream-id")


async def _print(frames: StreamReader, count: int | None, timeout_s: float, form: str | None) -> None:
    import asyncio

    printed = 0
    while printed != count:
        try:
            async with asyncio.timeout(timeout_s):
                frame = await anext(frames)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise CommandError(
                f"stream {frames.stream_id}: no frame within {timeout_s:g} s, after {printed}; --timeout changes that",
                Exit.DEADLINE,
            ) from None
        _show(frame, form)
        printed += 1


def _show(frame: DataStream, form: str | None) -> None:
    payload = frame.payload()
    try:
        text = None if form == "raw" else payload.decode()
    except UnicodeDecodeError:
        text = None
    if form == "raw":
        sys.stdout.buffer.write(payload)
        sys.stdout.buffer.flush()
    elif form == "json":
        shown = {"hex": payload.hex()} if text is None else {"text": text}
        rest = {"timestamp_ms": frame.timestamp_ms(), "metadata": frame.metadata()}
        show_json_line({"sequence": frame.sequence(), **shown, **{key: said for key, said in rest.items() if said}})
    elif text is None:
        click.echo(payload.hex())
    else:
        click.echo(printable(text) if on_terminal() else text)
