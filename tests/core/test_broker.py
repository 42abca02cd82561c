"""The broker's decisions, one by one."""

from __future__ import annotations

import itertools
import random

import pytest

from actrzmq.core.broker import MESSAGE_OVERHEAD, BrokerCore, BrokerLimits, Bury
from actrzmq.core.expected import Remembered
from actrzmq.core.questions import SHARE, WAITING
from actrzmq.core.registry import Node
from actrzmq.errors import Status
from actrzmq.identity import MAX_REALM, ActrId, ActrType, Serial, serial_of
from actrzmq.wire.codec import decode_batch, encode_batch, encode_serial
from actrzmq.wire.messages import (
    MAX_INT,
    MAX_RULE_TYPES,
    PROTOCOL,
    Batch,
    Changed,
    DeadLetter,
    Deregister,
    Discover,
    Drain,
    Dropped,
    Found,
    FromBroker,
    Inspect,
    Inspected,
    Introduce,
    Lagging,
    ListNodes,
    NotFound,
    NotYet,
    NoWatch,
    PeerBack,
    PeerDown,
    Reason,
    Refused,
    Register,
    Registered,
    Renew,
    Renewed,
    Rule,
    Unknown,
    Unwatch,
    Watch,
    Watching,
)

ECHO, CLIENT = ActrType("acme", "Echo"), ActrType("acme", "Client")
TYPES = tuple(ActrType("acme", f"T{number}") for number in range(MAX_RULE_TYPES))


class World:
    """A broker, the time, and what was said to whom."""

    def __init__(self, limits: BrokerLimits | None = None) -> None:
        self.dice = random.Random(1)
        self.core = BrokerCore(limits or BrokerLimits(), 7, self.dice.randbytes, "relay")
        self.now = 1_000
        self.heard: dict[bytes, list[FromBroker]] = {}
        self.probed: list[bytes] = []
        self.broken: set[bytes] = set()
        self._peers = itertools.count()

    def flush(self) -> None:
        while self.core.has_outgoing:
            for peer, messages in self.core.outgoing():
                if peer in self.broken:
                    self.core.unreachable(peer, self.now)
                    continue
                self.heard.setdefault(peer, []).extend(messages)
                if not messages:
                    self.probed.append(peer)
                has_registered = any(isinstance(message, Registered) for message in messages)
                self.core.written(peer, 100, has_registered, self.now)

    def wait(self, milliseconds: int) -> None:
        for _ in range(milliseconds // 10):
            self.now += 10
            self.core.tick(self.now)
            self.flush()

    def say(self, peer: bytes, *envelopes: object) -> list[FromBroker]:
        self.core.receive(peer, envelopes, self.now)  # type: ignore[arg-type]
        self.flush()
        return self.take(peer)

    def take(self, peer: bytes) -> list[FromBroker]:
        return self.heard.pop(peer, [])

    def node(self, type: ActrType = ECHO, name: str = "echo", **fields: object) -> Member:
        member = Member(self, type, name, fields)
        assert isinstance(member.register()[0], Registered)
        return member


class Member:
    """One node of a `World`."""

    def __init__(self, world: World, type: ActrType, name: str, fields: dict[str, object]) -> None:
        self.world = world
        self.key = world.dice.randbytes(32)
        self.serial = serial_of(self.key)
        self.address = encode_serial(self.serial)
        self.type, self.name, self.fields = type, name, fields
        self.attempt = 0
        self.peer = b""
        self.session = 0
        self.token = b""

    def register(self, **fields: object) -> list[FromBroker]:
        """On a new connection."""
        self.attempt += 1
        self.peer = b"peer-%d" % next(self.world._peers)
        known = {"realm": 0, **self.fields, **fields}
        realm = known.pop("realm")
        heard = self.say(Register(self.attempt, PROTOCOL, self.key, realm, self.type, self.name, **known))  # type: ignore[arg-type]
        if heard and isinstance(heard[0], Registered):
            self.session, self.token = heard[0].session, heard[0].token
        return heard

    def say(self, *envelopes: object) -> list[FromBroker]:
        return self.world.say(self.peer, *envelopes)

    def renew(self, **fields: int) -> list[FromBroker]:
        return self.say(Renew(self.session, 5, **fields))

    def route(self, other: Member | Serial, size: int = 100) -> Node | Reason | None:
        to = other.address if isinstance(other, Member) else encode_serial(other)
        found = self.world.core.route(self.peer, to, size, self.world.now)
        self.world.flush()
        return found

    def heard(self) -> list[FromBroker]:
        return self.world.take(self.peer)

    def break_connection(self) -> None:
        self.world.broken.add(self.peer)

    @property
    def record(self) -> Node:
        return next(node for node in self.world.core.nodes() if node.id.serial == self.serial)


@pytest.fixture
def world() -> World:
    return World()


# registering


def test_the_first_word_is_registered(world: World) -> None:
    node = Member(world, ECHO, "echo", {})
    (registered,) = node.register()
    assert isinstance(registered, Registered)
    assert (registered.attempt, registered.epoch, registered.relay) == (1, 7, "relay")


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"protocol": PROTOCOL + 1}, Status.FAILED_PRECONDITION),
        ({"key": b"short"}, Status.INVALID_ARGUMENT),
        ({"realm": MAX_REALM + 1}, Status.INVALID_ARGUMENT),
        ({"rules": (Rule(True, TYPES), Rule(False, (CLIENT,)))}, Status.INVALID_ARGUMENT),
        ({"rules": (Rule(True, ()),) * (len(TYPES) + 1)}, Status.INVALID_ARGUMENT),
    ],
)
def test_what_cannot_be_registered_is_refused_for_good(world: World, fields: dict[str, object], status: Status) -> None:
    register = {"attempt": 1, "protocol": PROTOCOL, "key": bytes(32), "realm": 0, "type": ECHO, "name": "n", **fields}
    (refused,) = world.say(b"peer", Register(**register))  # type: ignore[arg-type]
    assert isinstance(refused, Refused)
    assert (refused.status, refused.fatal) == (status, True)


