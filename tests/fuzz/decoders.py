"""What decodes bytes of others, fed with whatever bytes.

Each target gives an outcome in a few words, or lets something escape: that is a finding. Declared are `DecodeError` for
the wire and `ActrConfigError`, of one printable line, for files and contracts. The cores hear what was decoded: nothing
that a peer says may make them raise.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from actrzmq.contracts.bundle import unpack
from actrzmq.core.broker import BrokerCore, BrokerLimits
from actrzmq.core.session import Session
from actrzmq.errors import ActrConfigError, ActrTransportError
from actrzmq.identity import ActrId, ActrType, Serial, serial_of
from actrzmq.manifest import load_broker_settings, load_lock, load_manifest
from actrzmq.wire.codec import (
    BATCH_ENVELOPES,
    HEADER_BYTES,
    DecodeError,
    decode_batch,
    decode_from_broker,
    decode_serial,
    decode_stream_messages,
    encode_batch,
    encode_serial,
    without_large_bodies,
)
from actrzmq.wire.messages import (
    PROTOCOL,
    Batch,
    Discover,
    Envelope,
    Frames,
    FromBroker,
    Grant,
    Inspect,
    Introduce,
    ListNodes,
    OnStreamPlane,
    Opened,
    Reason,
    Register,
    Registered,
    Renew,
    Reset,
)
from tests.contracts.test_unpacking import ECHO, PAIR
from tests.fuzz.shapes import NUMBERS, Make, Shapes, damaged, encode, monster
from tests.manifest.locks import lock_text
from tests.manifest.test_load import CLIENT, FULL

Target = Callable[[random.Random], str]
"""Makes one input, has it decoded, and says what came of it."""

FRESH = 0.1
"""How many inputs are made from types; the others are such with some damage."""
MONSTERS = 0.0002
KEPT = 2_000
"""Inputs that are kept to be damaged."""


class Wire:
    """Bytes for a decoder of the wire: `whole` makes what could be a message."""

    def __init__(self, decode: Callable[[bytes, Sequence[bytes]], object], whole: Make) -> None:
        self._decode = decode
        self._whole = whole
        self._kept: list[bytes] = []

    def __call__(self, dice: random.Random) -> str:
        header = self.draw(dice)
        bodies: tuple[bytes, ...] = ()
        if dice.random() < 0.1:
            bodies = tuple(dice.randbytes(dice.choice((0, 1, 100))) for _ in range(dice.randrange(4)))
        try:
            self._decode(header, bodies)
        except DecodeError as error:
            return _class_of(str(error))
        return "decoded"

    def draw(self, dice: random.Random) -> bytes:
        """Some bytes."""
        what = dice.random()
        if what < FRESH or not self._kept:
            fresh = encode(self._whole(dice))
            if len(self._kept) < KEPT:
                self._kept.append(fresh)
            else:
                self._kept[dice.randrange(KEPT)] = fresh
            return fresh
        if what > 1 - MONSTERS:
            return monster(dice, HEADER_BYTES)
        if what > 0.99:
            return dice.randbytes(dice.randrange(200))
        return damaged(dice, dice.choice(self._kept))


def address(dice: random.Random) -> str:
    """An address frame."""
    said = dice.randbytes(8 if dice.random() < 0.8 else dice.randrange(20))
    try:
        return "decoded" if encode_serial(decode_serial(said)) == said else "MISREAD"
    except DecodeError as error:
        return _class_of(str(error))


class Contracts:
    """Packed contracts with damage: to the bytes, or to a value in them, which is harder to see."""

    def __call__(self, dice: random.Random) -> str:
        good = dice.choice((ECHO, PAIR))
        body = damaged(dice, good) if dice.random() < 0.5 else _forged(dice, good)
        return _config(lambda: unpack(body))


class Files:
    """Manifests, settings and locks with pieces cut out, doubled or put in. `folder` is where they are written."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "fuzzed.toml"
        lock = lock_text("stream-echo", "acme+StreamEchoServer", {"a.proto": 'syntax = "proto3";\n'})
        settings = (Path(__file__).parents[2] / "conf" / "broker.toml").read_text()
        self._goods = [text.encode() for text in (FULL, CLIENT, lock, settings)]
        self._loads: list[Callable[[Path], object]] = [
            load_manifest,
            load_lock,
            lambda path: load_broker_settings(path, {}),
        ]

    def __call__(self, dice: random.Random) -> str:
        bad = damaged(dice, dice.choice(self._goods))
        if dice.random() < 0.5:
            at = dice.randrange(len(bad) + 1)
            bad = bad[:at] + dice.choice(WORDS).encode() + bad[at + dice.randrange(8) :]
        self._path.write_bytes(bad)
        load = dice.choice(self._loads)
        return _config(lambda: load(self._path))


