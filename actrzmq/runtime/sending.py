"""A stream that is sent, as its user sees it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from actrzmq.errors import ActrConfigError, ActrStreamError, ActrTimeoutError, Status
from actrzmq.runtime.dest import Dest
from actrzmq.runtime.limits import DEFAULT_TIMEOUT_MS, shown
from actrzmq.runtime.outlets import Outlets
from actrzmq.runtime.payload import PayloadType
from actrzmq.wire.messages import DataStream

if TYPE_CHECKING:
    from types import TracebackType

CANCELLED = "given up by its sender, which was cancelled"


class StreamWriter:
    """A stream to send, as a context manager; see `Context.open_stream`."""

    def __init__(self, outlets: Outlets, dest: Dest, stream_id: str, payload_type: PayloadType) -> None:
        self._outlets = outlets
        self._dest = dest
        self._stream_id = stream_id
        self._payload_type = payload_type
        self._sequence = 0
        self._is_open = False

    async def __aenter__(self) -> StreamWriter:
        self._dest = await self._outlets.open(self._dest, self._stream_id, self._payload_type)
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
        if not self._outlets.send_nowait(self._dest, frame):
            await self._outlets.send(self._dest, frame, self._payload_type)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_open = False
        if error is not None:
            is_cancelled = isinstance(error, asyncio.CancelledError)
            await self._outlets.abort(self._dest, self._stream_id, CANCELLED if is_cancelled else shown(error))
            return
        try:
            await self._outlets.end(self._dest, self._stream_id, DEFAULT_TIMEOUT_MS)
        except ActrTimeoutError as late:  # nobody is left who could try again
            await self._outlets.abort(self._dest, self._stream_id, f"given up by its sender: {late}")
            raise
        except asyncio.CancelledError:  # as little as there
            await self._outlets.abort(self._dest, self._stream_id, CANCELLED)
            raise
