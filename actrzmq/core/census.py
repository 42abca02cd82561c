"""Who is registered, told to those who ask."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from actrzmq.core.registry import Node
from actrzmq.wire.messages import MAX_INT, Listed, Nodes, Reason, State

ROWS = 100
"""Nodes in one message: with names as long as they may be, it is still within the limit of a header."""

_STATES = {
    None: State.UP,
    Reason.DRAINING: State.DRAINING,
    Reason.LAGGING: State.LAGGING,
    Reason.UNREACHABLE: State.UNREACHABLE,
}


def list_nodes(asker: Node, query: int, nodes: Iterable[Node], now: int) -> Iterator[Nodes]:
    """The answer to `asker`: all `nodes` of its realm, in messages of a hundred."""
    rows = [_row(node, now) for node in nodes if node.id.realm == asker.id.realm]
    for start in range(0, len(rows), ROWS):
        yield Nodes(query, tuple(rows[start : start + ROWS]), more=start + ROWS < len(rows))


def _row(node: Node, now: int) -> Listed:
    register = node.register
    return Listed(
        id=node.id,
        name=register.name,
        visible=register.visible,
        state=_STATES[node.refusal],
        pid=register.pid,
        host=register.host,
        uptime=min(max(0, now - node.started_at), MAX_INT),  # it said itself how old it was
        lag=node.lag,
        calls=max(0, node.load - node.streams),
        streams=node.streams,
        fingerprint=register.fingerprint,
        version=register.version,
    )