def test_a_repeated_register_is_answered_alike_and_an_old_attempt_not_at_all(world: World) -> None:
    node = world.node()
    node.register()
    first = Register(1, PROTOCOL, node.key, 0, ECHO, "echo")
    second = Register(2, PROTOCOL, node.key, 0, ECHO, "echo")
    (again,) = node.say(second)
    assert isinstance(again, Registered)
    assert again.session == node.session
    assert node.say(first) == []


def test_the_same_attempt_on_another_connection_takes_nothing_over(world: World) -> None:
    node = world.node()
    assert world.say(b"other", Register(node.attempt, PROTOCOL, node.key, 0, ECHO, "echo")) == []
    assert world.core.counters["dropped.old_attempt"] == 1
    assert node.record.peer == node.peer
    assert node.renew()


def test_one_connection_has_one_identity_at_a_time(world: World) -> None:
    node, friend = world.node(), world.node(CLIENT)
    friend.route(node)
    node.heard()
    friend.heard()
    (registered, *_) = node.say(Register(1, PROTOCOL, bytes(32), 0, ECHO, "echo"))
    assert isinstance(registered, Registered)
    assert friend.heard() == [PeerDown(node.serial, Reason.FENCED)]


def test_an_identity_keeps_its_realm_and_type(world: World) -> None:
    node = world.node()
    node.type = CLIENT
    (refused,) = node.register()
    assert isinstance(refused, Refused)


def test_there_are_no_more_nodes_than_allowed() -> None:
    world = World(BrokerLimits(nodes=1))
    world.node()
    (refused,) = Member(world, ECHO, "echo", {}).register()
    assert isinstance(refused, Refused)
    assert (refused.status, refused.fatal) == (Status.RESOURCE_EXHAUSTED, False)


def test_a_stranger_is_told_so_once_a_turn(world: World) -> None:
    for _ in range(100):
        world.core.receive(b"stranger", [Renew(1, 1)], world.now)
    world.flush()
    assert world.take(b"stranger") == [Unknown()]


