"""What a broker allows."""

from __future__ import annotations

from msgspec import Struct

from actrzmq.wire.codec import BODY_BYTES
from actrzmq.wire.messages import MAX_RULE_TYPES


class BrokerLimits(Struct, frozen=True):
    """What the broker allows, in milliseconds and bytes."""

    lease: int = 10_000
    renew: int = 1_000
    probe: int = 300
    """A node that nothing was written to for this long is probed."""
    unreachable: int = 600
    """How long a node whose connection is gone may take to come back."""
    stall: int = 30_000
    """A loop that has not turned for this long makes the node down."""
    lagging: int = 2_000
    nodes: int = 10_000
    backlog: int = 16 * 1024 * 1024
    """Bytes that may wait for one node."""
    relayed: int = 256 * 1024 * 1024
    """Bytes of relayed frames that may wait for one node, however much it says that it can take."""
    body: int = BODY_BYTES
    found: int = 1_000
    """Instances in one answer."""
    expected: int = 20_000
    """Nodes that are waited for after a restart, of which only their peers know."""
    listed: int = 10_000
    """Peers in one Register that are looked at."""
    watches: int = 1_000
    """Watches of one node."""
    types: int = MAX_RULE_TYPES
    """Types that the access rules of one node name, in all."""
    dead: int = 100_000
    """Serials of nodes that are down, remembered to refuse them."""
    contracts: int = 0
    """Bytes of contracts that are kept; 0: none are asked for."""
