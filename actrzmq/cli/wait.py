"""`actr wait`: until there are instances of a type. For scripts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from actrzmq.cli.exits import CommandError, Exit
from actrzmq.cli.output import json_option, show_json
from actrzmq.cli.visiting import broker_address_options, run_visit, seconds

if TYPE_CHECKING:
    from actrzmq.runtime.visitor import Visitor

TIMEOUT_S = 30.0


@click.command()
@click.argument("actor_type", metavar="TYPE")
@click.option("--count", type=click.IntRange(min=1), default=1, show_default=True, help="How many instances.")
@click.option(
    "--timeout",
    type=seconds,
    default=TIMEOUT_S,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait, for the broker as well.",
)
@json_option
@broker_address_options
def wait(actor_type: str, count: int, timeout: float, as_json: bool, broker: str | None, realm: int | None) -> int:
    """Wait until there are live instances of TYPE that take work, and print their ids.

    Exits with 3 if there was no broker in time, and with 4 if there were too few instances.

    \b
    Examples:
      actr wait acme+StreamEchoServer && python client.py my-stream 10
      actr wait acme+Worker --count 4 --timeout 60
    """
    import asyncio
    import time

    from actrzmq.identity import ActrType

    wanted = ActrType.parse(actor_type)
    deadline = time.monotonic() + timeout

    async def main(visitor: Visitor) -> None:
        left = deadline - time.monotonic()
        async with visitor.context.watch(wanted) as watch:
            try:
                async with asyncio.timeout(max(left, 0.0)):
                    while len(watch.instances) < count:
                        await anext(watch)
            except TimeoutError:
                raise CommandError(
                    f"{len(watch.instances)} of {count} instances of {wanted} within {timeout:g} s; are its processes "
                    "running? (actr ps)",
                    Exit.NOT_FOUND,
                ) from None
            ids = sorted(str(one) for one in watch.instances)
        if as_json:
            show_json(ids)
        else:
            click.echo("\n".join(ids))

    return run_visit(main, broker, realm, timeout)
