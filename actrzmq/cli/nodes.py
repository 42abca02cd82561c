"""Nodes as `actr ps` and `actr discovery` show them: once, or again and again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from actrzmq.cli.exits import one_line
from actrzmq.cli.output import on_terminal, show_json, show_json_line, show_table

if TYPE_CHECKING:
    import asyncio

    from actrzmq.runtime.visitor import NodeInfo, Visitor

STATES = {"up": "green", "draining": "yellow", "lagging": "yellow", "unreachable": "red"}
PERIOD_S = 1.0
AWAY_MS = 500
"""A connection that is made anew takes less."""
SETTLE_S = 3.0
"""How long nodes have to come back to a broker that has restarted, before they count as gone."""

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

    loop = asyncio.get_running_loop()
    epoch, settled_at = visitor.epoch, 0.0
    known: set[str] = set()
    is_told = False
    while True:
        look = loop.create_task(_nodes(visitor))
        try:
            is_told = await _tell_when_away(visitor, look, is_told=is_told)
            nodes = choose(await look)
        except (ActrTransportError, ActrTimeoutError) as error:
            # A broker that restarts is part of what one watches.
            if not is_told:
                click.echo(f"actr: {one_line(error.message)}; trying on", err=True)
            is_told = True
        else:
            is_told = False
            if visitor.epoch != epoch:
                epoch, settled_at = visitor.epoch, loop.time() + SETTLE_S
            found = {str(node.id) for node in nodes}
            # Whoever lives comes back to a broker that has restarted, in a moment: who has gone is known after it.
            if known <= found or loop.time() >= settled_at:
                known = found
                show(nodes)
        finally:
            look.cancel()
        await asyncio.sleep(PERIOD_S)


async def _tell_when_away(visitor: Visitor, look: asyncio.Task[list[NodeInfo]], *, is_told: bool) -> bool:
    """Wait until `look` is done, and say if the broker is away meanwhile, unless that `is_told`; is it now?"""
    import asyncio

    while not (await asyncio.wait([look], timeout=PERIOD_S / 2))[0]:
        if not is_told and visitor.away_ms > AWAY_MS:
            click.echo("actr: the broker is away, and what is shown is how it was; trying on", err=True)
            is_told = True
    return is_told


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
