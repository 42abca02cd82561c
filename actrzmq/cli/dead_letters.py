"""`actr dead-letters`: what was dropped lately, whose it was and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from actrzmq.cli.nodes import duration
from actrzmq.cli.output import json_option, show_json, show_table
from actrzmq.cli.visiting import broker_options, run_visit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from actrzmq.runtime.visitor import Letter, Visitor

COLUMNS = ("ago", "count", "reason", "what", "name", "from", "to", "dropped by")


@click.command("dead-letters")
@json_option
@broker_options
def dead_letters(as_json: bool, broker: str | None, realm: int | None, wait: float) -> int:
    """Show what was dropped lately in the realm: what it was, from whom, to whom, by whom and why, not what was in it.

    The latest comes first. Such as differ in nothing are one line with a COUNT. Nodes tell the broker once a second
    what they have dropped; NAME is a route or a stream id, and empty where the broker dropped what it does not look
    into. The broker keeps 500 lines of each realm, and none over its restart.

    \b
    Examples:
      actr dead-letters
      actr dead-letters --json
    """

    async def main(visitor: Visitor) -> None:
        letters = (await visitor.account()).letters
        if as_json:
            show_json(letters)
        else:
            show_table(COLUMNS, [_row(letter) for letter in letters])

    return run_visit(main, broker, realm, wait)


def _row(letter: Letter) -> Sequence[object]:
    return (
        duration(letter.age_ms),
        letter.count,
        letter.reason,
        letter.what,
        letter.name,
        letter.sender,
        letter.to,
        letter.by,
    )
