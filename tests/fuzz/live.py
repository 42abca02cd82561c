"""A live broker under attack: messages over valid ZMTP that say anything, and connections that speak anything else.

Afterwards the broker must serve as if nothing had been, with the memory and the descriptors it had, and no word of an
exception in its log.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import signal
import socket
import struct
import tempfile
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import zmq
from msgspec import Struct

from actrzmq.net import sockets
from actrzmq.wire.codec import BODY_BYTES, HEADER_BYTES, encode_serial
from actrzmq.wire.messages import PROTOCOL, Batch, OnStreamPlane, Renewed
from tests.e2e.world import BROKER, Program
from tests.fuzz.shapes import NUMBERS, Shapes, damaged, encode, monster
from tests.net.peers import MAX_PARTS, Peer, wait_until

SENDERS = 8
AT_ONCE = 200
"""Connections that are open at the same time, at most."""
HOLD_S = 4.0
"""A handshake that is not completed keeps its descriptor for 3 s."""
MEMORY_KIB = 32 * 1024
GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00NULL" + bytes(16) + b"\x00" + bytes(31)
READY = b"\x04\x29\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER\x08Identity\x00\x00\x00\x00"
HELLOS = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    bytes.fromhex("16030100c8010000c40303") + bytes(192),
    b"SSH-2.0-OpenSSH_9.6\r\n",
    b"\x00" * 100,
    GREETING,
    GREETING + READY,
)


class Outcome(Struct):
    """What came of an attack: what the broker counted, how it was for it, and what must not have been."""

    counts: dict[str, int]
    rates: dict[str, float]
    found: list[str]


def attack(seed: int, messages: int, connections: int) -> Outcome:
    """Start a broker, send it so many messages, open so many connections, and look whether it is still well."""
    dice = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="fuzz") as name, ExitStack() as stack:
        folder = Path(name)
        variables = {"XDG_STATE_HOME": name, "XDG_RUNTIME_DIR": name}
        program = Program([*BROKER, "--listen", "tcp://127.0.0.1:*"], folder, folder, variables)
        stack.callback(program.stop)
        ready = program.wait_for(r"ready endpoint=(\S+) relay=(\S+)")
        outcome = Outcome({}, {}, [])
        alone = _figures(program)[0]
        _use(ready[1], outcome, "before")
        with suppress(AssertionError):
            wait_until(lambda: _figures(program)[0] <= alone, "descriptors back")
        before = _figures(program)
        began = time.monotonic()
        _send(dice, ready[1], ready[2], messages)
        said = time.monotonic()
        asyncio.run(_connect(dice, ready[1], connections))
        connected = time.monotonic()
        _use(ready[1], outcome, "after")
        with suppress(AssertionError):
            wait_until(lambda: _figures(program)[0] <= before[0], "descriptors back", timeout=20)
        after = _figures(program)
        _judge(program, before, after, outcome)
        outcome.counts |= {"messages": messages, "connections": connections}
        outcome.rates |= {
            "messages_per_s": messages / max(said - began, 1e-9),
            "connections_per_s": connections / max(connected - said, 1e-9),
            "memory_mib": (after[1] - before[1]) / 1024,
            "descriptors": float(after[0] - before[0]),
        }
    return outcome


def _use(endpoint: str, outcome: Outcome, when: str) -> None:
    """A node registers and renews; it must be served at once."""
    began = time.monotonic()
    try:
        with Peer(endpoint) as peer:
            peer.register()
            peer.renew()
            peer.hear(Renewed)
    except AssertionError as error:
        outcome.found.append(f"{when}: a node is not served: {error}")
    outcome.rates[f"served_ms_{when}"] = (time.monotonic() - began) * 1000


def _judge(program: Program, before: tuple[int, int], after: tuple[int, int], outcome: Outcome) -> None:
    program.process.send_signal(signal.SIGUSR1)
    with suppress(AssertionError):
        counted = program.wait_for(r"statistics (.*)")[1]
        outcome.counts |= {name: int(count) for name, count in re.findall(r"(\S+)=(\d+)", counted)}
    if program.process.poll() is not None:
        outcome.found.append(f"the broker has ended with {program.process.returncode}")
    for line in program.err.splitlines():
        if "Traceback" in line or " error " in line or "Assertion" in line:
            outcome.found.append(f"its log: {line[:300]}")
    if after[0] > before[0]:
        outcome.found.append(f"{after[0] - before[0]} descriptors more than before")
    if after[1] - before[1] > MEMORY_KIB:
        outcome.found.append(f"{(after[1] - before[1]) / 1024:.1f} MiB more than before")


def _figures(program: Program) -> tuple[int, int]:
    """The broker's descriptors, and its memory in KiB."""
    process = Path("/proc") / str(program.process.pid)
    resident = int((process / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024
    return len(list((process / "fd").iterdir())), resident


# over valid ZMTP


def _send(dice: random.Random, endpoint: str, relay: str, count: int) -> None:
    shapes = Shapes(0.01)
    whole, planes = shapes.of(Batch), shapes.of(list[OnStreamPlane])
    with ExitStack() as stack:
        peers = [stack.enter_context(Peer(endpoint)) for _ in range(SENDERS)]
        tokens: dict[Peer, bytes] = {}
        push = stack.enter_context(sockets.push())
        sockets.connect(push, relay)
        kept: list[bytes] = [encode(whole(dice)) for _ in range(200)]
        for number in range(count):
            peer = dice.choice(peers)
            if number % 2_000 == 0:  # some must be known, or nothing is looked at twice
                tokens[peer] = _come_in(dice, peer)
                shapes.numbers[:] = [*NUMBERS, *(one.serial for one in peers), *(one.session for one in peers)]
            if dice.random() < 0.1:
                content = encode(planes(dice))
                mark = dice.choice((*tokens.values(), bytes(16))) + dice.choice(peers).address
                mark = mark if dice.random() < 0.8 else damaged(dice, mark)
                _patiently(push, [mark, damaged(dice, content), *_bodies(dice)][: dice.choice((1, 9, 9, 9))])
            else:
                if dice.random() < 0.1:
                    kept[dice.randrange(len(kept))] = encode(whole(dice))
                header = _header(dice, dice.choice(kept))
                _patiently(
                    peer.socket, [_address(dice, peers), header, *_bodies(dice)][: dice.choice((1, 2, 9, 9, 9, 9, 9))]
                )
            if number % 50 == 0:
                _listen(peers)
        _settle(peers)


def _header(dice: random.Random, content: bytes) -> bytes:
    what = dice.random()
    if what < 0.0005:
        return monster(dice, HEADER_BYTES)
    if what < 0.3:
        return content
    return damaged(dice, content) if what < 0.98 else dice.randbytes(dice.randrange(100))


def _address(dice: random.Random, peers: list[Peer]) -> bytes:
    what = dice.random()
    if what < 0.6:
        return b""
    if what < 0.9:
        return dice.choice(peers).address
    return encode_serial(dice.getrandbits(62)) if what < 0.95 else dice.randbytes(dice.randrange(20))  # type: ignore[arg-type]


def _bodies(dice: random.Random) -> list[bytes]:
    if dice.random() < 0.9:
        return []
    longest = 1_000 if dice.random() < 0.99 else 100_000
    return [dice.randbytes(dice.randrange(longest)) for _ in range(dice.randrange(8))]


def _come_in(dice: random.Random, peer: Peer) -> bytes:
    """Be somebody new, who takes frames where nobody listens; returns the token for the relay."""
    peer.key = dice.randbytes(32)
    peer.kept.clear()
    peer.name = dice.choice(("a", "\n forged line"))
    data = dice.choice(("", "tcp://127.0.0.1:1", "ipc:///nowhere/to/be/found", "ipc://" + "x" * 200, "no endpoint"))
    return peer.register(dice.randrange(1, 1_000_000), data=data).token


def _patiently(socket: zmq.Socket[bytes], frames: list[bytes]) -> None:
    """Send, and where the broker is slower, wait for it."""
    deadline = time.monotonic() + 20
    while not sockets.send(socket, frames):
        assert time.monotonic() < deadline, "the broker takes nothing any more"
        time.sleep(0.001)


def _listen(peers: list[Peer]) -> None:
    """Read what the broker says: who does not is no attacker, but slow."""
    for peer in peers:
        while sockets.has_input(peer.socket):
            sockets.receive(peer.socket, MAX_PARTS, BODY_BYTES, peer.counters)


def _settle(peers: list[Peer]) -> None:
    """Wait until the broker has looked at all that was sent: it answers each connection in order."""
    for peer in peers:
        _listen([peer])
        peer.kept.clear()
        peer.send([b"", encode([0, [[1, 0, PROTOCOL + 1, b"", 0, ["acme", "Echo"], "last"]]])])
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if not peer.socket.poll(1_000):
                continue
            frames = sockets.receive(peer.socket, MAX_PARTS, BODY_BYTES, peer.counters)
            if frames and any(b"the same version of actrzmq" in part for part in frames):
                break
        else:
            raise AssertionError("the broker does not answer after the flood")


# anything else


async def _connect(dice: random.Random, endpoint: str, count: int) -> None:
    host, port = endpoint.removeprefix("tcp://").rsplit(":", 1)
    room = asyncio.Semaphore(AT_ONCE)
    ways = (_hello, _garbage, _cut_greeting, _reset, _slow, _silence)

    async def one(own: random.Random) -> None:
        async with room:
            with suppress(OSError, TimeoutError):
                async with asyncio.timeout(HOLD_S):
                    reader, writer = await asyncio.open_connection(host, int(port))
                    try:
                        await own.choices(ways, (6, 6, 4, 3, 1, 0.2))[0](own, reader, writer)
                    finally:
                        writer.close()

    for start in range(0, count, 1_000):
        seeds = [random.Random(dice.getrandbits(64)) for _ in range(min(1_000, count - start))]
        await asyncio.gather(*map(one, seeds))


async def _hello(dice: random.Random, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Another protocol, or ours and then nonsense."""
    writer.write(dice.choice(HELLOS) + dice.randbytes(dice.choice((0, 10, 1_000))))
    await writer.drain()
    await _read_some(reader)


async def _garbage(dice: random.Random, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(dice.randbytes(dice.randrange(1, 2_000)))
    await writer.drain()
    await _read_some(reader)


async def _cut_greeting(dice: random.Random, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Ours, but not to its end, or with one byte wrong."""
    said = GREETING + READY
    said = said[: dice.randrange(len(said))] if dice.random() < 0.5 else damaged(dice, said)
    writer.write(said)
    await writer.drain()
    await _read_some(reader)


async def _reset(dice: random.Random, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Says a little and resets the connection."""
    writer.write(dice.choice(HELLOS)[: dice.randrange(20)])
    await writer.drain()
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def _slow(dice: random.Random, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A byte now and then."""
    for byte in GREETING[:20]:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.05)


async def _silence(dice: random.Random, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Says nothing until it is cut off, half closed or open."""
    if dice.random() < 0.5 and writer.can_write_eof():
        writer.write_eof()
    await reader.read(-1)


async def _read_some(reader: asyncio.StreamReader) -> None:
    """Until the broker hangs up, or for a moment."""
    with suppress(TimeoutError):
        async with asyncio.timeout(0.2):
            while await reader.read(1_000):
                pass


__all__ = ["Outcome", "attack"]
