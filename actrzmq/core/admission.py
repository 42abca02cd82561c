"""Who is let in: what a Register is answered, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable

from actrzmq.core.departure import Departure
from actrzmq.core.directory import Directory
from actrzmq.core.expected import Remembered
from actrzmq.core.library import Library
from actrzmq.core.meeting import Meeting
from actrzmq.core.registry import LARGEST, Node
from actrzmq.core.roster import Remember, Roster
from actrzmq.errors import Status
from actrzmq.identity import KEY_BYTES, MAX_REALM, ActrId, serial_of
from actrzmq.wire.codec import TOKEN_BYTES, encode_serial
from actrzmq.wire.messages import PROTOCOL, PeerBack, Reason, Refused, Register, Registered


class Admission:
    """Registers the nodes of one broker. `draw(n)` gives n random bytes; `relay_endpoint` is what they are told."""

    def __init__(
        self,
        roster: Roster,
        directory: Directory,
        library: Library,
        meeting: Meeting,
        departure: Departure,
        epoch: int,
        draw: Callable[[int], bytes],
        relay_endpoint: str,
    ) -> None:
        self._roster = roster
        self._limits = roster.limits
        self._counters = roster.counters
        self._say = roster.say
        self._directory = directory
        self._library = library
        self._meeting = meeting
        self._departure = departure
        self._epoch = epoch
        self._draw = draw
        self.relay_endpoint = relay_endpoint
        self._sessions = 0

    def register(self, peer: bytes, register: Register, now: int) -> None:
        """The connection `peer` wants to be a node."""
        refusal = self._refusal(peer, register)
        if refusal is not None:
            self._counters["refused"] += 1
            self._say(peer, refusal)
            return
        id = ActrId(serial_of(register.key), register.realm, register.type)
        node = self._roster.nodes.get(id.serial)
        if node is not None and node.peer == peer and node.attempt == register.attempt:
            self._say(peer, self._registered(node, now))  # our answer crossed its repeat
            return
        if node is not None and register.attempt <= node.attempt:
            self._counters["dropped.old_attempt"] += 1
            return
        stale = self._roster.by_peer.get(peer)
        if node is None:
            self._admit(Node(id, encode_serial(id.serial), register), peer, now)
        else:
            self._readmit(node, register, peer, now)
        if stale is not None and stale is not node:
            # The same connection under a new key: the old life is over. Only now, so that the new one hears of it too.
            self._departure.down(stale, Reason.FENCED, now)

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
        types = sum(max(1, len(rule.types)) for rule in register.rules or ())
        if types > self._limits.types:
            return Refused(
                register.attempt,
                Status.INVALID_ARGUMENT,
                f"access rules name {self._limits.types} types at most in all, these name {types} (acl.rules)",
            )
        serial = serial_of(register.key)
        if self._roster.is_dead(serial):
            return Refused(
                register.attempt, Status.ABORTED, "this identity was declared down; take a new key", fatal=False
            )
        node = self._roster.nodes.get(serial)
        if node is None and len(self._roster.nodes) >= self._limits.nodes:
            return Refused(
                register.attempt,
                Status.RESOURCE_EXHAUSTED,
                f"the broker serves {self._limits.nodes} nodes at most (limits.nodes)",
                fatal=False,
            )
        known = node.id if node else self._roster.expected.identity(serial)
        if known is not None and (known.realm, known.type) != (register.realm, register.type):
            return Refused(register.attempt, Status.INVALID_ARGUMENT, "one identity has one realm and one type")
        return None

    def _admit(self, node: Node, peer: bytes, now: int) -> None:
        serial = node.id.serial
        self._roster.nodes[serial] = node
        self._directory.add(node)
        node.registered_at = now
        self._connect(node, peer, now)
        if not node.register.visiting:
            self._roster.store_effects.append(Remember(Remembered(node.id, node.register.name)))
        waiting = self._roster.expected.came_back(serial)
        if node.refusal is None:
            self._directory.announce(node, None)
        self._meeting.introduce_listed(node)
        self._meeting.reunite(node, waiting.difference(node.register.peers))

    def _readmit(self, node: Node, register: Register, peer: bytes, now: int) -> None:
        del self._roster.by_peer[node.peer]
        del self._roster.by_token[node.token]
        self._directory.remove(node)  # it watches anew what it still wants
        self._library.remove(node, now)
        was_refused = node.refusal is not None
        node.take(register)
        node.unreachable_since = None
        node.lagging = False
        self._roster.unreachable.pop(node.id.serial, None)
        self._directory.add(node)
        self._connect(node, peer, now)
        if was_refused and node.refusal is None:
            self._directory.announce(node, None)
        for other in node.routes.values():
            self._meeting.introduce(other, node)  # what was said on the old connection may be lost
        for other in node.routes.values():
            self._say(other.peer, PeerBack(node.id.serial))
        self._meeting.introduce_listed(node)

    def _connect(self, node: Node, peer: bytes, now: int) -> None:
        self._sessions += 1
        node.peer, node.session, node.token = peer, self._sessions, self._draw(TOKEN_BYTES)
        node.sent_bytes = node.received_bytes = 0
        node.written_at = now
        node.line, node.has_renewed = -1, False
        self._roster.by_peer[peer] = node
        self._roster.by_token[node.token] = node
        self._roster.leases.renew(node.id.serial, now)
        node.started_at = now - min(node.register.uptime, LARGEST)
        self._say(peer, self._registered(node, now))
        self._library.add(node, now)

    def _registered(self, node: Node, now: int) -> Registered:
        return Registered(
            attempt=node.attempt,
            session=node.session,
            epoch=self._epoch,
            broker_time=now,
            lease=self._limits.lease,
            renew=self._limits.renew,
            body_limit=self._limits.body,
            token=node.token,
            relay=self.relay_endpoint,
        )