# liveness


def test_a_node_that_does_not_renew_is_down_after_a_lease(world: World) -> None:
    node, friend = world.node(), world.node(CLIENT)
    friend.route(node)
    heard = []
    for _ in range(11):
        world.wait(1_000)
        heard += friend.renew()
    assert PeerDown(node.serial, Reason.LEASE) in heard
    assert Bury(node.serial, Reason.LEASE) in world.core.store_effects


def test_a_renewal_is_answered_with_the_brokers_time(world: World) -> None:
    node = world.node()
    assert node.renew() == [Renewed(node.session, 7, 5, world.now)]


def test_a_renewal_of_an_old_session_is_dropped(world: World) -> None:
    node = world.node()
    assert node.say(Renew(node.session + 1, 5)) == []
    assert world.core.counters["dropped.old_session"] == 1


def test_a_node_that_nothing_is_written_to_is_probed(world: World) -> None:
    node = world.node()
    world.wait(290)
    assert world.probed == []
    world.wait(120)
    assert world.probed == [node.peer]


def test_a_lost_connection_is_down_600_ms_after_it_was_found_out(world: World) -> None:
    node, friend = world.node(), world.node(CLIENT)
    friend.route(node)
    friend.heard()
    node.break_connection()
    world.core.suspect(world.now)
    began = world.now
    while not (heard := [said for said in friend.heard() if isinstance(said, PeerDown)]):
        world.wait(10)
    assert heard == [PeerDown(node.serial, Reason.UNREACHABLE)]
    assert 600 <= world.now - began <= 650


def test_a_flood_of_lost_connections_does_not_make_it_write_to_all_every_time(world: World) -> None:
    world.node()
    for _ in range(100):
        world.core.suspect(world.now)
        world.wait(10)
    assert len(world.probed) <= 11


def test_without_a_hint_a_lost_connection_is_found_out_within_400_ms(world: World) -> None:
    node, friend = world.node(), world.node(CLIENT)
    friend.route(node)
    node.break_connection()
    world.wait(400)
    assert friend.route(node) is Reason.UNREACHABLE
    world.wait(610)
    assert friend.route(node) is Reason.UNKNOWN


def test_a_node_that_is_back_in_time_is_the_same_and_its_peers_are_told(world: World) -> None:
    node, friend = world.node(), world.node(CLIENT)
    friend.route(node)
    friend.heard()
    node.break_connection()
    world.wait(500)
    node.register()
    assert PeerBack(node.serial) in friend.heard()
    world.wait(1_000)
    node.renew()
    assert isinstance(friend.route(node), Node)


def test_a_broker_that_was_away_gives_that_time_back(world: World) -> None:
    node = world.node()
    broken = world.node()
    broken.break_connection()
    world.wait(400)
    world.core.was_away(60_000)
    world.now += 60_000
    world.core.tick(world.now)
    assert world.core.statistics()["nodes"] == 2
    broken.register()
    world.wait(9_000)
    assert node.renew()


def test_a_key_that_was_declared_down_is_refused_for_ever(world: World) -> None:
    node = world.node()
    node.say(Deregister(node.session))
    (refused,) = node.register()
    assert isinstance(refused, Refused)
    assert (refused.status, refused.fatal) == (Status.ABORTED, False)


def test_a_lagging_node_takes_no_new_work_and_is_down_past_the_stall_limit(world: World) -> None:
    node, client = world.node(), world.node(CLIENT)
    world.say(b"watchdog", Lagging(node.token, 2_500))
    assert client.say(Discover(1, ECHO)) == [NotFound(1, 1)]
    node.renew(lag=10)
    assert isinstance(client.say(Discover(2, ECHO))[0], Found)
    client.route(node)
    client.heard()
    world.say(b"watchdog", Lagging(node.token, 30_000))
    assert PeerDown(node.serial, Reason.LAGGING) in client.heard()


