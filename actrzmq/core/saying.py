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

SPEAKING = (Life.ONLINE, Life.LEAVING)
"""Where peers can be spoken to."""
PARTS = 2
"""Into so many batches calls are cut that go to and fro between two nodes: so both, and the broker, work all the time,
where one batch of all of them would have two wait for the third."""
LEAST = 16
"""Envelopes that are worth a batch of their own."""


class Saying:
    """The outboxes of one node."""

    def __init__(self, registration: Registration, peers: Peers) -> None:
        self._registration = registration
        self._peers = peers
        self._to_broker = Outbox()
        self._dirty: dict[Peer, None] = {}
        self.is_ripe = False
        """Has so much gathered for a peer that it is to be sent before the turn of the loop ends?"""

    def say(self, messages: Iterable[ToBroker], now: int) -> None:
        """Queue `messages` for the broker."""
        for message in messages:
            self._to_broker.post(message, 128, now)

    def publish(self, contract: Publish, now: int) -> None:
        """Queue a contract for the broker."""
        self._to_broker.post(contract, len(contract.body), now)

    def post(self, peer: Peer, envelope: Between, size: int, now: int) -> None:
        """Queue `envelope` for `peer`. What can't go now because there is no broker is said again after it is back."""
        if peer is self._peers.me:
            peer.outbox.post(envelope, size, now)
        elif self._registration.life in SPEAKING:
            peer.outbox.post(envelope, size, now)
            self._dirty[peer] = None

    def ripen(self, peer: Peer, under_way: int) -> None:
        """Of `under_way` calls between `peer` and us, some are in its outbox: is it time to send?

        At once where nothing else is under way that they could share a batch with (after Nagle, RFC 896, which does so
        for bytes); else when there are enough of them.
        """
        outbox = peer.outbox
        queued = outbox.count
        if queued >= under_way:
            self.is_ripe = self.is_ripe or queued > 0
        elif outbox.has_full or (queued >= LEAST and queued * PARTS >= under_way):
            self.is_ripe = True

    def stir(self, peer: Peer) -> None:
        """There is something for `peer` that is in no outbox yet: ids that are settled."""
        self._dirty[peer] = None

    @property
    def has_outgoing(self) -> bool:
        """Is anything queued?"""
        return bool(self._dirty or self._to_broker.parcels)

    def outgoing(self, calling: Calling, now: int) -> Iterator[Outgoing]:
        """Every batch that may be sent now, once, with what `calling` has settled."""
        self.is_ripe = False
        registration, clock = self._registration, self._registration.clock
        if registration.life in SPEAKING:
            for peer in self._dirty:
                if peer.calls.settled:
                    calling.let_settled_ride(peer, now)
                for parcel in peer.outbox.take():
                    yield Outgoing(peer.address, parcel, clock.broker_time(parcel.since))
            self._dirty.clear()
        if self._to_broker.parcels and registration.life in (Life.REGISTERING, Life.ONLINE, Life.LEAVING):
            # After the rest, since the last of it is Deregister.
            for parcel in self._to_broker.take():
                yield Outgoing(b"", parcel, clock.broker_time(parcel.since))

    def forget(self, peer: Peer) -> int:
        """Say nothing to `peer`; returns how many tells are lost by that."""
        self._dirty.pop(peer, None)
        return peer.outbox.clear()

    def forget_all(self) -> int:
        """Say nothing of what was queued, to anybody; returns how many tells are lost by that."""
        self.is_ripe = False
        self._to_broker.take()
        lost = sum(peer.outbox.clear() for peer in self._dirty)
        self._dirty.clear()
        return lost
