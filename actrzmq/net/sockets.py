"""Every ZeroMQ socket there is, with its options: nowhere else is one set. Each has its reason beside it.

Left as they are, on purpose: ZMTP heartbeats stay off (a consumer that paused for 4 s lost 4,455 of 117,545 frames
without an error, and the connecting process aborted in 20 of 24 runs; libzmq #3937, #4767, #4830); TCP_MAXRT stays
unset (a pause of 10 s lost 346 of 370 frames that had been accepted); no ROUTING_ID (a fixed one hides that a peer
reconnected, and may be stolen).
"""

from __future__ import annotations

import os
import secrets
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, cast
from weakref import WeakSet

import zmq
from zmq import zmq_poll

from actrzmq.errors import ActrTransportError
from actrzmq.net.context import check_process, context
from actrzmq.wire.codec import BODY_BYTES, HEADER_BYTES, LARGE_PER_MESSAGE

FUSE = 262_144
"""Messages in a pipe, at most: 16 MiB of the smallest, as a node's backlog is counted. Credit bounds memory."""
INTAKE = 1_000
"""Messages that the broker takes in ahead for one connection. Further ones wait in TCP: nobody promised that flood."""
RELAYED = 2_000_000
"""Messages in the pipe to a receiver of relayed frames: more than its budget has room for."""
SLACK_BYTES = 64 * 1024
UNCOPIED = 64 * 1024
"""From so many bytes on a frame is sent without a copy, and kept until it has gone; one that is received stays where it
is, if it may. Shorter ones are copied faster."""
SHARING_DESCRIPTORS = 16
"""What pyzmq needs (7) to keep frames that are sent without a copy, and some that others may take meanwhile."""
LONGEST_BODY = 64 * 1024 * 1024
"""What `limits.body_bytes` of a broker may be set to, at most."""

CLIENT_EVENTS = zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED
SERVER_EVENTS = CLIENT_EVENTS | zmq.EVENT_ACCEPTED | zmq.EVENT_ACCEPT_FAILED

_is_sharing = [False]
os.register_at_fork(after_in_child=lambda: _is_sharing.__setitem__(0, False))

_made: WeakSet[zmq.Socket[bytes]] = WeakSet()

# A third of the time of Socket.send and Socket.recv, which wrap these in Python.
send_frame = zmq.backend.Socket.send
receive_frame = zmq.backend.Socket.recv
_get = zmq.backend.Socket.get
_send_part: Any = send_frame  # which takes a Frame as well, whatever its type says
# As plain numbers: to combine or compare members of an IntFlag costs more than what is asked with them.
_NOBLOCK = int(zmq.NOBLOCK)
_NOBLOCK_MORE = int(zmq.NOBLOCK | zmq.SNDMORE)
_IN = int(zmq.POLLIN)


def router(body_limit: int = BODY_BYTES) -> zmq.Socket[bytes]:
    """The broker's socket for the control plane."""
    socket = _listener(zmq.ROUTER, body_limit)
    # Without it, sends to peers that are full or gone "succeed": 46,850 of 50,000 vanished. With it EHOSTUNREACH or
    # EAGAIN tell, and a killed peer shows within 10 ms.
    socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
    # A peer that claims the id of another must not take over its messages.
    socket.setsockopt(zmq.ROUTER_HANDOVER, 0)
    socket.setsockopt(zmq.SNDHWM, FUSE)
    socket.setsockopt(zmq.RCVHWM, INTAKE)
    return socket


def relay(body_limit: int = BODY_BYTES) -> zmq.Socket[bytes]:
    """The broker's socket for frames to be relayed."""
    socket = _listener(zmq.PULL, body_limit)
    socket.setsockopt(zmq.RCVHWM, INTAKE)
    return socket


def dealer() -> zmq.Socket[bytes]:
    """A node's socket for the control plane."""
    socket = _connector(zmq.DEALER)
    socket.setsockopt(zmq.SNDHWM, FUSE)
    socket.setsockopt(zmq.RCVHWM, FUSE)
    # The broker keeps to its own limit, which is not known before it has answered.
    socket.setsockopt(zmq.MAXMSGSIZE, LONGEST_BODY + SLACK_BYTES)
    return socket


def push(high_water_mark: int = FUSE) -> zmq.Socket[bytes]:
    """A socket for stream messages to one destination; close it when that one is down.

    One for several would deal frames out like cards, half of them to whoever is dead.
    """
    socket = _connector(zmq.PUSH)
    socket.setsockopt(zmq.SNDHWM, high_water_mark)
    return socket