def test_a_lagging_node_whose_lease_ends_is_down_for_its_lag(world: World) -> None:
    node, friend = world.node(), world.node(CLIENT)
    friend.route(node)
    world.say(b"watchdog", Lagging(node.token, 2_500))
    heard = []
    for _ in range(11):
        world.wait(1_000)
        heard += friend.renew()
    assert PeerDown(node.serial, Reason.LAGGING) in heard
    assert Bury(node.serial, Reason.LAGGING) in world.core.store_effects


def test_a_lagging_node_that_registers_anew_takes_new_work(world: World) -> None:
    node, client = world.node(), world.node(CLIENT)
    world.say(b"watchdog", Lagging(node.token, 2_500))
    client.say(Watch(1, ECHO))
    node.register()
    assert isinstance(client.say(Discover(2, ECHO))[0], Changed)
    assert isinstance(client.say(Discover(3, ECHO))[0], Found)


def test_a_report_with_a_token_of_nobody_is_dropped(world: World) -> None:
    assert world.say(b"watchdog", Lagging(bytes(16), 60_000)) == []
    assert world.core.counters["dropped.stranger"] == 1


# routing


def test_both_are_introduced_once_before_the_first_batch(world: World) -> None:
    node, client = world.node(), world.node(CLIENT)
    assert client.route(node) is node.record
    assert node.heard() == [Introduce(client.record.id, True, True)]
    assert client.heard() == [Introduce(node.record.id, True, True)]
    client.route(node)
    assert node.heard() == client.heard() == []


def test_rules_bind_one_direction_and_a_pair_that_neither_allows_is_denied(world: World) -> None:
    closed = world.node(rules=())
    client = world.node(CLIENT)
    assert isinstance(client.route(closed), Node)
    assert client.heard() == [Introduce(closed.record.id, True, True)]
    assert closed.heard() == [Introduce(client.record.id, False, False)]
    other = world.node(CLIENT, rules=(Rule(True, (CLIENT,)),))
    assert other.route(closed) is Reason.DENIED
    assert world.node(CLIENT, realm=1).route(client) is Reason.DENIED


def test_rules_of_a_new_registration_take_the_place_of_the_old_ones(world: World) -> None:
    server, client = world.node(rules=(Rule(True, (ECHO,)),)), world.node(CLIENT, rules=())
    assert client.route(server) is Reason.DENIED
    server.register(rules=(Rule(True, (*TYPES[1:], CLIENT)),))
    assert client.route(server) is server.record
    server.register(rules=(Rule(True, (CLIENT,)), Rule(False, (CLIENT,))))
    assert not server.record.allows(client.record.id)


def test_to_look_a_caller_up_in_long_rules_compares_no_more_than_in_short_ones(world: World) -> None:
    """Each relayed message and each candidate of a discovery is looked up."""
    server = world.node(rules=(Rule(True, TYPES),))
    compared = 0

    class Compared(str):
        def __eq__(self, other: object) -> bool:
            nonlocal compared
            compared += 1
            return str(self) == other

        __hash__ = str.__hash__

    caller = ActrId(Serial(1), 0, ActrType("acme", Compared("Client")))
    assert not server.record.allows(caller)
    assert compared < 10


def test_what_is_for_nobody_comes_back(world: World) -> None:
    client = world.node(CLIENT)
    assert client.route(Serial(99)) is Reason.UNKNOWN
    assert world.core.route(client.peer, b"short", 1, world.now) is Reason.UNKNOWN
    assert world.core.route(b"stranger", client.address, 1, world.now) is None


def test_a_backlog_is_bounded_and_freed_by_what_was_received() -> None:
    world = World(BrokerLimits(backlog=10_000))
    node, client = world.node(), world.node(CLIENT)
    while isinstance(client.route(node, 1_000), Node):
        pass
    sent = node.record.sent_bytes
    assert 8_000 < sent <= 10_000
    node.renew(received=sent)
    assert isinstance(client.route(node, 1_000), Node)
    node.renew(received=1 << 62)
    assert node.record.received_bytes <= node.record.sent_bytes


