"""First contact of two nodes, and how they find each other again after one of them, or the broker, was away."""

from __future__ import annotations

from collections.abc import Iterable

from actrzmq.core.registry import Node
from actrzmq.core.roster import Roster
from actrzmq.identity import Serial
from actrzmq.wire.codec import encode_serial
from actrzmq.wire.messages import Introduce, PeerBack, PeerDown, Reason


class Meeting:
    """Introduces the nodes of one broker to each other."""

    def __init__(self, roster: Roster) -> None:
        self._roster = roster
        self._limits = roster.limits
        self._say = roster.say

    def meet(self, sender: Node, to: bytes) -> Node | Reason:
        """First contact: introduce both sides to each other if they may talk at all."""
        target = self._roster.nodes.get(Serial(int.from_bytes(to)))
        if target is None:
            is_address = len(to) == len(sender.address)
            is_expected = is_address and self._roster.expected.wait_for(Serial(int.from_bytes(to)), sender.id.serial)
            return Reason.NOT_YET if is_expected else Reason.UNKNOWN
        if len(to) != len(target.address):
            return Reason.UNKNOWN
        if not (target.allows(sender.id) or sender.allows(target.id)):
            return Reason.DENIED
        sender.routes[target.address] = target
        target.routes[sender.address] = sender
        self.introduce(sender, target)
        if sender is not target:
            self.introduce(target, sender)
        return target

    def introduce(self, node: Node, to: Node) -> None:
        """Vouch for `node`, and say what it may do."""
        allowed = to.allows(node.id)
        self._say(to.peer, Introduce(node.id, may_call=allowed, may_stream=allowed))

    def introduce_listed(self, node: Node) -> None:
        """Let it talk to those with whom it has something open. They may not remember, and so have to say."""
        for serial in node.register.peers[: self._limits.listed]:
            address = encode_serial(serial) if 0 <= serial < 2**63 else b""
            if address in node.routes or not address:
                continue
            met = self.meet(node, address)
            if isinstance(met, Node):
                self._say(met.peer, PeerBack(node.id.serial))
            elif met is Reason.UNKNOWN:
                self._miss(node, serial)

    def _miss(self, node: Node, serial: Serial) -> None:
        """`node` has something open with a node that is not there: down, unless the broker itself has just begun."""
        has_room = len(self._roster.expected) < self._limits.expected
        is_dead = self._roster.is_dead(serial)
        if has_room and node.registered_at < self._roster.expected.until and not is_dead:
            self._roster.expected.add(serial, node.id.serial)
            return
        if not is_dead:
            self._roster.disowned.add(serial)
        self._say(node.peer, PeerDown(serial, Reason.UNKNOWN))

    def reunite(self, node: Node, waiting: Iterable[Serial]) -> None:
        """These asked for `node` before it was back. It may not know of what they have open with it."""
        for serial in waiting:
            other = self._roster.nodes.get(serial)
            if other is None:
                continue
            if node.address in other.routes or isinstance(self.meet(other, node.address), Node):
                self._say(other.peer, PeerBack(node.id.serial))
                self._say(node.peer, PeerBack(serial))
