"""The broker's ROUTER: takes what nodes say, forwards what is for others, says what the core has to say.

The hot path is `_take` and `_forward`: who is this, may it talk to that one, three frames out. The batch itself passes
as the frame that libzmq received, neither copied nor opened. Of all that the hot path does, receiving and sending the
frames is the half that can't be saved; each call of a function beside it costs what a frame does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import zmq

from actrzmq.core.broker import BrokerCore
from actrzmq.core.registry import Node
from actrzmq.net.lines import NONE, Lines
from actrzmq.net.sockets import has_input, receive_frame, send_frame, skip
from actrzmq.wire.codec import (
    BATCH_BYTES,
    BATCH_ENVELOPES,
    HEADER_BYTES,
    LARGE_PER_MESSAGE,
    SERIAL_BYTES,
    DecodeError,
    decode_batch,
    decode_serial,
    encode_batch,
    without_large_bodies,
)
from actrzmq.wire.messages import Batch, FromBroker, Reason, Registered, Returned, Spec

DRAIN = 500
"""Messages taken at once, before the time is looked at and other sockets get their turn."""
ASKED = 3
"""How often in a turn it is asked whether there is more. To ask costs a third of an exception, which ends the rest."""
HEARD = 1_000
"""Envelopes to the broker itself that are heard in a turn, about: they cost more than those that are for others."""
SPOKEN = 1_100
"""A node that renews hears from the broker within this many milliseconds. Its line is looked at in between."""
_NOW = zmq.NOBLOCK
_MORE = zmq.NOBLOCK | zmq.SNDMORE


class Switch:
    """Moves messages between the connections of `router`, as `core` decides."""

    def __init__(self, core: BrokerCore, router: zmq.Socket[bytes]) -> None:
        self._core = core
        self._router = router
        self._body_limit = core.limits.body
        self._outbox = core.outbox
        self._heard = 0
        self._lines = Lines()
        self._drained_at = -1
        self.counters: Counter[str] = Counter()

    def drain(self, now: int) -> bool:
        """Take what has come in; True if there may be more."""
        router, take = self._router, self._take
        self._heard = 0
        try:
            if now != self._drained_at:  # where little comes, to ask is a quarter of all, and the loop asks anyway
                self._drained_at = now
                take(receive_frame(router, _NOW), now)
                return True
            for _ in range(ASKED):
                take(receive_frame(router, _NOW), now)
                if not has_input(router):
                    return False
            for _ in range(DRAIN):
                take(receive_frame(router, _NOW), now)
        except zmq.Again:
            return False
        except _HeardEnough:  # an exception, for what costs the hot path nothing
            pass
        return True

    def flush(self, now: int) -> None:
        """Say what the core has to say. Who can't be written to is unreachable, of which others may have to be told."""
        while self._outbox:
            for peer, messages in self._core.outgoing():
                if messages:
                    self._say(peer, messages, now)
                else:
                    self._probe(peer, now)

    def close(self) -> None:
        """Release what is its own; the socket is not."""
        self._lines.close()

    def _probe(self, peer: bytes, now: int) -> None:
        """See whether there still is a connection: look, where that will do, else write."""
        node = self._core.by_peer.get(peer)
        if node is None or not node.has_renewed or now - node.written_at > SPOKEN:
            self._say(peer, (), now)
        elif self._lines.is_up(node.line, now):
            node.looked_at = now
        else:
            self._say(peer, (), now)
            if node.unreachable_since is None and node.line != NONE:
                self._core.suspect(now)  # libzmq has yet to notice

    def _take(self, peer: bytes, now: int) -> None:
        router = self._router
        to = receive_frame(router, _NOW, False)
        if not to.more:
            self._count("dropped.parts", peer)
            return
        header = receive_frame(router, _NOW, False)
        size = len(header)
        address = to.bytes
        if size > HEADER_BYTES:
            self._refuse("dropped.oversize", header, peer)
        elif header.more:
            self._take_large(peer, address, header, size, now)
        elif len(address) == SERIAL_BYTES:
            self._forward(peer, address, header, (), size, now)
        else:
            self._take_own(peer, address, header, (), now)

    def _take_large(self, peer: bytes, address: bytes, header: zmq.Frame, size: int, now: int) -> None:
        bodies: list[zmq.Frame] = []
        refusal = self._take_bodies(header, bodies)
        if refusal:
            self._refuse(refusal, bodies[-1], peer)
        elif len(address) == SERIAL_BYTES:
            self._forward(peer, address, header, bodies, size + sum(map(len, bodies)), now)
        else:
            self._take_own(peer, address, header, bodies, now)

    def _take_own(self, peer: bytes, address: bytes, header: zmq.Frame, bodies: Sequence[zmq.Frame], now: int) -> None:
        if address:
            self._count("dropped.address", peer)
        else:
            self._hear(peer, header, bodies, now)

    def _take_bodies(self, frame: zmq.Frame, bodies: list[zmq.Frame]) -> str:
        """Fill `bodies`; returns what is wrong with the last one, if anything is."""
        while frame.more:
            frame = receive_frame(self._router, _NOW, False)
            bodies.append(frame)
            if len(bodies) > LARGE_PER_MESSAGE:
                return "dropped.parts"
            if len(frame) > self._body_limit:
                return "dropped.oversize"
        return ""

    def _refuse(self, why: str, last: zmq.Frame, peer: bytes) -> None:
        skip(self._router, last.more)
        self._count(why, peer)

    def _count(self, why: str, peer: bytes) -> None:
        self.counters[why] += 1
        self._core.refused(peer, why)

    def _hear(self, peer: bytes, header: zmq.Frame, bodies: Sequence[zmq.Frame], now: int) -> None:
        try:
            batch = decode_batch(header.bytes, [body.bytes for body in bodies], self._body_limit)
        except DecodeError:
            self._count("dropped.undecodable", peer)
            return
        self._core.receive(peer, batch.envelopes, now)
        node = self._core.by_peer.get(peer)
        if node is not None and node.line == NONE:
            node.line = self._lines.note(header)
        self._heard += len(batch.envelopes)
        if self._heard > HEARD:
            raise _HeardEnough

    def _forward(
        self, peer: bytes, to: bytes, header: zmq.Frame, bodies: Sequence[zmq.Frame], size: int, now: int
    ) -> None:
        core, router = self._core, self._router
        found = core.route(peer, to, size, now)
        if found is None:
            return
        if self._outbox:
            self.flush(now)  # an Introduce goes ahead of what it announces
        if not isinstance(found, Node):
            self._return(peer, to, found, header, bodies, size, now)
            return
        try:
            send_frame(router, found.peer, _MORE)
        except zmq.Again:
            core.congested(found, size)
            self._return(peer, to, Reason.CONGESTED, header, bodies, size, now)
            return
        except zmq.ZMQError as error:
            _only_unreachable(error)
            core.counters["returned.unreachable"] += 1
            core.unreachable(found.peer, now)
            self._return(peer, to, Reason.UNREACHABLE, header, bodies, size, now)
            return
        # The peer's id was accepted, so the rest is: a message has room whole, or not at all.
        send_frame(router, core.by_peer[peer].address, _MORE)
        if bodies:
            self._send_rest(header, bodies)
        else:
            send_frame(router, header, _NOW)

    def _return(
        self,
        peer: bytes,
        to: bytes,
        reason: Reason,
        header: zmq.Frame,
        bodies: Sequence[zmq.Frame],
        size: int,
        now: int,
    ) -> None:
        try:
            words = encode_batch(Batch(now, [Returned(decode_serial(to), reason)]))
        except DecodeError:
            self._count("dropped.address", peer)
            return
        if self._begin(peer, now):
            send_frame(self._router, words, _MORE)
            self._send_rest(header, bodies)
            self._core.written(peer, size + len(words), False, now)

    def _send_rest(self, header: zmq.Frame | bytes, bodies: Sequence[zmq.Frame | bytes]) -> None:
        router = self._router
        if not bodies:
            send_frame(router, header, _NOW)
            return
        send_frame(router, header, _MORE)
        for body in bodies[:-1]:
            send_frame(router, body, _MORE)
        send_frame(router, bodies[-1], _NOW)

    def _begin(self, peer: bytes, now: int) -> bool:
        """Start a message of our own to `peer`, with the broker's address; False if it can't be written to."""
        try:
            send_frame(self._router, peer, _MORE)
        except zmq.ZMQError as error:
            if error.errno == zmq.EAGAIN:
                self.counters["dropped.full"] += 1
            else:
                _only_unreachable(error)
            self._core.unreachable(peer, now)
            return False
        send_frame(self._router, b"", _MORE)
        return True

    def _say(self, peer: bytes, messages: Sequence[FromBroker], now: int) -> None:
        kinds = set(map(type, messages))
        if Spec in kinds:
            bare, large, bodies = without_large_bodies(messages)
        else:
            bare, large, bodies = [*messages], (), []
        words = encode_batch(Batch(now, bare, (), large))
        # A large body goes in a message of its own, since a node takes no more than one body's bytes in each.
        if len(messages) > 1 and (bodies or len(messages) > BATCH_ENVELOPES or len(words) > BATCH_BYTES):
            half = len(messages) // 2
            self._say(peer, messages[:half], now)
            self._say(peer, messages[half:], now)
        elif self._begin(peer, now):
            self._send_rest(words, bodies)
            self._core.written(peer, len(words) + sum(map(len, bodies)), Registered in kinds, now)


class _HeardEnough(Exception):
    """Whatever else has come is for the next turn."""


def _only_unreachable(error: zmq.ZMQError) -> None:
    if error.errno != zmq.EHOSTUNREACH:
        raise error
