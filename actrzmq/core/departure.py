"""How nodes go: what is done, and who is told, once one is down for good."""

from __future__ import annotations

from actrzmq.core.directory import Directory
from actrzmq.core.library import Library
from actrzmq.core.registry import Node
from actrzmq.core.roster import Roster
from actrzmq.identity import Serial
from actrzmq.wire.messages import PeerDown, Reason


class Departure:
    """Sees the nodes of one broker off. `over_budget` are receivers of relayed frames, see `BrokerCore`."""

    def __init__(self, roster: Roster, directory: Directory, library: Library, over_budget: dict[Serial, Node]) -> None:
        self._roster = roster
        self._counters = roster.counters
        self._say = roster.say
        self._directory = directory
        self._library = library
        self._over_budget = over_budget

    def down(self, node: Node, reason: Reason, now: int) -> None:
        """`node` is down: all who know it are told."""
        serial = node.id.serial
        self._counters[f"down.{reason.name.lower()}"] += 1
        if node.refusal is None or reason is not Reason.UNREACHABLE:
            self._directory.announce(node, reason)
        self._directory.remove(node)
        self._roster.leases.drop(serial)
        self._roster.unreachable.pop(serial, None)
        del self._roster.nodes[serial]
        if self._roster.by_peer[node.peer] is node:  # else its connection has another identity by now
            del self._roster.by_peer[node.peer]
        del self._roster.by_token[node.token]
        for other in node.routes.values():
            if other is not node:
                del other.routes[node.address]
                self._say(other.peer, PeerDown(serial, reason))
        node.routes.clear()
        self._over_budget.pop(serial, None)
        self._library.remove(node, now)
        self._roster.bury(serial, reason)

    def give_up_expected(self) -> None:
        """Nobody is expected any more: those who did not come are gone."""
        for serial, expectation in self._roster.expected.give_up().items():
            if expectation.remembered is not None:
                reason = Reason.LEASE
                self._counters["down.lease"] += 1
                self._roster.bury(serial, reason)
            else:
                reason = Reason.UNKNOWN
                self._roster.disowned.add(serial)
            for waiting in expectation.waiting:
                if waiting in self._roster.nodes:
                    self._say(self._roster.nodes[waiting].peer, PeerDown(serial, reason))
