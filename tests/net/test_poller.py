"""A live broker and raw peers: registering, routing, what comes back, who is told of whom."""

import logging
import secrets
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
import zmq

from actrzmq.core.broker import BrokerLimits, Bury
from actrzmq.core.expected import Remembered
from actrzmq.core.registry import Node
from actrzmq.identity import ActrId, ActrType, Serial, serial_of
from actrzmq.net import poller, sockets
from actrzmq.net.clock import boottime_ms
from actrzmq.net.endpoints import candidates
from actrzmq.wire.codec import BATCH_BYTES, BATCH_ENVELOPES, LARGE_BYTES, decode_batch, encode_batch, encode_serial
from actrzmq.wire.messages import (
    Batch,
    Call,
    CallId,
    Changed,
    Deregister,
    Deregistered,
    Discover,
    Envelope,
    Found,
    Introduce,
    Lagging,
    NotFound,
    NotYet,
    PeerBack,
    PeerDown,
    Reason,
    Refused,
    Registered,
    Renew,
    Renewed,
    Returned,
    Unknown,
    Watch,
    Watching,
)
from tests.net.peers import Broker, Peer, wait_until

CALL = encode_batch(Batch(1, [Call(CallId(1), "pkg.Service.Method", b"body", 1000)]))


@pytest.fixture
def broker() -> Iterator[Broker]:
    with Broker() as running:
        yield running


@pytest.fixture
def one(broker: Broker) -> Iterator[Peer]:
    with Peer(broker.endpoint, "One", "one") as peer:
        peer.register()
        yield peer


@pytest.fixture
def other(broker: Broker) -> Iterator[Peer]:
    with Peer(broker.endpoint, "Other", "other") as peer:
        peer.register()
        yield peer


def test_a_node_registers_and_renews(broker: Broker) -> None:
    with Peer(broker.endpoint) as peer:
        registered = peer.register()
        assert (registered.epoch, registered.relay) == (1, broker.relay)
        peer.say(Renew(registered.session, sent=17))
        assert peer.hear(Renewed).sent == 17


def test_a_stranger_is_told_that_it_is_one(broker: Broker) -> None:
    with Peer(broker.endpoint) as peer:
        peer.say(Discover(1, None, "x"))
        peer.hear(Unknown)
        peer.send([peer.address, CALL])
        peer.hear(Unknown)


def test_nodes_find_one_another(one: Peer, other: Peer) -> None:
    one.say(Discover(7, other.type))
    assert [instance.id.serial for instance in one.hear(Found).instances] == [other.serial]
    one.say(Discover(8, None, "other"))
    assert one.hear(Found).query == 8
    one.say(Discover(9, None, "nobody"))
    assert one.hear(NotFound).query == 9


def test_a_batch_passes_unread_and_both_were_introduced_before(one: Peer, other: Peer) -> None:
    one.send([other.address, b"not even a batch", b"body"])
    assert other.hear_from(one) == [b"not even a batch", b"body"]
    introduced = [envelope for envelope in other.kept if isinstance(envelope, Introduce)]
    assert [envelope.id.serial for envelope in introduced] == [one.serial]
    other.send([one.address, CALL])
    assert one.hear_from(other) == [CALL]
    assert one.hear(Introduce).id.serial == other.serial


def test_large_bodies_pass_as_frames_of_their_own(one: Peer, other: Peer) -> None:
    bodies = [bytes([at]) * LARGE_BYTES for at in range(4)]
    one.send([other.address, CALL, *bodies])
    assert other.hear_from(one) == [CALL, *bodies]


def test_what_is_for_nobody_comes_back_whole(one: Peer) -> None:
    one.send([b"\0" * 8, CALL, b"body"])
    address, words, *rest = one.receive()
    assert address == b""
    assert decode_batch(words).envelopes == [Returned(Serial(0), Reason.UNKNOWN)]
    assert rest == [CALL, b"body"]


def test_who_knows_a_node_hears_within_a_second_that_it_is_gone(broker: Broker, one: Peer, other: Peer) -> None:
    one.send([other.address, CALL])
    other.hear_from(one)
    other.socket.close(0)
    assert one.hear(PeerDown, timeout=1) == PeerDown(other.serial, Reason.UNREACHABLE)
    wait_until(lambda: Bury(other.serial, Reason.UNREACHABLE) in broker.stored, "burial")
    one.send([other.address, CALL])
    assert one.hear(Returned).reason is Reason.UNKNOWN


