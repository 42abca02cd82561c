"""The sending end of streams."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from actrzmq.core.streams import OutStream
from actrzmq.errors import ActrConfigError, ActrRuntimeError, ActrStreamError, ActrTimeoutError, Status
from actrzmq.runtime.dest import Dest
from actrzmq.runtime.limits import DEFAULT_TIMEOUT_MS, check_frame, shown
from actrzmq.runtime.payload import PayloadType
from actrzmq.wire.messages import DataStream

if TYPE_CHECKING:
    from types import TracebackType

    from actrzmq.runtime.engine import Engine


class Outlet:
    """One stream that this node sends: those who wait for its opening, for credit, or for its end."""

    stream: OutStream

    def __init__(self, engine: Engine, stream_id: str) -> None:
        self._engine = engine
        self.stream_id = stream_id
        self._loop = asyncio.get_running_loop()
        self.opening: asyncio.Future[None] = self._loop.create_future()
        self.ending: asyncio.Future[None] = self._loop.create_future()
        self._waiting: deque[asyncio.Future[None]] = deque()
        self.outcome: ActrRuntimeError | None = None
        self.is_closed = False

    def __call__(self, opened: object) -> None:
        """The stream is open, or could not be opened."""
        if not isinstance(opened, OutStream):
            self._engine.forget_opening(self)
            self.closed(opened if isinstance(opened, ActrRuntimeError) else None)
        elif not self.opening.done():
            self.opening.set_result(None)

    def writable(self) -> None:
        """There is credit again: the senders that wait look again, in the order in which they came."""
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)
        self._waiting.clear()

    def closed(self, outcome: ActrRuntimeError | None) -> None:
        """The stream has ended."""
        self.is_closed = True
        self.outcome = outcome
        for future in (self.opening, self.ending):
            if not future.done():
                future.set_result(None)
        self.writable()

    async def push(self, frame: DataStream) -> None:
        """Hand over one frame; waits for the opening and for credit. Raises how the stream was closed."""
        frame = check_frame(frame, self._engine.body_limit)
        size = len(frame.payload())
        if not self.opening.done():
            await asyncio.shield(self.opening)
        while not self.is_closed:
            channel = self.stream.channel
            assert channel is not None  # an open stream has one
            if not self._waiting and channel.push(frame, size):
                self._engine.frames_queued(self.stream)
                return
            waiting = self._loop.create_future()
            self._waiting.append(waiting)
            await waiting
        raise self.failure()

    def failure(self) -> ActrRuntimeError:
        """Why no more can be sent."""
        return self.outcome or ActrStreamError(f"stream {self.stream_id}: it has ended")

    @property
    def completed(self) -> int:
        """Frames that the receiver has completed."""
        channel = self.stream.channel
        return channel.completed if channel is not None else 0


class StreamWriter:
    """A stream to send, as a context manager; see `Context.open_stream`."""

    def __init__(self, engine: Engine, dest: Dest, stream_id: str, payload_type: PayloadType) -> None:
        self._engine = engine
        self._dest = dest
        self._stream_id = stream_id
        self._payload_type = payload_type
        self._sequence = 0
        self._is_open = False

    async def __aenter__(self) -> StreamWriter:
        self._dest = await self._engine.open_stream(self._dest, self._stream_id, self._payload_type)
        self._is_open = True
        return self

    async def send(self, payload: bytes | DataStream) -> None:
        """Send a frame; bytes are numbered from 1. Waits for credit, raises as `Context.send_stream`."""
        if not self._is_open:
            raise ActrStreamError(
                f"stream {self._stream_id}: it has ended, or has not begun; send inside `async with`",
                code=Status.FAILED_PRECONDITION,
            )
        self._sequence += 1
        frame = payload if isinstance(payload, DataStream) else DataStream(self._stream_id, self._sequence, payload)
        if frame.stream_id() != self._stream_id:
            raise ActrConfigError(f"a frame of stream {frame.stream_id()!r} into the stream {self._stream_id!r}")
        await self._engine.send_stream(self._dest, frame, self._payload_type)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_open = False
        if error is not None:
            await self._engine.abort_stream(self._dest, self._stream_id, shown(error))
            return
        try:
            await self._engine.end_stream(self._dest, self._stream_id, DEFAULT_TIMEOUT_MS)
        except ActrTimeoutError as late:  # nobody is left who could try again
            await self._engine.abort_stream(self._dest, self._stream_id, f"given up by its sender: {late}")
            raise
