"""Streams that this node receives: who may send what, and where answers go; frames are the channels' business.

A stream exists from OpenStream on, once somebody has registered its id; an opening that comes first waits 5 s for that.
The first opener owns the id until its stream has ended. What is registered, and waits for its opener, is in `awaited`.

An answer goes back the way the question came: what came over the control plane may have come there because the direct
way is broken.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable
from typing import Any

from msgspec import Struct

from actrzmq.core.awaited import Receiver, Receivers
from actrzmq.core.channel import Uncopied
from actrzmq.core.credit import Budget
from actrzmq.core.deadletters import Drops
from actrzmq.core.early import EarlyOpening, EarlyOpenings
from actrzmq.core.failures import error_for, failure_of
from actrzmq.core.paths import Via, Ways
from actrzmq.core.peer import Peer
from actrzmq.core.receiving import ReceiveChannel, ReceiverSays
from actrzmq.core.tombstones import Tombstones
from actrzmq.core.turn import Turn
from actrzmq.errors import (
    ActrNotFound,
    ActrOverloaded,
    ActrPermissionDenied,
    ActrRuntimeError,
    ActrStreamError,
    ActrTransportError,
    Status,
)
from actrzmq.identity import Serial
from actrzmq.wire.messages import (
    Channel,
    End,
    EndAck,
    Frames,
    Opened,
    OpenRefused,
    OpenStream,
    Path,
    Probe,
    Reason,
    Reset,
)

LATELY = 1_000
"""Milliseconds within which an acknowledged end may not have come to its sender yet; else that asks, and is told."""
ACKNOWLEDGED = 1_024
"""Ends acknowledged lately that are remembered, at most."""

HEALED = ("frames.repeated", "frames.after_a_gap")
"""What was not taken because it had come, or came again."""


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
        return Via(self.path, self.peer.serial, self.grants)


class InStreams:
    """All streams that this node receives, at `data` where the path is direct. `draw(n)` gives n random bytes."""

    def __init__(
        self,
        limits: StreamLimits,
        ways: Ways,
        turn: Callable[[], Turn],
        draw: Callable[[int], bytes],
        data: str,
        counters: Counter[str],
        drops: Drops | None = None,
    ) -> None:
        self._limits = limits
        self._ways = ways
        self._turn = turn
        self._draw = draw
        self._data = data
        self._counters = counters
        self._drops = Drops() if drops is None else drops
        self.draining = False
        self.budget = Budget(limits.memory)
        self.receivers = Receivers(turn)
        self._by_channel: dict[Channel, InStream] = {}
        self._early = EarlyOpenings(limits.register_within)
        self._tombstones = Tombstones()
        self._busy: dict[InStream, None] = {}
        self._acknowledged: deque[tuple[int, Peer, EndAck]] = deque(maxlen=ACKNOWLEDGED)

    # verbs

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
        if self.receivers.get(stream_id) is not None:
            return None
        receiver = self.receivers.add(stream_id, sender, sink)
        for opening in self._early.take(stream_id):
            self.asked(opening.peer, opening.ask, now)
        if receiver.stream is None:
            self.receivers.wait(receiver, awaited, None if open_within is None else now + open_within)
        return receiver

    def unregister(self, receiver: Receiver, error: ActrRuntimeError, now: int) -> None:
        """Take it no longer; a stream that is open is cancelled with `error` as the reason for its sender."""
        self.receivers.forget(receiver)
        if receiver.stream is not None:
            self._cancel(receiver.stream, error, now)

    def progressed(self, receiver: Receiver, now: int) -> None:
        """The shell has completed frames of it, and counted them in the channel."""
        stream = receiver.stream
        if stream is not None:
            self._answer(stream, stream.channel.progress(now), now)

    def cancel_all(self, error: ActrRuntimeError, now: int) -> None:
        """The node stops or was fenced: every stream ends here and there."""
        for stream in list(self._by_channel.values()):
            # CANCELLED: to a sender of which everything is done, this is no failure.
            message = f"stream {stream.receiver.stream_id}: {error.message}"
            self._cancel(stream, ActrStreamError(message, code=Status.CANCELLED), now)
        self._early.clear()
        self.receivers.end_known_senders(error)

    # what the sender says of the opening

    def asked(self, peer: Peer, ask: OpenStream, now: int) -> None:
        """`peer` wants to send a stream."""
        known = peer.incoming.get(ask.open)
        if isinstance(known, InStream):
            self._asked_again(known, ask, now)
        if known is not None:
            return
        refusal = self._refusal(peer, ask)
        if refusal is not None:
            self._refuse(peer, ask, refusal, now)
            return
        receiver = self.receivers.get(ask.stream_id)
        if receiver is None:
            self._early.add(peer, ask, now)
            return
        limits = self._limits
        channel = ReceiveChannel(
            self._new_channel(), ask.stream_id, ask.lane, limits.window_frames, limits.window_bytes, self.budget
        )
        stream = InStream(peer, ask.open, receiver, channel, ask.path, ask.grants)
        self.receivers.opened(receiver)
        receiver.stream, receiver.peer = stream, peer
        self._by_channel[channel.channel] = stream
        peer.incoming[ask.open] = stream
        self._say_opened(stream, now)

    def answer_again(self, peer: Peer, open: int, now: int) -> None:
        """`peer` has not heard our answer: the same again, if the stream is still there."""
        stream = peer.incoming.get(open)
        if isinstance(stream, InStream):
            self._say_opened(stream, now)

    def keep_only(self, peer: Peer, opens: set[int]) -> None:
        """`peer` has listed its streams to us: what is not among them has lost its sender."""
        for open, stream in list(peer.incoming.items()):
            if open in opens:
                continue
            if isinstance(stream, EarlyOpening):
                self._early.drop(stream)
            elif isinstance(stream, InStream):
                error = ActrStreamError(f"stream {stream.receiver.stream_id}: its sender has dropped it")
                self._close(stream, _with_last(error, stream))

    # what the sender says on a channel

    def frames(self, message: Frames, now: int) -> None:
        """Frames came over the stream plane. Nobody vouches for them but the channel's secret name."""
        stream = self._by_channel.get(message.channel)
        if stream is None:
            self._counters["frames.unknown_channel"] += len(message.frames)
            return
        frames = stream.channel.frames(message, now)
        if frames:
            self._turn().deliver.append((stream.receiver, Uncopied(frames) if message.large else frames))
        self._answer(stream, stream.channel.answers(), now)

    def said(self, message: Probe | End, peer: Peer | None, now: int) -> None:
        """`peer` None: it came over the stream plane; else it must be the stream's other end."""
        stream = self._by_channel.get(message.channel)
        if stream is None or peer not in (None, stream.peer):
            self._answer_for_the_dead(message.channel, peer, now)
            return
        if isinstance(message, Probe):
            stream.channel.probe(message, now)
        else:
            stream.channel.end(message, now)
        self._answer(stream, stream.channel.answers(), now, over_control=peer is not None)

    def reset(self, reset: Reset, peer: Peer | None) -> bool:
        """The sender has given it up; False if it is not about a stream that we receive."""
        stream = self._by_channel.get(reset.channel)
        if stream is None or peer not in (None, stream.peer):
            return False
        stream.channel.peer_reset(reset)
        self._close(stream, stream.channel.outcome)
        return True

    def peer_down(self, peer: Peer, reason: Reason) -> None:
        """`peer` is gone, and all streams from it."""
        self.receivers.not_there(peer, reason)
        for stream in list(peer.incoming.values()):
            if isinstance(stream, EarlyOpening):
                self._early.drop(stream)
            elif isinstance(stream, InStream):
                what = f"stream {stream.receiver.stream_id}"
                error = error_for(reason, peer.name, what, may_have_run=True)
                self._close(stream, _with_last(error, stream))

    # time

    def expire(self, now: int) -> None:
        """Openings that nobody has registered for, and registrations that nobody has opened."""
        self.receivers.expire(now)
        self._tombstones.expire(now)
        for opening in self._early.expire(now):
            error = ActrNotFound(
                f"stream {opening.ask.stream_id}: nobody registered it within {self._early.patience} ms; "
                "call register_stream before asking for the stream"
            )
            self._refuse(opening.peer, opening.ask, error, now)

    @property
    def moved(self) -> int:
        """Frames completed, of all streams that are open: it changes while anything moves."""
        return sum(stream.channel.completed_frames for stream in self._by_channel.values())

    def look_round(self, now: int) -> None:
        """Grant where progress has waited long enough."""
        for stream in list(self._busy):
            self._answer(stream, stream.channel.tick(now), now)
            if not stream.channel.is_at_work and stream.channel.next_deadline() is None:
                self._busy.pop(stream, None)

    def next_deadline(self) -> int | None:
        """When `expire` has something to look at."""
        deadlines = [self._early.next_deadline(), self.receivers.next_deadline()]
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    @property
    def is_busy(self) -> bool:
        """Does any stream wait for something, so that `look_round` has something to look at?"""
        return bool(self._busy)

    def losses(self) -> Counter[str]:
        """What the streams that are open did not take, by reason; those that have ended have counted theirs."""
        losses: Counter[str] = Counter()
        for stream in self._by_channel.values():
            losses.update(stream.channel.losses())
        return losses

    def __len__(self) -> int:
        return len(self._by_channel)

    # opening

    def _asked_again(self, stream: InStream, ask: OpenStream, now: int) -> None:
        """A repeat; or, after the direct way failed, the same stream by relay: then under a new channel, so that what
        strays on the old way is known for what it is.
        """
        if ask.path is not stream.path:
            if stream.channel.has_begun:
                error = ActrStreamError(f"stream {ask.stream_id}: its sender changed the path in the middle of it")
                self._cancel(stream, error, now)
                return
            del self._by_channel[stream.channel.channel]
            stream.channel.rename(self._new_channel())
            self._by_channel[stream.channel.channel] = stream
            stream.path, stream.grants = ask.path, ask.grants
        self._say_opened(stream, now)

    def _say_opened(self, stream: InStream, now: int) -> None:
        grant = stream.channel.grant()
        data = self._data if stream.path is Path.DIRECT else ""
        opened = Opened(stream.open, stream.channel.channel, stream.path, grant.limit_frames, grant.limit_bytes, data)
        self._ways.over_control(stream.peer, opened, now)

    def _refuse(self, peer: Peer, ask: OpenStream, error: ActrRuntimeError, now: int) -> None:
        self._counters["opens.refused"] += 1
        self._ways.over_control(peer, OpenRefused(ask.open, failure_of(error)), now)

    def _refusal(self, peer: Peer, ask: OpenStream) -> ActrRuntimeError | None:
        what = f"stream {ask.stream_id}"
        if not peer.may_stream:
            return ActrPermissionDenied(f"{what}: the access rules of the receiver do not allow {peer.name}")
        if self.draining:
            return ActrTransportError(f"{what}: the receiver is stopping and takes no new streams")
        if len(self._by_channel) + len(self._early) >= self._limits.streams:
            return ActrOverloaded(f"{what}: the receiver has {self._limits.streams} streams open already")
        receiver = self.receivers.get(ask.stream_id)
        if receiver is None:
            return None
        if receiver.stream is not None:
            return ActrStreamError(f"{what}: it is already being sent, by another", code=Status.ALREADY_EXISTS)
        if receiver.sender is not None and receiver.sender != peer.serial:
            return ActrPermissionDenied(f"{what}: it is registered for another sender")
        return None

    def _new_channel(self) -> Channel:
        return Channel(int.from_bytes(self._draw(8)) >> 1)

    def acknowledge_again(self, now: int) -> None:
        """The node leaves: ends that it has acknowledged directly, once more over the control plane.

        There they come before the news that it has gone. On the direct way they may be lost with our sockets, or be
        late, and a sender would take for broken what was complete.
        """
        for at, peer, words in self._acknowledged:
            if now - at < LATELY:
                self._ways.over_control(peer, words, now)
        self._acknowledged.clear()

    # answering, and the end

    def _answer(
        self, stream: InStream, answers: Iterable[ReceiverSays], now: int, *, over_control: bool = False
    ) -> None:
        via = stream.via
        for answer in answers:
            if isinstance(answer, Reset):
                self._ways.both_ways(stream.peer, via, answer, now)
            elif via.is_direct and not over_control:
                self._ways.over_plane(via, answer)
                if isinstance(answer, EndAck):
                    self._remember_acknowledged(stream.peer, answer, now)
            else:
                self._ways.over_control(stream.peer, answer, now)
        channel = stream.channel
        if channel.is_over:
            self._close(stream, channel.outcome)
        elif channel.is_at_work or channel.next_deadline() is not None:
            self._busy[stream] = None

    def _remember_acknowledged(self, peer: Peer, words: EndAck, now: int) -> None:
        """For a while only: else peers that went long ago would be kept in here."""
        while self._acknowledged and now - self._acknowledged[0][0] >= LATELY:
            self._acknowledged.popleft()
        self._acknowledged.append((now, peer, words))

    def _answer_for_the_dead(self, channel: Channel, peer: Peer | None, now: int) -> None:
        """A Probe or End of a channel that is closed, or never was: say so, where somebody vouches for the asker."""
        self._counters["channel.closed"] += 1
        answer = self._tombstones.answer(channel)
        if peer is None:
            return
        if answer is None:
            answer = Reset(channel, failure_of(ActrStreamError("the receiver does not know this stream")), 0)
        self._ways.over_control(peer, answer, now)

    def _cancel(self, stream: InStream, error: ActrRuntimeError, now: int) -> None:
        stream.channel.reset(failure_of(error))
        self._answer(stream, stream.channel.answers(), now)

    def _close(self, stream: InStream, outcome: ActrRuntimeError | None) -> None:
        channel = stream.channel
        if self._by_channel.pop(channel.channel, None) is None:
            return
        channel.close()
        self._tombstones.bury(channel.channel, channel.last_words)
        stream.peer.incoming.pop(stream.open, None)
        self._busy.pop(stream, None)
        receiver = stream.receiver
        receiver.stream = None
        self.receivers.forget(receiver)
        self._count_what_was_lost(stream, outcome)
        self._turn().closed.append((receiver.sink, outcome))

    def _count_what_was_lost(self, stream: InStream, outcome: ActrRuntimeError | None) -> None:
        """Its ledger ends here: into the node's."""
        channel = stream.channel
        losses = Counter(channel.losses())
        if outcome is not None:
            losses["frames.given_up"] = channel.received - channel.completed_frames
        self._counters.update(losses)
        for reason, count in losses.items():
            if count and reason not in HEALED:
                self._drops.note(reason, "frames", channel.stream_id, stream.peer.name, count=count)


def _with_last(error: ActrRuntimeError, stream: InStream) -> ActrRuntimeError:
    """`error` with the number of frames that were good."""
    error.details.setdefault("last", str(stream.channel.completed_frames))
    return error
