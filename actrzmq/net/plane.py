"""The stream plane of a node: frames in and out, grants in and out, beside the control plane."""

from __future__ import annotations

import asyncio
import errno
from collections import Counter, deque
from collections.abc import Callable

import zmq
from msgspec import Struct

from actrzmq.core.session import Session
from actrzmq.core.streams import StreamParcel, Via
from actrzmq.identity import Serial
from actrzmq.net import sockets
from actrzmq.wire.codec import (
    BODY_BYTES,
    LARGE_PER_MESSAGE,
    TOKEN_BYTES,
    DecodeError,
    decode_stream_messages,
    encode_serial,
    encode_stream_messages,
)
from actrzmq.wire.messages import Path

DRAIN = 100
"""Messages taken at once from one socket, before others get their turn."""
DRAIN_BYTES = 256 * 1024
"""Bytes of them. What a callback has dealt with makes room for what comes next: 8 MB taken in at once, and kept until
all of it is done, are 8 MB that the allocator gets from the system and gives back each time."""
MARK_BYTES = TOKEN_BYTES + 8
"""A relayed message begins with our token, by which the broker shows that it is the broker, and its count of bytes."""
MAX_PARTS = 2 + LARGE_PER_MESSAGE
BACKLOG_BYTES = 64 * 1024 * 1024
"""What may wait for one PUSH that takes nothing; what is over it is dropped, and resent by the stream."""
IDLE = 30_000
"""Milliseconds after which a PUSH that nothing goes through is closed."""


class _Push(Struct, eq=False):
    """One way out: a socket, and what it has not taken yet."""

    socket: zmq.Socket[bytes]
    used_at: int
    backlog: deque[list[bytes]]
    backlog_bytes: int = 0


