"""What a handler, a hook or a main program does things with."""

from __future__ import annotations

import itertools
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar, overload

from google.protobuf.message import Message

from actrzmq.core.execution import Execution
from actrzmq.identity import ActrId, ActrType
from actrzmq.net.clock import boottime_ms
from actrzmq.runtime.dest import Dest
from actrzmq.runtime.inbox import StreamCallback
from actrzmq.runtime.limits import DEFAULT_TIMEOUT_MS
from actrzmq.runtime.parts import Parts
from actrzmq.runtime.payload import PayloadType
from actrzmq.runtime.receiving import StreamHandle, StreamReader
from actrzmq.runtime.sending import StreamWriter
from actrzmq.runtime.watching import Watch
from actrzmq.wire.messages import DataStream

_tells = itertools.count(1)

_Response = TypeVar("_Response", bound=Message)


class Context:
    """The node, as seen from one call, or (without a call) from a hook or the main program.

    It stays valid after its handler has returned, for tasks that the handler left behind. While the handler runs, calls
    through it get no more time than its own caller has left.
    """

    __slots__ = ("_execution", "_parts", "_told")

    def __init__(self, parts: Parts, execution: Execution | None = None) -> None:
        self._parts = parts
        self._execution = execution
        self._told = 0

    # who

    def self_id(self) -> ActrId:
        """This node's id."""
        return self._parts.session.id

    def caller_id(self) -> ActrId | None:
        """The node that calls, as the broker vouches for it; None for calls from the own process and in hooks."""
        if self._execution is None:
            return None
        caller: ActrId | None = self._execution.peer.id
        return None if caller is not None and caller.serial == self._parts.session.serial else caller

    def request_id(self) -> str:
        """Unique for each call and tell; empty where there is none."""
        execution = self._execution
        if execution is None:
            return ""
        if execution.id:
            return f"{execution.peer.serial:x}-{execution.id}"
        if not self._told:  # a tell has no number of its caller's
            self._told = next(_tells)
        return f"{execution.peer.serial:x}-{self._parts.session.serial:x}.{self._told}"

    def metadata(self) -> Mapping[str, str]:
        """What the caller gave along with the request."""
        return (self._execution.request.metadata if self._execution else None) or {}

    def deadline(self) -> float | None:
        """When the caller stops waiting, on the clock of the event loop (for `asyncio.timeout_at`); None if nobody
        waits.
        """
        if self._execution is None:
            return None
        return self._parts.standing.loop.time() + (self._execution.deadline - boottime_ms()) / 1000

    # finding

    async def discover(self, actor_type: ActrType, timeout_ms: int = 0) -> ActrId:
        """A live node of that type, chosen by load. Waits up to `timeout_ms` for one, by default not at all.

        Where a contract is locked for the type, those that have it come first, then compatible ones. Raises
        `ActrContractMismatch` at once if all that are there break it, `ActrNotFound` if there is none,
        `ActrTransportError` if the broker is away, or has not answered for 5 s.
        """
        return (await self._parts.agreements.discover(actor_type, timeout_ms, all=False))[0].id

    async def discover_all(self, actor_type: ActrType, timeout_ms: int = 0) -> list[ActrId]:
        """All live nodes of that type that take new work, but for those that break a locked contract; those that have
        it come first. Raises as `discover` does.
        """
        return [instance.id for instance in await self._parts.agreements.discover(actor_type, timeout_ms, all=True)]

    def watch(self, actor_type: ActrType) -> Watch:
        """The nodes of that type, as they come and go: `async with ctx.watch(t) as seen: async for change in seen`."""
        return Watch(self._parts.lookup, actor_type)

    # calling

    @overload
    def call(
        self,
        dest: Dest,
        route_key: str,
        request: bytes,
        timeout_ms: int = ...,
        payload_type: PayloadType | None = ...,
        *,
        wait: bool = ...,
        metadata: Mapping[str, str] | None = ...,
    ) -> Coroutine[Any, Any, bytes]: ...

    @overload
    def call(
        self,
        dest: Dest,
        route_key: str,
        request: Message,
        timeout_ms: int = ...,
        payload_type: PayloadType | None = ...,
        *,
        wait: bool = ...,
        metadata: Mapping[str, str] | None = ...,
        response_type: type[_Response],
    ) -> Coroutine[Any, Any, _Response]: ...

    @overload
    def call(
        self,
        dest: Dest,
        route_key: str,
        request: Message,
        timeout_ms: int = ...,
        payload_type: PayloadType | None = ...,
        *,
        wait: bool = ...,
        metadata: Mapping[str, str] | None = ...,
    ) -> Coroutine[Any, Any, Any]: ...

    def call(
        self,
        dest: Dest,
        route_key: str,
        request: Message | bytes,
        timeout_ms: int = DEFAULT_TIMEOUT_MS,
        payload_type: PayloadType | None = None,
        *,
        wait: bool = False,
        metadata: Mapping[str, str] | None = None,
        response_type: type[Message] | None = None,
    ) -> Coroutine[Any, Any, object]:
        """Call `route_key` at `dest` and return the decoded response; for bytes, bytes.

        `wait` waits, within the timeout, for an instance of a type that has none yet. `response_type` is needed where
        the request's class was not generated by `actr gen`. Cancelling cancels the handler. Raises what the handler
        raised, or `ActrTransportError`, `ActrTimeoutError`, `ActrNotFound`, `ActrUnknownRoute`, `ActrDecodeError`,
        `ActrPermissionDenied`, `ActrOverloaded`, `ActrContractMismatch`; `.may_have_run` tells whether the handler may
        have run.
        """
        return self._parts.calls.call(
            dest, route_key, request, timeout_ms, payload_type, wait, metadata, response_type, self._execution
        )

    async def tell(
        self,
        dest: Dest,
        route_key: str,
        request: Message | bytes,
        timeout_ms: int = DEFAULT_TIMEOUT_MS,
        payload_type: PayloadType | None = None,
        *,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        """Run `route_key` at `dest`, at most once, without a reply. Returns when queued, raises when it can't be."""
        await self._parts.calls.tell(dest, route_key, request, timeout_ms, payload_type, metadata)

    # receiving streams

    async def register_stream(
        self,
        stream_id: str,
        callback: StreamCallback,
        sender: ActrId | None = None,
        *,
        on_error: str = "reset",
        open_within_ms: int | None = None,
    ) -> StreamHandle:
        """Have `callback(frame, sender_id)` called for each frame of `stream_id`, one at a time and in order.

        Register before asking for the stream. With `sender`, only that node may send it, and if it goes down before it
        has opened the stream, the handle raises that; `ActrTransportError` at once if it is known to be down. Without,
        say `open_within_ms`, or watch whom you have asked: a stream that nobody opens does not end by itself.

        A plain `def` callback runs in one of 64 threads, and streams take turns for them. If the callback raises, the
        stream is reset on both sides, or, with `on_error="skip"`, the frame is counted and the next one comes.
        Raises `ActrConfigError` for an id that is registered already. The handle tells when and how the stream ends.
        """
        return self._parts.inboxes.register(stream_id, callback, sender, on_error, open_within_ms)

    async def unregister_stream(self, stream_id: str) -> None:
        """Take no more frames of `stream_id`; its sender is told. Nothing happens if it is not registered."""
        self._parts.inboxes.unregister(stream_id)

    def stream(
        self, stream_id: str, sender: ActrId | None = None, *, open_within_ms: int | None = None
    ) -> StreamReader:
        """Receive by iterating: `async with ctx.stream(id) as frames: async for frame in frames`.

        The id is registered by this very call; `sender` and `open_within_ms` are those of `register_stream`. The loop
        ends with the stream, and raises `ActrStreamError` if that was not complete. Leaving the block before that
        closes the stream, and its sender is told. For a loop that runs to the end, `async for frame in ctx.stream(id)`
        will do; if it is left, the stream is closed when Python collects the reader.
        """
        return self._parts.inboxes.reader(stream_id, sender, open_within_ms)

    # sending streams

    async def send_stream(
        self, dest: Dest, data_stream: DataStream, payload_type: PayloadType = PayloadType.StreamReliable
    ) -> None:
        """Send one frame to `dest`. The first one opens the stream; waits when its credit is spent, and only then.

        Raises `ActrStreamError`, `ActrTransportError`, `ActrNotFound` (nobody registered it there) or
        `ActrPermissionDenied`, once, when the stream could not be opened or has been closed by the other side.
        """
        outlets = self._parts.outlets
        if not outlets.send_nowait(dest, data_stream):
            await outlets.send(dest, data_stream, payload_type)

    async def end_stream(self, dest: Dest, stream_id: str, timeout_ms: int = DEFAULT_TIMEOUT_MS) -> None:
        """End the stream; returns when the receiver has completed every frame.

        Raises `ActrStreamError` if it was closed otherwise, `ActrTimeoutError` after `timeout_ms` without progress at
        the receiver, its taking the stream being the first; it may be tried again. A stream of which nothing was sent
        is opened for it; one that has ended already stays so.
        """
        await self._parts.outlets.end(dest, stream_id, timeout_ms)

    async def abort_stream(self, dest: Dest, stream_id: str, reason: str = "aborted by its sender") -> None:
        """End the stream as failed, for `reason`: the receiver's callbacks stop, and its handle raises."""
        await self._parts.outlets.abort(dest, stream_id, reason)

    def open_stream(
        self, dest: Dest, stream_id: str, payload_type: PayloadType = PayloadType.StreamReliable
    ) -> StreamWriter:
        """Send as a context: `async with ctx.open_stream(dest, id) as out: await out.send(b"…")`.

        Opens on entering, ends (and waits for the end) on leaving, aborts if the block raises or is cancelled, also in
        that wait.
        """
        return StreamWriter(self._parts.outlets, dest, stream_id, payload_type)
