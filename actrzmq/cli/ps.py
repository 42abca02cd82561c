"""`actr ps`: the processes that are registered, and how they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from actrzmq.cli.nodes import duration, show_nodes, watch_option
from actrzmq.cli.output import json_option
from actrzmq.cli.visiting import broker_options, run_visit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from actrzmq.runtime.visitor import NodeInfo, Visitor

COLUMNS = ("id", "name", "state", "pid", "host", "uptime", "lag", "calls", "streams", "version")
SPARE = ("version", "host", "lag", "streams", "calls", "uptime", "pid")


@click.command()
@watch_option
@json_option
@broker_options
def ps(watches: bool, as_json: bool, broker: str | None, realm: int | None, wait: float) -> int:
    """Show all nodes of the realm: id, name, state, process, host, uptime, lag of the event loop, open calls, streams.

    With --watch on a terminal the table is drawn anew each second; elsewhere there is a line for each change. On a
    narrow terminal the table has only the columns that fit; --json always has all.

    \b
    Examples:
      actr ps
      actr ps --watch
      actr ps --json
    """

    async def main(visitor: Visitor) -> None:
        await show_nodes(
            visitor, list, COLUMNS, _row, whole=("id", "state"), spare=SPARE, as_json=as_json, watches=watches
        )

    return run_visit(main, broker, realm, wait)


def _row(node: NodeInfo) -> Sequence[object]:
    return (
        node.id,
        node.name,
        node.state,
        node.pid,
        node.host,
        duration(node.uptime_ms),
        f"{node.lag_ms}ms",
        node.calls,
        node.streams,
        node.version,
    )
