"""A simulated world: a broker, nodes, and the wire between them."""

from __future__ import annotations

from typing import Any

from actrzmq.core.broker import BrokerLimits
from actrzmq.core.session import SessionLimits
from actrzmq.identity import ActrType
from actrzmq.testing.simulation.broker import SimBroker
from actrzmq.testing.simulation.node import SimNode
from actrzmq.testing.simulation.wire import Wire


class World(Wire):
    """A broker, nodes, and the wire between them. All that happens follows from `seed` and from what the test does."""

    def __init__(self, seed: int = 0, limits: BrokerLimits | None = None) -> None:
        super().__init__(seed)
        self.broker = SimBroker(self, limits or BrokerLimits())
        self.broker.start()

    def node(
        self,
        name: str,
        type_name: str = "Node",
        limits: SessionLimits | None = None,
        contract: bytes = b"",
        **fields: Any,
    ) -> SimNode:
        """Another node, which starts to connect. `fields` are more of its Register."""
        node = self.nodes[name] = SimNode(self, name, ActrType("acme", type_name), limits, contract, **fields)
        self.after(0, node.connect)
        return node
