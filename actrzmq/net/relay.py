"""The broker's relay: takes stream messages on a PULL, and gives each receiver its own on a PUSH of its own.

In: `[token of the sender, address of the receiver] [header] [large payload]*`. Out: `[token of the receiver, bytes
relayed to it so far] [header] [large payload]*`; its own token shows the receiver that this is the broker, and the
count is what it confirms with its next renewal. What is lost on the way is found missing and sent again by the ends.
"""

from __future__ import annotations

from collections import Counter, deque

import zmq
from msgspec import Struct

from actrzmq.core.broker import BrokerCore
from actrzmq.core.registry import Node
from actrzmq.identity import Serial
from actrzmq.net import sockets
from actrzmq.net.endpoints import is_reachable
from actrzmq.net.sockets import receive_frame, skip
from actrzmq.wire.codec import HEADER_BYTES, LARGE_PER_MESSAGE, SERIAL_BYTES, TOKEN_BYTES

DRAIN = 500
"""Messages taken at once, before the control plane gets its turn."""
MARK_EVERY = 100
"""Milliseconds between two marks without frames to one receiver that is over its budget."""
MARK_BYTES = TOKEN_BYTES + SERIAL_BYTES
COUNT_BYTES = 8

_Message = list[bytes | zmq.Frame]


class _Push(Struct, eq=False):
    """The way to one receiver: a socket, and what it has not taken yet, which its budget bounds."""

    socket: zmq.Socket[bytes]
    endpoint: str
    backlog: deque[_Message]


class Relay:
    """Moves stream messages from `pull` to where nodes take them, as `core` decides."""

    def __init__(self, core: BrokerCore, pull: zmq.Socket[bytes]) -> None:
        self._core = core
        self._pull = pull
        self._pushes: dict[Serial, _Push] = {}
        self._waiting: dict[zmq.Socket[bytes], _Push] = {}
        self._marked_at = 0
        self.counters: Counter[str] = Counter()

    @property
    def has_waiting(self) -> bool:
        """Is there any?"""
        return bool(self._waiting)

    @property
    def waiting(self) -> list[tuple[zmq.Socket[bytes] | int, int]]:
        """Sockets for which something waits, to be polled."""
        return [(socket, zmq.POLLOUT) for socket in self._waiting]

    def drain(self) -> bool:
        """Take what has come in; True if there may be more."""
        pull = self._pull
        try:
            for _ in range(DRAIN):
                self._take(receive_frame(pull, zmq.NOBLOCK, copy=False))
        except zmq.Again:
            return False
        return True

    def flush(self, socket: zmq.Socket[bytes]) -> None:
        """Send what was kept for `socket`, as far as it takes it."""
        push = self._waiting.get(socket)
        if push is None:
            return  # closed meanwhile
        while push.backlog and sockets.send(socket, push.backlog[0]):
            push.backlog.popleft()
        if not push.backlog:
            del self._waiting[socket]

    def mark(self, now: int) -> None:
        """Tell those for whom something was dropped how much has gone to them: a lost tail would bar them for good."""
        if not self._core.over_budget or now - self._marked_at < MARK_EVERY:
            return
        self._marked_at = now
        for serial, node in list(self._core.over_budget.items()):
            push = self._push_to(node)
            if push is None or (not push.backlog and sockets.send(push.socket, [_mark(node)])):
                del self._core.over_budget[serial]

    def forget(self, serial: Serial) -> None:
        """Close the way to a node that is down: a PUSH would wait for another one at the same port."""
        push = self._pushes.pop(serial, None)
        if push is not None:
            self._close_push(push)

    def close(self) -> None:
        """Close every way out."""
        for serial in list(self._pushes):
            self.forget(serial)

    def _take(self, mark: zmq.Frame) -> None:
        frames: list[zmq.Frame] = []
        refusal = self._take_frames(mark, frames)
        if refusal:
            skip(self._pull, (frames or [mark])[-1].more)
            self.counters[refusal] += 1
            return
        text = mark.bytes
        node = self._core.relay(text[:TOKEN_BYTES], text[TOKEN_BYTES:], sum(map(len, frames)))
        push = None if node is None else self._push_to(node)
        if node is None or push is None:
            return
        self.counters["relay.messages"] += 1
        message: _Message = [_mark(node), *frames]
        if push.backlog or not sockets.send(push.socket, message):
            push.backlog.append(message)
            self._waiting[push.socket] = push

    def _take_frames(self, mark: zmq.Frame, frames: list[zmq.Frame]) -> str:
        """Fill `frames`; returns what is wrong with the message, if anything is."""
        if len(mark) != MARK_BYTES or not mark.more:
            return "relay.garbage"
        frame = mark
        while frame.more:
            frame = receive_frame(self._pull, zmq.NOBLOCK, copy=False)
            frames.append(frame)
            if len(frame) > (HEADER_BYTES if len(frames) == 1 else self._core.limits.body):
                return "relay.oversize"
            if len(frames) > 1 + LARGE_PER_MESSAGE:
                return "relay.parts"
        return ""

    def _push_to(self, node: Node) -> _Push | None:
        push = self._pushes.get(node.id.serial)
        if push is not None and push.endpoint == node.register.data:
            return push
        self.forget(node.id.serial)
        if not is_reachable(node.register.data):
            self.counters["relay.endpoint"] += 1
            return None
        try:
            socket = sockets.push(sockets.RELAYED)
        except zmq.ZMQError:  # out of descriptors: the sender says it again, and there may be some by then
            self.counters["relay.descriptors"] += 1
            return None
        sockets.connect(socket, node.register.data)
        push = self._pushes[node.id.serial] = _Push(socket, node.register.data, deque())
        return push

    def _close_push(self, push: _Push) -> None:
        self._waiting.pop(push.socket, None)
        push.socket.close(0)


def _mark(node: Node) -> bytes:
    return node.token + node.relayed_bytes.to_bytes(COUNT_BYTES)
