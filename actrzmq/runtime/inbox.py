"""What has come of one stream and is not done: given to a callback, or kept until it is asked for.

A stream costs no task while nothing comes. The first batch starts one, which runs the callback for frame after frame
until nothing is left; so callbacks of one stream never overlap, and streams don't wait for one another. Callbacks that
are plain functions run in threads of their own, see `threads.py`.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from copy import copy
from typing import Any, Protocol

from actrzmq.core.channel import Uncopied, copied
from actrzmq.core.streams import Receiver
from actrzmq.errors import (
    ActrConfigError,
    ActrOverloaded,
    ActrRuntimeError,
    ActrStreamError,
    Status,
)
from actrzmq.identity import ActrId
from actrzmq.runtime.limits import shown
from actrzmq.runtime.tasks import Tasks
from actrzmq.runtime.threads import Job, NoThread, Threads
from actrzmq.wire.messages import DataStream

StreamCallback = Callable[[DataStream, ActrId], Awaitable[None] | None]

log = logging.getLogger("actrzmq.streams")


class Keeper(Protocol):
    """What an inbox needs of those who keep it: all inboxes of its node."""

    counters: Counter[str]
    threads: Threads
    tasks: Tasks

    @property
    def id(self) -> ActrId:
        """The node's present identity."""

    def progressed(self, receiver: Receiver) -> None:
        """Frames of it have been completed."""

    def expect(self, inbox: Inbox, sender: ActrId) -> None:
        """See `StreamHandle.expect`."""

    def close(self, inbox: Inbox) -> None:
        """Take no more frames of it; nothing happens if it has ended."""

    def cancel(self, receiver: Receiver, error: ActrRuntimeError) -> None:
        """End a stream that is received, with `error` on both sides."""

    def callback_raised(self, error: BaseException) -> None:
        """A callback has raised `error`."""


class Inbox:
    """Frames of one stream that have come and are not done, and how the stream ended."""

    receiver: Receiver

    def __init__(self, keeper: Keeper, stream_id: str) -> None:
        self.keeper = keeper
        self.stream_id = stream_id
        self.batches: deque[list[DataStream]] = deque()
        self.is_closed = False
        self.outcome: ActrRuntimeError | None = None
        self.frames = 0
        self._sender: ActrId | None = None
        self._closed = asyncio.get_running_loop().create_future()

    def deliver(self, frames: list[DataStream]) -> bool:
        """These came, in order; False if the stream has ended, and they are dropped."""
        if self.is_closed:
            self.keeper.counters["frames.after_close"] += len(frames)
            return False
        self.batches.append(frames)
        return True

    def closed(self, outcome: ActrRuntimeError | None) -> None:
        """The stream has ended: complete (None), or with an error. Nothing is delivered any more."""
        if self.is_closed:
            return
        self.is_closed = True
        self.outcome = outcome
        if outcome is not None:
            self.batches.clear()
        self._closed.set_result(None)

    def done(self) -> None:
        """A frame has been dealt with: it counts as acknowledged from now on."""
        self.frames += 1
        stream = self.receiver.stream
        if stream is not None:
            stream.channel.completed_frames += 1

    @property
    def sender(self) -> ActrId:
        """Who sends, as the broker vouches for it. Known from the first frames on, whatever becomes of the stream."""
        if self._sender is None:
            peer = self.receiver.peer
            assert peer is not None  # frames come only from a stream that was opened
            self._sender = peer.id or self.keeper.id
        return self._sender

    async def wait_closed(self) -> None:
        """Return when the stream has ended. Cancelling leaves it as it is."""
        await asyncio.shield(self._closed)


