"""The ways that a stream's messages take: over the control plane, straight to the other node, or by the relay."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from enum import Enum, auto
from typing import NamedTuple

from msgspec import Struct

from actrzmq.core.failures import failure_bytes
from actrzmq.core.peer import Peer
from actrzmq.identity import Serial
from actrzmq.wire.codec import BATCH_BYTES, BATCH_ENVELOPES, LARGE_PER_MESSAGE
from actrzmq.wire.messages import OnStreamPlane, Opened, OpenRefused, OpenStream, Path, Reset, StreamControl

CONTROL_BYTES = 64
"""About what a message without payload takes."""

_LOOPBACK = re.compile(r"tcp://127\.\d{1,3}\.\d{1,3}\.\d{1,3}:\d{1,5}", re.ASCII)


class Wish(Enum):
    """Which path the sender asks for."""

    AUTO = auto()
    DIRECT = auto()
    RELAY = auto()


class Via(NamedTuple):
    """A way over the stream plane: to `serial`, at `endpoint` where the path is direct."""

    path: Path
    serial: Serial
    endpoint: str = ""

    @property
    def is_direct(self) -> bool:
        """Is it a direct way that may be taken?"""
        return self.path is Path.DIRECT and is_direct(self.endpoint)


def is_direct(endpoint: str) -> bool:
    """May a PUSH connect there? A peer names the place: it must not make us talk to what it likes."""
    return _LOOPBACK.fullmatch(endpoint) is not None


class StreamParcel(Struct):
    """One message of the stream plane to be: what is said, and the large payloads beside it."""

    via: Via
    messages: list[OnStreamPlane]
    payloads: list[bytes]
    size: int


class Ways:
    """Takes what streams have to say. `post` queues an envelope for a peer on the control plane."""

    def __init__(self, post: Callable[[Peer, StreamControl, int, int], None]) -> None:
        self._post = post
        self._plane: list[tuple[Via, OnStreamPlane]] = []

    def over_control(self, peer: Peer, message: StreamControl, now: int) -> None:
        """Say it to `peer` over the control plane, where the broker vouches for us."""
        self._post(peer, message, _text_bytes(message), now)

    def over_plane(self, via: Via, message: OnStreamPlane) -> None:
        """Say it over the stream plane."""
        self._plane.append((via, message))

    def both_ways(self, peer: Peer, via: Via, reset: Reset, now: int) -> None:
        """Over the control plane, and over the direct way too: the broker may be away just now."""
        self.over_control(peer, reset, now)
        if via.is_direct:
            self.over_plane(via, reset)

    @property
    def has_words(self) -> bool:
        """Was anything said over the stream plane?"""
        return bool(self._plane)

    def pack(self) -> Pack:
        """All that was said over the stream plane, once, with room for frames after it."""
        plane, self._plane = self._plane, []
        pack = Pack()
        for via, message in plane:
            pack.add(via, message, (), CONTROL_BYTES + _text_bytes(message))
        return pack


class Pack:
    """Puts stream messages into parcels, by the way they take, within what one message may hold."""

    def __init__(self) -> None:
        self.parcels: list[StreamParcel] = []
        self._open: dict[Via, StreamParcel] = {}

    def add(self, via: Via, message: OnStreamPlane, payloads: Iterable[bytes], size: int) -> None:
        """Put `message` into the parcel of its way that is open, or into a new one."""
        beside = list(payloads)
        parcel = self._open.get(via)
        if (
            parcel is None
            or len(parcel.messages) >= BATCH_ENVELOPES
            or parcel.size + size > BATCH_BYTES
            or len(parcel.payloads) + len(beside) > LARGE_PER_MESSAGE
        ):
            parcel = self._open[via] = StreamParcel(via, [], [], 0)
            self.parcels.append(parcel)
        parcel.messages.append(message)
        parcel.payloads += beside
        parcel.size += size


def _text_bytes(message: StreamControl | OnStreamPlane) -> int:
    """What the texts in `message` take, about."""
    match message:
        case OpenStream():
            return len(message.stream_id)
        case Reset() | OpenRefused():
            return failure_bytes(message.failure)
        case Opened():
            return len(message.data)
        case _:
            return 0
