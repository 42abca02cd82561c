"""Many nodes in one process: `python -m benchmarks.crowd actrzmq|bare ENDPOINT COUNT PEERS`.

These are connections that say what a node says: they register and renew, and each writes to others, so that it has so
many peers. Nothing else runs behind them: whole nodes would cost the machine more than what is measured. `bare` ones
connect to the broker of bare pyzmq and write as much to one another, and show what libzmq takes by itself.
"""

from __future__ import annotations

import json
import os
import secrets
import select
import sys
import time
from collections import Counter
from collections.abc import Callable

import zmq

from actrzmq.core.broker import MESSAGE_OVERHEAD
from actrzmq.identity import ActrType, serial_of
from actrzmq.net import sockets
from actrzmq.net.context import raise_descriptor_limit
from actrzmq.net.endpoints import candidates
from actrzmq.wire.codec import BODY_BYTES, decode_batch, encode_batch, encode_serial
from actrzmq.wire.messages import PROTOCOL, Batch, Envelope, Register, Registered, Renew, Tell

MAX_PARTS = 10
RENEW_S = 1.0
PATIENCE_S = 60.0
KIND = ActrType("bench", "Crowd")


class Node:
    """One connection of the crowd."""

    def __init__(self, endpoint: str, number: int) -> None:
        self._key = secrets.token_bytes(32)
        self._session = self._received = 0
        self._counters: Counter[str] = Counter()
        self._endpoint = endpoint
        self.address = encode_serial(serial_of(self._key))
        self.number = number
        self.socket = sockets.dealer()
        self.heard = 0

    def connect(self) -> None:
        """Begin to."""
        sockets.connect(self.socket, self._endpoint)

    def register(self) -> bool:
        """Ask to be taken; False while there is no connection."""
        fields = {"data": f"tcp://127.0.0.1:{10_000 + self.number}", "stream_memory": 1 << 26}
        return self._say(Register(1, PROTOCOL, self._key, 0, KIND, "crowd", **fields))  # type: ignore[arg-type]

    def renew(self) -> None:
        """Say that it is still there."""
        self._say(Renew(self._session, 0, received=self._received))

    def write_to(self, other: Node) -> None:
        """Become a peer of `other`."""
        self._say(Tell("bench.Crowd.Hello", b"", 1_000), to=other.address)

    def hear(self) -> None:
        """Take in all that has come."""
        while frames := sockets.receive(self.socket, MAX_PARTS, BODY_BYTES, self._counters):
            self._received += sum(map(len, frames[1:])) + MESSAGE_OVERHEAD
            if frames[0]:
                self.heard += 1
            elif not self._session:
                for envelope in decode_batch(frames[1]).envelopes:
                    if isinstance(envelope, Registered):
                        self._session, self._received = envelope.session, 0

    @property
    def is_registered(self) -> bool:
        return bool(self._session)

    def _say(self, envelope: Envelope, to: bytes = b"") -> bool:
        return sockets.send(self.socket, [to, encode_batch(Batch(0, [envelope]))])


class BareNode(Node):
    """One that connects to the broker of bare pyzmq, where there is nothing to register."""

    def __init__(self, endpoint: str, number: int) -> None:
        super().__init__(endpoint, number)
        self._name = f"node{number:04}".encode()
        self.socket.setsockopt(zmq.IDENTITY, self._name)
        self._is_here = False

    def register(self) -> bool:
        return sockets.send(self.socket, [self._name, b"hello"])  # comes back, as the confirmation

    def renew(self) -> None:
        pass

    def write_to(self, other: Node) -> None:
        assert isinstance(other, BareNode)
        sockets.send(self.socket, [other._name, bytes(40)])

    def hear(self) -> None:
        while frames := sockets.receive(self.socket, MAX_PARTS, BODY_BYTES, self._counters):
            if frames[1] == b"hello":
                self._is_here = True
            else:
                self.heard += 1

    @property
    def is_registered(self) -> bool:
        return self._is_here


class Crowd:
    """All of them."""

    def __init__(self, nodes: list[Node]) -> None:
        self._nodes = nodes
        self._renew_at = 0.0

    def register(self) -> float:
        """Register all at once; returns how many seconds that took."""
        began = time.perf_counter()
        for node in self._nodes:
            node.connect()
        waiting = self._nodes
        while waiting:
            waiting = [node for node in waiting if not node.register()]
            self.turn(0.001)
        self._until(lambda: all(node.is_registered for node in self._nodes))
        return time.perf_counter() - began

    def meet(self, peers: int) -> None:
        """Have each write to the half of its peers that come after it: the other half write to it."""
        count = len(self._nodes)
        for step in range(1, peers // 2 + 1):
            for at, node in enumerate(self._nodes):
                node.write_to(self._nodes[(at + step) % count])
            heard = step * count  # nobody runs ahead, and so no queue grows that would be measured as well
            self._until(lambda heard=heard: sum(node.heard for node in self._nodes) >= heard)  # type: ignore[misc]

    def turn(self, pause_s: float) -> None:
        """Take in what has come, renew where that is due, rest. To poll so many sockets would cost far more."""
        for node in self._nodes:
            node.hear()
        now = time.monotonic()
        if now >= self._renew_at:
            self._renew_at = now + RENEW_S
            for node in self._nodes:
                if node.is_registered:
                    node.renew()
        time.sleep(pause_s)

    def _until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            if time.monotonic() > deadline:
                raise SystemExit("the broker has not answered the crowd in time")
            self.turn(0.001)


def main(arguments: list[str]) -> None:
    """Say how long it took until all were registered, then stay until the standard input ends."""
    kind, endpoint, count, peers = arguments
    raise_descriptor_limit()
    make = BareNode if kind == "bare" else Node
    place = endpoint if kind == "bare" else candidates(endpoint)[0]
    crowd = Crowd([make(place, number) for number in range(int(count))])
    seconds = crowd.register()
    crowd.meet(int(peers))
    print(json.dumps({"ready": "", "seconds": seconds}), flush=True)
    while not select.select([sys.stdin], [], [], 0)[0]:
        crowd.turn(0.05)
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
