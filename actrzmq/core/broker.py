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
from collections.abc import Callable, Iterable, Iterator

from msgspec import Struct

from actrzmq.core.directory import Directory
from actrzmq.core.expected import Expected, Remembered
from actrzmq.core.leases import Leases
from actrzmq.core.library import Library
from actrzmq.core.recent import Recent
from actrzmq.core.registry import Node, Registry
from actrzmq.errors import Status
from actrzmq.identity import KEY_BYTES, MAX_REALM, ActrId, Serial, serial_of
from actrzmq.wire.codec import BODY_BYTES, TOKEN_BYTES, encode_serial
from actrzmq.wire.messages import (
    PROTOCOL,
    Deregister,
    Deregistered,
    Describe,
    Discover,
    Drain,
    Envelope,
    FromBroker,
    Introduce,
    Lagging,
    ListNodes,
    PeerBack,
    PeerDown,
    Publish,
    Reason,
    Refused,
    Register,
    Registered,
    Renew,
    Renewed,
    Unknown,
    Unwatch,
    Watch,
)

MESSAGE_OVERHEAD = 64
"""What a message costs beside its bytes, on both sides' counts, so that a flood of empty ones is bounded too."""
SETTLE = 20
"""Milliseconds from a connection's end until every write to it fails."""


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
    dead: int = 100_000
    """Serials of nodes that are down, remembered to refuse them."""
    contracts: int = 0
    """Bytes of contracts that are kept; 0: none are asked for."""


class Remember(Struct, frozen=True):
    """Effect: store this node as live."""

    node: Remembered