def pull(body_limit: int = LONGEST_BODY) -> tuple[zmq.Socket[bytes], str]:
    """A node's socket for stream messages, bound to a free loopback port, and its endpoint."""
    socket = _listener(zmq.PULL, body_limit)
    socket.setsockopt(zmq.RCVHWM, FUSE)
    return socket, bind(socket, "tcp://127.0.0.1:*")


def monitor(socket: zmq.Socket[bytes], events: int = CLIENT_EVENTS) -> zmq.Socket[bytes]:
    """A socket on which `events` of `socket` arrive. Ask before `socket` connects or binds, or some are missed."""
    address = f"inproc://monitor-{secrets.token_hex(8)}"
    socket.monitor(address, events)
    watching = context().socket(zmq.PAIR)
    watching.setsockopt(zmq.LINGER, 0)
    # Unlimited: a full one would block libzmq's I/O thread, and with it every connection.
    watching.setsockopt(zmq.RCVHWM, 0)
    watching.connect(address)
    return watching


def open_sockets() -> set[zmq.Socket[bytes]]:
    """All of this process that have not been closed, but for monitors."""
    return {socket for socket in _made if not socket.closed}


def take_event(monitor: zmq.Socket[bytes]) -> int | None:
    """The next event (`zmq.EVENT_…`) that a monitor has for us; None if there is none now."""
    try:
        event = receive_frame(monitor, zmq.NOBLOCK)
    except zmq.Again:
        return None
    skip(monitor, more=True)  # the endpoint
    return int.from_bytes(event[:2], sys.byteorder)


def bind(socket: zmq.Socket[bytes], endpoint: str) -> str:
    """Listen at `endpoint`, and return it with the port that it got. `ActrTransportError` if that can't be."""
    _allow_ipv6(socket, endpoint)
    before = os.umask(0o077)  # the mode of an ipc socket says who may connect
    try:
        socket.bind(endpoint)
    except zmq.ZMQError as error:
        hint = "; is another broker running there?" if error.errno == zmq.EADDRINUSE else ""
        raise ActrTransportError(f"can't listen at {endpoint}: {zmq.strerror(error.errno or 0)}{hint}") from None
    finally:
        os.umask(before)
    bound = socket.getsockopt(zmq.LAST_ENDPOINT)
    assert isinstance(bound, bytes)
    return bound.rstrip(b"\0").decode()


def connect(socket: zmq.Socket[bytes], endpoint: str) -> None:
    """Begin to connect to `endpoint`; libzmq goes on trying."""
    _allow_ipv6(socket, endpoint)
    socket.connect(endpoint)


def send(socket: zmq.Socket[bytes], frames: Sequence[bytes | zmq.Frame]) -> bool:
    """Send one message, or return False where that would have to wait. A message is taken whole or not at all."""
    check_process(socket)
    last = len(frames) - 1
    is_taken = True
    for index, frame in enumerate(frames):
        try:
            copies = len(frame) < UNCOPIED or not _may_share()
            _send_part(socket, frame, _NOBLOCK if index == last else _NOBLOCK_MORE, copies)
        except zmq.Again:
            if index == 0:
                return False
            # The connection went in mid-message: libzmq has dropped it, and drops what follows up to the last part.
            is_taken = False
    return is_taken


def _may_share() -> bool:
    """May a frame be sent without a copy? To keep the first one, pyzmq opens a context of its own, and libzmq ends the
    process if there are no descriptors for that: where they are short, frames are copied.
    """
    if not _is_sharing[0]:
        spare: list[int] = []
        try:
            for _ in range(SHARING_DESCRIPTORS):
                spare.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
        except OSError:
            return False
        finally:
            for number in spare:
                os.close(number)
        _is_sharing[0] = True
    return True


