"""A broker in a thread, and raw peers that speak the wire to one."""

from __future__ import annotations

import secrets
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Self, TypeVar

import zmq

from actrzmq.brokerd.store import Store
from actrzmq.core.broker import BrokerCore, BrokerLimits, Bury, Remember
from actrzmq.identity import ActrType, Serial, serial_of
from actrzmq.net import sockets
from actrzmq.net.poller import BrokerLoop
from actrzmq.wire.codec import BODY_BYTES, decode_batch, encode_batch, encode_serial
from actrzmq.wire.messages import PROTOCOL, Batch, Envelope, Register, Registered, Renew

Kind = TypeVar("Kind")

MAX_PARTS = 10


class Broker:
    """A broker that runs in a thread of this process, for the length of a `with`; contracts need a `store`."""

    def __init__(
        self,
        limits: BrokerLimits | None = None,
        listen: str = "tcp://127.0.0.1:*",
        epoch: int = 1,
        store: Store | None = None,
    ) -> None:
        self.core = BrokerCore(limits or BrokerLimits(), epoch, secrets.token_bytes, stamp=lambda: "today")
        self.stored: list[Remember | Bury] = []
        self.store = store
        if store is None:
            self.loop = BrokerLoop(self.core, self.stored.extend)
        else:
            recalled = store.open()
            self.core.library.recall(recalled.contents, recalled.versions)
            self.loop = BrokerLoop(self.core, store.put, store.counters, store.shelf)
        self.endpoint = self.loop.listen(listen)
        self.relay = self.loop.listen_for_relay("tcp://127.0.0.1:*")
        self._thread = threading.Thread(target=self.loop.run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.loop.stop()
        self._thread.join(5)
        assert not self._thread.is_alive()
        self.loop.close()
        if self.store is not None:
            self.store.close()

    def wait_counted(self, name: str, count: int = 1) -> None:
        """Wait until the broker has counted `count` of `name`."""
        wait_until(lambda: self.loop.statistics().get(name, 0) >= count, f"{count} of {name}")


class Peer:
    """A connection to a broker that says and hears what a test wants, for the length of a `with`."""

    def __init__(self, endpoint: str, type_name: str = "Node", name: str = "node", data: str = "") -> None:
        self.key = secrets.token_bytes(32)
        self.type = ActrType("acme", type_name)
        self.name = name
        self.data = data
        self.session = 0
        self.received = 0
        self.counters: Counter[str] = Counter()
        self.kept: list[Envelope] = []
        self.socket = sockets.dealer()
        sockets.connect(self.socket, endpoint)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close(0)

    @property
    def serial(self) -> Serial:
        """The number that its key gives it."""
        return serial_of(self.key)

    @property
    def address(self) -> bytes:
        """Its serial, on the wire."""
        return encode_serial(self.serial)

    def send(self, frames: Sequence[bytes]) -> None:
        """Send `frames` as they are, as soon as there is a connection."""
        wait_until(lambda: sockets.send(self.socket, frames), "a connection")

    def say(self, *envelopes: Envelope, to: bytes = b"") -> None:
        """Send one batch to the broker, or to the node with the address `to`."""
        self.send([to, encode_batch(Batch(0, [*envelopes]))])

    def receive(self, timeout: float = 5) -> list[bytes]:
        """The next message, as it came."""
        assert self.socket.poll(int(timeout * 1000)), "nothing came"
        frames = sockets.receive(self.socket, MAX_PARTS, BODY_BYTES, self.counters)
        assert frames
        self.received += sum(map(len, frames[1:])) + 64
        return frames

    def hear(self, kind: type[Kind], timeout: float = 5) -> Kind:
        """The next envelope of `kind` from the broker; others are kept in `kept`."""
        for envelope in self.kept:
            if isinstance(envelope, kind):
                self.kept.remove(envelope)
                return envelope
        deadline = time.monotonic() + timeout
        while True:
            address, header, *_ = self.receive(deadline - time.monotonic())
            if address:
                continue
            envelopes = decode_batch(header).envelopes
            for at, envelope in enumerate(envelopes):
                if isinstance(envelope, kind):
                    self.kept.extend(envelopes[at + 1 :])
                    return envelope
                self.kept.append(envelope)

    def hear_from(self, peer: Peer, timeout: float = 5) -> list[bytes]:
        """The next message from `peer`, without its address."""
        deadline = time.monotonic() + timeout
        while True:
            address, *frames = self.receive(deadline - time.monotonic())
            if address == peer.address:
                return frames
            if not address:
                self.kept.extend(decode_batch(frames[0]).envelopes)

    def registration(self, attempt: int = 1, **fields: object) -> Register:
        """What it says to register."""
        known: dict[str, object] = {"data": self.data, "stream_memory": 1 << 20, **fields}
        return Register(attempt, PROTOCOL, self.key, 0, self.type, self.name, **known)  # type: ignore[arg-type]

    def register(self, attempt: int = 1, **fields: object) -> Registered:
        """Register, and return the broker's answer."""
        self.say(self.registration(attempt, **fields))
        answer = self.hear(Registered)
        self.session = answer.session
        self.received = 0
        return answer

    def renew(self, **fields: int) -> None:
        """Renew the lease."""
        self.say(Renew(self.session, 0, **fields))

    def is_silent(self, milliseconds: int = 50) -> bool:
        """Does nothing come for a while?"""
        return not self.socket.poll(milliseconds, zmq.POLLIN)


@contextmanager
def address() -> Iterator[str]:
    """An address for brokers that come and go: nobody else can take it meanwhile, as a port that is free again."""
    with tempfile.TemporaryDirectory(prefix="actr") as folder:
        yield f"ipc://{folder}/broker"


def wait_until(condition: object, what: str, timeout: float = 5) -> None:
    """Ask `condition` again and again until it holds."""
    assert callable(condition)
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"no {what}"
        time.sleep(0.002)
