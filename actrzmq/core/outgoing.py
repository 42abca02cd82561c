"""Streams that this node sends, from their opening on; frames are the channels' business.

::

    OPENING ──Opened, relay────────────────────────────▶ OPEN ──end, abort, reset, PeerDown──▶ CLOSED
       │ ──Opened, direct──▶ CHECKING ──Grant came back──▶ │
       │ ◀──no Grant in 1 s, path auto: as relay── │
       └──OpenRefused, PeerDown, deadline─────────────────────────────────────────────────────▶ CLOSED

Direct counts only once a Probe has gone to the receiver and its Grant has come back the same way, since grants need
the way back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from enum import Enum, auto
from typing import Any

from msgspec import Struct

from actrzmq.core.deadlines import Deadlines
from actrzmq.core.failures import error_for, error_from, failure_of
from actrzmq.core.paths import Pack, Via, Ways, Wish
from actrzmq.core.peer import Peer
from actrzmq.core.sending import SendChannel
from actrzmq.core.turn import Turn
from actrzmq.errors import (
    ActrOverloaded,
    ActrRuntimeError,
    ActrStreamError,
    ActrTimeoutError,
    ActrTransportError,
    Status,
)
from actrzmq.identity import Serial
from actrzmq.wire.codec import OPEN_AT_ONCE
from actrzmq.wire.messages import (
    Channel,
    EndAck,
    Grant,
    Lane,
    Opened,
    OpenRefused,
    OpenStream,
    Path,
    Probe,
    Reason,
    Resend,
    Reset,
)

OPEN_AGAIN = 10_000
"""Milliseconds for the answer to an opening by relay, after the direct way has failed."""


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
    is_queued: bool = False
    """Does `take` look at it? What is pushed while it does needs no word."""
    data: str = ""
    farewell: ActrRuntimeError | None = None
    """How the receiver went, if it went before the end was said and had completed everything: no failure of what was
    sent, but one of what is still to be sent."""

    @property
    def via(self) -> Via:
        """The way that its frames take."""
        return Via(self.path, self.peer.serial, self.data)


class OutStreams:
    """All streams that this node sends. `grants` is where it takes grants; a direct path may take `check` ms."""

    def __init__(self, ways: Ways, turn: Callable[[], Turn], grants: str, check: int, counters: Counter[str]) -> None:
        self._ways = ways
        self._turn = turn
        self._grants = grants
        self._check = check
        self._counters = counters
        self._last_open = 0
        self._by_key: dict[tuple[Serial, str], OutStream] = {}
        self._by_channel: dict[Channel, OutStream] = {}
        self._deadlines: Deadlines[OutStream] = Deadlines()
        self._unsent: dict[OutStream, None] = {}
        self._busy: dict[OutStream, None] = {}

    # verbs

    def open(self, peer: Peer, stream_id: str, lane: Lane, wish: Wish, timeout: int, sink: Any, now: int) -> OutStream:
        """Ask `peer` to take the stream; `turn.resolve` tells `sink` the OutStream when it is open, or the error.

        Raises `ActrStreamError` if the same stream goes there already, `ActrOverloaded` where too much is open.
        """
        if (peer.serial, stream_id) in self._by_key:
            raise ActrStreamError(f"stream {stream_id}: it is open to {peer.name} already", code=Status.ALREADY_EXISTS)
        if peer.open_count >= OPEN_AT_ONCE:
            raise ActrOverloaded(
                f"stream {stream_id}: {OPEN_AT_ONCE} calls and streams are open to {peer.name}; end some of them first"
            )
        self._last_open += 1
        path = Path.RELAY if wish is Wish.RELAY else Path.DIRECT
        stream = OutStream(peer, stream_id, lane, self._last_open, wish, path, sink, now + timeout)
        self._by_key[peer.serial, stream_id] = stream
        peer.opens[stream.open] = stream
        self._deadlines.add(stream, stream.deadline)
        self._ask(stream, now)
        return stream

    def find(self, serial: Serial, stream_id: str) -> OutStream | None:
        """Our stream of that id to that node, unless it is closed."""
        return self._by_key.get((serial, stream_id))

    def queued(self, stream: OutStream) -> None:
        """Frames were pushed into the stream's channel: `take` will have them."""
        if stream.state is OutState.CLOSED:
            return
        stream.is_queued = True
        self._unsent[stream] = None
        self._busy[stream] = None

    def end(self, stream: OutStream, now: int) -> None:
        """No more frames; `turn.closed` tells when the last one is done."""
        if stream.channel is not None:
            stream.channel.end(now)
            self.queued(stream)

    def abort(self, stream: OutStream, error: ActrRuntimeError, now: int) -> None:
        """End it here and there with `error`."""
        channel, failure = stream.channel, failure_of(error)
        if channel is not None:
            self._ways.both_ways(stream.peer, stream.via, Reset(channel.channel, failure, channel.sent), now)
        self._close(stream, error)
        if channel is not None and not channel.is_over:
            channel.reset(failure)  # the shell learns of it with the next turn only: until then nothing may be pushed

    def abort_all(self, why: str, now: int, *, but_ending: bool = False) -> None:
        """End every stream here and there, but (if asked) those whose end was said and is not acknowledged yet."""
        for stream in list(self._by_key.values()):
            if not (but_ending and stream.channel and stream.channel.is_ending):
                self.abort(stream, ActrStreamError(f"stream {stream.stream_id}: {why}"), now)

    # what the receiver says of the opening

    def opened(self, peer: Peer, opened: Opened, now: int) -> None:
        """`peer` takes it: send, once the direct way has been checked."""
        stream = peer.opens.get(opened.open)
        if not isinstance(stream, OutStream) or opened.channel in self._by_channel:
            self._opened_in_vain(peer, opened, now)
            return
        if stream.state is not OutState.OPENING or opened.path is not stream.path:
            return  # an answer to an older asking
        self._deadlines.remove(stream, stream.deadline)
        if stream.channel is not None:
            self._by_channel.pop(stream.channel.channel, None)  # the same stream, now by relay, has a new channel
        stream.channel = SendChannel(
            opened.channel, stream.stream_id, stream.lane, opened.limit_frames, opened.limit_bytes, now
        )
        stream.data = opened.data if stream.path is Path.DIRECT else ""
        self._by_channel[opened.channel] = stream
        if stream.path is Path.RELAY:
            self._is_open(stream)
            return
        stream.state = OutState.CHECKING
        stream.deadline = now + self._check
        self._deadlines.add(stream, stream.deadline)
        if stream.via.is_direct:
            self._ways.over_plane(stream.via, Probe(opened.channel, 0))

    def refused(self, peer: Peer, refused: OpenRefused, now: int) -> None:
        """`peer` does not take it. What it has taken already it can't refuse: that answers an older asking."""
        stream = peer.opens.get(refused.open)
        if isinstance(stream, OutStream) and stream.state is OutState.OPENING:
            self._give_up(stream, error_from(refused.failure), now)

    def returned(self, peer: Peer, open: int, reason: Reason) -> None:
        """An opening could not be delivered."""
        stream = peer.opens.get(open)
        if isinstance(stream, OutStream) and stream.state is OutState.OPENING:
            what = f"stream {stream.stream_id}"
            self._close(stream, error_for(reason, peer.name, what, may_have_run=False))

    def say_again(self, peer: Peer, now: int) -> None:
        """`peer` may not have heard what was said: openings without an answer, once more."""
        for stream in list(peer.opens.values()):
            if isinstance(stream, OutStream) and stream.state is OutState.OPENING:
                self._ask(stream, now)

    # what the receiver says on a channel

    def said(self, message: Grant | Resend | EndAck, peer: Peer | None, now: int) -> None:
        """`peer` None: it came over the stream plane; else it must be the stream's other end."""
        stream = self._by_channel.get(message.channel)
        if stream is None or stream.channel is None or peer not in (None, stream.peer):
            self._counters["channel.unknown"] += 1
            return
        channel = stream.channel
        match message:
            case Grant():
                self._granted(stream, channel, message, peer is None, now)
            case Resend():
                channel.resend(message.start, now)
                self.queued(stream)
            case EndAck():
                channel.end_acked(now)
                if channel.is_over:
                    self._close(stream, None)

    def reset(self, reset: Reset, peer: Peer | None) -> bool:
        """The receiver has given it up; False if it is not about a stream that we send."""
        stream = self._by_channel.get(reset.channel)
        if stream is None or stream.channel is None or peer not in (None, stream.peer):
            return False
        is_ending = stream.channel.is_ending
        stream.channel.peer_reset(reset)
        is_complete = stream.state is OutState.OPEN and stream.channel.is_completed
        self._receiver_gone(stream, error_from(reset.failure), is_complete, is_ending)
        return True

    def peer_down(self, peer: Peer, reason: Reason) -> None:
        """`peer` is gone, and all streams to it: complete are those of which it had completed everything."""
        for stream in list(peer.opens.values()):
            if not isinstance(stream, OutStream):
                continue
            error = error_for(reason, peer.name, f"stream {stream.stream_id}", may_have_run=True)
            channel = stream.channel
            if channel is None:
                self._close(stream, error)
            else:
                is_complete = stream.state is OutState.OPEN and channel.is_all_done
                self._receiver_gone(stream, error, is_complete, channel.is_ending)

    # what is to be sent

    @property
    def has_outgoing(self) -> bool:
        """Are there frames that may go?"""
        return bool(self._unsent)

    def take(self, pack: Pack, is_blocked: Callable[[Via], bool]) -> None:
        """Put all frames that may go into `pack`, once. What is for a blocked way stays here."""
        unsent, self._unsent = self._unsent, {}
        for stream in unsent:
            if is_blocked(stream.via):
                self._unsent[stream] = None
                continue
            stream.is_queued = False
            if stream.state is OutState.OPEN and stream.channel is not None:
                for parcel in stream.channel.take():
                    pack.add(stream.via, parcel.message, parcel.payloads, parcel.size)

    # time

    def expire(self, now: int) -> list[Peer]:
        """Openings that were not answered, and direct ways over which nothing came back.

        Returns the peers that may still take an opening which was given up, each once.
        """
        peers: dict[Peer, None] = {}
        for stream in self._deadlines.due(now):
            if stream.state is OutState.CHECKING:
                self._check_failed(stream, now)
            elif stream.state is OutState.OPENING:
                error = ActrTimeoutError(f"stream {stream.stream_id}: {stream.peer.name} did not answer its opening")
                self._give_up(stream, error, now)
                peers[stream.peer] = None
        return list(peers)

    def look_round(self, now: int) -> None:
        """Ask where news is overdue."""
        for stream in list(self._busy):
            channel = stream.channel
            if channel is None:
                continue
            for message, over_control in channel.tick(now):
                if over_control:
                    self._ways.over_control(stream.peer, message, now)
                else:
                    self._ways.over_plane(stream.via, message)
            if channel.next_deadline() is None:
                self._busy.pop(stream, None)

    def next_deadline(self) -> int | None:
        """When `expire` has something to look at."""
        return self._deadlines.next_deadline()

    @property
    def is_busy(self) -> bool:
        """Does any stream wait for something, so that `look_round` has something to look at?"""
        return bool(self._busy)

    @property
    def moved(self) -> int:
        """Frames sent and frames completed, of all streams that are open: it changes while anything moves."""
        channels = [stream.channel for stream in self._by_key.values() if stream.channel is not None]
        return sum(channel.sent + channel.completed for channel in channels)

    def losses(self) -> Counter[str]:
        """What was dropped of the streams that are open, by reason; those that have ended have counted theirs."""
        losses: Counter[str] = Counter()
        for stream in self._by_channel.values():
            if stream.channel is not None:
                losses.update(stream.channel.losses())
        return losses

    def __len__(self) -> int:
        return len(self._by_key)

    # private

    def _ask(self, stream: OutStream, now: int) -> None:
        grants = self._grants if stream.path is Path.DIRECT else ""
        ask = OpenStream(stream.open, stream.stream_id, stream.lane, stream.path, grants)
        self._ways.over_control(stream.peer, ask, now)

    def _opened_in_vain(self, peer: Peer, opened: Opened, now: int) -> None:
        """Nobody here opened it, or no longer; unless it is said again of a stream that is open."""
        known = self._by_channel.get(opened.channel)
        if known is None or known.peer is not peer:
            failure = failure_of(ActrStreamError("the sender has given it up"))
            self._ways.over_control(peer, Reset(opened.channel, failure, 0), now)
            self._counters["opened.unexpected"] += 1

    def _is_open(self, stream: OutStream) -> None:
        stream.state = OutState.OPEN
        self._busy[stream] = None
        self._turn().resolve.append((stream.sink, stream))

    def _check_failed(self, stream: OutStream, now: int) -> None:
        if stream.wish is Wish.DIRECT:
            message = f"stream {stream.stream_id}: {stream.peer.name} can't be reached directly, and path is direct"
            self._give_up(stream, ActrTransportError(message), now)
            return
        self._counters["direct.failed"] += 1
        stream.path, stream.data, stream.state = Path.RELAY, "", OutState.OPENING
        stream.deadline = now + OPEN_AGAIN
        self._deadlines.add(stream, stream.deadline)
        self._ask(stream, now)

    def _give_up(self, stream: OutStream, error: ActrRuntimeError, now: int) -> None:
        if stream.channel is not None:
            self._ways.over_control(stream.peer, Reset(stream.channel.channel, failure_of(error), 0), now)
        self._close(stream, error)

    def _receiver_gone(self, stream: OutStream, error: ActrRuntimeError, is_complete: bool, is_ending: bool) -> None:
        """It will take no more. What is complete was no failure; but unless its end was said, more may be tried."""
        error = _for_its_sender(error, stream)
        if is_complete and not is_ending:
            stream.farewell = error
        self._close(stream, None if is_complete else error)

    def _granted(self, stream: OutStream, channel: SendChannel, grant: Grant, is_direct: bool, now: int) -> None:
        could_push = channel.can_push
        if channel.granted(grant, now) and channel.has_outgoing:
            self.queued(stream)
        if stream.state is OutState.CHECKING and is_direct:
            self._deadlines.remove(stream, stream.deadline)
            self._is_open(stream)
        elif not could_push and channel.can_push:
            self._turn().writable.append(stream.sink)

    def _close(self, stream: OutStream, outcome: ActrRuntimeError | None) -> None:
        if stream.state is OutState.CLOSED:
            return
        was_open = stream.state is OutState.OPEN
        self._deadlines.remove(stream, stream.deadline)
        stream.state = OutState.CLOSED
        self._by_key.pop((stream.peer.serial, stream.stream_id), None)
        stream.peer.opens.pop(stream.open, None)
        self._busy.pop(stream, None)
        self._unsent.pop(stream, None)
        if stream.channel is not None:
            self._by_channel.pop(stream.channel.channel, None)
            self._counters.update(stream.channel.losses())
            if outcome is not None:
                self._counters["frames.not_completed"] += stream.channel.undone
        turn = self._turn()
        (turn.closed if was_open else turn.resolve).append((stream.sink, outcome))
        stream.sink = None  # they hold each other: so both go at once, and not when the collector comes round


def _for_its_sender(error: ActrRuntimeError, stream: OutStream) -> ActrRuntimeError:
    """`error`, by which the receiver went, as its sender may read it: what it was, how far it came, what to do.

    Often nobody waits for the task that sends, and these words in a log are all that is seen of it.
    """
    done = stream.channel.completed if stream.channel is not None else 0
    what, name = f"stream {stream.stream_id}", stream.peer.name
    why = error.message.removeprefix(f"{what}: ")
    to_whom = what if name in why else f"{what} to {name}"
    far = "1 frame" if done == 1 else f"{done} frames"
    advice = f"stop sending; catch {type(error).__name__} where receivers may go"
    error.message = f"{to_whom}: {why} (after {far}); {advice}"
    error.args = (error.message,)
    error.details = {"last": str(done), **error.details, "peer": name}
    return error
