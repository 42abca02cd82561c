"""Whatever nodes, strangers, connections and the clock do, in any order: what the broker promises holds."""

from __future__ import annotations

import itertools
import random
from collections import Counter

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from actrzmq.core.broker import BrokerCore, BrokerLimits, Bury, Remember
from actrzmq.core.expected import Remembered
from actrzmq.core.registry import Node
from actrzmq.identity import ActrType, Serial, serial_of
from actrzmq.wire.codec import encode_serial
from actrzmq.wire.messages import (
    PROTOCOL,
    Cancel,
    Changed,
    Deregister,
    Discover,
    Drain,
    Envelope,
    Found,
    FromBroker,
    Introduce,
    Lagging,
    PeerDown,
    Reason,
    Register,
    Registered,
    Renew,
    Renewed,
    Rule,
    Unwatch,
    Watch,
    Watching,
)

TYPES = [ActrType("acme", name) for name in ("A", "B", "C")]
RULES = [None, None, None, (), (Rule(True, (TYPES[0],)),), (Rule(True, tuple(TYPES)), Rule(False, (TYPES[1],)))]
NUMBERS = st.integers(0, 10_000)
LIMITS = BrokerLimits(lease=2_000, nodes=12, watches=3, dead=100_000, backlog=20_000)


class Connection:
    """One connection of whoever: what it was told, and whom the broker last took it for."""

    def __init__(self, peer: bytes) -> None:
        self.peer = peer
        self.is_open = True
        self.keys: dict[int, bytes] = {}
        """By attempt, what was said to register."""
        self.owner: Serial | None = None
        self.session = 0
        self.token = bytes(16)
        self.introduced: set[Serial] = set()


