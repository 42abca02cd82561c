"""`actr discovery`: which actor types there are, with their instances."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from actrzmq.cli.exits import CommandError, Exit
from actrzmq.cli.nodes import show_nodes, watch_option
from actrzmq.cli.output import json_option
from actrzmq.cli.visiting import broker_options, run_visit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from actrzmq.runtime.visitor import NodeInfo, Visitor

COLUMNS = ("type", "name", "instance", "state", "contract", "load", "version")
WHOLE = ("type", "instance", "state", "contract")
SPARE = ("version", "load", "contract")
SHOWN_DIGITS = 12


@click.command()
@click.argument("actor_type", required=False, metavar="[TYPE]")
@watch_option
@json_option
@broker_options
def discovery(
    actor_type: str | None, watches: bool, as_json: bool, broker: str | None, realm: int | None, wait: float
) -> int:
    """Show the instances that can be discovered, of all types or of TYPE.

    CONTRACT is the beginning of the fingerprint of what the instance offers (--json has all of it), LOAD the number
    of its open calls and streams. With --watch on a terminal the table is drawn anew each second; elsewhere there is
    a line for each change. Exits with 4 if there is no instance of TYPE.

    \b
    Examples:
      actr discovery
      actr discovery acme+StreamEchoServer --json
      actr discovery --watch
    """
    from actrzmq.cli.picking import listed
    from actrzmq.identity import ActrType

    wanted = ActrType.parse(actor_type) if actor_type is not None else None

    def choose(nodes: Sequence[NodeInfo]) -> Sequence[NodeInfo]:
        visible = [node for node in nodes if node.visible]
        chosen = [node for node in visible if wanted in (None, node.id.type)]
        if wanted is not None and not chosen and not watches:
            known = listed(sorted({str(node.id.type) for node in visible}))
            raise CommandError(f"no live node of type {wanted}; is its process running? types: {known}", Exit.NOT_FOUND)
        return chosen

    async def main(visitor: Visitor) -> None:
        await show_nodes(visitor, choose, COLUMNS, _row, whole=WHOLE, spare=SPARE, as_json=as_json, watches=watches)

    return run_visit(main, broker, realm, wait)


def _row(node: NodeInfo) -> Sequence[object]:
    contract = node.fingerprint.rpartition(":")[2][:SHOWN_DIGITS]
    return node.id.type, node.name, f"{node.id.serial:x}", node.state, contract, node.calls + node.streams, node.version