WORDS = (
    "[[",
    "]]",
    "[",
    "{",
    "'",
    '"""',
    "=",
    ".",
    "\n",
    "\0",
    "\u202e",
    "true",
    "nan",
    "1e999",
    "9" * 5_000,
    "../x.proto",
    "[package]",
    "[limits]",
    "[system]",
    "[[acl.rules]]",
    "a." * 500,
    "[" * 500,
    "{a=" * 300,
    "1979-05-27T07:32:00Z",
)


class HostileNodes:
    """A broker that hears what nodes may say, from some that are registered and some that are not."""

    def __init__(self, dice: random.Random) -> None:
        self.core = BrokerCore(
            BrokerLimits(nodes=50, backlog=500_000, expected=50, dead=200, contracts=1), 7, dice.randbytes
        )
        self.now = 1_000
        keys = [dice.randbytes(32) for _ in range(8)]
        self._peers = [b"peer%d" % number for number in range(12)]
        self._serials = [serial_of(key) for key in keys]
        shapes = Shapes(0.002, self._serials)
        self._make = shapes.of(Batch)
        self._keys = keys

    def __call__(self, dice: random.Random) -> str:
        core, self.now = self.core, self.now + dice.choice((0, 0, 0, 1, 50, 400))
        peer = dice.choice(self._peers)
        if dice.random() < 0.2:
            register = Register(
                dice.randrange(1, 1_000),
                PROTOCOL,
                dice.choice(self._keys),
                dice.choice((0, 0, 1)),
                ActrType("acme", "Echo"),
                "e",
                peers=tuple(dice.sample(self._serials, 2)),
                uptime=dice.choice(NUMBERS),
            )
            core.receive(peer, [register], self.now)
        elif dice.random() < 0.2:
            self._renew(dice, peer)
        elif dice.random() < 0.2:
            to = encode_serial(dice.choice(self._serials)) if dice.random() < 0.9 else dice.randbytes(8)
            found = core.route(peer, to, dice.choice((10, 100_000)), self.now)
            if found is not None and not isinstance(found, Reason):
                core.address_of(peer)
                if dice.random() < 0.1:
                    core.unreachable(found.peer, self.now)
        else:
            try:
                batch = decode_batch(encode(self._make(dice)))
            except DecodeError as error:
                return _class_of(str(error))
            core.receive(peer, batch.envelopes, self.now)
        deadline = core.next_deadline()
        if deadline is not None and deadline <= self.now:
            core.tick(self.now)
        for to_peer, said in list(core.outgoing()):
            _check_is_understood(self.now, said)
            core.written(to_peer, 50 * len(said), any(isinstance(one, Registered) for one in said), self.now)
        core.store_effects.clear()
        core.library.take_orders()
        return "heard"

    def _renew(self, dice: random.Random, peer: bytes) -> None:
        """What is only listened to in the right session, with whatever figures; and a question that repeats them."""
        session = next((node.session for node in self.core.nodes() if node.peer == peer), 0)
        figures = dice.choices(NUMBERS, k=6)
        asked = dice.choice((Discover(1, ActrType("acme", "Echo")), ListNodes(2), Inspect(3)))
        self.core.receive(peer, [Renew(session, *figures), asked], self.now)