def test_what_could_not_be_written_does_not_count(world: World) -> None:
    node, client = world.node(), world.node(CLIENT)
    client.route(node)
    before = node.record.sent_bytes
    client.route(node, 500)
    world.core.congested(node.record, 500)
    assert node.record.sent_bytes == before


def test_relayed_frames_have_a_budget_of_their_own() -> None:
    world = World(BrokerLimits(backlog=1_000, relayed=5_000))
    node, client = world.node(stream_memory=1 << 40), world.node(CLIENT)
    assert world.core.relay(client.token, node.address, 100) is None
    client.route(node)
    count = 0
    while world.core.relay(client.token, node.address, 936) is node.record:
        count += 1
    assert count == 6
    assert world.core.over_budget == {node.serial: node.record}
    node.renew(relayed=3_000)
    assert world.core.relay(client.token, node.address, 936) is node.record
    assert world.core.relay(bytes(16), node.address, 1) is None


def test_a_receiver_that_is_down_is_told_of_no_frames_any_more() -> None:
    world = World(BrokerLimits(backlog=100, relayed=0))
    node, client = world.node(), world.node(CLIENT)
    client.route(node, 0)
    assert world.core.relay(client.token, node.address, 936) is None
    assert world.core.over_budget == {node.serial: node.record}
    node.say(Deregister(node.session))
    assert world.core.over_budget == {}


def test_the_budget_of_relayed_frames_has_room_for_one_of_each_stream_whatever_the_memory() -> None:
    world = World(BrokerLimits(backlog=0, body=1_000 - MESSAGE_OVERHEAD))
    node, client = world.node(stream_memory=1), world.node(CLIENT)
    world.core._meeting.meet(client.record, node.address)
    node.renew(streams=50)
    count = 0
    while world.core.relay(client.token, node.address, 936 - MESSAGE_OVERHEAD) is node.record:
        count += 1
    assert count == 50


# finding and watching


def test_discovery_answers_by_type_and_by_name(world: World) -> None:
    one, two, client = world.node(), world.node(), world.node(CLIENT, visible=False)
    (found,) = client.say(Discover(1, ECHO, all=True))
    assert isinstance(found, Found)
    assert {instance.id.serial for instance in found.instances} == {one.serial, two.serial}
    (found,) = client.say(Discover(2, None, "echo"))
    assert isinstance(found, Found)
    assert len(found.instances) == 1
    assert client.say(Discover(3, CLIENT)) == [NotFound(3)]


def test_a_burst_of_discoveries_spreads_by_load(world: World) -> None:
    nodes = [world.node() for _ in range(4)]
    nodes[0].renew(load=1_000)
    client = world.node(CLIENT)
    heard = client.say(*(Discover(at, ECHO) for at in range(300)))
    world.wait(50)
    picked = [found.instances[0].id.serial for found in [*heard, *client.heard()] if isinstance(found, Found)]
    assert len(picked) == 300
    counts = [picked.count(node.serial) for node in nodes]
    assert counts[0] == 0
    assert min(counts[1:]) > 80


def test_a_watch_tells_of_every_change_in_order(world: World) -> None:
    client = world.node(CLIENT)
    assert client.say(Watch(1, ECHO)) == [Watching(1, 0, ())]
    node = world.node()
    node.say(Drain(node.session))
    other = world.node()
    node.say(Deregister(node.session))
    changes = [change for change in client.heard() if isinstance(change, Changed)]
    assert [change.version for change in changes] == [1, 2, 3, 4]
    assert [(change.instance.id.serial, change.reason) for change in changes] == [
        (node.serial, None),
        (node.serial, Reason.DRAINING),
        (other.serial, None),
        (node.serial, Reason.DEREGISTERED),
    ]


def test_a_watch_does_not_tell_of_nodes_whose_rules_hide_them(world: World) -> None:
    client, friend = world.node(CLIENT), world.node(ActrType("acme", "Friend"))
    for watcher in (client, friend):
        watcher.say(Watch(1, ECHO))
    hidden = world.node(rules=(Rule(True, (friend.type,)),))
    hidden.say(Drain(hidden.session))
    hidden.say(Deregister(hidden.session))
    assert client.heard() == []
    assert len(friend.heard()) == 3