class BrokerMachine(RuleBasedStateMachine):
    """Members, strangers and revenants are all connections that say things; what they know was once true."""

    @initialize(seed=NUMBERS)
    def start(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.core = BrokerCore(LIMITS, 1, self.dice.randbytes)
        self.now = 1_000
        self.numbers = itertools.count(1)
        self.keys: list[bytes] = [self.dice.randbytes(32)]
        self.types: dict[bytes, ActrType] = {}
        self.connections: list[Connection] = []
        self.by_peer: dict[bytes, Connection] = {}
        self.buried: set[Serial] = set()
        self.buried_before: set[Serial] = set()
        """Before this step: what is said in one may have been true at its beginning."""
        self.stored: dict[Serial, Remembered] = {}
        self.downs: Counter[tuple[Serial, Serial]] = Counter()
        """How often (who, of whom) was told that one is down."""
        self.paired: dict[Serial, set[Serial]] = {}
        self.owed: set[tuple[Serial, Serial]] = set()
        """(who, of whom) must have been told by the end of the step."""
        for fields in (1, 2, 3):
            self.connect()
            self.register_anew(len(self.connections) - 1, 1, fields)

    # the world does something

    @rule()
    def connect(self) -> None:
        """Somebody connects."""
        connection = Connection(b"peer-%d" % next(self.numbers))
        self.connections.append(connection)
        self.by_peer[connection.peer] = connection

    @rule(which=NUMBERS)
    def disconnect(self, which: int) -> None:
        """A connection is gone; the broker may get a hint."""
        self.pick(which).is_open = False
        if which % 2:
            self.core.suspect(self.now)

    @rule(milliseconds=st.sampled_from([1, 10, 50, 100, 300, 600, 2_000]))
    def wait(self, milliseconds: int) -> None:
        """Time passes, in steps as the loop would take."""
        for _ in range(0, milliseconds, 50):
            self.now += min(50, milliseconds)
            self.core.tick(self.now)
            self.settle()

    @rule(gap=st.sampled_from([1_000, 60_000]))
    def stop_the_broker(self, gap: int) -> None:
        """The broker does not run for a while; nobody is down for it."""
        nodes = {node.id.serial for node in self.core.nodes()}
        self.now += gap
        self.core.was_away(gap)
        assert {node.id.serial for node in self.core.nodes()} == nodes

    @rule()
    def restart(self) -> None:
        """The broker is killed; the next one knows what was stored."""
        self.core = BrokerCore(LIMITS, self.core.epoch + 1, self.dice.randbytes)
        self.core.expect(self.stored.values(), self.buried, self.now)
        for connection in self.connections:
            connection.is_open = False
        self.paired.clear()
        self.owed.clear()
        self.connect()

    # somebody says something

    @rule(which=NUMBERS, attempt=st.integers(1, 6), fields=NUMBERS)
    def register_anew(self, which: int, attempt: int, fields: int) -> None:
        """Under a key that was never seen."""
        self.keys.append(self.dice.randbytes(32))
        self.register(self.pick(which), self.keys[-1], attempt, fields)

    @rule(which=NUMBERS, key=NUMBERS, attempt=st.integers(1, 6), fields=NUMBERS)
    def register_again(self, which: int, key: int, attempt: int, fields: int) -> None:
        """Under a key that is or was somebody's, over any connection."""
        self.register(self.pick(which), self.pick_key(key), attempt, fields)

    @rule(which=NUMBERS, other=NUMBERS, number=st.integers(0, 5), kind=st.integers(0, 9))
    def say(self, which: int, other: int, number: int, kind: int) -> None:
        """Anything, with a session or token of one's own or of somebody else."""
        connection, somebody = self.pick(which), self.pick(other)
        topic = TYPES[number % 3]
        said: list[Envelope] = [
            Renew(somebody.session, 1, number, number, received=other, relayed=other),
            Renew(connection.session, 1, received=1 << 62, relayed=1 << 62),
            Drain(somebody.session),
            Deregister(somebody.session),
            Deregister(connection.session),
            Lagging(somebody.token, number * 10_000),
            Discover(number, topic if other % 2 else None, "name", all=True),
            Watch(number, topic if other % 2 else None, "name"),
            Unwatch(number),
            Cancel(1),  # type: ignore[arg-type]
        ]
        if connection.is_open:
            self.core.receive(connection.peer, [said[kind], said[9 - kind]], self.now)
            self.settle()

    @rule(which=NUMBERS, key=NUMBERS, size=st.sampled_from([0, 100, 9_000]))
    def send(self, which: int, key: int, size: int) -> None:
        """A batch to anyone, live, dead or nobody."""
        connection = self.pick(which)
        if not connection.is_open:
            return
        target = serial_of(self.pick_key(key))
        found = self.core.route(connection.peer, encode_serial(target), size, self.now)
        if isinstance(found, Node):
            assert found.id.serial == target
            assert target not in self.buried
            assert connection.owner is not None
            assert self.core.address_of(connection.peer) == encode_serial(connection.owner)
        self.settle()
        if isinstance(found, Node) and self.by_peer[found.peer].is_open:
            assert connection.owner in self.by_peer[found.peer].introduced
            assert target in connection.introduced

    @rule(which=NUMBERS, key=NUMBERS)
    def relay(self, which: int, key: int) -> None:
        """A stream message to anyone, with anyone's token."""
        connection = self.pick(which)
        target = serial_of(self.pick_key(key))
        found = self.core.relay(connection.token, encode_serial(target), 100)
        if found is not None:
            assert found.id.serial == target
            assert target not in self.buried
            (sender,) = [node.address for node in self.core.nodes() if node.token == connection.token]
            assert sender == found.address or sender in found.routes

    # what holds

    @invariant()
    def who_is_down_is_nowhere(self) -> None:
        live = {node.id.serial for node in self.core.nodes()}
        assert not live & self.buried
        assert all(other.id.serial in live for node in self.core.nodes() for other in node.routes.values())

    @invariant()
    def a_connection_speaks_for_one_node_only(self) -> None:
        nodes = list(self.core.nodes())
        assert len({node.peer for node in nodes}) == len({node.token for node in nodes}) == len(nodes)
        for node in nodes:
            connection = self.by_peer[node.peer]
            assert not connection.is_open or connection.owner == node.id.serial

    @invariant()
    def budgets_are_never_overdrawn(self) -> None:
        for node in self.core.nodes():
            assert 0 <= node.received_bytes <= max(node.sent_bytes, node.received_bytes)
            assert 0 <= node.relayed_received <= node.relayed_bytes

    @invariant()
    def the_next_deadline_is_never_one_that_was_kept_too_long(self) -> None:
        kept = self.core.next_deadline()
        self.core._is_settled = False
        assert self.core.next_deadline() == kept

    # how it is done

    def pick(self, which: int) -> Connection:
        """One of the latest connections, open or not."""
        recent = self.connections[-5:]
        return recent[which % len(recent)]

    def pick_key(self, which: int) -> bytes:
        """One of the latest keys, of a live node or not."""
        recent = self.keys[-6:]
        return recent[which % len(recent)]

    def register(self, connection: Connection, key: bytes, attempt: int, fields: int) -> None:
        if not connection.is_open:
            return
        dice = random.Random(fields)
        connection.keys[attempt] = key
        peers = tuple(serial_of(dice.choice(self.keys[-6:])) for _ in range(dice.randrange(3)))
        actor_type = self.types.setdefault(key, dice.choice(TYPES)) if fields % 5 else dice.choice(TYPES)
        register = Register(
            attempt,
            PROTOCOL if fields % 20 else 2,
            key,
            0 if fields % 7 else fields << 20,
            actor_type,
            "name",
            peers=peers,
            rules=dice.choice(RULES),
            visible=bool(fields % 4),
            draining=not fields % 11,
            stream_memory=1_000,
        )
        self.core.receive(connection.peer, [register], self.now)
        self.settle()

    def settle(self) -> None:
        """Deliver what the broker says, take in what it stores, and see that everyone was told."""
        self.take_effects()
        while self.core.has_outgoing:
            for peer, messages in self.core.outgoing():
                connection = self.by_peer[peer]
                if not connection.is_open:
                    self.core.unreachable(peer, self.now)
                    continue
                for message in messages:
                    self.deliver(connection, message)
                has_registered = any(isinstance(message, Registered) for message in messages)
                self.core.written(peer, 100, has_registered, self.now)
            self.take_effects()
        for survivor, gone in list(self.owed):
            node = next((node for node in self.core.nodes() if node.id.serial == survivor), None)
            if node is not None and self.by_peer[node.peer].is_open:
                assert self.downs[survivor, gone] == 1
            self.owed.discard((survivor, gone))
        self.buried_before = set(self.buried)

    def take_effects(self) -> None:
        effects = list(self.core.store_effects)
        self.core.store_effects.clear()
        for effect in effects:
            if isinstance(effect, Remember):
                self.stored[effect.node.id.serial] = effect.node
                assert effect.node.id.serial not in self.buried
                continue
            assert isinstance(effect, Bury)
            assert effect.serial not in self.buried
            self.buried.add(effect.serial)
            self.stored.pop(effect.serial, None)
            for survivor in self.paired.pop(effect.serial, set()) - {effect.serial}:
                self.owed.add((survivor, effect.serial))
                self.paired.get(survivor, set()).discard(effect.serial)

    def deliver(self, connection: Connection, message: FromBroker) -> None:
        match message:
            case Registered():
                serial = serial_of(connection.keys[message.attempt])
                assert serial not in self.buried_before
                if connection.owner != serial:
                    connection.introduced = set()
                connection.owner, connection.session, connection.token = serial, message.session, message.token
                self.adopt(connection, serial)
            case Introduce():
                assert connection.owner is not None
                assert message.id.serial not in self.buried_before
                connection.introduced.add(message.id.serial)
                if message.id.serial in {node.id.serial for node in self.core.nodes()}:
                    self.paired.setdefault(message.id.serial, set()).add(connection.owner)
            case PeerDown() if message.reason is not Reason.UNKNOWN:
                assert connection.owner is not None
                assert message.serial in self.buried
                self.downs[connection.owner, message.serial] += 1
                assert self.downs[connection.owner, message.serial] == 1
                connection.introduced.discard(message.serial)
            case Found() | Watching():
                assert not {instance.id.serial for instance in message.instances} & self.buried_before
            case Changed(reason=None):
                assert message.instance.id.serial not in self.buried_before
            case Renewed():
                assert message.session == connection.session

    def adopt(self, connection: Connection, serial: Serial) -> None:
        """A node that came back over another connection still knows whom it was introduced to."""
        for other in self.connections:
            if other is not connection and other.owner == serial:
                connection.introduced |= other.introduced
                other.owner = None


BrokerMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
test_promises_hold_whatever_happens = BrokerMachine.TestCase
