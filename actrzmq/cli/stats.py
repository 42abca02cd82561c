"""`actr stats`: what the broker has counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from actrzmq.cli.output import json_option, show_json, show_table
from actrzmq.cli.visiting import broker_options, run_visit

if TYPE_CHECKING:
    from actrzmq.runtime.visitor import Visitor

COLUMNS = ("name", "count")


@click.command()
@json_option
@broker_options
def stats(as_json: bool, broker: str | None, realm: int | None, wait: float) -> int:
    """Show what the broker has now (nodes, contracts, …) and what it has counted since it started, in all realms.

    What it dropped or returned is counted by its reason; whose it was, `actr dead-letters` shows.

    \b
    Examples:
      actr stats
      actr stats --json
    """

    async def main(visitor: Visitor) -> None:
        counts = (await visitor.account()).counts
        if as_json:
            show_json(counts)
        else:
            show_table(COLUMNS, sorted(counts.items()))

    return run_visit(main, broker, realm, wait)