def test_a_watch_said_again_replaces_the_one_before(world: World) -> None:
    client = world.node(CLIENT)
    client.say(Watch(1, ECHO))
    client.say(Watch(1, None, "other"))
    world.node()
    assert client.heard() == []
    client.say(Deregister(client.session))
    world.node()
    assert world.core.statistics()["watches"] == 0


@pytest.mark.parametrize(("fingerprint", "fit"), [("f" * 100, 1_000), ("f" * 256, 736), ("\U0001f9c3" * 256, 233)])
def test_an_answer_has_as_many_instances_as_a_message_has_room_for_and_the_rest_is_counted(
    world: World, fingerprint: str, fit: int
) -> None:
    type = ActrType("m" * 32, "N" * 32)
    for _ in range(1_050):
        world.node(type, fingerprint=fingerprint)
    client = world.node(CLIENT)
    (found,) = client.say(Discover(1, type, all=True))
    world.now += 1  # each turn has its share of answers
    (watching,) = client.say(Watch(2, type))
    for said in (found, watching):
        assert isinstance(said, Found | Watching)
        assert len(said.instances) == fit
        decode_batch(encode_batch(Batch(world.now, [said])))
    assert world.core.counters["dropped.instances"] == 2 * (1_050 - fit)


def test_watches_are_bounded() -> None:
    world = World(BrokerLimits(watches=2))
    client = world.node(CLIENT)
    told, also_told, refused = client.say(*(Watch(query, ECHO) for query in range(3)))
    assert isinstance(told, Watching)
    assert isinstance(also_told, Watching)
    assert isinstance(refused, NoWatch)
    assert (refused.query, refused.failure.name) == (2, "ActrOverloaded")
    world.node()
    assert [change.query for change in client.heard() if isinstance(change, Changed)] == [0, 1]


# numbers at their limit


def test_whatever_numbers_nodes_tell_the_broker_says_nothing_that_nobody_can_decode(world: World) -> None:
    evil = world.node(uptime=MAX_INT, stream_memory=MAX_INT, pid=MAX_INT)
    client = world.node(CLIENT)
    client.say(Watch(MAX_INT, ECHO))
    letter = DeadLetter("reason", "call", count=MAX_INT)
    said = evil.renew(load=MAX_INT, lag=MAX_INT, received=MAX_INT, relayed=MAX_INT, streams=MAX_INT)
    said += evil.say(Renew(evil.session, MAX_INT), Dropped((letter, letter)))
    evil.renew(load=MAX_INT)
    world.say(b"watchdog", Lagging(evil.token, 2_500))
    evil.renew(load=MAX_INT)
    for _ in range(3):
        said += client.say(Discover(MAX_INT, ECHO, all=True), ListNodes(MAX_INT), Inspect(MAX_INT))
        world.wait(1_000)
    said += client.heard()
    said += client.say(Register(MAX_INT, PROTOCOL, client.key, 0, CLIENT, "echo"), ListNodes(1))
    assert {Found, Changed} <= {type(message) for message in said}
    for message in said:
        decode_batch(encode_batch(Batch(world.now, [message])))


# one who asks too much


def questions(count: int) -> list[Discover]:
    return [Discover(query, ECHO, all=True) for query in range(count)]


def test_a_flood_of_questions_is_answered_a_share_at_a_time_and_in_order(world: World) -> None:
    for _ in range(50):
        world.node()
    greedy, modest = world.node(CLIENT), world.node(CLIENT)
    heard = greedy.say(*questions(200))
    assert 1 <= len(heard) < 20
    assert len(modest.say(Discover(1, ECHO))) == 1, "it need not wait for the other"
    for _ in range(100):
        world.core.tick(world.now)
        world.flush()
    heard += greedy.heard()
    assert [answer.query for answer in heard if isinstance(answer, Found)] == list(range(200))
    assert world.core.next_deadline() != world.now, "nothing waits any more"


