"""What is no message is counted by its reason and dropped; everybody else is served as before."""

import random
import socket
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from actrzmq.wire.codec import HEADER_BYTES, decode_batch, encode_batch
from actrzmq.wire.messages import Batch, Call, CallId, Deregister, Renewed
from tests.net.peers import Broker, Peer, wait_until

CALL = encode_batch(Batch(1, [Call(CallId(1), "pkg.Service.Method", b"body", 1000)]))
TLS_HELLO = bytes.fromhex("16030100c8010000c40303") + bytes(192)


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with Broker() as running:
        yield running


@pytest.fixture
def bystander(broker: Broker) -> Iterator[Peer]:
    with Peer(broker.endpoint, "Bystander") as peer:
        peer.register()
        yield peer
        peer.renew()
        peer.hear(Renewed, timeout=2)
        peer.say(Deregister(peer.session))


def count_of(broker: Broker, name: str) -> Callable[[], int]:
    return lambda: broker.loop.statistics().get(name, 0)


@pytest.mark.usefixtures("bystander")
@pytest.mark.parametrize(
    ("frames", "reason"),
    [
        ([b""], "dropped.parts"),
        ([b"x"], "dropped.parts"),
        ([b"", b"", b""], "dropped.undecodable"),
        ([b"", CALL, b"body"], "dropped.undecodable"),
        ([b""] * 1000, "dropped.parts"),
        ([bytes(8), CALL, *[b""] * 5], "dropped.parts"),
        ([b"", b""], "dropped.undecodable"),
        ([b"", b"\xc1"], "dropped.undecodable"),
        ([b"", b"\x93" * 10_000], "dropped.undecodable"),
        ([b"", encode_batch(Batch(0, []))[:-1]], "dropped.undecodable"),
        ([b"", bytes(HEADER_BYTES + 1)], "dropped.oversize"),
        ([bytes(8), bytes(HEADER_BYTES + 1)], "dropped.oversize"),
        ([bytes(8), CALL, bytes((4 << 20) + 1), b""], "dropped.oversize"),
        ([b"short", CALL], "dropped.address"),
        ([b"\xff" * 8, CALL], "dropped.address"),
        ([bytes(1 << 20), CALL], "dropped.address"),
        ([b"", CALL], "dropped.not_for_broker"),
    ],
)
def test_a_false_message_is_counted_and_the_next_one_understood(
    broker: Broker, frames: list[bytes], reason: str
) -> None:
    with Peer(broker.endpoint) as peer:
        peer.register()
        before = count_of(broker, reason)()
        peer.send(frames)
        peer.renew()
        peer.hear(Renewed)
        wait_until(lambda: count_of(broker, reason)() == before + 1, reason)
        peer.say(Deregister(peer.session))


@pytest.mark.usefixtures("bystander")
@pytest.mark.parametrize(
    "said",
    [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", TLS_HELLO, b"\0" * 100, random.Random(9).randbytes(1000)],
    ids=["http", "tls", "0", "?"],
)
def test_who_speaks_another_protocol_is_cut_off_and_counted(broker: Broker, said: bytes) -> None:
    begun, made, ended = (count_of(broker, f"connections.{what}") for what in ("begun", "made", "ended"))
    before = begun(), made(), ended()
    host, port = broker.endpoint.removeprefix("tcp://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(said)
        with suppress(ConnectionResetError):
            while connection.recv(100):
                pass
        wait_until(lambda: begun() > before[0] and ended() > before[2], "end of the connection")
    assert made() == before[1]


@pytest.mark.usefixtures("bystander")
def test_random_frames_harm_nobody(broker: Broker) -> None:
    dice = random.Random(7)
    with Peer(broker.endpoint) as registered, Peer(broker.endpoint) as stranger:
        registered.register()
        for _ in range(3000):
            peer = dice.choice((registered, stranger))
            peer.send([dice.randbytes(dice.choice((0, 0, 1, 8, 30))) for _ in range(dice.randrange(1, 9))])
            while not peer.is_silent(0):
                peer.receive()
        registered.renew()
        registered.hear(Renewed)
        registered.say(Deregister(registered.session))


@pytest.mark.usefixtures("bystander")
def test_damaged_batches_harm_nobody(broker: Broker) -> None:
    dice = random.Random(8)
    with Peer(broker.endpoint) as peer:
        good = bytearray(encode_batch(Batch(0, [peer.registration(peers=(1, 2), fingerprint="f")])))
        for _ in range(3000):
            bad = bytearray(good)
            for _ in range(dice.randrange(1, 4)):
                bad[dice.randrange(len(bad))] = dice.randrange(256)
            peer.send([b"", bytes(bad)])
            while not peer.is_silent(0):
                peer.receive()


@pytest.mark.usefixtures("bystander")
def test_a_flood_is_answered_sparingly_and_leaves_no_memory_behind(broker: Broker) -> None:
    counted = count_of(broker, "dropped.stranger")
    before = counted()
    tracemalloc.start()
    try:
        with Peer(broker.endpoint) as stranger:
            for _ in range(20_000):
                stranger.send([b"\0" * 8, CALL])
            wait_until(lambda: counted() == before + 20_000, "every message looked at", timeout=20)
            answers = 0
            while not stranger.is_silent(100):
                _, header = stranger.receive()
                answers += len(decode_batch(header).envelopes)
            kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 0 < answers < 2_000
    assert kept < 200_000, "ten bytes of each"
