"""The receiving end of streams: callbacks, handles and iterators.

A stream costs no task while nothing comes. The first batch starts one, which runs the callback for frame after frame
until nothing is left; so callbacks of one stream never overlap, and streams don't wait for one another.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from actrzmq.core.streams import Receiver
from actrzmq.errors import ActrConfigError, ActrRuntimeError, ActrStreamError, ActrTimeoutError, Status
from actrzmq.identity import ActrId
from actrzmq.runtime.limits import check_timeout, shown
from actrzmq.wire.messages import DataStream

if TYPE_CHECKING:
    from actrzmq.runtime.engine import Engine

StreamCallback = Callable[[DataStream, ActrId], Awaitable[None] | None]
AsyncCallback = Callable[[DataStream, ActrId], Awaitable[None]]

log = logging.getLogger("actrzmq.streams")


class Inbox:
    """Frames of one stream that have come and are not done, and how the stream ended."""

    receiver: Receiver

    def __init__(self, engine: Engine, stream_id: str) -> None:
        self.engine = engine
        self.stream_id = stream_id
        self.batches: deque[list[DataStream]] = deque()
        self.is_closed = False
        self.outcome: ActrRuntimeError | None = None
        self.frames = 0
        self._sender: ActrId | None = None
        self._closed = asyncio.get_running_loop().create_future()

    def deliver(self, frames: list[DataStream]) -> None:
        """These came, in order."""
        self.batches.append(frames)

    def closed(self, outcome: ActrRuntimeError | None) -> None:
        """The stream has ended: complete (None), or with an error. Nothing is delivered any more."""
        if self.is_closed:
            return
        self.is_closed = True
        self.outcome = outcome
        if outcome is not None:
            self.batches.clear()
        self._closed.set_result(None)

    def done(self, frame: DataStream) -> None:
        """`frame` has been dealt with: it counts as acknowledged from now on."""
        self.frames += 1
        stream = self.receiver.stream
        if stream is not None:
            stream.channel.completed_frames += 1
            stream.channel.completed_bytes += len(frame.payload())

    @property
    def sender(self) -> ActrId:
        """Who sends, as the broker vouches for it."""
        if self._sender is None:
            stream = self.receiver.stream
            assert stream is not None  # frames come only from an open stream
            self._sender = stream.peer.id or self.engine.id
        return self._sender

    async def wait_closed(self) -> None:
        """Return when the stream has ended. Cancelling leaves it as it is."""
        await asyncio.shield(self._closed)


class CallbackInbox(Inbox):
    """Runs a callback for each frame."""

    def __init__(self, engine: Engine, stream_id: str, callback: StreamCallback, on_error: str) -> None:
        super().__init__(engine, stream_id)
        if not callable(callback):
            raise ActrConfigError(f"callback of stream {stream_id}: {callback!r} can't be called")
        if on_error not in ("reset", "skip"):
            raise ActrConfigError(f"on_error={on_error!r}: expected 'reset' or 'skip'")
        self._callback = callback if inspect.iscoroutinefunction(callback) else in_thread(callback)
        self._skips = on_error == "skip"
        self._task: asyncio.Task[None] | None = None

    def deliver(self, frames: list[DataStream]) -> None:
        super().deliver(frames)
        if self._task is None:
            self._task = self.engine.spawn(self._run())

    async def _run(self) -> None:
        """One frame after the other, until none is left."""
        callback, sender, batches = self._callback, self.sender, self.batches
        try:
            while batches:
                for frame in batches.popleft():
                    try:
                        await callback(frame, sender)
                    except BaseException as error:  # the user's code: logged, and told to both sides
                        if _is_cancelled(error):
                            raise
                        if not self._failed(error):
                            return
                    if self.is_closed:
                        return
                    self.done(frame)
                self.engine.progressed(self.receiver)
                await asyncio.sleep(0)  # the other streams' turn
        finally:
            self._task = None

    def _failed(self, error: BaseException) -> bool:
        """Count and log it; True if the stream goes on."""
        log.error("stream callback raised stream=%r frame=%d", self.stream_id, self.frames + 1, exc_info=error)
        self.engine.count("callbacks.raised")
        self.engine.report_callback(error)
        if self._skips:
            return True
        told = ActrStreamError(
            f"stream {self.stream_id}: the receiver's callback raised {shown(error)}",
            details={"last": str(self.frames)},
        )
        self.engine.cancel_stream(self.receiver, told)
        return False


class StreamHandle:
    """A registered stream: wait here for its end, and see how it came."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox

    @property
    def stream_id(self) -> str:
        """The id under which it is registered."""
        return self._inbox.stream_id

    @property
    def frames(self) -> int:
        """How many frames have been dealt with."""
        return self._inbox.frames

    @property
    def is_closed(self) -> bool:
        """Has it ended?"""
        return self._inbox.is_closed

    @property
    def error(self) -> ActrRuntimeError | None:
        """How it ended: None while it is open, and when it was complete."""
        return self._inbox.outcome

    async def wait_closed(self, timeout_ms: int | None = None) -> int:
        """Wait for the end; returns the number of frames when the stream was complete.

        Raises the `ActrStreamError` (or `ActrTransportError`) with which it ended otherwise, `ActrTimeoutError` after
        `timeout_ms`; without a timeout it waits for as long as the sender lives. Cancelling the wait leaves the stream
        as it is.
        """
        try:
            async with asyncio.timeout(check_timeout(timeout_ms) / 1000 if timeout_ms is not None else None):
                await self._inbox.wait_closed()
        except TimeoutError:
            raise ActrTimeoutError(f"stream {self.stream_id} has not ended within {timeout_ms} ms") from None
        if self._inbox.outcome is not None:
            raise self._inbox.outcome
        return self._inbox.frames

    async def close(self) -> None:
        """Take no more frames. The sender is told, unless it has all been acknowledged already."""
        self._inbox.engine.close_inbox(self._inbox)


