"""All streams of one node, in both directions: what was said goes to the half whose business it is.

The halves are in `outgoing.py` and `incoming.py`, the frames of one stream in `sending.py` and `receiving.py`, the ways
they take in `paths.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from actrzmq.core.awaited import Receiver
from actrzmq.core.deadletters import Drops
from actrzmq.core.incoming import InStream, InStreams, StreamLimits
from actrzmq.core.outgoing import OutState, OutStream, OutStreams
from actrzmq.core.paths import StreamParcel, Via, Ways, Wish, is_direct
from actrzmq.core.peer import Peer
from actrzmq.core.turn import Turn
from actrzmq.errors import ActrRuntimeError
from actrzmq.identity import Serial
from actrzmq.wire.messages import (
    End,
    EndAck,
    Frames,
    Grant,
    Lane,
    OnStreamPlane,
    Opened,
    OpenRefused,
    OpenStream,
    Probe,
    Reason,
    Resend,
    Reset,
    StreamControl,
)

TICK = 50
"""Channels that wait for something are looked at this often, in milliseconds."""


class Streams:
    """All streams of one node. `post` queues an envelope for a peer on the control plane."""

    def __init__(
        self,
        limits: StreamLimits,
        post: Callable[[Peer, StreamControl, int, int], None],
        turn: Callable[[], Turn],
        draw: Callable[[int], bytes],
        data_endpoint: str,
        grants_endpoint: str,
        drops: Drops | None = None,
    ) -> None:
        self.counters: Counter[str] = Counter()
        self._ways = Ways(post)
        self._out = OutStreams(self._ways, turn, grants_endpoint, limits.check, self.counters)
        self._in = InStreams(limits, self._ways, turn, draw, data_endpoint, self.counters, drops)
        self._tick_at = 0

    # the sender's verbs

    def open(self, peer: Peer, stream_id: str, lane: Lane, wish: Wish, timeout: int, sink: Any, now: int) -> OutStream:
        """Ask `peer` to take the stream; `turn.resolve` tells `sink` the OutStream when it is open, or the error.

        Raises `ActrStreamError` if the same stream goes there already, `ActrOverloaded` where too much is open.
        """
        return self._out.open(peer, stream_id, lane, wish, timeout, sink, now)

    def find(self, serial: Serial, stream_id: str) -> OutStream | None:
        """Our stream of that id to that node, unless it is closed."""
        return self._out.find(serial, stream_id)

    def queued(self, stream: OutStream) -> None:
        """Frames were pushed into the stream's channel: `outgoing` will take them."""
        self._out.queued(stream)

    def end(self, stream: OutStream, now: int) -> None:
        """No more frames; `turn.closed` tells when the last one is done."""
        self._out.end(stream, now)

    def abort(self, stream: OutStream, error: ActrRuntimeError, now: int) -> None:
        """End it here and there with `error`."""
        self._out.abort(stream, error, now)

    # the receiver's verbs

    def register(
        self,
        stream_id: str,
        sender: Serial | None,
        sink: Any,
        now: int,
        *,
        awaited: Peer | None = None,
        open_within: int | None = None,
    ) -> Receiver | None:
        """Take the stream `stream_id` when it comes, from `sender` only where given; None if the id is taken.

        Not opened, it ends when `awaited` goes down, and after `open_within` milliseconds.
        """
        return self._in.register(stream_id, sender, sink, now, awaited=awaited, open_within=open_within)

    def expect(self, receiver: Receiver, peer: Peer) -> None:
        """Take it from `peer` only, and await it from there; nothing happens if it is open, or no longer registered."""
        self._in.receivers.expect(receiver, peer)

    def receiver(self, stream_id: str) -> Receiver | None:
        """Who has registered that id."""
        return self._in.receivers.get(stream_id)

    def unregister(self, receiver: Receiver, error: ActrRuntimeError, now: int) -> None:
        """Take it no longer; a stream that is open is cancelled with `error` as the reason for its sender."""
        self._in.unregister(receiver, error, now)

    def progressed(self, receiver: Receiver, now: int) -> None:
        """The shell has completed frames of it, and counted them in the channel."""
        self._in.progressed(receiver, now)

    # what was said

    def control(self, peer: Peer, envelope: object, now: int) -> bool:
        """What `peer` said of a stream over the control plane; False if it is not about streams."""
        match envelope:
            case OpenStream():
                self._in.asked(peer, envelope, now)
            case Opened():
                self._out.opened(peer, envelope, now)
            case OpenRefused():
                self._out.refused(peer, envelope, now)
            case Grant() | Probe() | Resend() | End() | EndAck() | Reset():
                self._on_channel(envelope, peer, now)
            case _:
                return False
        return True

    def arrived(self, messages: list[OnStreamPlane], now: int) -> None:
        """What came over the stream plane. Nobody vouches for it but the channel's secret name."""
        for message in messages:
            if isinstance(message, Frames):
                self._in.frames(message, now)
            else:
                self._on_channel(message, None, now)

    def _on_channel(self, message: Grant | Probe | Resend | End | EndAck | Reset, peer: Peer | None, now: int) -> None:
        """`peer` None: it came over the stream plane; else it must be the stream's other end."""
        match message:
            case Grant() | Resend() | EndAck():
                self._out.said(message, peer, now)
            case Probe() | End():
                self._in.said(message, peer, now)
            case Reset():
                if not (self._out.reset(message, peer) or self._in.reset(message, peer)):
                    self.counters["channel.unknown"] += 1

    # what is to be sent

    @property
    def has_outgoing(self) -> bool:
        """Is there anything for the stream plane?"""
        return self._out.has_outgoing or self._ways.has_words

    def outgoing(self, is_blocked: Callable[[Via], bool]) -> list[StreamParcel]:
        """Everything for the stream plane, once; frames for ways that are blocked stay here."""
        pack = self._ways.pack()
        self._out.take(pack, is_blocked)
        return pack.parcels

    # time

    def tick(self, now: int) -> list[Peer]:
        """Probe, grant, and end what has waited too long; returns the peers that have to hear what is still open."""
        self._in.expire(now)
        unaware = self._out.expire(now)
        if self._is_busy and now >= self._tick_at:
            self._tick_at = now + TICK
            self._in.look_round(now)
            self._out.look_round(now)
        return unaware

    def next_deadline(self) -> int | None:
        """When `tick` has something to look at."""
        deadlines = [self._in.next_deadline(), self._out.next_deadline(), self._tick_at if self._is_busy else None]
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    @property
    def _is_busy(self) -> bool:
        return self._in.is_busy or self._out.is_busy

    # peers

    def say_again(self, peer: Peer, now: int) -> None:
        """`peer` may not have heard what was said: openings without an answer, once more."""
        self._out.say_again(peer, now)

    def answer_again(self, peer: Peer, open: int, now: int) -> None:
        """`peer` has not heard our answer to its opening: the same again, if the stream is still there."""
        self._in.answer_again(peer, open, now)

    def keep_only(self, peer: Peer, opens: set[int]) -> None:
        """`peer` has listed its streams to us: what is not among them has lost its sender."""
        self._in.keep_only(peer, opens)

    def returned(self, peer: Peer, open: int, reason: Reason) -> None:
        """An opening could not be delivered."""
        self._out.returned(peer, open, reason)

    def not_there(self, peer: Peer, reason: Reason) -> None:
        """`peer` can't be reached: streams that were awaited from it won't come."""
        self._in.receivers.not_there(peer, reason)

    def peer_down(self, peer: Peer, reason: Reason) -> None:
        """`peer` is gone, and all streams with it."""
        self._out.peer_down(peer, reason)
        self._in.peer_down(peer, reason)

    # leaving

    def drain(self) -> None:
        """Take no new streams."""
        self._in.draining = True

    def drain_senders(self, now: int) -> None:
        """The node stops: streams that their senders have not ended are reset, with what was sent as their last."""
        self._out.abort_all("its sender stops", now, but_ending=True)

    def end_everything(self, error: ActrRuntimeError, now: int) -> None:
        """The node stops or was fenced: both sides of every stream end here."""
        self._in.acknowledge_again(now)
        self._out.abort_all(error.message, now)
        self._in.cancel_all(error, now)

    # what there is

    @property
    def open_count(self) -> int:
        """Streams in both directions."""
        return self.sending_count + self.receiving_count

    @property
    def moved(self) -> tuple[int, int]:
        """A mark that changes while any stream moves: of those that are sent, and of those that are received."""
        return self._out.moved, self._in.moved

    @property
    def sending_count(self) -> int:
        """Streams that this node sends and has not seen the end of."""
        return len(self._out)

    @property
    def receiving_count(self) -> int:
        """Streams that this node receives and has not seen the end of."""
        return len(self._in)

    @property
    def promised(self) -> int:
        """Bytes that senders may send, or have sent and are not done."""
        return self._in.budget.used

    def statistics(self) -> dict[str, int]:
        """Open streams, and what was dropped, by reason."""
        counted = self.counters + self._in.losses() + self._out.losses()
        return {"streams.sending": self.sending_count, "streams.receiving": self.receiving_count, **counted}


__all__ = [
    "InStream",
    "OutState",
    "OutStream",
    "Receiver",
    "StreamLimits",
    "StreamParcel",
    "Streams",
    "Via",
    "Wish",
    "is_direct",
]
