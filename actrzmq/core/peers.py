"""The nodes that this one knows, and those that are down for good.

A peer is known from the first call to it, or from its introduction, until it is down. After a restart of the broker
those with whom nothing is open are forgotten, since it would not tell when they go. They may remember more than we do
(a reply that we have not settled), so from then on we say to everybody whom we meet what is open: perhaps nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from actrzmq.core.peer import Peer
from actrzmq.core.recent import Recent
from actrzmq.identity import ActrId, Serial
from actrzmq.wire.messages import Introduce


class Peers:
    """All peers of a node, itself among them. `remembered` are the dead ones kept in mind, at most."""

    def __init__(self, id: ActrId, remembered: int) -> None:
        self._known: dict[Serial, Peer] = {}
        self._dead: Recent[Serial] = Recent(remembered)
        self._connection = 0
        self._has_forgotten = False
        self.become(id)

    def become(self, id: ActrId) -> None:
        """Start anew as `id`: nobody is known."""
        self._known.clear()
        self.me = self.meet(id.serial)
        self.me.id, self.me.may_call, self.me.may_stream = id, True, True

    def get(self, serial: Serial) -> Peer | None:
        """The peer of that serial, if it is known."""
        return self._known.get(serial)

    def meet(self, serial: Serial) -> Peer:
        """The peer of that serial, known or not."""
        peer = self._known.get(serial)
        if peer is None:
            peer = self._known[serial] = Peer(serial, has_asked=self._has_forgotten)
        return peer

    def others(self) -> list[Peer]:
        """All but ourselves."""
        return [peer for peer in self._known.values() if peer is not self.me]

    # what the broker says

    def introduce(self, introduce: Introduce) -> Peer | None:
        """The broker vouches for a peer; None for one that is down, and for ourselves."""
        id = introduce.id
        if id.serial in self._dead or id.serial == self.me.serial:
            return None
        peer = self.meet(id.serial)
        peer.id, peer.may_call, peer.may_stream = id, introduce.may_call, introduce.may_stream
        peer.connection = self._connection
        return peer

    def bury(self, serial: Serial) -> Peer | None:
        """It is down for good; returns the peer if it was known."""
        self._dead.add(serial)
        peer = self._known.get(serial)
        if peer is None or peer is self.me:
            return None
        self.forget(peer)
        return peer

    def is_dead(self, serial: Serial) -> bool:
        """Were we told that it is down?"""
        return serial in self._dead

    def is_watched(self, peer: Peer) -> bool:
        """Will the broker tell when it goes? It does if it has introduced the two on the present connection."""
        return peer.id is not None and peer.connection == self._connection

    # our connections to the broker

    def connected(self) -> None:
        """There is another connection: who is spoken of on it counts anew."""
        self._connection += 1

    def busy(self) -> tuple[Serial, ...]:
        """Those with whom something is open, to be named to the broker; it will tell when they go."""
        busy = [peer for peer in self.others() if peer.is_busy]
        for peer in busy:
            peer.connection = self._connection
        return tuple(peer.serial for peer in busy)

    def forget_idle(self) -> list[Peer]:
        """The broker is another one: forget those with whom nothing is open and of whom it does not know."""
        idle = [peer for peer in self.others() if not peer.is_busy and peer.connection != self._connection]
        for peer in idle:
            self.forget(peer)
        self._has_forgotten = self._has_forgotten or bool(idle)
        return idle

    def forget(self, peer: Peer) -> None:
        """Know it no longer."""
        del self._known[peer.serial]

    def __contains__(self, serial: Serial) -> bool:
        return serial in self._known

    def __iter__(self) -> Iterator[Peer]:
        return iter(list(self._known.values()))

    def __len__(self) -> int:
        return len(self._known)
