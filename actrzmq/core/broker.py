"""The broker's decisions: who is registered, who may talk to whom, who is down.

A node's life, as the broker sees it::

    stranger ──Register──▶ live ◀──Register, higher attempt── unreachable
                            │  ├──send failed──────────────────▶ │
       expected ──Register──▶  ├──Drain──▶ live, takes no new work
          │                    ▼                                 ▼ 600 ms
          └──one lease───────▶ down ◀──lease, stall limit, Deregister

*down* is for good: the serial is remembered and refused from then on, since others have been told. *expected* are
those that were live before the broker itself restarted: for one lease nobody is told that they are gone. What only
peers have named is refused as well once they were told that it is gone, but by this broker alone, and in a memory of
its own: see `expected`.

Application batches are routed by `route` and never opened. The answers and news of the broker itself collect in an
outbox for each peer; the shell writes it out *before* it forwards the next batch, so an Introduce or PeerBack is always
ahead of what it announces.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping

from actrzmq.core.admission import Admission
from actrzmq.core.deadlines import earlier
from actrzmq.core.departure import Departure
from actrzmq.core.directory import Directory
from actrzmq.core.expected import Remembered
from actrzmq.core.inspecting import Inspecting
from actrzmq.core.library import Library
from actrzmq.core.limits import BrokerLimits
from actrzmq.core.meeting import Meeting
from actrzmq.core.questions import Questions
from actrzmq.core.registry import Node, Registry
from actrzmq.core.roster import Bury, Remember, Roster
from actrzmq.core.shelf import Outcome
from actrzmq.core.vigil import Vigil
from actrzmq.identity import Serial
from actrzmq.wire.messages import (
    Deregister,
    Deregistered,
    Describe,
    Discover,
    Drain,
    Dropped,
    Envelope,
    FromBroker,
    Inspect,
    Lagging,
    ListNodes,
    Publish,
    Reason,
    Register,
    Renew,
    Unknown,
    Unwatch,
    Watch,
)

NEW_STREAMS = 32
"""Streams that a node may have opened since it last told how many it has."""
_OF_A_SESSION = (Renew, Drain, Deregister)
TELL_STRANGERS = 4
"""How often one connection is told that it is a stranger, within `TELL_AGAIN` milliseconds."""
TELL_AGAIN = 50
MESSAGE_OVERHEAD = 64
"""What a message costs beside its bytes, on both sides' counts, so that a flood of empty ones is bounded too."""


