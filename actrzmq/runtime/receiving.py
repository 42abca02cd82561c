"""A stream that is received, as its user sees it: a handle to wait for its end, or a reader to iterate over."""

from __future__ import annotations

import asyncio
import weakref
from copy import copy
from typing import TYPE_CHECKING

from actrzmq.errors import ActrRuntimeError, ActrTimeoutError
from actrzmq.identity import ActrId
from actrzmq.runtime.inbox import Inbox, ReaderInbox
from actrzmq.runtime.limits import check_timeout
from actrzmq.wire.messages import DataStream

if TYPE_CHECKING:
    from types import TracebackType


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
            raise copy(self._inbox.outcome)  # an error that is raised holds what its callers had at hand
        return self._inbox.frames

    def expect(self, sender: ActrId) -> None:
        """Take the stream from `sender` only, as if it had been registered so: for who learns later who will send it.

        If `sender` is down, or goes down before it has opened the stream, the handle raises that. Nothing happens
        where the stream has been opened.
        """
        self._inbox.keeper.expect(self._inbox, sender)

    async def close(self) -> None:
        """Take no more frames. The sender is told, unless it has all been acknowledged already."""
        self._inbox.keeper.close(self._inbox)


class StreamReader:
    """A stream to iterate over: `async with ctx.stream(id) as frames: async for frame in frames`.

    A frame counts as done when the next one is asked for. Leaving the block before the end closes the stream. Without a
    block, a reader that is left and that nobody keeps is closed as well, when Python finds that out.
    """

    def __init__(self, inbox: ReaderInbox) -> None:
        self._inbox = inbox
        weakref.finalize(self, inbox.left).atexit = False

    @property
    def stream_id(self) -> str:
        """The id under which it is registered."""
        return self._inbox.stream_id

    async def __aenter__(self) -> StreamReader:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __aiter__(self) -> StreamReader:
        return self

    async def __anext__(self) -> DataStream:
        """The next frame. Raises the error with which the stream ended, unless it was complete.

        One task at a time: where another one waits already, `ActrStreamError`. Cancelling loses nothing.
        """
        return await self._inbox.next()

    async def aclose(self) -> None:
        """Stop reading: the sender is told. Nothing happens where the stream has ended."""
        self._inbox.keeper.close(self._inbox)