class StreamReader(Inbox):
    """A stream to iterate over. A frame counts as done when the next one is asked for."""

    def __init__(self, engine: Engine, stream_id: str) -> None:
        super().__init__(engine, stream_id)
        self._wakeup: asyncio.Future[None] | None = None
        self._current: DataStream | None = None

    def deliver(self, frames: list[DataStream]) -> None:
        super().deliver(frames[::-1])  # taken from the end, one by one
        self._wake()

    def closed(self, outcome: ActrRuntimeError | None) -> None:
        super().closed(outcome)
        self._wake()

    def __aiter__(self) -> StreamReader:
        return self

    async def __anext__(self) -> DataStream:
        """The next frame. Raises the error with which the stream ended, unless it was complete."""
        if self._current is not None:
            self.done(self._current)
            self._current = None
            if not self.batches:
                self.engine.progressed(self.receiver)
        while not self.batches:
            if self.is_closed:
                if self.outcome is not None:
                    raise self.outcome
                raise StopAsyncIteration
            self._wakeup = asyncio.get_running_loop().create_future()
            await self._wakeup
        batch = self.batches[0]
        self._current = batch.pop()
        if not batch:
            self.batches.popleft()
            self.engine.progressed(self.receiver)
        return self._current

    async def aclose(self) -> None:
        """Stop reading: the sender is told. To be called where the loop is left before its end."""
        self.engine.close_inbox(self)

    def _wake(self) -> None:
        if self._wakeup is not None and not self._wakeup.done():
            self._wakeup.set_result(None)


def _is_cancelled(error: BaseException) -> bool:
    """Was the task that this runs in cancelled? Else it is the user's own cancellation, of something else."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0


def in_thread(callback: StreamCallback) -> AsyncCallback:
    """`callback`, a plain function that may block, as one that does not block the event loop."""

    async def call(frame: DataStream, sender: ActrId) -> None:
        result = await asyncio.to_thread(callback, frame, sender)
        if result is not None:
            await result

    return call


def already_registered(stream_id: str) -> ActrConfigError:
    """The error for an id that is taken."""
    return ActrConfigError(
        f"stream {stream_id} is registered already in this node; unregister_stream first, or take another id",
        code=Status.ALREADY_EXISTS,
    )
