"""Who is registered, who may come back, and who is down for good: what the broker's parts share."""

from __future__ import annotations

from collections import Counter

from msgspec import Struct

from actrzmq.core.expected import Expected, Remembered
from actrzmq.core.leases import Leases
from actrzmq.core.limits import BrokerLimits
from actrzmq.core.recent import Recent
from actrzmq.core.registry import Node
from actrzmq.identity import Serial
from actrzmq.wire.messages import FromBroker, Reason


class Remember(Struct, frozen=True):
    """Effect: store this node as live."""

    node: Remembered


class Bury(Struct, frozen=True):
    """Effect: store that this serial is down for good."""

    serial: Serial
    reason: Reason


class Roster:
    """All nodes of one broker, and what it has to say to them."""

    def __init__(self, limits: BrokerLimits) -> None:
        self.limits = limits
        self.counters: Counter[str] = Counter()
        self.store_effects: list[Remember | Bury] = []
        self.nodes: dict[Serial, Node] = {}
        self.by_peer: dict[bytes, Node] = {}
        self.by_token: dict[bytes, Node] = {}
        self.unreachable: dict[Serial, int] = {}
        """Nodes whose connection is gone, and until when they may come back."""
        self.leases = Leases(limits.lease)
        self.expected = Expected()
        self.dead: Recent[Serial] = Recent(limits.dead)
        self.disowned: Recent[Serial] = Recent(limits.expected)
        self.outbox: dict[bytes, list[FromBroker]] = {}

    def say(self, peer: bytes, message: FromBroker) -> None:
        """Queue `message` for the connection `peer`."""
        self.outbox.setdefault(peer, []).append(message)

    def is_dead(self, serial: Serial) -> bool:
        """Was somebody told that it is gone for good?"""
        return serial in self.dead or serial in self.disowned

    def bury(self, serial: Serial, reason: Reason) -> None:
        """It is down for good, for this broker and those after it."""
        self.dead.add(serial)
        self.store_effects.append(Bury(serial, reason))
