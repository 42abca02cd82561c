"""Streams from their opening on: who may send what to whom, on which path; frames are the channels' business.

A sender's stream::

    OPENING ──Opened, relay────────────────────────────▶ OPEN ──end, abort, reset, PeerDown──▶ CLOSED
       │ ──Opened, direct──▶ CHECKING ──Grant came back──▶ │
       │ ◀──no Grant in 1 s, path auto: as relay── │
       └──OpenRefused, PeerDown, deadline─────────────────────────────────────────────────────▶ CLOSED

Direct counts only once a Probe has gone to the receiver and its Grant has come back the same way, since grants need
the way back. A receiver's stream exists from OpenStream, once somebody has registered its id; an open that comes
first waits 5 s for that. An answer goes back the way the question came: what came over the control plane may have come
there because the direct way is broken.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from enum import Enum, auto
from typing import Any, NamedTuple

from msgspec import Struct

from actrzmq.core.credit import Budget
from actrzmq.core.deadlines import Deadlines
from actrzmq.core.failures import error_for, error_from, failure_of
from actrzmq.core.peer import Peer
from actrzmq.core.receiving import ReceiveChannel
from actrzmq.core.sending import SendChannel
from actrzmq.core.tombstones import Tombstones
from actrzmq.core.turn import Turn
from actrzmq.errors import (
    ActrNotFound,
    ActrOverloaded,
    ActrPermissionDenied,
    ActrRuntimeError,
    ActrStreamError,
    ActrTimeoutError,
    ActrTransportError,
    Status,
)
from actrzmq.identity import Serial
from actrzmq.wire.codec import BATCH_BYTES, BATCH_ENVELOPES, LARGE_PER_MESSAGE
from actrzmq.wire.messages import (
    Channel,
    End,
    EndAck,
    Frames,
    Grant,
    Lane,
    OnStreamPlane,
    Opened,
    OpenRefused,
    OpenStream,
    Path,
    Probe,
    Reason,
    Resend,
    Reset,
    StreamControl,
)

TICK = 50
"""Channels that wait for something are looked at this often, in milliseconds."""
OPEN_AGAIN = 10_000
"""Milliseconds for the answer to an opening by relay, after the direct way has failed."""
CONTROL_BYTES = 64
"""About what a message without payload takes."""

_LOOPBACK = re.compile(r"tcp://127\.\d{1,3}\.\d{1,3}\.\d{1,3}:\d{1,5}", re.ASCII)


class Wish(Enum):
    """Which path the sender asks for."""

    AUTO = auto()
    DIRECT = auto()
    RELAY = auto()


class StreamLimits(Struct, frozen=True):
    """Windows of one stream and memory of all, in frames, bytes and milliseconds."""

    window_frames: int = 1024
    window_bytes: int = 8 * 1024 * 1024
    memory: int = 64 * 1024 * 1024
    streams: int = 20_000
    """Streams that this node receives, and openings that wait for a registration, at most."""
    register_within: int = 5_000
    check: int = 1_000
    """How long a Grant may take to come back over the direct path."""


class Via(NamedTuple):
    """A way for stream messages: to `serial`, at `endpoint` where the path is direct."""

    path: Path
    serial: Serial
    endpoint: str = ""


class StreamParcel(Struct):
    """One message of the stream plane to be: what is said, and the large payloads beside it."""

    via: Via
    messages: list[OnStreamPlane]
    payloads: list[bytes]
    size: int


class OutState(Enum):
    """Where a sender's stream stands."""

    OPENING = auto()
    CHECKING = auto()
    OPEN = auto()
    CLOSED = auto()


class OutStream(Struct, eq=False):
    """A stream that this node sends. `sink` is the shell's."""

    peer: Peer
    stream_id: str
    lane: Lane
    open: int
    wish: Wish
    path: Path
    sink: Any
    deadline: int
    state: OutState = OutState.OPENING
    channel: SendChannel | None = None
    data: str = ""

    @property
    def via(self) -> Via:
        """The way that its frames take."""
        return Via(self.path, self.peer.serial, self.data)


