"""The relay of a live broker: who may use it, what arrives, and what a receiver can be made to hold."""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing

import pytest
import zmq

from actrzmq.core.broker import BrokerLimits
from actrzmq.net import sockets
from actrzmq.wire.codec import BODY_BYTES, TOKEN_BYTES, encode_batch
from actrzmq.wire.messages import Batch, Deregister, Introduce, Renewed
from tests.net.peers import Broker, Peer, wait_until

HELLO = encode_batch(Batch(0, []))


class Receiver(Peer):
    """A peer that takes relayed frames."""

    def __init__(self, broker: Broker) -> None:
        self.pull, data = sockets.pull()
        super().__init__(broker.endpoint, "Receiver", data=data)
        self.token = self.register(stream_memory=1 << 20).token

    def take(self) -> tuple[int, list[bytes]]:
        """The next relayed message: how many bytes have gone to this node, and the frames."""
        assert self.pull.poll(5000), "nothing came"
        frames = sockets.receive(self.pull, 8, BODY_BYTES, Counter())
        assert frames
        mark, *rest = frames
        assert mark[:TOKEN_BYTES] == self.token
        return int.from_bytes(mark[TOKEN_BYTES:]), rest

    def close(self) -> None:
        """Close both."""
        self.pull.close(0)
        self.socket.close(0)


@pytest.fixture
def broker() -> Iterator[Broker]:
    with Broker(BrokerLimits(backlog=100_000)) as running:
        yield running


@pytest.fixture
def receiver(broker: Broker) -> Iterator[Receiver]:
    with closing(Receiver(broker)) as receiver:
        yield receiver


class Sender:
    """A peer that relays frames."""

    def __init__(self, broker: Broker, receiver: Peer) -> None:
        self.peer = Peer(broker.endpoint, "Sender")
        self.token = self.peer.register().token
        self.peer.send([receiver.address, HELLO])
        self.peer.hear(Introduce)
        self.push = sockets.push()
        sockets.connect(self.push, broker.relay)

    def relay(self, *frames: bytes, mark: bytes) -> None:
        """Send one message to the relay."""
        wait_until(lambda: sockets.send(self.push, [mark, *frames]), "a connection")

    def close(self) -> None:
        """Close both."""
        self.push.close(0)
        self.peer.socket.close(0)


@pytest.fixture
def sender(broker: Broker, receiver: Receiver) -> Iterator[Sender]:
    with closing(Sender(broker, receiver)) as sender:
        yield sender


def test_frames_arrive_in_order_from_the_first_on_with_the_bytes_so_far(
    broker: Broker, sender: Sender, receiver: Receiver
) -> None:
    mark = sender.token + receiver.address
    for at in range(100):
        sender.relay(b"%d" % at, b"large", mark=mark)
    counts = []
    for at in range(100):
        count, frames = receiver.take()
        counts.append(count)
        assert frames == [b"%d" % at, b"large"]
    assert counts[0] == 1 + 5 + 64
    assert counts == sorted(counts)
    assert broker.loop.statistics()["relay.messages"] == 100


@pytest.mark.parametrize(
    ("mark", "frames", "reason"),
    [
        (bytes(24), [b"x"], "relay.stranger"),
        (b"short", [b"x"], "relay.garbage"),
        (bytes(1000), [b"x"], "relay.garbage"),
        (bytes(24), [], "relay.garbage"),
        (bytes(24), [b""] * 7, "relay.parts"),
        (bytes(24), [bytes(1 << 20)], "relay.oversize"),
        (bytes(24), [b"", bytes((4 << 20) + 1), b""], "relay.oversize"),
    ],
)
def test_what_is_no_message_is_counted_and_the_next_one_relayed(
    broker: Broker, sender: Sender, receiver: Receiver, mark: bytes, frames: list[bytes], reason: str
) -> None:
    sender.relay(*frames, mark=mark)
    sender.relay(b"good", mark=sender.token + receiver.address)
    assert receiver.take()[1] == [b"good"]
    broker.wait_counted(reason)


def test_only_those_who_were_introduced_may_relay(broker: Broker, sender: Sender, receiver: Receiver) -> None:
    with Peer(broker.endpoint, "Third") as third:
        token = third.register().token
        sender.relay(b"x", mark=token + receiver.address)
        broker.wait_counted("relay.unknown")
    sender.relay(b"good", mark=sender.token + receiver.address)
    assert receiver.take()[1] == [b"good"]


def test_a_receiver_holds_no_more_than_its_budget_and_is_told_the_count() -> None:
    with (
        Broker(BrokerLimits(backlog=100_000, relayed=50_000)) as broker,
        closing(Receiver(broker)) as receiver,
        closing(Sender(broker, receiver)) as sender,
    ):
        mark = sender.token + receiver.address
        for _ in range(20):
            sender.relay(bytes(10_000), mark=mark)
        broker.wait_counted("relay.over_budget", 6)
        taken = [receiver.take() for _ in range(14)]
        assert all(frames for _, frames in taken)
        count, frames = receiver.take()
        assert frames == []
        assert count == taken[-1][0]
        receiver.renew(relayed=count)
        receiver.hear(Renewed)
        sender.relay(b"again", mark=mark)
        assert receiver.take()[1] == [b"again"]


@pytest.mark.parametrize("data", ["tcp://192.0.2.1:80", "ipc:///tmp/x", "tcp://localhost:1", "", "nonsense"])
def test_the_broker_connects_to_loopback_ports_only(broker: Broker, data: str) -> None:
    with Peer(broker.endpoint, data=data) as receiver:
        receiver.register()
        with closing(Sender(broker, receiver)) as sender:
            sender.relay(b"x", mark=sender.token + receiver.address)
            broker.wait_counted("relay.endpoint")


def test_the_way_to_a_node_that_is_down_is_closed(broker: Broker, sender: Sender, receiver: Receiver) -> None:
    watching = sockets.monitor(receiver.pull, zmq.EVENT_DISCONNECTED)
    sender.relay(b"x", mark=sender.token + receiver.address)
    receiver.take()
    receiver.say(Deregister(receiver.session))
    assert watching.poll(5000)
    receiver.pull.disable_monitor()
    watching.close(0)


def test_what_is_relayed_before_the_way_is_open_waits_for_it(
    broker: Broker, sender: Sender, receiver: Receiver
) -> None:
    start = time.monotonic()
    sender.relay(b"first", mark=sender.token + receiver.address)
    assert receiver.take()[1] == [b"first"]
    assert time.monotonic() - start < 0.25