class HostileWorld:
    """A node that hears what a broker and peers may say, while it has calls and streams open itself."""

    def __init__(self, dice: random.Random) -> None:
        self.now = 1_000
        self._dice = dice
        self._peers = [Serial(number) for number in range(1, 6)]
        self._shapes = shapes = Shapes(0.002)
        self._from_peer = shapes.of(Batch)
        self._from_broker = shapes.of(list[FromBroker])
        self._on_plane = shapes.of(list[OnStreamPlane])
        self._begin()

    def _begin(self) -> None:
        dice = self._dice
        register = Register(0, PROTOCOL, b"", 0, ActrType("acme", "Node"), "node", data="tcp://127.0.0.1:9")
        self.session = Session(register, lambda route: True if route == "work" else None, dice.randbytes, self.now)
        session = self.session
        self._shapes.numbers[:] = [*NUMBERS, *self._peers, session.serial, *range(1, 9)]
        session.connected(self.now)
        self._turn()
        answer = Registered(1, 5, 7, self.now, 10_000, 1_000, 1 << 22, b"t" * 16)
        session.receive(None, Batch(self.now, [answer]), None, 10, self.now)
        for serial in self._peers:
            session.receive(
                None,
                Batch(self.now, [Introduce(ActrId(serial, 0, ActrType("acme", "Peer")), True, True)]),
                None,
                10,
                self.now,
            )
        self._turn()

    def __call__(self, dice: random.Random) -> str:
        session, self.now = self.session, self.now + dice.choice((0, 0, 1, 20, 300))
        if session.is_out or dice.random() < 0.001:
            self._begin()
            return "began anew"
        what = dice.random()
        try:
            if what < 0.1:
                self._do_something(dice)
            elif what < 0.5:
                batch = decode_batch(encode(self._from_peer(dice)))
                session.receive(dice.choice(self._peers), batch, None, 100, self.now)
            elif what < 0.75:
                said = [self.now, self._from_broker(dice)]
                rest = [encode(self._from_peer(dice))] if dice.random() < 0.3 else []
                batch, returned = decode_from_broker(encode(said), rest)
                session.receive(None, batch, returned, 100, self.now)
            else:
                session.streams.arrived(decode_stream_messages(encode(self._on_plane(dice))), self.now)
        except DecodeError as error:
            return _class_of(str(error))
        self._turn()
        return "heard"

    def _do_something(self, dice: random.Random) -> None:
        session, serial = self.session, dice.choice(self._peers)
        if session.peers.is_dead(serial):
            return
        what = dice.randrange(4)
        if what == 0:
            with suppress(ActrTransportError):  # it has said farewell
                session.call(serial, "work", b"x", dice.choice((50, 5_000)), None, self.now)
        elif what == 1:
            session.register_stream(dice.choice(self._shapes.texts), None, _Deaf(), self.now)
        elif what == 2:
            session.discover(ActrType("acme", "Echo"), "", all=True, timeout=1_000, waiter=None, now=self.now)
        else:
            session.disconnected(self.now)
            session.connected(self.now)

    def _turn(self) -> None:
        session = self.session
        deadline = session.next_deadline()
        if deadline is not None and deadline <= self.now:
            session.tick(self.now)
        while turn := session.take_turn():
            for receiver, frames in turn.deliver:
                if receiver.stream is not None:
                    receiver.stream.channel.completed_frames += len(frames)
                    session.streams.progressed(receiver, self.now)
            for execution in turn.start:
                session.finish(execution, b"done", self.now)
        for outgoing in session.outgoing(self.now):
            self._learn(outgoing.parcel.envelopes)
            _check_is_understood(outgoing.sent_at, outgoing.parcel.envelopes)
        for parcel in session.streams.outgoing(lambda via: False):
            self._learn(parcel.messages)

    def _learn(self, messages: Any) -> None:
        """Channels that we use are names worth knowing for those who want to disturb."""
        for message in messages:
            if len(self._shapes.numbers) < 60 and isinstance(message, Opened | Frames | Grant | Reset):
                self._shapes.numbers.append(message.channel)


class _Deaf:
    """A sink: what comes to it is looked at elsewhere."""


def _check_is_understood(sent_at: int, said: Sequence[Envelope]) -> None:
    """Whatever was heard: what is said of it must be a message again, or who hears it is harmed by a third."""
    for start in range(0, len(said), BATCH_ENVELOPES):
        bare, _, _ = without_large_bodies(said[start : start + BATCH_ENVELOPES])
        try:
            decode_batch(encode_batch(Batch(sent_at, bare)))
        except DecodeError as error:
            raise AssertionError(f"said what nobody understands: {error}") from error


def targets(dice: random.Random, folder: Path) -> dict[str, tuple[Target, int]]:
    """All targets by name, and how often in 10,000 each has its turn: what is slow seldom."""
    shapes = Shapes(0.01)
    batch, planes = shapes.of(Batch), shapes.of(list[OnStreamPlane])
    return {
        "batch": (Wire(decode_batch, batch), 4_600),
        "batch from the broker": (Wire(decode_from_broker, batch), 1_500),
        "stream messages": (Wire(decode_stream_messages, planes), 3_000),
        "address": (address, 300),
        "broker core": (HostileNodes(dice), 250),
        "session": (HostileWorld(dice), 250),
        "contract": (Contracts(), 50),
        "manifest, lock, settings": (Files(folder), 50),
    }


def _config(load: Callable[[], object]) -> str:
    try:
        load()
    except ActrConfigError as error:
        return "refused" if error.message.isprintable() else f"UNPRINTABLE {error.message!r:.200}"
    return "read"


def _class_of(message: str) -> str:
    """What an error says, without what differs each time."""
    words = message.split(" - at ", maxsplit=1)[0].split(" ")
    return "refused: " + " ".join(
        word if word.isalpha() and word.islower() else word if word[:1] == "`" else "…" for word in words[:4]
    )


def _forged(dice: random.Random, body: bytes) -> bytes:
    """A contract whose values were tampered with."""
    data = msgspec.msgpack.decode(body)
    for _ in range(dice.choice((1, 1, 2))):
        where = data if dice.random() < 0.2 else dice.choice(data["files"])
        key = dice.choice(list(where))
        value = where[key]
        if isinstance(value, bytes):
            where[key] = damaged(dice, value)
        elif isinstance(value, str) and dice.random() < 0.7:
            where[key] = damaged(dice, value.encode()).decode("utf-8", "replace")
        elif key != "files":
            where[key] = dice.choice((None, "", "../x.proto", 5, [], {}))
    return bytes(msgspec.msgpack.encode(data))