class Receiver(Struct, eq=False):
    """A stream id that somebody in this node has registered. `sink` is the shell's."""

    stream_id: str
    sender: Serial | None
    sink: Any
    stream: InStream | None = None


class InStream(Struct, eq=False):
    """A stream that this node receives."""

    peer: Peer
    open: int
    receiver: Receiver
    channel: ReceiveChannel
    path: Path
    grants: str

    @property
    def via(self) -> Via:
        """The way that grants take on the direct path."""
        return Via(Path.DIRECT, self.peer.serial, self.grants)


class _Pending(Struct, eq=False):
    """An opening that came before its stream id was registered."""

    peer: Peer
    ask: OpenStream
    deadline: int


class _Pack:
    """Packs stream messages into parcels, by the way they take, within what one message may hold."""

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
    ) -> None:
        self._limits = limits
        self._post_to = post
        self._turn = turn
        self._draw = draw
        self._data = data_endpoint
        self._grants = grants_endpoint
        self.counters: Counter[str] = Counter()
        self.draining = False
        self._last_open = 0
        self._out_by_key: dict[tuple[Serial, str], OutStream] = {}
        self._out: dict[Channel, OutStream] = {}
        self._receivers: dict[str, Receiver] = {}
        self._in: dict[Channel, InStream] = {}
        self._pending: dict[str, list[_Pending]] = {}
        self._pending_count = 0
        self._budget = Budget(limits.memory)
        self._tombstones = Tombstones()
        self._deadlines: Deadlines[OutStream | _Pending] = Deadlines()
        self._busy: dict[OutStream | InStream, None] = {}
        self._tick_at = 0
        self._unsent: dict[OutStream, None] = {}
        self._plane: list[tuple[Via, OnStreamPlane]] = []

    # the sender's verbs

    def open(self, peer: Peer, stream_id: str, lane: Lane, wish: Wish, timeout: int, sink: Any, now: int) -> OutStream:
        """Ask `peer` to take the stream; `turn.resolve` tells `sink` the OutStream when it is open, or the error."""
        self._last_open += 1
        path = Path.RELAY if wish is Wish.RELAY else Path.DIRECT
        stream = OutStream(peer, stream_id, lane, self._last_open, wish, path, sink, now + timeout)
        self._out_by_key[peer.serial, stream_id] = stream
        peer.opens[stream.open] = stream
        self._deadlines.add(stream, stream.deadline)
        self._ask(stream, now)
        return stream

    def find(self, serial: Serial, stream_id: str) -> OutStream | None:
        """Our stream of that id to that node, unless it is closed."""
        return self._out_by_key.get((serial, stream_id))

    def queued(self, stream: OutStream) -> None:
        """Frames were pushed into the stream's channel: `outgoing` will take them."""
        self._unsent[stream] = None
        self._busy[stream] = None

    def end(self, stream: OutStream, now: int) -> None:
        """No more frames; `turn.closed` tells when the last one is done."""
        if stream.channel is not None:
            stream.channel.end(now)
            self.queued(stream)

    def abort(self, stream: OutStream, error: ActrRuntimeError, now: int) -> None:
        """End it here and there with `error`."""
        channel = stream.channel
        if channel is not None:
            reset = Reset(channel.channel, failure_of(error), channel.sent)
            self._say_reset(reset, stream.peer, stream.via if stream.path is Path.DIRECT else None, now)
        self._close_out(stream, error)

    # the receiver's verbs

    def register(self, stream_id: str, sender: Serial | None, sink: Any, now: int) -> Receiver | None:
        """Take the stream `stream_id` when it comes, from `sender` only where given; None if the id is taken."""
        if stream_id in self._receivers:
            return None
        receiver = self._receivers[stream_id] = Receiver(stream_id, sender, sink)
        waiting = self._pending.pop(stream_id, [])
        self._pending_count -= len(waiting)
        for pending in waiting:
            self._deadlines.remove(pending, pending.deadline)
            self._asked(pending.peer, pending.ask, now)
        return receiver

    def unregister(self, receiver: Receiver, error: ActrRuntimeError, now: int) -> None:
        """Take it no longer; a stream that is open is cancelled with `error` as the reason for its sender."""
        if self._receivers.get(receiver.stream_id) is receiver:
            del self._receivers[receiver.stream_id]
        if receiver.stream is not None:
            self._reset_in(receiver.stream, error, now)

    def progressed(self, receiver: Receiver, now: int) -> None:
        """The shell has completed frames of it, and counted them in the channel."""
        stream = receiver.stream
        if stream is None:
            return
        self._answer_in(stream, stream.channel.progress(now), now)

    # the control plane

    def control(self, peer: Peer, envelope: object, now: int) -> bool:
        """What `peer` said of a stream; False if it is not about streams."""
        match envelope:
            case OpenStream():
                self._asked(peer, envelope, now)
            case Opened():
                self._opened(peer, envelope, now)
            case OpenRefused():
                stream = peer.opens.get(envelope.open)
                if isinstance(stream, OutStream) and stream.state is not OutState.CLOSED:
                    self._close_out(stream, error_from(envelope.failure))
            case Grant() | Probe() | Resend() | End() | EndAck() | Reset():
                self._on_channel(envelope, peer, now)
            case _:
                return False
        return True

    # the stream plane

    def arrived(self, messages: list[OnStreamPlane], now: int) -> None:
        """What came over the stream plane. Nobody vouches for it but the channel's secret name."""
        for message in messages:
            if type(message) is Frames:
                stream = self._in.get(message.channel)
                if stream is None:
                    self.counters["frames.unknown_channel"] += len(message.frames)
                    continue
                frames = stream.channel.frames(message, now)
                if frames:
                    self._turn().deliver.append((stream.receiver, frames))
                self._answer_in(stream, stream.channel.answers(), now)
            elif not isinstance(message, Frames):
                self._on_channel(message, None, now)

    def outgoing(self, now: int) -> list[StreamParcel]:
        """Everything for the stream plane, once."""
        pack = _Pack()
        plane, self._plane = self._plane, []
        for via, message in plane:
            pack.add(via, message, (), CONTROL_BYTES)
        unsent, self._unsent = self._unsent, {}
        for stream in unsent:
            if stream.state is OutState.OPEN and stream.channel is not None:
                for parcel in stream.channel.take():
                    pack.add(stream.via, parcel.message, parcel.payloads, parcel.size)
        return pack.parcels

    # time

    def tick(self, now: int) -> None:
        """Probe, grant, and end what has waited too long."""
        for late in self._deadlines.due(now):
            if isinstance(late, _Pending):
                self._give_up_pending(late, now)
            elif late.state is OutState.CHECKING:
                self._check_failed(late, now)
            elif late.state is OutState.OPENING:
                error = ActrTimeoutError(f"stream {late.stream_id}: {late.peer.name} did not answer its opening")
                self._cancel_opening(late, error, now)
        if self._busy and now >= self._tick_at:
            self._tick_at = now + TICK
            for stream in list(self._busy):
                if isinstance(stream, OutStream):
                    self._tick_out(stream, now)
                else:
                    self._tick_in(stream, now)

    def next_deadline(self) -> int | None:
        """When `tick` has something to look at."""
        deadline = self._deadlines.next_deadline()
        if self._busy:
            return self._tick_at if deadline is None else min(deadline, self._tick_at)
        return deadline

    # peers

    def say_again(self, peer: Peer, now: int) -> None:
        """`peer` may not have heard what was said: openings without an answer, once more."""
        for stream in list(peer.opens.values()):
            if isinstance(stream, OutStream) and stream.state is OutState.OPENING:
                self._ask(stream, now)

    def keep_only(self, peer: Peer, opens: set[int], now: int) -> None:
        """`peer` has listed its streams to us: what is not among them has lost its sender."""
        for open, stream in list(peer.incoming.items()):
            if open not in opens and isinstance(stream, InStream):
                self._close_in(
                    stream, ActrStreamError(f"stream {stream.receiver.stream_id}: its sender has dropped it")
                )

    def returned(self, peer: Peer, open: int, reason: Reason, now: int) -> None:
        """An opening could not be delivered."""
        stream = peer.opens.get(open)
        if isinstance(stream, OutStream) and stream.state is OutState.OPENING:
            what = f"stream {stream.stream_id}"
            self._close_out(stream, error_for(reason, peer.name, what, may_have_run=False))

    def peer_down(self, peer: Peer, reason: Reason, now: int) -> None:
        """`peer` is gone, and all streams with it."""
        for out in list(peer.opens.values()):
            if isinstance(out, OutStream):
                self._close_out(out, error_for(reason, peer.name, f"stream {out.stream_id}", may_have_run=True))
        for stream in list(peer.incoming.values()):
            if isinstance(stream, InStream):
                what = f"stream {stream.receiver.stream_id}"
                self._close_in(stream, _stream_error(error_for(reason, peer.name, what, may_have_run=True), stream))
        for waiting in [one for queue in self._pending.values() for one in queue if one.peer is peer]:
            self._drop_pending(waiting)

    def drain_senders(self, now: int) -> None:
        """The node stops: streams that their senders have not ended are reset, with what was sent as their last."""
        for stream in list(self._out_by_key.values()):
            if stream.state is not OutState.CLOSED and not (stream.channel and stream.channel.is_ending):
                self.abort(stream, ActrStreamError(f"stream {stream.stream_id}: its sender stops"), now)

    def end_everything(self, error: ActrRuntimeError, now: int) -> None:
        """The node stops or was fenced: both sides of every stream end here."""
        for out in list(self._out_by_key.values()):
            self.abort(out, ActrStreamError(error.message), now)
        for stream in list(self._in.values()):
            self._reset_in(stream, ActrStreamError(error.message), now)
        for waiting in [one for queue in self._pending.values() for one in queue]:
            self._drop_pending(waiting)

    @property
    def open_count(self) -> int:
        """Streams in both directions."""
        return len(self._out_by_key) + len(self._in)

    @property
    def sending_count(self) -> int:
        """Streams that this node sends and has not seen the end of."""
        return len(self._out_by_key)

    @property
    def receiving_count(self) -> int:
        """Streams that this node receives and has not seen the end of."""
        return len(self._in)

    def statistics(self) -> dict[str, int]:
        """Open streams, and what was dropped, by reason."""
        return {"streams.sending": len(self._out_by_key), "streams.receiving": len(self._in), **self.counters}

    # opening, the sender's half

    def _ask(self, stream: OutStream, now: int) -> None:
        grants = self._grants if stream.path is Path.DIRECT else ""
        ask = OpenStream(stream.open, stream.stream_id, stream.lane, stream.path, grants)
        self._post_to(stream.peer, ask, len(stream.stream_id), now)

    def _opened(self, peer: Peer, opened: Opened, now: int) -> None:
        stream = peer.opens.get(opened.open)
        if not isinstance(stream, OutStream) or opened.channel in self._out:
            known = self._out.get(opened.channel)
            if known is None or known.peer is not peer:
                # Nobody here opened it, or no longer.
                failure = failure_of(ActrStreamError("the sender has given it up"))
                self._post_to(peer, Reset(opened.channel, failure, 0), 0, now)
                self.counters["opened.unexpected"] += 1
            return
        if stream.state is not OutState.OPENING or opened.path is not stream.path:
            return  # an answer to an older asking
        self._deadlines.remove(stream, stream.deadline)
        if stream.channel is not None:
            self._out.pop(stream.channel.channel, None)  # the same stream, now by relay, has a new channel
        stream.channel = SendChannel(
            opened.channel, stream.stream_id, stream.lane, opened.limit_frames, opened.limit_bytes, now
        )
        stream.data = opened.data if stream.path is Path.DIRECT else ""
        self._out[opened.channel] = stream
        if stream.path is Path.RELAY:
            self._is_open(stream)
            return
        stream.state = OutState.CHECKING
        stream.deadline = now + self._limits.check
        self._deadlines.add(stream, stream.deadline)
        if is_direct(stream.data):
            self._plane.append((stream.via, Probe(opened.channel, 0)))

    def _is_open(self, stream: OutStream) -> None:
        stream.state = OutState.OPEN
        self._busy[stream] = None
        self._turn().resolve.append((stream.sink, stream))

    def _check_failed(self, stream: OutStream, now: int) -> None:
        if stream.wish is Wish.DIRECT:
            message = f"stream {stream.stream_id}: {stream.peer.name} can't be reached directly, and path is direct"
            self._cancel_opening(stream, ActrTransportError(message), now)
            return
        self.counters["direct.failed"] += 1
        stream.path, stream.data, stream.state = Path.RELAY, "", OutState.OPENING
        stream.deadline = now + OPEN_AGAIN
        self._deadlines.add(stream, stream.deadline)
        self._ask(stream, now)

    def _cancel_opening(self, stream: OutStream, error: ActrRuntimeError, now: int) -> None:
        if stream.channel is not None:
            self._post_to(stream.peer, Reset(stream.channel.channel, failure_of(error), 0), 0, now)
        self._close_out(stream, error)

    def _close_out(self, stream: OutStream, outcome: ActrRuntimeError | None) -> None:
        if stream.state is OutState.CLOSED:
            return
        was_open = stream.state is OutState.OPEN
        self._deadlines.remove(stream, stream.deadline)
        stream.state = OutState.CLOSED
        self._out_by_key.pop((stream.peer.serial, stream.stream_id), None)
        stream.peer.opens.pop(stream.open, None)
        self._busy.pop(stream, None)
        self._unsent.pop(stream, None)
        if stream.channel is not None:
            self._out.pop(stream.channel.channel, None)
        if was_open:
            self._turn().closed.append((stream.sink, outcome))
        else:
            self._turn().resolve.append((stream.sink, outcome))

    # opening, the receiver's half

    def _asked(self, peer: Peer, ask: OpenStream, now: int) -> None:
        known = peer.incoming.get(ask.open)
        if isinstance(known, InStream):
            self._asked_again(known, ask, now)
            return
        refusal = self._refusal(peer, ask)
        if refusal is not None:
            self.counters["opens.refused"] += 1
            self._post_to(peer, OpenRefused(ask.open, failure_of(refusal)), 0, now)
            return
        receiver = self._receivers.get(ask.stream_id)
        if receiver is None:
            self._wait_for_registration(peer, ask, now)
            return
        lane = ask.lane
        channel = ReceiveChannel(
            Channel(int.from_bytes(self._draw(8)) >> 1),
            ask.stream_id,
            lane,
            self._limits.window_frames,
            self._limits.window_bytes,
            self._budget,
        )
        stream = InStream(peer, ask.open, receiver, channel, ask.path, ask.grants)
        receiver.stream = stream
        self._in[channel.channel] = stream
        peer.incoming[ask.open] = stream
        self._answer_open(stream, now)

    def _asked_again(self, stream: InStream, ask: OpenStream, now: int) -> None:
        """A repeat; or, after the direct way failed, the same stream by relay: then under a new channel, so that what
        strays on the old way is known for what it is.
        """
        if ask.path is not stream.path:
            del self._in[stream.channel.channel]
            stream.channel.rename(Channel(int.from_bytes(self._draw(8)) >> 1))
            self._in[stream.channel.channel] = stream
            stream.path, stream.grants = ask.path, ask.grants
        self._answer_open(stream, now)

    def _answer_open(self, stream: InStream, now: int) -> None:
        grant = stream.channel.grant()
        data = self._data if stream.path is Path.DIRECT else ""
        opened = Opened(stream.open, stream.channel.channel, stream.path, grant.limit_frames, grant.limit_bytes, data)
        self._post_to(stream.peer, opened, 0, now)

    def _refusal(self, peer: Peer, ask: OpenStream) -> ActrRuntimeError | None:
        what = f"stream {ask.stream_id}"
        if not peer.may_stream:
            return ActrPermissionDenied(f"{what}: the access rules of the receiver do not allow {peer.name}")
        if self.draining:
            return ActrTransportError(f"{what}: the receiver is stopping and takes no new streams")
        if len(self._in) + self._pending_count >= self._limits.streams:
            return ActrOverloaded(f"{what}: the receiver has {self._limits.streams} streams open already")
        receiver = self._receivers.get(ask.stream_id)
        if receiver is None:
            return None
        if receiver.stream is not None:
            return ActrStreamError(f"{what}: it is already being sent, by another", code=Status.ALREADY_EXISTS)
        if receiver.sender is not None and receiver.sender != peer.serial:
            return ActrPermissionDenied(f"{what}: it is registered for another sender")
        return None

    def _wait_for_registration(self, peer: Peer, ask: OpenStream, now: int) -> None:
        queue = self._pending.setdefault(ask.stream_id, [])
        if any(one.peer is peer and one.ask.open == ask.open for one in queue):
            return
        pending = _Pending(peer, ask, now + self._limits.register_within)
        queue.append(pending)
        self._pending_count += 1
        self._deadlines.add(pending, pending.deadline)

    def _drop_pending(self, pending: _Pending) -> None:
        queue = self._pending[pending.ask.stream_id]
        queue.remove(pending)
        self._pending_count -= 1
        self._deadlines.remove(pending, pending.deadline)
        if not queue:
            del self._pending[pending.ask.stream_id]

    def _give_up_pending(self, pending: _Pending, now: int) -> None:
        self._drop_pending(pending)
        error = ActrNotFound(
            f"stream {pending.ask.stream_id}: nobody registered it within {self._limits.register_within} ms; "
            "call register_stream before asking for the stream"
        )
        self._post_to(pending.peer, OpenRefused(pending.ask.open, failure_of(error)), 0, now)

    # channels

    def _on_channel(self, message: Grant | Probe | Resend | End | EndAck | Reset, peer: Peer | None, now: int) -> None:
        """`peer` None: it came over the stream plane; else it must be the stream's other end."""
        match message:
            case Grant() | Resend() | EndAck():
                out = self._out.get(message.channel)
                if out is not None and peer in (None, out.peer):
                    self._on_out(out, message, peer is None, now)
                else:
                    self.counters["channel.unknown"] += 1
            case Reset():
                self._on_reset(message, peer)
            case Probe() | End():
                stream = self._in.get(message.channel)
                if stream is not None and peer in (None, stream.peer):
                    self._on_in(stream, message, peer is None, now)
                else:
                    self._bury_answer(message.channel, peer, now)

    def _on_out(self, stream: OutStream, message: Grant | Resend | EndAck, is_direct: bool, now: int) -> None:
        channel = stream.channel
        if channel is None:
            return
        match message:
            case Grant():
                could_push = channel.can_push
                if channel.granted(message, now) and channel.has_outgoing:
                    self.queued(stream)
                if stream.state is OutState.CHECKING and is_direct:
                    self._deadlines.remove(stream, stream.deadline)
                    self._is_open(stream)
                elif not could_push and channel.can_push:
                    self._turn().writable.append(stream.sink)
            case Resend():
                channel.resend(message.start, now)
                self.queued(stream)
            case EndAck():
                channel.end_acked(now)
                if channel.is_over:
                    self._close_out(stream, None)

    def _on_in(self, stream: InStream, message: Probe | End, is_direct: bool, now: int) -> None:
        channel = stream.channel
        if isinstance(message, Probe):
            channel.probe(message, now)
        else:
            channel.end(message, now)
        self._answer_in(stream, channel.answers(), now, over_control=not is_direct)

    def _on_reset(self, reset: Reset, peer: Peer | None) -> None:
        out = self._out.get(reset.channel)
        stream = self._in.get(reset.channel)
        error = error_from(reset.failure)
        if out is not None and out.channel is not None and peer in (None, out.peer):
            out.channel.peer_reset(reset)
            self._close_out(out, None if out.channel.is_completed else error)
        elif stream is not None and peer in (None, stream.peer):
            self._close_in(stream, _stream_error(error, stream))
        else:
            self.counters["channel.unknown"] += 1

    def _bury_answer(self, channel: Channel, peer: Peer | None, now: int) -> None:
        """A Probe or End of a channel that is closed, or never was: say so, where somebody vouches for the asker."""
        self.counters["channel.closed"] += 1
        answer = self._tombstones.answer(channel)
        if peer is None:
            return
        if answer is None:
            answer = Reset(channel, failure_of(ActrStreamError("the receiver does not know this stream")), 0)
        self._post_to(peer, answer, 0, now)

    def _answer_in(
        self,
        stream: InStream,
        answers: Iterable[Grant | Resend | EndAck | Reset],
        now: int,
        *,
        over_control: bool = False,
    ) -> None:
        for answer in answers:
            if isinstance(answer, Reset):
                self._say_reset(answer, stream.peer, stream.via if stream.path is Path.DIRECT else None, now)
            elif stream.path is Path.DIRECT and not over_control and is_direct(stream.grants):
                self._plane.append((stream.via, answer))
            else:
                self._post_to(stream.peer, answer, 0, now)
        channel = stream.channel
        if channel.is_over:
            self._close_in(stream, channel.outcome)
        elif channel.next_deadline() is not None:
            self._busy[stream] = None

    def _reset_in(self, stream: InStream, error: ActrRuntimeError, now: int) -> None:
        stream.channel.reset(failure_of(error))
        self._answer_in(stream, stream.channel.answers(), now)

    def _close_in(self, stream: InStream, outcome: ActrRuntimeError | None) -> None:
        channel = stream.channel
        if self._in.pop(channel.channel, None) is None:
            return
        channel.close()
        self._tombstones.bury(channel.channel, channel.last_words)
        stream.peer.incoming.pop(stream.open, None)
        self._busy.pop(stream, None)
        receiver = stream.receiver
        receiver.stream = None
        if self._receivers.get(receiver.stream_id) is receiver:
            del self._receivers[receiver.stream_id]
        self._turn().closed.append((receiver.sink, outcome))

    def _say_reset(self, reset: Reset, peer: Peer, via: Via | None, now: int) -> None:
        """Over the control plane, and over the direct way too: the broker may be away just now."""
        self._post_to(peer, reset, len(reset.failure.message), now)
        if via is not None and is_direct(via.endpoint):
            self._plane.append((via, reset))

    def _tick_out(self, stream: OutStream, now: int) -> None:
        channel = stream.channel
        if channel is None:
            return
        for message, over_control in channel.tick(now):
            if over_control:
                self._post_to(stream.peer, message, 0, now)
            else:
                self._plane.append((stream.via, message))
        if channel.next_deadline() is None:
            self._busy.pop(stream, None)

    def _tick_in(self, stream: InStream, now: int) -> None:
        self._answer_in(stream, stream.channel.tick(now), now)
        if stream.channel.next_deadline() is None:
            self._busy.pop(stream, None)


def is_direct(endpoint: str) -> bool:
    """May a PUSH connect there? A peer names the place: it must not make us talk to what it likes."""
    return _LOOPBACK.fullmatch(endpoint) is not None


def _stream_error(error: ActrRuntimeError, stream: InStream) -> ActrRuntimeError:
    """`error` with the number of frames that were good."""
    error.details.setdefault("last", str(stream.channel.completed_frames))
    return error
