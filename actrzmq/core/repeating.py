"""What may not have arrived, and so is said again.

Every registration (ours, or a peer's, told by PeerBack) makes us say again all that is open: first `Outstanding`, which
makes the peer forget everything else, then the open calls and openings themselves. The peer's deduplication makes that
harmless. What the broker has returned ends, or is said again after a pause, see `undelivered`.
"""

from __future__ import annotations

from collections import Counter

from actrzmq.core.answering import Answering
from actrzmq.core.calling import Calling
from actrzmq.core.deadletters import Drops
from actrzmq.core.failures import failure_bytes
from actrzmq.core.outbox import ID_BYTES
from actrzmq.core.peer import Peer
from actrzmq.core.peers import Peers
from actrzmq.core.saying import Saying
from actrzmq.core.streams import Streams
from actrzmq.core.telling import Telling
from actrzmq.core.undelivered import SaidOnce, Undelivered
from actrzmq.wire.messages import (
    Batch,
    Call,
    Cancel,
    Opened,
    OpenRefused,
    OpenStream,
    Outstanding,
    Reason,
    Reply,
    Reset,
    Returned,
    Tell,
)


class Repeating:
    """What one node says again, and what it does not say at all."""

    def __init__(
        self,
        peers: Peers,
        calling: Calling,
        answering: Answering,
        streams: Streams,
        telling: Telling,
        saying: Saying,
        counters: Counter[str],
        drops: Drops,
    ) -> None:
        self._peers = peers
        self._calling = calling
        self._answering = answering
        self._streams = streams
        self._telling = telling
        self._saying = saying
        self._post = saying.post
        self._counters = counters
        self._drops = drops
        self._undelivered = Undelivered(counters)

    # what is open

    def say_again(self, peer: Peer, now: int) -> None:
        """Tell `peer` all that is open with it, and so what is not: that nothing is may be what it has not heard."""
        self._telling.lost("disconnected", peer.outbox.clear())
        peer.calls.take_settled()
        self.list_what_is_open(peer, now)
        self._calling.say_again(peer, now)
        self._streams.say_again(peer, now)

    def list_what_is_open(self, peer: Peer, now: int) -> None:
        """Tell `peer` the numbers of all that is open with it: it forgets everything else."""
        ids = tuple(peer.calls)
        listed = Outstanding(ids, self._calling.ids.last, tuple(peer.opens))
        self._post(peer, listed, ID_BYTES * peer.open_count, now)

    # what is not said

    def say_nothing_to(self, peer: Peer) -> None:
        """There is nobody to hear it."""
        self._telling.lost("unknown", self._saying.forget(peer))
        self._calling.settling.pop(peer, None)

    def forget_unsent(self) -> None:
        """The connection is gone: nothing that was to be said, or said again, on it is."""
        self._telling.lost("disconnected", self._saying.forget_all())
        self._calling.forget_unsent()
        self._undelivered.clear()

    # what could not be delivered

    def returned(self, returned: Returned, batch: Batch | None, now: int) -> None:
        """The broker could not deliver `batch`."""
        peer = self._peers.get(returned.to)
        if peer is None or batch is None:
            self._counters["dropped.returned"] += 1
            return
        self._counters[f"returned.{returned.reason.name.lower()}"] += 1
        self._note_what_is_lost(peer, returned.reason, batch)
        self._telling.returned(peer, returned.reason, batch, now)
        if returned.reason in (Reason.UNREACHABLE, Reason.NOT_YET):
            return  # PeerBack or PeerDown will tell; what is open is said again then
        peer.congestion += 1
        is_congested = returned.reason is Reason.CONGESTED
        for envelope in batch.envelopes:
            if isinstance(envelope, Call) and not (is_congested and self._calling.was_repeated(peer, envelope.id)):
                self._calling.returned(peer, envelope.id, returned.reason, now)
            elif isinstance(envelope, OpenStream):
                self._streams.returned(peer, envelope.open, returned.reason)
            if is_congested:
                self._undelivered.add(peer, envelope, now)
        if returned.reason in (Reason.UNKNOWN, Reason.DENIED):
            self._streams.not_there(peer, returned.reason)
        if is_congested:
            self._calling.tell_again(peer, batch.settled, now)
        elif peer.id is None and not peer.is_busy:
            self._peers.forget(peer)  # it never was, as far as we know
            self.say_nothing_to(peer)

    def _note_what_is_lost(self, peer: Peer, reason: Reason, batch: Batch) -> None:
        """Nobody says a tell again, nor a reply to a node that is not there."""
        for envelope in batch.envelopes:
            if isinstance(envelope, Tell):
                self._drops.note(f"returned.{reason.name.lower()}", "tell", envelope.route, peer.name, is_ours=True)
            elif isinstance(envelope, Reply) and reason in (Reason.UNKNOWN, Reason.DENIED):
                self._drops.note(f"returned.{reason.name.lower()}", "reply", "", peer.name, is_ours=True)

    def _deliver_again(self, peer: Peer, envelope: SaidOnce, now: int) -> None:
        """Say it again if it is still true."""
        match envelope:
            case Reply():
                self._answering.answer_again(peer, envelope.id, now)
            case Call():
                self._calling.deliver_again(peer, envelope.id, now)
            case Outstanding() | OpenStream():
                self.list_what_is_open(peer, now)
            case Opened():
                self._streams.answer_again(peer, envelope.open, now)
            case OpenRefused() | Reset():
                self._post(peer, envelope, failure_bytes(envelope.failure), now)
            case Cancel():
                self._post(peer, envelope, 0, now)

    # time

    def tick(self, now: int) -> None:
        """Say again what has waited long enough."""
        for peer, envelope in self._undelivered.due(now):
            if self._peers.get(peer.serial) is peer:
                self._deliver_again(peer, envelope, now)

    def next_deadline(self) -> int | None:
        """When to call `tick` again."""
        return self._undelivered.next_deadline()
