"""`actr call`: one call, by the published contract: JSON in, JSON out, no generated code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from actrzmq.cli.calling import TIMEOUT_S, parse_metadata, prepare, read_json
from actrzmq.cli.output import show_json_text
from actrzmq.cli.picking import target
from actrzmq.cli.visiting import broker_options, run_visit, seconds

if TYPE_CHECKING:
    from actrzmq.runtime.visitor import Visitor


@click.command()
@click.argument("type_or_name", metavar="TYPE")
@click.argument("method", metavar="METHOD")
@click.argument("text", metavar="[JSON]", required=False)
@click.option(
    "--timeout",
    type=seconds,
    default=TIMEOUT_S,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for the reply.",
)
@click.option("-H", "--header", "pairs", multiple=True, metavar="KEY=VALUE", help="Metadata of the call; repeatable.")
@broker_options
def call(
    type_or_name: str,
    method: str,
    text: str | None,
    timeout: float,
    pairs: Sequence[str],
    broker: str | None,
    realm: int | None,
    wait: float,
) -> int:
    """Call METHOD of one live instance of TYPE with the request JSON, and print the reply as JSON.

    TYPE is an actor type or the name of a published service. METHOD is a route key, or as much of its end as says
    which one is meant. Without JSON the request is read from standard input, unless that is a terminal, as with `-`;
    if there is nothing, it is `{}`. Exits with 1 if the call failed, 4 if there is no such service, method
    or instance, 5 if the reply did not come in time.

    \b
    Examples:
      actr call acme+StreamEchoServer RegisterStream '{"stream_id": "x", "message_count": 3}'
      echo '{"name": "Ada"}' | actr call demo+Greeter greeter.Greeter.Greet --timeout 5
    """
    service = target(type_or_name)
    metadata = parse_metadata(pairs)
    request_text = read_json(text)

    async def main(visitor: Visitor) -> None:
        from actrzmq.runtime.dest import Dest

        request = await prepare(visitor, service, method, request_text)
        show_json_text(await request.send(visitor, Dest.type(request.actor_type), timeout, metadata))

    return run_visit(main, broker, realm, wait)