class CallbackInbox(Inbox):
    """Runs a callback for each frame."""

    def __init__(self, keeper: Keeper, stream_id: str, callback: StreamCallback, on_error: str) -> None:
        super().__init__(keeper, stream_id)
        if not callable(callback):
            raise ActrConfigError(f"callback of stream {stream_id}: {callback!r} can't be called")
        if on_error not in ("reset", "skip"):
            raise ActrConfigError(f"on_error={on_error!r}: expected 'reset' or 'skip'")
        self._callback = callback
        self._call: Any = callback if is_async(callback) else self._call_in_thread
        self._skips = on_error == "skip"
        self._task: asyncio.Task[None] | None = None
        self._job: Job | None = None

    def deliver(self, frames: list[DataStream]) -> bool:
        taken = super().deliver(frames)
        if taken and self._task is None:
            self._task = self.keeper.tasks.spawn(self._run(self.sender))
        return taken

    def closed(self, outcome: ActrRuntimeError | None) -> None:
        super().closed(outcome)
        if self._job is not None:
            self.keeper.threads.abandon(self._job)

    async def _run(self, sender: ActrId) -> None:
        """One frame after the other, until none is left."""
        call, batches = self._call, self.batches
        try:
            while batches:
                stream = self.receiver.stream
                assert stream is not None  # what comes of a stream that has ended is dropped
                channel = stream.channel
                batch = batches.popleft()
                for frame in batch.take() if type(batch) is Uncopied else batch:
                    try:
                        await call(frame, sender)
                    except NoThread as error:
                        self._reset(ActrOverloaded(f"stream {self.stream_id}: {error}"))
                        return
                    except BaseException as error:  # the user's code: logged, and told to both sides
                        if _is_cancelled(error):
                            raise
                        if not self._failed(error):
                            return
                    if self.is_closed:
                        return
                    self.frames += 1  # as `done` does, which would cost more than all of this
                    channel.completed_frames += 1
                self.keeper.progressed(self.receiver)
                await asyncio.sleep(0)  # the other streams' turn
        finally:
            self._task = None

    def _failed(self, error: BaseException) -> bool:
        """Count and log it; True if the stream goes on."""
        log.error("stream callback raised stream=%r frame=%d", self.stream_id, self.frames + 1, exc_info=error)
        self.keeper.callback_raised(error)
        if self._skips:
            return True
        self._reset(ActrStreamError(f"stream {self.stream_id}: the receiver's callback raised {shown(error)}"))
        return False

    def _reset(self, error: ActrRuntimeError) -> None:
        """End the stream with `error` on both sides."""
        error.details["last"] = str(self.frames)
        self.keeper.cancel(self.receiver, error)

    async def _call_in_thread(self, frame: DataStream, sender: ActrId) -> None:
        self._job = job = self.keeper.threads.submit(self._callback, frame, sender)
        try:
            result, error = await job.outcome
        except asyncio.CancelledError:
            if not self.is_closed:
                raise
            return  # nobody waits for it any more; if it raises, its thread says so
        finally:
            self._job = None
        if error is not None:
            raise error
        if inspect.isawaitable(result):  # a `def` around an `async def`, as decorators make
            await result


class ReaderInbox(Inbox):
    """Keeps frames until they are asked for. A frame counts as done when the next one is asked for."""

    def __init__(self, keeper: Keeper, stream_id: str) -> None:
        super().__init__(keeper, stream_id)
        self._loop = asyncio.get_running_loop()
        self._wakeup: asyncio.Future[None] | None = None
        self._is_reading = False  # the frame that was asked for last

    def deliver(self, frames: list[DataStream]) -> bool:
        # Taken from the end, one by one.
        taken = super().deliver(Uncopied(frames[::-1]) if type(frames) is Uncopied else frames[::-1])
        self._wake()
        return taken

    def closed(self, outcome: ActrRuntimeError | None) -> None:
        super().closed(outcome)
        self._wake()

    async def next(self) -> DataStream:
        """The next frame; `StreamReader.__anext__` says what it raises."""
        if self._wakeup is not None:
            raise waited_for_already(f"stream {self.stream_id}", "frame")
        if self._is_reading:
            self.done()
            self._is_reading = False
            if not self.batches:
                self.keeper.progressed(self.receiver)
        while not self.batches:
            if self.is_closed:
                if self.outcome is not None:
                    raise copy(self.outcome)  # as for a handle
                raise StopAsyncIteration
            self._wakeup = self._loop.create_future()
            try:
                await self._wakeup
            finally:
                self._wakeup = None
        batch = self.batches[0]
        frame = batch.pop()
        if type(batch) is Uncopied:
            frame = copied(frame)
        self._is_reading = True
        if not batch:
            self.batches.popleft()
            self.keeper.progressed(self.receiver)
        return frame

    def left(self) -> None:
        """Its reader is no more, and so nobody can ask for frames. May be called on any thread, at any time."""
        if not self.is_closed:
            with suppress(RuntimeError):  # the loop is closed, and the node with it
                self._loop.call_soon_threadsafe(self._close_unread)

    def _close_unread(self) -> None:
        if not self.is_closed:
            self.keeper.counters["readers.left"] += 1
            log.warning(
                "stream %r was left before its end, and is closed; to close it in time, use "
                "`async with ctx.stream(id) as frames: async for frame in frames`",
                self.stream_id,
            )
            self.keeper.close(self)

    def _wake(self) -> None:
        if self._wakeup is not None and not self._wakeup.done():
            self._wakeup.set_result(None)


def _is_cancelled(error: BaseException) -> bool:
    """Was the task that this runs in cancelled? Else it is the user's own cancellation, of something else."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0


def is_async(callback: StreamCallback) -> bool:
    """Is it an `async def`, or an object whose `__call__` is one? Everything else may block, and runs in a thread."""
    return inspect.iscoroutinefunction(callback) or inspect.iscoroutinefunction(type(callback).__call__)


def waited_for_already(what: str, next_one: str) -> ActrStreamError:
    """The error for a second task that iterates over the same thing."""
    return ActrStreamError(
        f"{what}: another task waits for its next {next_one} already; "
        "iterate in one task, and hand on from there, by an asyncio.Queue for instance",
        code=Status.FAILED_PRECONDITION,
    )
