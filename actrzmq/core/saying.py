"""What a node has to say, until its shell takes it: an outbox for each peer, and one for the broker.

Nothing that was in an outbox when a connection broke is trusted to have arrived, or to be worth saying still: they are
emptied, and what is open is said again by `repeating`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from actrzmq.core.calling import Calling
from actrzmq.core.outbox import Outbox
from actrzmq.core.peer import Peer
from actrzmq.core.peers import Peers
from actrzmq.core.registration import Life, Registration
from actrzmq.core.turn import Outgoing
from actrzmq.wire.messages import Between, Publish, ToBroker


class Saying:
    """The outboxes of one node."""

    def __init__(self, registration: Registration, peers: Peers) -> None:
        self._registration = registration
        self._peers = peers
        self._to_broker = Outbox()
        self._dirty: dict[Peer, None] = {}

    def say(self, messages: Iterable[ToBroker], now: int) -> None:
        """Queue `messages` for the broker."""
        for message in messages:
            self._to_broker.post(message, 128, now)

    def publish(self, contract: Publish, now: int) -> None:
        """Queue a contract for the broker."""
        self._to_broker.post(contract, len(contract.body), now)

    def post(self, peer: Peer, envelope: Between, size: int, now: int) -> None:
        """Queue `envelope` for `peer`. What can't go now because there is no broker is said again after it is back."""
        is_other = peer is not self._peers.me
        if is_other and self._registration.life not in (Life.ONLINE, Life.LEAVING):
            return
        peer.outbox.post(envelope, size, now)
        if is_other:
            self._dirty[peer] = None

    def stir(self, peer: Peer) -> None:
        """There is something for `peer` that is in no outbox yet: ids that are settled."""
        self._dirty[peer] = None

    def outgoing(self, calling: Calling, now: int) -> Iterator[Outgoing]:
        """Every batch that may be sent now, once, with what `calling` has settled."""
        registration, clock = self._registration, self._registration.clock
        if registration.life in (Life.ONLINE, Life.LEAVING):
            for peer in self._dirty:
                if peer.calls.settled:
                    calling.let_settled_ride(peer, now)
                for parcel in peer.outbox.take():
                    yield Outgoing(peer.address, parcel, clock.broker_time(parcel.since))
            self._dirty.clear()
        if registration.life in (Life.REGISTERING, Life.ONLINE, Life.LEAVING):
            # After the rest, since the last of it is Deregister.
            for parcel in self._to_broker.take():
                yield Outgoing(b"", parcel, clock.broker_time(parcel.since))

    def forget(self, peer: Peer) -> int:
        """Say nothing to `peer`; returns how many tells are lost by that."""
        self._dirty.pop(peer, None)
        return peer.outbox.clear()

    def forget_all(self) -> int:
        """Say nothing of what was queued, to anybody; returns how many tells are lost by that."""
        self._to_broker.take()
        lost = sum(peer.outbox.clear() for peer in self._dirty)
        self._dirty.clear()
        return lost