def test_all_together_are_answered_no_more_than_a_turn_can_bear_and_each_in_turn(world: World) -> None:
    for _ in range(50):
        world.node()
    clients = [world.node(CLIENT) for _ in range(20)]
    at_once = [len(client.say(*questions(50))) for client in clients]
    assert at_once[-1] == 0
    told = []
    for _ in range(8):
        world.now += 1
        world.core.answer(world.now)
        world.flush()
        told.append([len(client.heard()) for client in clients])
    assert all(0 < sum(turn) < 60 for turn in told)
    assert all(map(sum, zip(*told, strict=True))), "everybody had a turn"


def test_one_who_does_not_take_his_answers_gets_no_more_until_he_does() -> None:
    world = World(BrokerLimits(backlog=1_000))
    world.node()
    client = world.node(CLIENT)
    while client.say(Discover(1, ECHO)):
        pass
    assert client.say(Discover(2, ECHO), Watch(3, ECHO)) == []
    assert world.core.next_deadline() != world.now, "it waits for him, not for the time"
    client.renew(received=client.record.sent_bytes)
    world.core.tick(world.now)
    world.flush()
    assert [type(answer) for answer in client.heard()] == [Found, Found, Watching]


def test_questions_that_wait_are_bounded_and_each_that_is_dropped_is_counted() -> None:
    world = World(BrokerLimits(backlog=0))
    client = world.node(CLIENT)
    client.renew()
    client.say(*questions(WAITING + 11))
    statistics = world.core.statistics()
    assert (statistics["questions.waiting"], statistics["dropped.questions"]) == (WAITING, 11)