class Bury(Struct, frozen=True):
    """Effect: store that this serial is down for good."""

    serial: Serial
    reason: Reason


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
        self.relay_endpoint = relay
        self.counters: Counter[str] = Counter()
        self.store_effects: list[Remember | Bury] = []
        self.over_budget: dict[Serial, Node] = {}
        """Receivers of relayed frames for which one was dropped: to be told how much has gone to them, now and then."""
        self._draw = draw
        self._leases = Leases(limits.lease)
        self._nodes: dict[Serial, Node] = {}
        self._expected = Expected()
        self._directory = Directory(
            Registry(lambda below: int.from_bytes(draw(8)) % below),
            self._nodes,
            self._say,
            self._expected.has,
            self.counters,
            found=limits.found,
            watches=limits.watches,
        )
        self.library = Library(
            limits.contracts, self._nodes, self._say, self.counters, stamp, limits.backlog, limits.body
        )
        self._by_peer: dict[bytes, Node] = {}
        self._by_token: dict[bytes, Node] = {}
        self._dead: Recent[Serial] = Recent(limits.dead)
        self._disowned: Recent[Serial] = Recent(limits.expected)
        self._sessions = 0
        self._unreachable: dict[Serial, int] = {}
        self._outbox: dict[bytes, list[FromBroker]] = {}
        self._probed_at = 0
        self._suspect_at: int | None = None
        self._suspected_at = 0

    # what the store knew

    def expect(self, nodes: Iterable[Remembered], dead: Iterable[Serial], now: int) -> None:
        """After a restart: `nodes` were live and may be back within a lease; `dead` never are."""
        self._dead.update(dead)
        self._expected.begin(nodes, now + self.limits.lease)

    # the hot path

    def route(self, peer: bytes, to: bytes, size: int, now: int) -> Node | Reason | None:
        """Where a batch of `size` bytes goes: a node, back to its sender with a reason, or (None) nowhere.

        None: the sender is a stranger, and is told so. `to` is the address frame as it came.
        """
        sender = self._by_peer.get(peer)
        if sender is None:
            self._stranger(peer)
            return None
        target = sender.routes.get(to)
        if target is None:
            met = self._meet(sender, to)
            if isinstance(met, Reason):
                self.counters[f"returned.{met.name.lower()}"] += 1
                return met
            target = met
        if target.unreachable_since is not None:
            self.counters["returned.unreachable"] += 1
            return Reason.UNREACHABLE
        size += MESSAGE_OVERHEAD
        if target.sent_bytes - target.received_bytes + size > self.limits.backlog:
            self.counters["returned.congested"] += 1
            return Reason.CONGESTED
        target.sent_bytes += size
        target.written_at = now
        return target

    def relay(self, token: bytes, to: bytes, size: int) -> Node | None:
        """Where a stream message of `size` bytes goes; None drops it. Count it by `node.relayed_bytes`, which is what
        the receiver will confirm. A receiver's budget is what it can have granted, and one backlog for what is not
        frames.
        """
        sender = self._by_token.get(token)
        if sender is None:
            self.counters["relay.stranger"] += 1
            return None
        target = sender if to == sender.address else sender.routes.get(to)  # nobody is introduced to himself
        if target is None or not target.allows(sender.id):
            self.counters["relay.unknown"] += 1
            return None
        size += MESSAGE_OVERHEAD
        budget = min(target.register.stream_memory, self.limits.relayed) + self.limits.backlog
        if target.relayed_bytes - target.relayed_received + size > budget:
            self.counters["relay.over_budget"] += 1
            self.over_budget[target.id.serial] = target
            return None
        target.relayed_bytes += size
        return target

    def address_of(self, peer: bytes) -> bytes:
        """The address of the live node behind `peer`."""
        return self._by_peer[peer].address

    # what nodes say

    def receive(self, peer: bytes, envelopes: Iterable[Envelope], now: int) -> None:
        """What the connection `peer` said to the broker itself."""
        for envelope in envelopes:
            if type(envelope) is Register:
                self._register(peer, envelope, now)
                continue
            if type(envelope) is Lagging:
                self._report_lag(envelope, now)
                continue
            node = self._by_peer.get(peer)
            if node is None:
                self._stranger(peer)
                return
            self._serve(node, envelope, now)

    def _serve(self, node: Node, envelope: Envelope, now: int) -> None:
        if isinstance(envelope, Renew | Drain | Deregister) and envelope.session != node.session:
            self.counters["dropped.old_session"] += 1
            return
        match envelope:
            case Renew():
                self._renew(node, envelope, now)
            case Discover():
                self._directory.discover(node, envelope)
            case Watch():
                self._directory.watch(node, envelope)
            case Unwatch():
                self._directory.unwatch(node, envelope.query)
            case Publish() | Describe() | ListNodes():
                self.library.serve(node, envelope, now)
            case Drain():
                node.draining = True
                self._directory.announce(node, Reason.DRAINING)
            case Deregister():
                self._say(node.peer, Deregistered(node.session))
                self._down(node, Reason.DEREGISTERED, now)
            case _:
                self.counters["dropped.not_for_broker"] += 1

    def unreachable(self, peer: bytes, now: int) -> None:
        """Writing to `peer` failed: its connection is gone."""
        self._outbox.pop(peer, None)
        node = self._by_peer.get(peer)
        if node is not None and node.unreachable_since is None:
            self.counters["unreachable"] += 1
            node.unreachable_since = now
            self._unreachable[node.id.serial] = now + self.limits.unreachable
            self._directory.announce(node, Reason.UNREACHABLE)

    def congested(self, node: Node, size: int) -> None:
        """Writing a routed batch to `node` would have blocked; it was returned, so it does not count."""
        node.sent_bytes -= size + MESSAGE_OVERHEAD
        self.counters["returned.congested"] += 1

    def suspect(self, now: int) -> None:
        """Some connection ended; which node's it was is known once all have been written to."""
        if self._suspect_at is None:
            self._suspect_at = max(now + SETTLE, self._suspected_at + self.limits.probe // 3)

    # time

    def was_away(self, gap: int) -> None:
        """The broker itself did not run for `gap`: nobody could renew or come back meanwhile, so all get that time."""
        self._leases.extend(gap)
        self._unreachable = {serial: until + gap for serial, until in self._unreachable.items()}
        self._expected.until += gap

    def tick(self, now: int) -> None:
        """Probe the quiet, drop the unreachable, the lagging and those whose lease is over."""
        is_suspicious = self._suspect_at is not None and self._suspect_at <= now
        if is_suspicious or now - self._probed_at >= self.limits.probe // 3:
            self._probed_at = now
            quiet = now - self.limits.probe
            if is_suspicious:
                self._suspect_at, self._suspected_at, quiet = None, now, now
            for node in self._nodes.values():
                if node.written_at <= quiet and node.unreachable_since is None:
                    self._outbox.setdefault(node.peer, [])
        for serial, until in list(self._unreachable.items()):
            if until <= now:
                self._down(self._nodes[serial], Reason.UNREACHABLE, now)
        for serial in self._leases.expire(now):
            reason = Reason.LAGGING if self._nodes[serial].lagging else Reason.LEASE
            self._down(self._nodes[serial], reason, now)
        if self._expected and self._expected.until <= now:
            self._give_up_expected()
        self.library.tick(now)

    def next_deadline(self) -> int | None:
        """When `tick` has something to do; None while nobody is registered or expected."""
        deadlines = self.library.deadlines()
        if self._expected:
            deadlines.append(self._expected.until)
        if self._nodes:
            deadlines.append(self._probed_at + self.limits.probe // 3)
            deadlines.extend(self._unreachable.values())
            if self._suspect_at is not None:
                deadlines.append(self._suspect_at)
        return min(deadlines, default=None)

    # what to say

    def outgoing(self) -> Iterator[tuple[bytes, list[FromBroker]]]:
        """What the broker says to each peer, once; an empty list is a probe."""
        outbox, self._outbox = self._outbox, {}
        yield from outbox.items()

    @property
    def has_outgoing(self) -> bool:
        """Is there anything to say?"""
        return bool(self._outbox)

    def written(self, peer: bytes, size: int, has_registered: bool, now: int) -> None:
        """A message of `size` bytes of the broker's own went to `peer`. Counting starts after `Registered`."""
        node = self._by_peer.get(peer)
        if node is not None:
            node.written_at = now
            node.sent_bytes = 0 if has_registered else node.sent_bytes + size + MESSAGE_OVERHEAD

    def nodes(self) -> Iterator[Node]:
        """All that are registered."""
        return iter(self._nodes.values())

    def statistics(self) -> dict[str, int]:
        """Counts for the operator: what there is, and what was dropped or returned, by reason."""
        return {
            "nodes": len(self._nodes),
            "expected": len(self._expected),
            "unreachable": len(self._unreachable),
            "watches": len(self._directory),
            **self.library.statistics(),
            **self.counters,
        }

    # registering

    def _register(self, peer: bytes, register: Register, now: int) -> None:
        refusal = self._refusal(peer, register)
        if refusal is not None:
            self.counters["refused"] += 1
            self._say(peer, refusal)
            return
        id = ActrId(serial_of(register.key), register.realm, register.type)
        node = self._nodes.get(id.serial)
        if node is not None and node.peer == peer and node.attempt == register.attempt:
            self._say(peer, self._registered(node, now))  # our answer crossed its repeat
            return
        if node is not None and register.attempt <= node.attempt:
            self.counters["dropped.old_attempt"] += 1
            return
        stale = self._by_peer.get(peer)
        if node is None:
            self._admit(Node(id, encode_serial(id.serial), register), peer, now)
        else:
            self._readmit(node, register, peer, now)
        if stale is not None and stale is not node:
            # The same connection under a new key: the old life is over. Only now, so that the new one hears of it too.
            self._down(stale, Reason.FENCED, now)

    def _refusal(self, peer: bytes, register: Register) -> Refused | None:
        if register.protocol != PROTOCOL:
            return Refused(
                register.attempt,
                Status.FAILED_PRECONDITION,
                f"the node speaks protocol {register.protocol}, this broker {PROTOCOL}: "
                "install the same version of actrzmq on both sides",
            )
        if len(register.key) != KEY_BYTES:
            return Refused(register.attempt, Status.INVALID_ARGUMENT, f"a session key has {KEY_BYTES} bytes")
        if register.realm > MAX_REALM:
            return Refused(register.attempt, Status.INVALID_ARGUMENT, f"realms go from 0 to {MAX_REALM}")
        serial = serial_of(register.key)
        if serial in self._dead or serial in self._disowned:
            return Refused(
                register.attempt, Status.ABORTED, "this identity was declared down; take a new key", fatal=False
            )
        node = self._nodes.get(serial)
        if node is None and len(self._nodes) >= self.limits.nodes:
            return Refused(
                register.attempt,
                Status.RESOURCE_EXHAUSTED,
                f"the broker serves {self.limits.nodes} nodes at most (limits.nodes)",
                fatal=False,
            )
        known = node.id if node else self._expected.identity(serial)
        if known is not None and (known.realm, known.type) != (register.realm, register.type):
            return Refused(register.attempt, Status.INVALID_ARGUMENT, "one identity has one realm and one type")
        return None

    def _admit(self, node: Node, peer: bytes, now: int) -> None:
        serial = node.id.serial
        self._nodes[serial] = node
        self._directory.add(node)
        node.registered_at = now
        self._connect(node, peer, now)
        if not node.register.visiting:
            self.store_effects.append(Remember(Remembered(node.id, node.register.name)))
        waiting = self._expected.came_back(serial)
        if node.refusal is None:
            self._directory.announce(node, None)
        self._introduce_listed(node)
        self._reunite(node, waiting.difference(node.register.peers))

    def _readmit(self, node: Node, register: Register, peer: bytes, now: int) -> None:
        del self._by_peer[node.peer]
        del self._by_token[node.token]
        self._directory.remove(node)  # it watches anew what it still wants
        self.library.remove(node, now)
        was_refused = node.refusal is not None
        node.register, node.attempt, node.draining = register, register.attempt, register.draining
        node.unreachable_since = None
        node.lagging = False
        self._unreachable.pop(node.id.serial, None)
        self._directory.add(node)
        self._connect(node, peer, now)
        if was_refused and node.refusal is None:
            self._directory.announce(node, None)
        for other in node.routes.values():
            self._introduce(other, node)  # what was said on the old connection may be lost
        for other in node.routes.values():
            self._say(other.peer, PeerBack(node.id.serial))
        self._introduce_listed(node)

    def _connect(self, node: Node, peer: bytes, now: int) -> None:
        self._sessions += 1
        node.peer, node.session, node.token = peer, self._sessions, self._draw(TOKEN_BYTES)
        node.sent_bytes = node.received_bytes = 0
        node.written_at = now
        self._by_peer[peer] = node
        self._by_token[node.token] = node
        self._leases.renew(node.id.serial, now)
        node.started_at = now - node.register.uptime
        self._say(peer, self._registered(node, now))
        self.library.add(node, now)

    def _registered(self, node: Node, now: int) -> Registered:
        return Registered(
            attempt=node.attempt,
            session=node.session,
            epoch=self.epoch,
            broker_time=now,
            lease=self.limits.lease,
            renew=self.limits.renew,
            body_limit=self.limits.body,
            token=node.token,
            relay=self.relay_endpoint,
        )

    def _introduce_listed(self, node: Node) -> None:
        """Let it talk to those with whom it has something open. They may not remember, and so have to say."""
        for serial in node.register.peers[: self.limits.listed]:
            address = encode_serial(serial) if 0 <= serial < 2**63 else b""
            if address in node.routes or not address:
                continue
            met = self._meet(node, address)
            if isinstance(met, Node):
                self._say(met.peer, PeerBack(node.id.serial))
            elif met is Reason.UNKNOWN:
                self._miss(node, serial)

    def _miss(self, node: Node, serial: Serial) -> None:
        """`node` has something open with a node that is not there: down, unless the broker itself has just begun."""
        has_room = len(self._expected) < self.limits.expected
        is_dead = serial in self._dead or serial in self._disowned
        if has_room and node.registered_at < self._expected.until and not is_dead:
            self._expected.add(serial, node.id.serial)
            return
        if not is_dead:
            self._disowned.add(serial)
        self._say(node.peer, PeerDown(serial, Reason.UNKNOWN))

    def _reunite(self, node: Node, waiting: Iterable[Serial]) -> None:
        """These asked for `node` before it was back. It may not know of what they have open with it."""
        for serial in waiting:
            other = self._nodes.get(serial)
            if other is None:
                continue
            if node.address in other.routes or isinstance(self._meet(other, node.address), Node):
                self._say(other.peer, PeerBack(node.id.serial))
                self._say(node.peer, PeerBack(serial))

    def _renew(self, node: Node, renew: Renew, now: int) -> None:
        self._leases.renew(node.id.serial, now)
        node.load, node.streams, node.lag, node.picks = renew.load, renew.streams, renew.lag, 0
        node.received_bytes = max(node.received_bytes, min(renew.received, node.sent_bytes))
        node.relayed_received = max(node.relayed_received, min(renew.relayed, node.relayed_bytes))
        if node.lagging and renew.lag < self.limits.lagging:
            node.lagging = False
            self._directory.announce(node, node.refusal)
        self._say(node.peer, Renewed(node.session, self.epoch, renew.sent, now))

    def _report_lag(self, report: Lagging, now: int) -> None:
        node = self._by_token.get(report.token)
        if node is None:
            self.counters["dropped.stranger"] += 1
        elif report.lag >= self.limits.stall:
            self._down(node, Reason.LAGGING, now)
        else:
            node.lag = report.lag
            self._leases.renew(node.id.serial, now)  # the process lives, its loop does not turn
            if not node.lagging:
                node.lagging = True
                self._directory.announce(node, Reason.LAGGING)

    # meeting

    def _meet(self, sender: Node, to: bytes) -> Node | Reason:
        """First contact: introduce both sides to each other if they may talk at all."""
        target = self._nodes.get(Serial(int.from_bytes(to)))
        if target is None:
            is_address = len(to) == len(sender.address)
            is_expected = is_address and self._expected.wait_for(Serial(int.from_bytes(to)), sender.id.serial)
            return Reason.NOT_YET if is_expected else Reason.UNKNOWN
        if len(to) != len(target.address):
            return Reason.UNKNOWN
        if not (target.allows(sender.id) or sender.allows(target.id)):
            return Reason.DENIED
        sender.routes[target.address] = target
        target.routes[sender.address] = sender
        self._introduce(sender, target)
        if sender is not target:
            self._introduce(target, sender)
        return target

    def _introduce(self, node: Node, to: Node) -> None:
        allowed = to.allows(node.id)
        self._say(to.peer, Introduce(node.id, may_call=allowed, may_stream=allowed))

    # going

    def _down(self, node: Node, reason: Reason, now: int) -> None:
        serial = node.id.serial
        self.counters[f"down.{reason.name.lower()}"] += 1
        if node.refusal is None or reason is not Reason.UNREACHABLE:
            self._directory.announce(node, reason)
        self._directory.remove(node)
        self._leases.drop(serial)
        self._unreachable.pop(serial, None)
        del self._nodes[serial]
        if self._by_peer[node.peer] is node:  # else its connection has another identity by now
            del self._by_peer[node.peer]
        del self._by_token[node.token]
        for other in node.routes.values():
            if other is not node:
                del other.routes[node.address]
                self._say(other.peer, PeerDown(serial, reason))
        node.routes.clear()
        self.over_budget.pop(serial, None)
        self.library.remove(node, now)
        self._bury(serial, reason)

    def _bury(self, serial: Serial, reason: Reason) -> None:
        self._dead.add(serial)
        self.store_effects.append(Bury(serial, reason))

    def _give_up_expected(self) -> None:
        for serial, expectation in self._expected.give_up().items():
            if expectation.remembered is not None:
                reason = Reason.LEASE
                self.counters["down.lease"] += 1
                self._bury(serial, reason)
            else:
                reason = Reason.UNKNOWN
                self._disowned.add(serial)
            for waiting in expectation.waiting:
                if waiting in self._nodes:
                    self._say(self._nodes[waiting].peer, PeerDown(serial, reason))

    def _stranger(self, peer: bytes) -> None:
        self.counters["dropped.stranger"] += 1
        if peer not in self._outbox:  # once a turn will do, for one who floods
            self._say(peer, Unknown())

    def _say(self, peer: bytes, message: FromBroker) -> None:
        self._outbox.setdefault(peer, []).append(message)