class Plane:
    """Two PULLs, bound on loopback ports, and a PUSH for each way that frames or grants take."""

    def __init__(self, loop: asyncio.AbstractEventLoop, wake: Callable[[], None]) -> None:
        self._loop = loop
        self._wake = wake
        self._data, self.data_endpoint = sockets.pull()
        self._grants, self.grants_endpoint = sockets.pull()
        self._pushes: dict[tuple[Via, str], _Push] = {}
        self._waiting: dict[_Push, Via] = {}
        self.counters: Counter[str] = Counter()
        self.body_limit = BODY_BYTES
        self._swept_at = 0
        self._stirred: dict[zmq.Socket[bytes], None] = {}

    def open(self) -> None:
        """Begin to listen."""
        for socket in (self._data, self._grants):
            self._loop.add_reader(socket.FD, self._stir, socket)
            self._stirred[socket] = None  # a descriptor tells only of what comes after one has looked in vain

    def close(self) -> None:
        """Close all; what was not sent is lost, which streams that ended do not mind."""
        for push in self._pushes.values():
            self._close_push(push)
        self._pushes.clear()
        for socket in (self._data, self._grants):
            self._loop.remove_reader(socket.FD)
            socket.close(0)

    @property
    def has_input(self) -> bool:
        """Has something come in that was not taken yet?"""
        return bool(self._stirred)

    def drain(self, session: Session, now: int) -> bool:
        """Hand what has come in to `session`; True if there may be more."""
        for socket in list(self._stirred):
            self._drain(socket, session, now)
        return bool(self._stirred)

    def send(self, parcel: StreamParcel, session: Session, now: int) -> None:
        """Send one message its way, or keep it until the socket takes it."""
        frames = [encode_stream_messages(parcel.messages), *parcel.payloads]
        via, endpoint = parcel.via, parcel.via.endpoint
        if via.path is Path.RELAY:
            registration = session.registration
            endpoint = registration.relay
            frames.insert(0, registration.token + encode_serial(via.serial))
            via = Via(Path.RELAY, session.serial)  # one PUSH for all that is relayed
        push = self._pushes.get((via, endpoint))
        if push is None:
            try:
                push = self._connect(via, endpoint, now)
            except zmq.ZMQError as error:
                # Out of descriptors, the stream says it again, and there may be some by then. Where a peer has named
                # a place that is none, nobody can be reached there.
                is_full = error.errno in (errno.EMFILE, errno.ENFILE)
                self.counters["dropped.descriptors" if is_full else "dropped.endpoint"] += 1
                return
        push.used_at = now
        if push.backlog or not sockets.send(push.socket, frames):
            self._keep(push, via, frames)

    @property
    def has_backlog(self) -> bool:
        """Does anything wait for a socket to take it?"""
        return bool(self._waiting)

    def flush(self) -> None:
        """Send what was kept, as far as the sockets take it."""
        for push in list(self._waiting):
            while push.backlog and sockets.send(push.socket, push.backlog[0]):
                push.backlog_bytes -= sum(map(len, push.backlog.popleft()))
            if not push.backlog:
                del self._waiting[push]

    def is_blocked(self, via: Via) -> bool:
        """Does anything wait on that way already?"""
        return bool(self._waiting) and any(
            waiting == via or waiting.path is via.path is Path.RELAY for waiting in self._waiting.values()
        )

    def sweep(self, now: int) -> None:
        """Close the ways that nothing has gone through for a while."""
        if now - self._swept_at < IDLE // 3:
            return
        self._swept_at = now
        for key, push in list(self._pushes.items()):
            if now - push.used_at > IDLE:
                self._close_push(push)
                del self._pushes[key]

    def relay_at(self, relay: str) -> None:
        """The broker relays at `relay` from now on: what waits for another one waits for nobody, and bars the way."""
        for via, endpoint in list(self._pushes):
            if via.path is Path.RELAY and endpoint != relay:
                self._close_push(self._pushes.pop((via, endpoint)))

    def forget(self, serials: set[Serial]) -> None:
        """Close the ways to nodes that are down: a PUSH would wait for their like at the same port."""
        for key in [key for key in self._pushes if key[0].serial in serials]:
            self._close_push(self._pushes.pop(key))

    def _connect(self, via: Via, endpoint: str, now: int) -> _Push:
        socket = sockets.push()
        try:
            sockets.connect(socket, endpoint)
        except zmq.ZMQError:
            socket.close(0)
            raise
        push = self._pushes[via, endpoint] = _Push(socket, now, deque())
        self._loop.add_reader(socket.FD, self._look, push)
        return push

    def _look(self, push: _Push) -> None:
        """Something happened to the socket; only looking at it makes its descriptor quiet again."""
        if sockets.events(push.socket) & zmq.POLLOUT and push.backlog:
            self._wake()

    def _close_push(self, push: _Push) -> None:
        self._waiting.pop(push, None)
        self._loop.remove_reader(push.socket.FD)
        push.socket.close(0)

    def _keep(self, push: _Push, via: Via, frames: list[bytes]) -> None:
        size = sum(map(len, frames))
        if push.backlog_bytes + size > BACKLOG_BYTES:
            self.counters["dropped.backlog"] += 1
            return
        push.backlog.append(frames)
        push.backlog_bytes += size
        self._waiting[push] = via

    def _stir(self, socket: zmq.Socket[bytes]) -> None:
        self._stirred[socket] = None
        self._wake()

    def _drain(self, socket: zmq.Socket[bytes], session: Session, now: int) -> None:
        size = 0
        for _ in range(DRAIN):
            frames = sockets.receive(socket, MAX_PARTS, self.body_limit, self.counters, copies_all=False)
            if frames is None:
                del self._stirred[socket]
                return
            size += sum(map(len, frames))
            if frames:
                self._take(frames, session, now)
            if size >= DRAIN_BYTES:
                return

    def _take(self, frames: list[bytes], session: Session, now: int) -> None:
        token = session.registration.token
        if len(frames[0]) == MARK_BYTES and token and frames[0].startswith(token):
            session.registration.was_relayed(int.from_bytes(frames.pop(0)[TOKEN_BYTES:]), now)
            if not frames:
                return
        try:
            messages = decode_stream_messages(frames[0], frames[1:], self.body_limit)
        except DecodeError:
            self.counters["dropped.undecodable"] += 1
            return
        session.streams.arrived(messages, now)