def test_watches_behind_a_flood_of_questions_are_kept_and_told() -> None:
    """Who watches says so once: he would never learn that it was lost."""
    world = World(BrokerLimits(watches=3))
    client = world.node(CLIENT)
    client.say(*questions(SHARE + WAITING + 1), *(Watch(query, ECHO) for query in range(3)))
    assert world.core.counters["dropped.questions"] == 1
    world.node()
    for _ in range(2 * WAITING // SHARE + 1):
        world.now += 1
        world.core.answer(world.now)
        world.flush()
    told = [answer for answer in client.heard() if isinstance(answer, Watching)]
    assert [(answer.query, len(answer.instances)) for answer in told] == [(0, 1), (1, 1), (2, 1)]


def test_watches_that_wait_are_bounded_and_one_said_again_waits_once() -> None:
    world = World(BrokerLimits(backlog=0, watches=3))
    client = world.node(CLIENT)
    client.renew()
    client.say(*questions(WAITING), *(Watch(query % 5, ECHO) for query in range(100)))
    statistics = world.core.statistics()
    assert (statistics["questions.waiting"], statistics["dropped.questions"]) == (WAITING + 3, 40)


def test_a_watch_that_ends_waits_no_longer_and_one_that_stands_ends_at_once() -> None:
    world = World(BrokerLimits(backlog=0))
    client = world.node(CLIENT)
    client.say(Watch(1, ECHO))
    client.renew()
    client.say(*questions(WAITING), Watch(WAITING, ECHO))
    client.say(Unwatch(WAITING), Unwatch(1))
    statistics = world.core.statistics()
    assert (statistics["questions.waiting"], statistics["watches"]) == (WAITING, 0)


def test_questions_of_one_who_is_gone_are_forgotten() -> None:
    world = World(BrokerLimits(backlog=0))
    client = world.node(CLIENT)
    client.renew()
    client.say(*questions(5), Deregister(client.session))
    world.core.tick(world.now)
    assert world.core.statistics()["questions.waiting"] == 0


# after a restart of the broker


def test_expected_nodes_are_not_yet_there_and_then_down() -> None:
    world = World()
    lost = ActrId(Serial(5), 0, ECHO)
    world.core.expect([Remembered(lost, "echo")], [Serial(6)], world.now)
    client = world.node(CLIENT)
    assert client.route(lost.serial) is Reason.NOT_YET
    assert client.say(Discover(1, ECHO)) == [NotYet(1)]
    assert client.route(Serial(6)) is Reason.UNKNOWN
    heard = []
    for _ in range(11):
        world.wait(1_000)
        heard += client.renew()
    assert PeerDown(lost.serial, Reason.LEASE) in heard
    assert client.route(lost.serial) is Reason.UNKNOWN
    assert client.say(Discover(2, ECHO)) == [NotFound(2)]


def test_what_only_a_peer_named_is_waited_for_and_then_refused_but_not_stored_as_down() -> None:
    world = World()
    world.core.expect([], [], world.now)
    named = Member(world, ECHO, "echo", {})
    client = Member(world, CLIENT, "client", {"peers": (named.serial,)})
    assert not any(isinstance(message, PeerDown) for message in client.register())
    assert client.route(named) is Reason.NOT_YET
    heard = []
    for _ in range(11):
        world.wait(1_000)
        heard += client.renew()
    assert PeerDown(named.serial, Reason.UNKNOWN) in heard
    assert not any(isinstance(effect, Bury) for effect in world.core.store_effects)
    assert world.core.statistics().get("down.lease", 0) == 0
    (refused,) = named.register()
    assert isinstance(refused, Refused)
    assert (refused.status, refused.fatal) == (Status.ABORTED, False)


def test_what_a_peer_names_after_that_lease_is_told_as_unknown_and_refused(world: World) -> None:
    named = Member(world, ECHO, "echo", {})
    client = Member(world, CLIENT, "client", {"peers": (named.serial,)})
    assert PeerDown(named.serial, Reason.UNKNOWN) in client.register()
    assert isinstance(named.register()[0], Refused)


def test_names_that_peers_make_up_push_nobody_out_of_the_memory_of_the_dead() -> None:
    world = World(BrokerLimits(dead=2, expected=3))
    world.core.expect([], [], world.now)
    gone = world.node()
    gone.say(Deregister(gone.session))
    Member(world, CLIENT, "client", {"peers": tuple(map(Serial, range(1, 50)))}).register()
    world.wait(11_000)
    assert len(world.core._roster.disowned) == 3
    assert isinstance(gone.register()[0], Refused)


def test_statistics_tell_who_is_unreachable_now_and_how_often_connections_broke() -> None:
    world = World()
    node = world.node()
    world.core.unreachable(node.peer, world.now)
    broken = world.core.statistics()
    assert (broken["unreachable"], broken["connections.broken"]) == (1, 1)
    node.register()
    back = world.core.statistics()
    assert (back["unreachable"], back["connections.broken"]) == (0, 1)


HUGE = 2**63 - 1


def is_understood(said: list[FromBroker]) -> bool:
    """Can who hears it decode it?"""
    return decode_batch(encode_batch(Batch(0, [*said]))).envelopes == said


def test_a_node_with_a_huge_load_does_not_spoil_what_others_discover() -> None:
    world = World()
    boaster, asker = world.node(), world.node(CLIENT, "client")
    boaster.say(Renew(boaster.session, 0, load=HUGE))
    for query in range(3):
        found = asker.say(Discover(query, ECHO))
        assert isinstance(found[0], Found)
        assert is_understood(found)


def test_a_node_with_a_huge_uptime_does_not_spoil_the_list_of_nodes() -> None:
    world = World()
    world.node(uptime=HUGE)
    asker = world.node(CLIENT, "client")
    world.now += 5_000
    assert is_understood(asker.say(ListNodes(1)))


def test_a_node_with_huge_counts_does_not_spoil_the_dead_letters() -> None:
    world = World()
    boaster = world.node()
    boaster.say(Dropped((DeadLetter("made up", "call", count=HUGE), DeadLetter("made up", "call", count=HUGE))))
    (answer,) = boaster.say(Inspect(1))
    assert isinstance(answer, Inspected)
    assert answer.letters[0].count == HUGE
    assert is_understood([answer])
