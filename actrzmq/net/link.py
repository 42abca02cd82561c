"""The control plane of a node: one DEALER to the broker, drained and filled without ever blocking."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress

import zmq
from zmq.utils.monitor import parse_monitor_message

from actrzmq.core.broker import MESSAGE_OVERHEAD
from actrzmq.core.session import Session
from actrzmq.core.turn import Outgoing
from actrzmq.net import sockets
from actrzmq.net.endpoints import candidates
from actrzmq.wire.codec import (
    BODY_BYTES,
    LARGE_PER_MESSAGE,
    DecodeError,
    decode_batch,
    decode_from_broker,
    decode_serial,
    encode_batch,
)
from actrzmq.wire.messages import Batch

DRAIN = 200
"""Messages taken at once, before others get their turn."""
MAX_PARTS = 4 + LARGE_PER_MESSAGE


class Link:
    """The connection of one node to its broker. `wake` is called when something has come in."""

    def __init__(self, url: str, loop: asyncio.AbstractEventLoop, wake: Callable[[], None]) -> None:
        self._url = url
        self._loop = loop
        self._wake = wake
        self._socket = sockets.dealer()
        self._monitor = sockets.monitor(self._socket)
        self._has_input = self._has_news = self._has_sent = False
        self._unsent: deque[list[bytes]] = deque()
        self.counters: Counter[str] = Counter()
        self.body_limit = BODY_BYTES
        self._endpoint = url

    def open(self) -> None:
        """Begin to connect; libzmq goes on trying."""
        self._loop.add_reader(self._socket.FD, self._stirred)
        self._loop.add_reader(self._monitor.FD, self._told)
        self._endpoint = candidates(self._url)[0]
        sockets.connect(self._socket, self._endpoint)
        # A descriptor tells only of what comes after one has looked in vain.
        self._has_input = self._has_news = True
        self._wake()

    def look_elsewhere(self) -> None:
        """While there is no broker: it may come back at another of its endpoints than the one it was found at."""
        best = candidates(self._url)[0]
        if best != self._endpoint:
            self._socket.disconnect(self._endpoint)
            self._endpoint = best
            sockets.connect(self._socket, best)

    def close(self, linger_ms: int) -> None:
        """Close, giving what was said last up to `linger_ms` to leave."""
        self._loop.remove_reader(self._socket.FD)
        self._loop.remove_reader(self._monitor.FD)
        self._socket.disable_monitor()
        self._monitor.close(0)
        self._socket.close(linger_ms)

    def drain(self, session: Session, now: int) -> bool:
        """Hand what has come in to `session`; True if there may be more."""
        if self._has_news:
            self._has_news = False
            self._drain_monitor(session, now)
        if not self._has_input:
            return False
        for _ in range(DRAIN):
            if not sockets.has_input(self._socket):
                self._has_input = False
                return False
            frames = sockets.receive(
                self._socket,
                MAX_PARTS,
                self.body_limit,
                self.counters,
                lambda size: session.dropped(size + MESSAGE_OVERHEAD, now),
            )
            if frames:
                self._take(frames, session, now)
        return True

    @property
    def is_ready(self) -> bool:
        """May more be sent, or does something wait already?"""
        return not self._unsent

    def send(self, outgoing: Outgoing) -> None:
        """Send one batch, or keep it until the socket takes it."""
        parcel = outgoing.parcel
        batch = Batch(outgoing.sent_at, [*parcel.envelopes], tuple(parcel.settled), tuple(parcel.large))
        frames = [outgoing.to, encode_batch(batch), *parcel.bodies]
        self._has_sent = True
        if self._unsent or not sockets.send(self._socket, frames):
            self._unsent.append(frames)

    def flush(self) -> None:
        """Send what was kept, as far as the socket takes it."""
        while self._unsent:
            self._has_sent = True
            if not sockets.send(self._socket, self._unsent[0]):
                return
            self._unsent.popleft()

    def look(self) -> bool:
        """Is there something to be drained? To be asked after sending: the descriptor tells of edges only."""
        if self._has_sent and not self._has_input:
            self._has_input = sockets.has_input(self._socket)
        self._has_sent = False
        return self._has_input or self._has_news

    def _stirred(self) -> None:
        self._has_input = True
        self._wake()

    def _told(self) -> None:
        self._has_news = True
        self._wake()

    def _take(self, frames: list[bytes], session: Session, now: int) -> None:
        size = sum(map(len, frames[1:])) + MESSAGE_OVERHEAD
        if len(frames) < 2:
            self.counters["dropped.frames"] += 1
            session.dropped(size, now)
            return
        address, header, *bodies = frames
        try:
            if address:
                session.receive(decode_serial(address), decode_batch(header, bodies, self.body_limit), None, size, now)
            else:
                self._take_from_broker(header, bodies, size, session, now)
        except DecodeError:
            self.counters["dropped.undecodable"] += 1
            session.dropped(size, now)

    def _take_from_broker(self, header: bytes, rest: list[bytes], size: int, session: Session, now: int) -> None:
        batch, returned = decode_from_broker(header, rest, self.body_limit)
        session.receive(None, batch, returned, size, now)

    def _drop_unsent(self) -> None:
        self.counters["dropped.unsent"] += len(self._unsent)
        self._unsent.clear()

    def _drain_monitor(self, session: Session, now: int) -> None:
        with suppress(zmq.Again):
            while True:
                event = parse_monitor_message(self._monitor.recv_multipart(zmq.NOBLOCK))["event"]
                if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                    self._drop_unsent()
                    session.connected(now)
                elif event == zmq.EVENT_DISCONNECTED:
                    self._drop_unsent()
                    session.disconnected(now)
