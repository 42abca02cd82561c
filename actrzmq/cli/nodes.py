"""Nodes as `actr ps` and `actr discovery` show them: once, or again and again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from actrzmq.cli.exits import one_line
from actrzmq.cli.output import on_terminal, show_json, show_json_line, show_table

if TYPE_CHECKING:
    from actrzmq.runtime.visitor import NodeInfo, Visitor

STATES = {"up": "green", "draining": "yellow", "lagging": "yellow", "unreachable": "red"}
PERIOD_S = 1.0

watch_option = click.option("--watch", "watches", is_flag=True, help="Go on, and show what changes, until Ctrl-C.")

_Show = Callable[[Sequence["NodeInfo"]], None]


async def show_nodes(
    visitor: Visitor,
    choose: Callable[[Sequence[NodeInfo]], Sequence[NodeInfo]],
    columns: Sequence[str],
    row: Callable[[NodeInfo], Sequence[object]],
    *,
    whole: Sequence[str],
    spare: Sequence[str],
    as_json: bool,
    watches: bool,
) -> None:
    """Print a table, or JSON, of those nodes that `choose` leaves; with `watches`, go on until interrupted.

    `whole` and `spare` are as in `show_table`.
    """

    def table(nodes: Sequence[NodeInfo]) -> None:
        show_table(columns, [row(node) for node in nodes], {"state": STATES}, whole=whole, spare=spare)

    if not watches:
        nodes = choose(await _nodes(visitor))
        if as_json:
            show_json([as_dict(node) for node in nodes])
        else:
            table(nodes)
        return
    await _watch(visitor, choose, _redraw(table) if on_terminal() and not as_json else _tell(as_json=as_json))


def as_dict(node: NodeInfo) -> dict[str, Any]:
    """A node as JSON has it."""
    import msgspec

    return {**msgspec.structs.asdict(node), "id": str(node.id), "type": str(node.id.type), "realm": node.id.realm}


async def _nodes(visitor: Visitor) -> list[NodeInfo]:
    """All nodes but the visitor itself, which is there for this look alone."""
    own = visitor.context.self_id()
    return sorted((node for node in await visitor.nodes() if node.id != own), key=lambda node: (node.id.type, node.id))


async def _watch(visitor: Visitor, choose: Callable[[Sequence[NodeInfo]], Sequence[NodeInfo]], show: _Show) -> None:
    import asyncio

    from actrzmq.errors import ActrTimeoutError, ActrTransportError

    is_away = False
    while True:
        try:
            show(choose(await _nodes(visitor)))
            is_away = False
        except (ActrTransportError, ActrTimeoutError) as error:
            # A broker that restarts is part of what one watches.
            if not is_away:
                click.echo(f"actr: {one_line(error.message)}; trying on", err=True)
            is_away = True
        await asyncio.sleep(PERIOD_S)


def _redraw(table: _Show) -> _Show:
    """Show each time the whole, in the place of what was there."""

    def show(nodes: Sequence[NodeInfo]) -> None:
        click.clear()
        table(nodes)

    return show


def _tell(*, as_json: bool) -> _Show:
    """Tell, a line each, who has come, gone, or is in another state."""
    before: dict[str, NodeInfo] = {}

    def show(nodes: Sequence[NodeInfo]) -> None:
        now = {str(node.id): node for node in nodes}
        for name, node in now.items():
            if name not in before or before[name].state != node.state:
                _line(node.state, node, as_json=as_json)
        for name in before.keys() - now.keys():
            _line("down", before[name], as_json=as_json)
        before.clear()
        before.update(now)

    return show


def _line(state: str, node: NodeInfo, *, as_json: bool) -> None:
    if as_json:
        show_json_line({**as_dict(node), "state": state})
    else:
        click.echo(one_line(f"{state}  {node.id}  {node.name}"))


def duration(milliseconds: int) -> str:
    """A length of time as people say it: `4s`, `12m`, `3h20m`, `5d2h`."""
    seconds = milliseconds // 1000
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86_400
    if days:
        return f"{days}d{hours % 24}h"
    if hours:
        return f"{hours}h{minutes % 60}m"
    return f"{minutes}m{seconds % 60}s" if minutes else f"{seconds}s"