class BrokerCore:
    """All that the broker decides. `draw(n)` gives n random bytes; `relay` is where relayed frames are taken; `stamp()`
    is the wall clock as a text, which decides nothing.
    """

    def __init__(
        self,
        limits: BrokerLimits,
        epoch: int,
        draw: Callable[[int], bytes],
        relay: str = "",
        stamp: Callable[[], str] = str,
    ) -> None:
        self.limits = limits
        self.epoch = epoch
        self.over_budget: dict[Serial, Node] = {}
        """Receivers of relayed frames for which one was dropped: to be told how much has gone to them, now and then."""
        self._roster = roster = Roster(limits)
        self.counters = roster.counters
        self.store_effects = roster.store_effects
        self._directory = Directory(
            Registry(lambda below: int.from_bytes(draw(8)) % below),
            roster.nodes,
            roster.say,
            roster.expected.has,
            self.counters,
            found=limits.found,
            watches=limits.watches,
        )
        self.library = Library(
            limits.contracts, roster.nodes, roster.say, self.counters, stamp, limits.backlog, limits.body
        )
        self.inspecting = Inspecting(self.statistics, roster.say, self.counters, limits.backlog)
        self._questions = Questions(self._directory, roster.nodes, self._drop, limits.backlog, limits.watches)
        self._meeting = Meeting(roster)
        departure = Departure(roster, self._directory, self.library, self.over_budget)
        self._departure = departure
        self._admission = Admission(roster, self._directory, self.library, self._meeting, departure, epoch, draw, relay)
        self._vigil = Vigil(roster, self._directory, departure, epoch)
        self.by_peer: Mapping[bytes, Node] = roster.by_peer
        """The live nodes, by their connections."""
        self.outbox: Mapping[bytes, list[FromBroker]] = roster.outbox
        """What `outgoing` has to say, to be looked at: is there anything?"""
        self._by_token = roster.by_token
        self._say = roster.say
        self._backlog = limits.backlog
        self._deadline: int | None = None
        self._is_settled = False
        """Is that still the next deadline? To route moves none."""
        self._told: Counter[bytes] = Counter()
        self._told_since = -TELL_AGAIN

    @property
    def relay_endpoint(self) -> str:
        """Where relayed frames are taken."""
        return self._admission.relay_endpoint

    @relay_endpoint.setter
    def relay_endpoint(self, endpoint: str) -> None:
        self._admission.relay_endpoint = endpoint

    # what the store knew

    def expect(self, nodes: Iterable[Remembered], dead: Iterable[Serial], now: int) -> None:
        """After a restart: `nodes` were live and may be back within a lease; `dead` never are."""
        self._is_settled = False
        self._roster.dead.update(dead)
        self._roster.expected.begin(nodes, now + self.limits.lease)

    # the hot path

    def route(self, peer: bytes, to: bytes, size: int, now: int) -> Node | Reason | None:
        """Where a batch of `size` bytes goes: a node, back to its sender with a reason, or (None) nowhere.

        None: the sender is a stranger, and is told so. `to` is the address frame as it came.
        """
        sender = self.by_peer.get(peer)
        if sender is None:
            self._stranger(peer, now)
            return None
        target = sender.routes.get(to)
        if target is None:
            met = self._meeting.meet(sender, to)
            if isinstance(met, Reason):
                self.counters[f"returned.{met.name.lower()}"] += 1
                return met
            target = met
        if target.unreachable_since is not None:
            self.counters["returned.unreachable"] += 1
            return Reason.UNREACHABLE
        size += MESSAGE_OVERHEAD
        if target.sent_bytes - target.received_bytes + size > self._backlog:
            self.counters["returned.congested"] += 1
            return Reason.CONGESTED
        target.sent_bytes += size
        target.written_at = now
        return target

    def relay(self, token: bytes, to: bytes, size: int) -> Node | None:
        """Where a stream message of `size` bytes goes; None drops it. Count it by `node.relayed_bytes`, which is what
        the receiver will confirm. A receiver's budget is what it can have granted, which is its memory and a frame
        for each stream, and one backlog for what is not frames.
        """
        sender = self._by_token.get(token)
        if sender is None:
            self.counters["relay.stranger"] += 1
            return None
        target = sender if to == sender.address else sender.routes.get(to)  # nobody is introduced to himself
        if target is None or not target.allows(sender.id):
            self.counters["relay.unknown"] += 1
            self.inspecting.dropped(sender, "relay.unknown", "frames", str(target.id) if target else to.hex()[:32])
            return None
        size += MESSAGE_OVERHEAD
        granted = target.register.stream_memory + max(target.streams, NEW_STREAMS) * self.limits.body
        budget = min(granted, self.limits.relayed) + self.limits.backlog
        if target.relayed_bytes - target.relayed_received + size > budget:
            self.counters["relay.over_budget"] += 1
            self.inspecting.dropped(sender, "relay.over_budget", "frames", str(target.id))
            self.over_budget[target.id.serial] = target
            return None
        target.relayed_bytes += size
        return target

    def address_of(self, peer: bytes) -> bytes:
        """The address of the live node behind `peer`."""
        return self.by_peer[peer].address

    # what nodes say

    def receive(self, peer: bytes, envelopes: Iterable[Envelope], now: int) -> None:
        """What the connection `peer` said to the broker itself."""
        self._is_settled = False
        self.inspecting.now = now
        for envelope in envelopes:
            if type(envelope) is Register:
                self._admission.register(peer, envelope, now)
                continue
            if type(envelope) is Lagging:
                self._vigil.report_lag(envelope, now)
                continue
            node = self.by_peer.get(peer)
            if node is None:
                self._stranger(peer, now)
                return
            self._serve(node, envelope, now)

    def _serve(self, node: Node, envelope: Envelope, now: int) -> None:
        if isinstance(envelope, _OF_A_SESSION) and envelope.session != node.session:
            self._drop(node, "dropped.old_session", envelope)
            return
        match envelope:
            case Renew():
                self._vigil.renew(node, envelope, now)
            case Discover() | Watch():
                self._questions.ask(node, envelope, now)
            case Unwatch():
                self._questions.unwatch(node, envelope.query)
            case Publish() | Describe() | ListNodes():
                self.library.serve(node, envelope, now)
            case Inspect() | Dropped():
                self.inspecting.serve(node, envelope)
            case Drain():
                node.draining = True
                self._directory.announce(node, Reason.DRAINING)
            case Deregister():
                self._say(node.peer, Deregistered(node.session))
                self._departure.down(node, Reason.DEREGISTERED, now)
            case _:
                self._drop(node, "dropped.not_for_broker", envelope)

    def _drop(self, node: Node, reason: str, envelope: Envelope) -> None:
        self.counters[reason] += 1
        self.inspecting.dropped(node, reason, type(envelope).__name__)

    def refused(self, peer: bytes, reason: str) -> None:
        """What `peer` sent was no message that the shell could take; it has counted that under `reason`."""
        node = self.by_peer.get(peer)
        if node is not None:
            self.inspecting.dropped(node, reason, "message")

    def congested(self, node: Node, size: int) -> None:
        """Writing a routed batch to `node` would have blocked; it was returned, so it does not count."""
        node.sent_bytes -= size + MESSAGE_OVERHEAD
        self.counters["returned.congested"] += 1

    # who is there

    def unreachable(self, peer: bytes, now: int) -> None:
        """Writing to `peer` failed: its connection is gone."""
        self._is_settled = False
        self._vigil.unreachable(peer, now)

    def suspect(self, now: int) -> None:
        """Some connection ended; which node's it was is known once all have been written to."""
        self._is_settled = False
        self._vigil.suspect(now)

    def was_away(self, gap: int) -> None:
        """The broker itself did not run for `gap`: nobody could renew or come back meanwhile, so all get that time."""
        self._is_settled = False
        self._vigil.was_away(gap)

    def tick(self, now: int) -> None:
        """Probe the quiet, drop the unreachable, the lagging and those whose lease is over."""
        self._is_settled = False
        self.inspecting.now = now
        self._vigil.tick(now)
        self.library.tick(now)
        self.answer(now)

    def outcome(self, outcome: Outcome, now: int) -> None:
        """The shelf has carried an order out."""
        self._is_settled = False
        self.library.outcome(outcome, now)

    def answer(self, now: int) -> None:
        """Answer some of the questions that wait, once a turn: see `questions`."""
        if self._questions.is_due:
            self._questions.tick(now)

    def next_deadline(self) -> int | None:
        """When `tick` has something to do; None while nobody is registered or expected."""
        if self._questions.is_due:
            return self.inspecting.now  # at once, and that is never later than the others
        if not self._is_settled:
            self._is_settled = True
            self._deadline = earlier(self.library.next_deadline(), self._vigil.next_deadline())
        return self._deadline

    # what to say

    def outgoing(self) -> Iterator[tuple[bytes, list[FromBroker]]]:
        """What the broker says to each peer, once; an empty list is a probe."""
        outbox = list(self.outbox.items())
        self._roster.outbox.clear()
        yield from outbox

    @property
    def has_outgoing(self) -> bool:
        """Is there anything to say?"""
        return bool(self.outbox)

    def written(self, peer: bytes, size: int, has_registered: bool, now: int) -> None:
        """A message of `size` bytes of the broker's own went to `peer`. Counting starts after `Registered`."""
        node = self.by_peer.get(peer)
        if node is not None:
            node.written_at = now
            node.sent_bytes = 0 if has_registered else node.sent_bytes + size + MESSAGE_OVERHEAD

    def nodes(self) -> Iterator[Node]:
        """All that are registered."""
        return iter(self._roster.nodes.values())

    def statistics(self) -> dict[str, int]:
        """Counts for the operator: what there is, and what was dropped or returned, by reason."""
        return {
            "nodes": len(self._roster.nodes),
            "expected": len(self._roster.expected),
            "unreachable": len(self._roster.unreachable),
            "watches": len(self._directory),
            "questions.waiting": len(self._questions),
            "dead_letters": len(self.inspecting),
            **self.library.statistics(),
            **self.counters,
        }

    def _stranger(self, peer: bytes, now: int) -> None:
        self.counters["dropped.stranger"] += 1
        if now - self._told_since >= TELL_AGAIN:
            self._told_since = now
            self._told.clear()
        self._told[peer] += 1
        if self._told[peer] <= TELL_STRANGERS and peer not in self.outbox:  # now and then will do, for one who floods
            self._say(peer, Unknown())


__all__ = ["MESSAGE_OVERHEAD", "BrokerCore", "BrokerLimits", "Bury", "Remember"]