def test_a_node_that_comes_back_on_another_connection_is_the_same(broker: Broker, one: Peer, other: Peer) -> None:
    one.send([other.address, CALL])
    other.hear_from(one)
    with Peer(broker.endpoint, "Other", "other") as again:
        again.key = other.key
        other.socket.close(0)
        again.register(attempt=2, peers=(one.serial,))
        assert one.hear(PeerBack).serial == other.serial
        one.send([again.address, CALL])
        assert again.hear_from(one) == [CALL]
        broker.wait_counted("nodes", 2)


def test_a_node_that_leaves_is_answered_and_announced(one: Peer, other: Peer) -> None:
    one.send([other.address, CALL])
    other.hear_from(one)
    one.say(Watch(1, other.type))
    assert len(one.hear(Watching).instances) == 1
    other.say(Deregister(other.session))
    other.hear(Deregistered)
    assert one.hear(Changed).reason is Reason.DEREGISTERED
    assert one.hear(PeerDown).reason is Reason.DEREGISTERED


def test_a_key_that_was_declared_down_never_comes_back(broker: Broker, one: Peer, other: Peer) -> None:
    other.say(Deregister(other.session))
    other.hear(Deregistered)
    other.say(other.registration(attempt=9))
    refused = other.hear(Refused)
    assert not refused.fatal


def test_a_watchdog_on_a_connection_of_its_own_may_speak_for_its_node(broker: Broker, one: Peer) -> None:
    with Peer(broker.endpoint, "Third", "third") as lagging:
        token = lagging.register().token
        with Peer(broker.endpoint) as watchdog:
            watchdog.say(Lagging(token, 3000))
            one.say(Watch(1, lagging.type))

            def is_hidden() -> bool:
                one.say(Discover(1, lagging.type))
                return isinstance(one.hear((Found, NotFound)), NotFound)  # type: ignore[arg-type]

            wait_until(is_hidden, "lagging node hidden")


def test_a_node_that_takes_nothing_fills_its_own_backlog_and_nobody_elses(other: Peer, broker: Broker) -> None:
    body = bytes(1 << 20)
    with Peer(broker.endpoint, "Third", "third") as stuck, Peer(broker.endpoint, "Fourth") as sender:
        stuck.register()
        sender.register()
        for _ in range(16):
            sender.send([stuck.address, CALL, body])
        assert sender.hear(Returned) == Returned(stuck.serial, Reason.CONGESTED)
        assert broker.loop.statistics()["returned.congested"] == 1
        sender.send([other.address, CALL])
        assert other.hear_from(sender) == [CALL]
        for _ in range(15):
            stuck.hear_from(sender)
        stuck.renew(received=stuck.received)
        stuck.hear(Renewed)
        sender.send([stuck.address, CALL, body])
        assert stuck.hear_from(sender) == [CALL, body]


def test_both_ends_count_the_same_bytes(broker: Broker, one: Peer, other: Peer) -> None:
    for size in range(50):
        one.send([other.address, CALL, bytes(size)])
        other.hear_from(one)
    one.send([b"\1" * 8, CALL, bytes(100)])
    one.hear(Returned)
    for peer in (one, other):
        node = next(node for node in broker.core.nodes() if node.id.serial == peer.serial)

        def is_equal(peer: Peer = peer, node: Node = node) -> bool:
            while not peer.is_silent(0):
                peer.receive()
            return node.sent_bytes == peer.received

        wait_until(is_equal, "equal counts")


def test_many_words_at_once_travel_in_batches_within_the_limits(broker: Broker, one: Peer) -> None:
    peers = tuple(range(1, 1001))
    with Peer(broker.endpoint) as peer:
        peer.say(peer.registration(peers=peers))
        down = 0
        while down < len(peers):
            _, header = peer.receive()
            envelopes = decode_batch(header).envelopes
            assert len(envelopes) <= BATCH_ENVELOPES
            assert len(header) <= BATCH_BYTES
            down += sum(isinstance(envelope, PeerDown) for envelope in envelopes)