def receive(
    socket: zmq.Socket[bytes],
    max_parts: int,
    body_limit: int,
    counters: Counter[str],
    dropped: Callable[[int], None] = lambda _: None,
    *,
    copies_all: bool = True,
) -> list[bytes] | None:
    """The next message; None if there is none, empty if it had too many parts or bytes: counted and dropped, and
    `dropped` is told how many bytes came after its first part.

    Unless it `copies_all`, large parts but for the first are memoryviews of what libzmq has received. These pass for
    bytes here: they have a length, and are decoded and copied like them.

    Part by part: five million empty parts, 10 MiB on the wire, took `recv_multipart` 328 MiB and 5.6 s.
    """
    check_process(socket)
    try:
        frame = receive_frame(socket, _NOBLOCK, copy=False)
    except zmq.Again:
        return None
    frames = [frame.bytes]
    if not frame.more:
        return frames
    room = message_limit(body_limit) - len(frame)
    size = 0
    while frame.more:
        frame = receive_frame(socket, _NOBLOCK, copy=False)
        size += len(frame)
        if size > room or len(frames) == max_parts:
            dropped(size + skip(socket, frame.more))
            counters["dropped.oversize" if size > room else "dropped.parts"] += 1
            return []
        frames.append(frame.bytes if copies_all or len(frame) < UNCOPIED else cast("bytes", frame.buffer))
    return frames


def has_input(socket: zmq.Socket[bytes]) -> bool:
    """Is there a message to receive? To be asked after sending too, where its descriptor is waited for: it tells of
    edges only. Costs a quarter of a `receive` in vain, and `zmq_poll` half of what asking for EVENTS does.
    """
    return bool(zmq_poll([(socket, _IN)], 0))


def descriptor(socket: zmq.Socket[bytes]) -> int:
    """What to wait for where `socket` has nothing more. It tells of edges only: see `has_input`."""
    number = socket.getsockopt(zmq.FD)
    assert isinstance(number, int)
    return number


def events(socket: zmq.Socket[bytes]) -> int:
    """What the socket is ready for (POLLIN, POLLOUT). To look is also what makes its descriptor quiet again."""
    ready = _get(socket, zmq.EVENTS)
    assert isinstance(ready, int)
    return ready


def skip(socket: zmq.Socket[bytes], more: bool) -> int:
    """Throw away what is left of a message, and return its bytes; `more` says whether there is anything."""
    size = 0
    while more:
        frame = receive_frame(socket, zmq.NOBLOCK, copy=False)
        size += len(frame)
        more = frame.more
    return size


def message_limit(body_limit: int) -> int:
    """Bytes that one message may have in all: two headers (`Returned` puts one before the other), and large bodies."""
    return 2 * HEADER_BYTES + LARGE_PER_MESSAGE * body_limit


def _socket(kind: int) -> zmq.Socket[bytes]:
    socket = context().socket(kind)
    _made.add(socket)
    # Set for every socket, since the default waits for ever at the end. Whoever has last words closes with a time.
    socket.setsockopt(zmq.LINGER, 0)
    # 30 s by default: slow and false handshakes would keep descriptors that long.
    socket.setsockopt(zmq.HANDSHAKE_IVL, 3_000)
    # A host that is gone is noticed within 20 s, and a pause of 10 s loses nothing (0 of 380).
    socket.setsockopt(zmq.TCP_KEEPALIVE, 1)
    socket.setsockopt(zmq.TCP_KEEPALIVE_IDLE, 10)
    socket.setsockopt(zmq.TCP_KEEPALIVE_INTVL, 5)
    socket.setsockopt(zmq.TCP_KEEPALIVE_CNT, 3)
    return socket


def _listener(kind: int, body_limit: int) -> zmq.Socket[bytes]:
    socket = _socket(kind)
    # 100 by default: a thousand nodes that come back at once need more.
    socket.setsockopt(zmq.BACKLOG, 1_024)
    # Refuses ZMTP 1 and 2 (nobody is asked, without a handler). Else HTTP passes for ZMTP 1 and keeps its descriptor.
    socket.setsockopt(zmq.ZAP_DOMAIN, b"actrzmq")
    # One longer frame ends the connection, with no error at its sender: senders check for themselves.
    socket.setsockopt(zmq.MAXMSGSIZE, max(body_limit, HEADER_BYTES) + SLACK_BYTES)
    return socket


def _connector(kind: int) -> zmq.Socket[bytes]:
    socket = _socket(kind)
    # Without it a PUSH queues 1,000 frames for a dead endpoint, and stale requests run later (5 of 5).
    socket.setsockopt(zmq.IMMEDIATE, 1)
    # libzmq doubles the time between two tries without any jitter: a thundering herd.
    socket.setsockopt(zmq.RECONNECT_IVL, 100 + secrets.randbelow(201))
    socket.setsockopt(zmq.RECONNECT_IVL_MAX, 1_000)
    return socket


def _allow_ipv6(socket: zmq.Socket[bytes], endpoint: str) -> None:
    if endpoint.startswith("tcp://["):
        socket.setsockopt(zmq.IPV6, 1)
