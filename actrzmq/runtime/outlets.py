"""The streams that a node sends."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable

from actrzmq.core.channel import fields_of
from actrzmq.core.packing import credit_bytes
from actrzmq.core.sending import SendChannel
from actrzmq.core.session import Session
from actrzmq.core.streams import OutStream, Wish
from actrzmq.errors import (
    ActrConfigError,
    ActrRuntimeError,
    ActrStreamError,
    ActrTimeoutError,
    ActrTransportError,
    Status,
)
from actrzmq.identity import Serial
from actrzmq.net.clock import boottime_ms
from actrzmq.net.link import Link
from actrzmq.net.shell import Shell
from actrzmq.runtime.agreements import Agreements
from actrzmq.runtime.dest import Dest, no_dest
from actrzmq.runtime.endings import Endings
from actrzmq.runtime.limits import check_frame, check_name, check_timeout
from actrzmq.runtime.payload import PayloadType, lane_of
from actrzmq.runtime.standing import Standing
from actrzmq.wire.messages import MAX_INT, DataStream

OPEN_WITHIN = 30_000


class Outlet:
    """One stream that this node sends: those who wait for its opening, for credit, or for its end."""

    stream: OutStream

    def __init__(self, keeper: Outlets, stream_id: str, loop: asyncio.AbstractEventLoop, link: Link) -> None:
        self._keeper = keeper
        self.stream_id = stream_id
        self._loop = loop
        self._link = link
        self.opening: asyncio.Future[None] = self._loop.create_future()
        self.ending: asyncio.Future[None] = self._loop.create_future()
        self.channel: SendChannel | None = None
        """Where frames go while the stream is open."""
        self.waiting: deque[asyncio.Future[None]] = deque()
        """Senders for whom there is no credit."""
        self.outcome: ActrRuntimeError | None = None
        self.is_closed = False

    def __call__(self, opened: object) -> None:
        """The stream is open, or could not be opened."""
        if not isinstance(opened, OutStream):
            self._keeper.forget_opening(self)
            self.closed(opened if isinstance(opened, ActrRuntimeError) else None)
        elif not self.opening.done():
            self.channel = opened.channel
            self.opening.set_result(None)

    def writable(self) -> None:
        """There is credit again: the senders that wait look again, in the order in which they came."""
        for waiting in self.waiting:
            if not waiting.done():
                waiting.set_result(None)
        self.waiting.clear()

    def closed(self, outcome: ActrRuntimeError | None) -> None:
        """The stream has ended."""
        self.is_closed = True
        self.channel = None
        self.outcome = outcome
        for future in (self.opening, self.ending):
            if not future.done():
                future.set_result(None)
        self.writable()

    async def push(self, frame: DataStream) -> None:
        """Hand over one frame; waits for the opening and for credit. Raises how the stream was closed."""
        frame = check_frame(frame, self._link.body_limit)
        size = credit_bytes(frame)
        if not self.opening.done():
            await asyncio.shield(self.opening)
        while self.channel is not None:
            if not self.waiting and self.channel.push(frame, size):
                self._keeper.queued(self.stream, self.channel)
                return
            waiting = self._loop.create_future()
            self.waiting.append(waiting)
            await waiting
        self._keeper.told(self)
        raise self.failure()

    def failure(self) -> ActrRuntimeError:
        """Why no more can be sent."""
        return self.outcome or ActrStreamError(f"stream {self.stream_id}: it has ended")

    @property
    def completed(self) -> int:
        """Frames that the receiver has completed."""
        channel = self.stream.channel
        return channel.completed if channel is not None else 0


class Outlets:
    """All outlets of one node."""

    def __init__(
        self,
        session: Session,
        shell: Shell,
        standing: Standing,
        agreements: Agreements,
        counters: Counter[str],
        wish: Wish,
    ) -> None:
        self._session = session
        self._shell = shell
        self._link = shell.link
        self._wake = shell.wake
        self._standing = standing
        self._agreements = agreements
        self._wish = wish
        self._open: dict[tuple[Serial, str], Outlet] = {}
        self._endings = Endings(counters)

    def send_nowait(self, dest: Dest, frame: DataStream) -> bool:
        """Send `frame` if its stream is open, has credit, and nothing is special about it; else `send` has to do it."""
        stream_id, sequence, payload, timestamp_ms, metadata = fields_of(frame)
        try:
            actor = dest.id
        except AttributeError:
            raise no_dest(dest) from None
        if (
            actor is None
            or type(stream_id) is not str
            or type(payload) is not bytes
            or type(sequence) is not int
            or not 0 <= sequence <= MAX_INT
            or metadata is not None
            or (timestamp_ms is not None and (type(timestamp_ms) is not int or not 0 <= timestamp_ms <= MAX_INT))
        ):
            return False  # `check_frame` is to say what is wrong, or to make a copy
        outlet = self._open.get((actor.serial, stream_id))
        if outlet is None or outlet.waiting:
            return False
        channel, size = outlet.channel, len(payload)
        if channel is None or size > self._link.body_limit or not channel.push(frame, size):
            return False
        if channel.has_message or not outlet.stream.is_queued:
            self.queued(outlet.stream, channel)
        return True

    async def send(self, dest: Dest, frame: DataStream, payload_type: PayloadType) -> None:
        """See `Context.send_stream`."""
        if dest.id is not None:
            outlet = self._open.get((dest.id.serial, frame.stream_id()))
            if outlet is not None:
                await outlet.push(frame)
                return
        await self._outlet(self._serial(dest), frame.stream_id(), payload_type).push(frame)

    async def open(self, dest: Dest, stream_id: str, payload_type: PayloadType) -> Dest:
        """Open a stream and wait for that; returns the destination as one actor."""
        if not isinstance(dest, Dest):
            raise no_dest(dest)
        if dest.actor_type is not None:
            found = await self._agreements.discover(dest.actor_type, 0, all=False, patience=OPEN_WITHIN)
            dest = Dest.actor(found[0].id)
        if (self._serial(dest), stream_id) in self._open:
            raise ActrStreamError(f"stream {stream_id}: it is open to {dest} already", code=Status.ALREADY_EXISTS)
        key = (self._serial(dest), stream_id)
        self._raise_closed(key)
        outlet = self._outlet(*key, payload_type)
        try:
            await asyncio.shield(outlet.opening)
        except asyncio.CancelledError:  # nobody is left who could send or end it
            await self.abort(dest, stream_id, "withdrawn by its sender")
            raise
        if outlet.is_closed:
            raise outlet.failure()
        return dest

    async def end(self, dest: Dest, stream_id: str, timeout_ms: int) -> None:
        """See `Context.end_stream`."""
        key = (self._serial(dest), stream_id)
        timeout = check_timeout(timeout_ms) / 1000
        outlet = self._open.get(key)
        is_new = outlet is None
        if outlet is None:
            if key in self._endings:
                self._raise_closed(key)
                return  # the receiver has completed it, or it has been ended before
            outlet = self._outlet(*key, PayloadType.StreamReliable)  # a stream of no frames has an end, too
        await asyncio.wait([outlet.opening], timeout=timeout)
        if not outlet.opening.done():
            if is_new:  # nobody has sent anything, and who gives up here is to leave nothing
                await self.abort(dest, stream_id, "withdrawn by its sender")
            raise ActrTimeoutError(
                f"stream {stream_id}: {dest} has not taken it within {timeout_ms} ms; try again, or abort the stream"
            )
        if not outlet.is_closed:
            self._session.streams.end(outlet.stream, boottime_ms())
            self._wake()
        done = -1
        while not outlet.ending.done():
            if outlet.completed == done:
                raise ActrTimeoutError(
                    f"stream {stream_id}: {dest} has made no progress for {timeout_ms} ms, {done} frames are done"
                )
            done = outlet.completed
            await asyncio.wait([outlet.ending], timeout=timeout)
        if outlet.outcome is not None:
            self._endings.take(key)
            raise outlet.outcome

    async def abort(self, dest: Dest, stream_id: str, reason: str) -> None:
        """See `Context.abort_stream`."""
        key = (self._serial(dest), stream_id)
        outlet = self._open.get(key)
        if outlet is not None:
            self._session.abort_stream(outlet.stream, ActrStreamError(f"stream {stream_id}: {reason}"), boottime_ms())
            self._wake()
            await asyncio.shield(outlet.ending)
            self._endings.take(key)

    def queued(self, stream: OutStream, channel: SendChannel) -> None:
        """Frames wait in the `channel` of `stream`: they go with the next turn, or at once if they fill a message."""
        self._session.streams.queued(stream)
        self._wake()
        if channel.has_message:
            self._shell.send_frames()

    def forget_opening(self, outlet: Outlet) -> None:
        """It could not be opened, which those who wait for that hear; the id is free again."""
        key = (outlet.stream.peer.serial, outlet.stream_id)
        if self._open.get(key) is outlet:
            del self._open[key]

    def closed(self, outlet: Outlet, outcome: ActrRuntimeError | None) -> None:
        """The stream has ended, which its sender hears at his next step."""
        key = (outlet.stream.peer.serial, outlet.stream_id)
        if self._open.get(key) is outlet:
            del self._open[key]
            # No more than that: the stream itself would take 7 KiB here, and hold all that is known of its receiver.
            self._endings.add(key, outcome, outlet.stream.farewell)
        outlet.closed(outcome)

    def told(self, outlet: Outlet) -> None:
        """A sender that was in the middle of a step hears how the stream has ended: nobody else has to."""
        key = (outlet.stream.peer.serial, outlet.stream_id)
        if key not in self._open:
            self._endings.take(key)

    def close_all(self, error: Callable[[], ActrRuntimeError]) -> None:
        """The node has a bug: all end, here alone, each with an `error` of its own."""
        for outlet in list(self._open.values()):
            self.closed(outlet, error())

    def _outlet(self, serial: Serial, stream_id: str, payload_type: PayloadType) -> Outlet:
        key = (serial, stream_id)
        outlet = self._open.get(key)
        if outlet is not None:
            return outlet
        lane = lane_of(payload_type)
        self._raise_closed(key, goes_on=True)
        self._standing.check_running()
        if self._standing.is_stopping:
            raise ActrTransportError(f"stream {stream_id}: this node is stopping")
        stream_id = check_name(stream_id, "stream id")
        peer = self._session.peer(serial, f"stream {stream_id}")
        outlet = Outlet(self, stream_id, self._standing.loop, self._link)
        streams, wish = self._session.streams, self._wish
        outlet.stream = streams.open(peer, stream_id, lane, wish, OPEN_WITHIN, outlet, boottime_ms())
        self._open[key] = outlet
        self._wake()
        return outlet

    def _raise_closed(self, key: tuple[Serial, str], *, goes_on: bool = False) -> None:
        """A stream that the other side has closed raises once, at the sender's next step; then the id is free again.

        If all that was sent is done, only one who `goes_on` sending is told.
        """
        error = self._endings.take(key, goes_on=goes_on)
        if error is not None:
            raise error

    def _serial(self, dest: Dest) -> Serial:
        if not isinstance(dest, Dest):
            raise no_dest(dest)
        if dest.actor_type is not None:
            raise ActrConfigError(
                f"a stream goes to one actor, not to any of {dest.actor_type}: "
                "discover one and take Dest.actor(id), or use open_stream"
            )
        return self._session.serial if dest.id is None else dest.id.serial