def test_what_the_broker_calls_a_connection_never_leaves_it(broker: Broker, caplog: pytest.LogCaptureFixture) -> None:
    """Who knows the id that ROUTER has given to a connection can disturb its owner."""
    caplog.set_level(logging.DEBUG)
    heard: list[bytes] = []

    def hear(peer: Peer, kind: type[Envelope]) -> None:
        """Take messages until one has an envelope of `kind`."""
        found: list[Envelope] = []
        while not any(isinstance(envelope, kind) for envelope in found):
            frames = peer.receive()
            heard.extend(frames)
            found = decode_batch(frames[1]).envelopes

    with Peer(broker.endpoint) as one, Peer(broker.endpoint) as other:
        one.say(one.registration())
        hear(one, Registered)
        session = next(broker.core.nodes()).session
        other.say(other.registration())
        hear(other, Registered)
        ids = [node.peer for node in broker.core.nodes()]
        one.say(to=other.address)
        hear(other, Introduce)
        one.say(to=b"\x7f" * 8)
        hear(one, Returned)
        one.say(Discover(1, None, "nobody"))
        hear(one, NotFound)
        one.say(Deregister(session))
        hear(other, PeerDown)
        broker.loop.show_statistics()
        wait_until(lambda: "statistics" in caplog.text, "counts in the log")
    assert len(ids) == 2
    assert "node up" in caplog.text
    assert [id for id in ids if any(id in frame for frame in heard)] == []
    assert [id for id in ids if id.hex() in caplog.text or repr(id)[2:-1] in caplog.text] == []


def test_a_connection_without_traffic_is_probed(one: Peer) -> None:
    address, header = one.receive(timeout=1)
    assert address == b""
    assert decode_batch(header).envelopes == []


@pytest.mark.parametrize(("make", "counted"), [(sockets.dealer, "dropped.parts"), (sockets.push, "relay.garbage")])
def test_what_came_before_and_is_more_than_a_turn_takes_needs_no_further_sign(
    make: Callable[[], zmq.Socket[bytes]], counted: str
) -> None:
    """A descriptor tells of edges only, and this one's is long past."""
    broker = Broker()
    with closing(make()) as socket:
        sockets.connect(socket, broker.endpoint if make is sockets.dealer else broker.relay)
        for _ in range(900):
            wait_until(lambda: sockets.send(socket, [b"x"]), "a connection")
        arrived = broker.loop._router if make is sockets.dealer else broker.loop._pull
        assert arrived.poll(5_000)
        with broker:
            broker.wait_counted(counted, 900)


def test_those_that_the_store_knew_are_awaited_and_told_of() -> None:
    back_key, lost_key = secrets.token_bytes(32), secrets.token_bytes(32)
    lost = ActrId(serial_of(lost_key), 0, ActrType("acme", "Lost"))
    back = ActrId(serial_of(back_key), 0, ActrType("acme", "Node"))
    broker = Broker(BrokerLimits(lease=3_000))
    broker.core.expect([Remembered(lost, "lost"), Remembered(back, "back")], [], boottime_ms() - 2_500)
    with broker, Peer(broker.endpoint) as caller, Peer(broker.endpoint) as returning:
        returning.key = back_key
        caller.register()
        for expected in (lost, back):
            caller.send([encode_serial(expected.serial), CALL])
            assert caller.hear(Returned) == Returned(expected.serial, Reason.NOT_YET)
        caller.say(Discover(1, lost.type))
        caller.hear(NotYet)
        returning.register()
        assert caller.hear(PeerBack).serial == back.serial
        assert caller.hear(PeerDown, timeout=3) == PeerDown(lost.serial, Reason.LEASE)


def test_nodes_of_this_machine_reach_it_over_its_sibling(broker: Broker) -> None:
    (sibling, _) = candidates(broker.endpoint)
    with Peer(sibling) as near, Peer(broker.endpoint) as far:
        near.register()
        far.register()
        near.send([far.address, CALL])
        assert far.hear_from(near) == [CALL]


def test_a_broker_that_was_stopped_gives_its_nodes_that_time_back(monkeypatch: pytest.MonkeyPatch) -> None:
    skew = 0
    monkeypatch.setattr(poller, "boottime_ms", lambda: boottime_ms() + skew)
    with Broker(BrokerLimits(lease=2_000)) as broker, Peer(broker.endpoint) as peer:
        peer.register()
        skew = 60_000
        peer.renew()
        peer.hear(Renewed)
        assert broker.loop.statistics()["nodes"] == 1
