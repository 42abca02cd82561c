"""One running node: its session, its shell, its handlers and streams, behind the verbs that `Context` offers."""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
import platform
from collections import Counter, OrderedDict
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

from google.protobuf.message import DecodeError, EncodeError, Message

from actrzmq._version import __version__
from actrzmq.contracts.bundle import Contract, pack
from actrzmq.core.discovery import Watched
from actrzmq.core.execution import Execution
from actrzmq.core.serving import ServingLimits
from actrzmq.core.session import Session, SessionLimits
from actrzmq.core.streams import OutStream, Receiver, StreamLimits, Wish
from actrzmq.core.turn import News, Turn
from actrzmq.errors import (
    ActrConfigError,
    ActrDecodeError,
    ActrGateNotInitialized,
    ActrRuntimeError,
    ActrStreamError,
    ActrTimeoutError,
    ActrTransportError,
    Status,
)
from actrzmq.identity import ActrId, ActrType, Serial
from actrzmq.manifest.model import Manifest, Permission
from actrzmq.net.clock import boottime_ms
from actrzmq.net.shell import Shell
from actrzmq.runtime.balancing import Balancer
from actrzmq.runtime.context import Context
from actrzmq.runtime.dest import Dest
from actrzmq.runtime.dispatch import Dispatch, end_tasks
from actrzmq.runtime.limits import DEFAULT_TIMEOUT_MS, check_body, check_metadata, check_name, check_timeout, shown
from actrzmq.runtime.messages import is_idempotent, response_of
from actrzmq.runtime.payload import PayloadType, is_signal, lane_of
from actrzmq.runtime.publishing import check_fits
from actrzmq.runtime.receiving import (
    CallbackInbox,
    Inbox,
    ReaderInbox,
    StreamCallback,
    StreamHandle,
    StreamReader,
    already_registered,
)
from actrzmq.runtime.sending import Outlet
from actrzmq.runtime.threads import Threads
from actrzmq.runtime.watching import Watch
from actrzmq.runtime.workload import WorkloadBase
from actrzmq.wire.messages import PROTOCOL, DataStream, Describe, Instance, ListNodes, Register, Reply, Rule

CLOSED_STREAMS = 1_000
"""Streams that have ended, remembered so that their senders hear of it at their next step, at most."""
OPEN_WITHIN = 30_000
ON_STOP_S = 1.0
"""Seconds that `on_stop` hooks have beside what is left of the drain time."""
SENDER_IDLE = 2_000
"""A stop waits for streams that are sent, as long as something moves at least this often (milliseconds)."""
RECEIVER_IDLE = 300
"""The same for streams that are received: what has come is dealt with, what may come later is not waited for."""

log = logging.getLogger("actrzmq.node")

_Value = TypeVar("_Value")


class Engine:
    """Made by `ActrNode.start`, on the event loop that it runs on. Not thread-safe, like the loop itself."""

    def __init__(
        self,
        manifest: Manifest,
        workloads: Sequence[WorkloadBase],
        contract: Contract | None = None,
        *,
        visiting: bool = False,
    ) -> None:
        packed = b"" if contract is None else pack(contract)
        self._loop = asyncio.get_running_loop()
        self._manifest = manifest
        self._workloads = workloads
        self._tasks: set[asyncio.Task[Any]] = set()
        self._outlets: dict[tuple[Serial, str], Outlet] = {}
        self._closed: OrderedDict[tuple[Serial, str], Outlet] = OrderedDict()
        self._inboxes: dict[str, Inbox] = {}
        self._counters: Counter[str] = Counter()
        self._registered: asyncio.Future[None] = self._loop.create_future()
        self._out: asyncio.Future[None] = self._loop.create_future()
        self._is_started = self._is_stopped = self._is_closed = False
        self._pid = os.getpid()
        self.failure: ActrRuntimeError | None = None
        self.failed: Callable[[], object] = lambda: None
        self._bug: Exception | None = None
        self._promises: set[asyncio.Future[Any]] = set()
        self._watches: set[Watch] = set()
        self.dispatch = Dispatch(self, workloads)
        self.threads = Threads(self._loop)
        self.shell = Shell(manifest.broker_url, self._loop, self._carry_out, self._broke)
        plane = self.shell.plane
        self.session = Session(
            _register(manifest, plane.data_endpoint, contract, visiting),
            self.dispatch.is_exported,
            os.urandom,
            boottime_ms(),
            _limits(manifest),
            plane.grants_endpoint,
            packed,
        )
        self.balancer = Balancer(self)

    # life

    async def start(self) -> None:
        """Connect and register; waits for the broker for as long as it takes. `failed` is called where that fails."""
        self._is_started = True
        self.shell.start(self.session)
        await asyncio.shield(self._registered)
        check_fits(self.session.contract, self.body_limit)

    async def stop(self, drain_ms: int, on_stop: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Drain for at most `drain_ms`, run `on_stop`, deregister, release everything."""
        if self._is_stopped:
            return
        self._is_stopped = True
        deadline = boottime_ms() + drain_ms
        if self._bug is None:
            await self._drain(drain_ms, deadline)
        try:
            async with asyncio.timeout(max(0, deadline - boottime_ms()) / 1000 + ON_STOP_S):
                await on_stop()
        except TimeoutError:
            log.error("on_stop has not ended in time; leaving without it")
        finally:
            await self.leave()

    async def _drain(self, drain_ms: int, deadline: int) -> None:
        self.session.drain(boottime_ms())
        self.shell.wake()
        await self._until(lambda: not self.session.serving.open_count, deadline)
        streams = self.session.streams
        await self._while_moving(lambda: streams.sending_count, lambda: streams.moved[0], SENDER_IDLE, deadline)
        cut_off = self._cut_off(deadline)  # before they are ended in order
        streams.drain_senders(boottime_ms())
        self.shell.wake()
        await self._until(lambda: not streams.sending_count, deadline)  # what is left has been ended, and is awaited
        await self._while_moving(lambda: streams.open_count, lambda: streams.moved, RECEIVER_IDLE, deadline)
        cut_off = cut_off or self._cut_off(deadline)
        if any(cut_off):
            log.warning("drain time over drain_ms=%d; cut off calls=%d streams=%d", drain_ms, *cut_off)

    async def leave(self) -> None:
        """Deregister, and release everything. What is open ends with an error here."""
        self._is_stopped = True
        if self._bug is None:
            self.session.leave(boottime_ms())
            self.shell.wake()
            await self._until(self._out.done, boottime_ms() + 500)
        await self.close()

    async def close(self) -> None:
        """Release everything at once. What is open ends with an error here."""
        if self._is_closed:
            return
        self._is_stopped = self._is_closed = True
        if self._bug is None:
            self.session.leave(boottime_ms())
            while turn := self.session.take_turn():
                self._carry_out(turn)
        for inbox in list(self._inboxes.values()):
            self._close(inbox, ActrTransportError(f"stream {inbox.stream_id}: the node has stopped"))
        for watch in list(self._watches):
            watch.end()
        self.shell.close()
        await self.dispatch.stop()
        await end_tasks(self._tasks)
        self.threads.close()

    def fail(self, failure: ActrRuntimeError) -> None:
        """The node can't go on: who starts it, or waits for its end, is to hear of it. The first reason counts."""
        if self.failure is None:
            self.failure = failure
            self.failed()

    def _broke(self, bug: Exception) -> None:
        """The shell has ended by a bug. The session is asked nothing any more; what waits for it is told."""
        log.critical("internal error; the node stops", exc_info=bug)
        self._counters["internal_errors"] += 1
        self._bug = bug
        self.fail(_broken(bug))
        for promise in self._promises:
            _resolver(promise)(_broken(bug))
        sinks: list[Inbox | Outlet] = [*self._inboxes.values(), *self._outlets.values()]
        for sink in sinks:
            self._close(sink, _broken(bug))
        for watch in list(self._watches):
            watch.end()

    @property
    def id(self) -> ActrId:
        """The present identity; it changes when the node is fenced."""
        return self.session.id

    @property
    def body_limit(self) -> int:
        """Bytes of one body or payload, at most, as the broker said."""
        return self.shell.link.body_limit

    def statistics(self) -> dict[str, int]:
        """What is open, and every drop with its reason."""
        return {
            **self.session.statistics(),
            **self._counters,
            **self.dispatch.counters,
            **self.threads.statistics(),
            **{f"link.{key}": count for key, count in self.shell.link.counters.items()},
            **{f"watchdog.{key}": count for key, count in self.shell.watchdog.counters.items()},
            **{f"plane.{key}": count for key, count in self.shell.plane.counters.items()},
        }

    # calls

    async def call(
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
        within: Execution | None = None,
    ) -> object:
        """See `Context.call`. `within` is the running handler that makes the call, if one does."""
        self.check_running()
        now = boottime_ms()
        deadline = now + check_timeout(timeout_ms)
        chain: tuple[Serial, ...] = ()
        if within is not None:
            deadline = min(deadline, within.deadline)
            chain = (*getattr(within.request, "chain", ()), self.session.serial)
        response = self._response_type(route_key, request, response_type)
        route_key = check_name(route_key, "route key")
        body = self._encode(request, route_key)
        signal = is_signal(payload_type)
        extra = check_metadata(metadata)
        if dest.actor_type is not None:
            idempotent = isinstance(request, Message) and is_idempotent(type(request), route_key)
            reply = await self.balancer.call(
                dest.actor_type, route_key, body, deadline, wait, idempotent, chain, signal, extra
            )
        else:
            serial = self.session.serial if dest.id is None else dest.id.serial
            reply = await self.call_once(serial, route_key, body, deadline, chain, signal, extra)
        return reply.body if response is None else _decode(reply.body, response, route_key)

    async def call_once(
        self,
        serial: Serial,
        route_key: str,
        body: bytes,
        deadline: int,
        chain: tuple[Serial, ...],
        signal: bool,
        metadata: dict[str, str] | None,
    ) -> Reply:
        """One call to one node, to its end. Cancelling cancels it there too."""
        now = boottime_ms()
        if deadline <= now:
            raise ActrTimeoutError(f"{route_key}: the deadline of the calling handler has passed; nothing was sent")
        future: asyncio.Future[Reply] = self._loop.create_future()
        self._promises.add(future)
        call = self.session.call(
            serial,
            route_key,
            body,
            deadline - now,
            _resolver(future),
            now,
            chain=chain,
            is_signal=signal,
            metadata=metadata,
        )
        self.shell.wake()
        try:
            return await future
        except asyncio.CancelledError:
            self.session.cancel(call, boottime_ms())
            self.shell.wake()
            raise
        finally:
            self._promises.discard(future)

    async def tell(
        self,
        dest: Dest,
        route_key: str,
        request: Message | bytes,
        timeout_ms: int,
        payload_type: PayloadType | None,
        *,
        metadata: Mapping[str, str] | None,
    ) -> None:
        """See `Context.tell`."""
        self.check_running()
        now = boottime_ms()
        deadline = now + check_timeout(timeout_ms)
        route_key = check_name(route_key, "route key")
        body = self._encode(request, route_key)
        signal, extra = is_signal(payload_type), check_metadata(metadata)
        if dest.actor_type is not None:
            serial = await self.balancer.pick(dest.actor_type, route_key, (), deadline, wait=False)
            now = boottime_ms()
        else:
            serial = self.session.serial if dest.id is None else dest.id.serial
        self.session.tell(serial, route_key, body, max(1, deadline - now), now, is_signal=signal, metadata=extra)
        self.shell.wake()

    def finish(self, execution: Execution, outcome: bytes | ActrRuntimeError) -> None:
        """A handler has ended."""
        if self._bug is not None:
            return
        self.session.finish(execution, outcome, boottime_ms())
        self.shell.wake()

    # discovery

    async def discover(
        self, actor_type: ActrType, timeout_ms: int, *, all: bool, patience: int = 0
    ) -> tuple[Instance, ...]:
        """See `Context.discover`. `patience` is for a broker that is away, where that is more than the timeout."""
        self.check_running()
        check_type(actor_type, "discover")
        timeout = check_timeout(timeout_ms, may_be_zero=True)
        future: asyncio.Future[tuple[Instance, ...]] = self._loop.create_future()
        self._promises.add(future)
        query = self.session.discover(
            actor_type,
            "",
            all=all,
            timeout=timeout,
            patience=patience,
            waiter=_resolver(future),
            now=boottime_ms(),
        )
        self.shell.wake()
        try:
            return await future
        except asyncio.CancelledError:
            self.session.cancel_discover(query, boottime_ms())
            self.shell.wake()
            raise
        finally:
            self._promises.discard(future)

    async def ask(self, question: Describe | ListNodes, within: int) -> Any:
        """Ask the broker about contracts or nodes; raises `ActrTransportError` without an answer in so many ms."""
        self.check_running()
        future: asyncio.Future[Any] = self._loop.create_future()
        self._promises.add(future)
        query = self.session.ask(question, within, _resolver(future), boottime_ms())
        self.shell.wake()
        try:
            return await future
        finally:
            self.session.visiting.cancel(query)
            self._promises.discard(future)

    def watch(self, actor_type: ActrType, sink: Callable[[Any], None] | None) -> Watched:
        """Watch a type until `unwatch`."""
        self.check_running()
        check_type(actor_type, "watch")
        watched = self.session.watch(actor_type, "", sink, boottime_ms())
        self.shell.wake()
        return watched

    def opened_watch(self, watch: Watch) -> None:
        """`watch` is to hear of the node's end."""
        self._watches.add(watch)

    def closed_watch(self, watch: Watch) -> None:
        """No longer."""
        self._watches.discard(watch)

    def unwatch(self, watched: Watched) -> None:
        """Stop watching."""
        self.session.unwatch(watched, boottime_ms())
        self.shell.wake()

    # streams, receiving

    def register_stream(
        self,
        stream_id: str,
        callback: StreamCallback,
        sender: ActrId | None,
        on_error: str,
        open_within_ms: int | None,
    ) -> StreamHandle:
        """See `Context.register_stream`."""
        inbox = CallbackInbox(self, check_name(stream_id, "stream id"), callback, on_error)
        self._register(inbox, sender, open_within_ms)
        return StreamHandle(inbox)

    def stream_reader(self, stream_id: str, sender: ActrId | None, open_within_ms: int | None) -> StreamReader:
        """See `Context.stream`."""
        inbox = ReaderInbox(self, check_name(stream_id, "stream id"))
        self._register(inbox, sender, open_within_ms)
        return StreamReader(inbox)

    def expect(self, inbox: Inbox, sender: ActrId) -> None:
        """See `StreamHandle.expect`."""
        _check_sender(inbox, sender)
        if inbox.is_closed or inbox.receiver.stream is not None:
            return
        try:
            self.session.expect(inbox.receiver, sender.serial, boottime_ms())
            self.shell.wake()
        except ActrTransportError as error:
            self.cancel_stream(inbox.receiver, error)

    def unregister_stream(self, stream_id: str) -> None:
        """See `Context.unregister_stream`."""
        inbox = self._inboxes.get(stream_id)
        if inbox is not None:
            self.close_inbox(inbox)

    def close_inbox(self, inbox: Inbox) -> None:
        """Take no more frames of it; nothing happens if it has ended."""
        if self._inboxes.get(inbox.stream_id) is inbox:
            error = ActrStreamError(f"stream {inbox.stream_id}: closed by its receiver", code=Status.CANCELLED)
            self.cancel_stream(inbox.receiver, error)

    def cancel_stream(self, receiver: Receiver, error: ActrRuntimeError) -> None:
        """End a stream that is received, with `error` on both sides."""
        self.session.streams.unregister(receiver, error, boottime_ms())
        inbox: Inbox = receiver.sink
        self._forget_inbox(inbox)
        inbox.closed(error)
        self.shell.wake()

    def progressed(self, receiver: Receiver) -> None:
        """Frames of it have been completed."""
        if self._bug is not None:
            return
        self.session.streams.progressed(receiver, boottime_ms())
        self.shell.wake()

    # streams, sending

    async def send_stream(self, dest: Dest, frame: DataStream, payload_type: PayloadType) -> None:
        """See `Context.send_stream`."""
        if dest.id is not None:
            outlet = self._outlets.get((dest.id.serial, frame.stream_id()))
            if outlet is not None:
                await outlet.push(frame)
                return
        await self._outlet(self._serial(dest), frame.stream_id(), payload_type).push(frame)

    async def open_stream(self, dest: Dest, stream_id: str, payload_type: PayloadType) -> Dest:
        """Open a stream and wait for that; returns the destination as one actor."""
        if dest.actor_type is not None:
            dest = Dest.actor((await self.discover(dest.actor_type, 0, all=False, patience=OPEN_WITHIN))[0].id)
        if (self._serial(dest), stream_id) in self._outlets:
            raise ActrStreamError(f"stream {stream_id}: it is open to {dest} already", code=Status.ALREADY_EXISTS)
        key = (self._serial(dest), stream_id)
        self._raise_closed(key)
        outlet = self._outlet(*key, payload_type)
        try:
            await asyncio.shield(outlet.opening)
        except asyncio.CancelledError:  # nobody is left who could send or end it
            await self.abort_stream(dest, stream_id, "withdrawn by its sender")
            raise
        if outlet.is_closed:
            raise outlet.failure()
        return dest

    async def end_stream(self, dest: Dest, stream_id: str, timeout_ms: int) -> None:
        """See `Context.end_stream`."""
        key = (self._serial(dest), stream_id)
        timeout = check_timeout(timeout_ms) / 1000
        outlet = self._outlets.get(key)
        if outlet is None:
            if key in self._closed:
                self._raise_closed(key)
                return  # the receiver has completed it, or it has been ended before
            outlet = self._outlet(*key, PayloadType.StreamReliable)  # a stream of no frames has an end, too
        await asyncio.shield(outlet.opening)
        if not outlet.is_closed:
            self.session.streams.end(outlet.stream, boottime_ms())
            self.shell.wake()
        done = -1
        while not outlet.ending.done():
            if outlet.completed == done:
                raise ActrTimeoutError(
                    f"stream {stream_id}: {dest} has made no progress for {timeout_ms} ms, {done} frames are done"
                )
            done = outlet.completed
            await asyncio.wait([outlet.ending], timeout=timeout)
        if outlet.outcome is not None:
            self._closed.pop(key, None)
            raise outlet.outcome

    async def abort_stream(self, dest: Dest, stream_id: str, reason: str) -> None:
        """See `Context.abort_stream`."""
        key = (self._serial(dest), stream_id)
        outlet = self._outlets.get(key)
        if outlet is not None:
            self.session.abort_stream(outlet.stream, ActrStreamError(f"stream {stream_id}: {reason}"), boottime_ms())
            self.shell.wake()
            await asyncio.shield(outlet.ending)
            self._closed.pop(key, None)

    def frames_queued(self, stream: OutStream) -> None:
        """Frames wait in the channel of `stream`."""
        self.session.streams.queued(stream)
        self.shell.wake()

    def forget_opening(self, outlet: Outlet) -> None:
        """It could not be opened, which those who wait for that hear; the id is free again."""
        key = (outlet.stream.peer.serial, outlet.stream_id)
        if self._outlets.get(key) is outlet:
            del self._outlets[key]

    # for the parts

    def check_running(self, *, may_start_later: bool = False) -> None:
        """Raise `ActrGateNotInitialized` unless this node runs, in this process and on this event loop."""
        if asyncio.get_running_loop() is not self._loop:
            raise self._elsewhere()
        if self._bug is not None:
            raise _broken(self._bug)
        if self._is_closed:
            raise ActrGateNotInitialized("the node has stopped; start another one")
        if not self._is_started and not may_start_later:
            raise ActrGateNotInitialized("the node has not been started yet; in on_ready it has")

    def loop_time(self) -> float:
        """The time on the clock of the event loop; may be called from any thread."""
        return self._loop.time()

    def _elsewhere(self) -> ActrGateNotInitialized:
        if os.getpid() != self._pid:
            return ActrGateNotInitialized(
                "this process was forked from one in which the node runs, whose connections it can't use; "
                "start a node of its own in the child, or start the child by spawning instead of forking"
            )
        return ActrGateNotInitialized(
            "the node runs on another event loop; from other threads, use asyncio.run_coroutine_threadsafe"
        )

    def spawn(self, coroutine: Coroutine[Any, Any, _Value]) -> asyncio.Task[_Value]:
        """Run `coroutine` in a task that ends with the node at the latest."""
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def count(self, what: str, by: int = 1) -> None:
        """One more of `what`, or `by` more, in the statistics."""
        self._counters[what] += by

    def report(self, workload: WorkloadBase, context: Context, error: BaseException) -> None:
        """Tell the workload's `on_error` hook."""
        self.spawn(_run_on_error(workload, context, error))

    def report_callback(self, error: BaseException) -> None:
        """Tell every workload's `on_error` hook: a stream callback belongs to none of them alone."""
        for workload in self._workloads:
            self.report(workload, Context(self), error)

    # the outcome of a turn

    def _carry_out(self, turn: Turn) -> None:
        for waiter, outcome in turn.resolve:
            waiter(outcome)
        for receiver, frames in turn.deliver:
            receiver.sink.deliver(frames)
        for outlet in turn.writable:
            outlet.writable()
        for sink, outcome in turn.closed:
            self._close(sink, outcome)
        for execution in turn.start:
            self.dispatch.start(execution)
        for execution in turn.cancel:
            if execution.task is not None:
                execution.task.cancel()
        for news, text in turn.news:
            self._hear(news, text)

    def _close(self, sink: Inbox | Outlet, outcome: ActrRuntimeError | None) -> None:
        if isinstance(sink, Inbox):
            self._forget_inbox(sink)
        else:
            self._forget_outlet(sink, outcome)
        sink.closed(outcome)

    def _hear(self, news: News, text: str) -> None:
        match news:
            case News.REGISTERED:
                log.info("registered id=%s broker=%s", text, self._manifest.broker_url)
                if not self._registered.done():
                    self._registered.set_result(None)
            case News.FENCED:
                log.warning("fenced: %s; new id=%s", text, self.id)
            case News.REFUSED:
                log.error("refused by the broker: %s", text)
                if not self._is_stopped:
                    self.fail(ActrConfigError(f"the broker refuses this node: {text}"))
            case News.OUT:
                if not self._out.done():
                    self._out.set_result(None)

    # private

    def _register(self, inbox: Inbox, sender: ActrId | None, open_within_ms: int | None) -> None:
        self.check_running(may_start_later=True)
        if sender is not None:
            _check_sender(inbox, sender)
        serial = None if sender is None else sender.serial
        within = None if open_within_ms is None else check_timeout(open_within_ms)
        receiver = self.session.register_stream(inbox.stream_id, serial, inbox, boottime_ms(), within)
        if receiver is None:
            raise already_registered(inbox.stream_id)
        inbox.receiver = receiver
        self._inboxes[inbox.stream_id] = inbox
        self.shell.wake()

    def _forget_inbox(self, inbox: Inbox) -> None:
        if self._inboxes.get(inbox.stream_id) is inbox:
            del self._inboxes[inbox.stream_id]

    def _outlet(self, serial: Serial, stream_id: str, payload_type: PayloadType) -> Outlet:
        key = (serial, stream_id)
        outlet = self._outlets.get(key)
        if outlet is not None:
            return outlet
        lane = lane_of(payload_type)
        self._raise_closed(key, goes_on=True)
        self.check_running()
        if self._is_stopped:
            raise ActrTransportError(f"stream {stream_id}: this node is stopping")
        stream_id = check_name(stream_id, "stream id")
        peer = self.session.peer(serial, f"stream {stream_id}")
        outlet = Outlet(self, stream_id)
        wish = Wish[self._manifest.streams.path.name]
        outlet.stream = self.session.streams.open(peer, stream_id, lane, wish, OPEN_WITHIN, outlet, boottime_ms())
        self._outlets[key] = outlet
        self.shell.wake()
        return outlet

    def _forget_outlet(self, outlet: Outlet, outcome: ActrRuntimeError | None) -> None:
        key = (outlet.stream.peer.serial, outlet.stream_id)
        if self._outlets.get(key) is outlet:
            del self._outlets[key]
            self._closed[key] = outlet
            if len(self._closed) > CLOSED_STREAMS:
                self._closed.popitem(last=False)

    def _raise_closed(self, key: tuple[Serial, str], *, goes_on: bool = False) -> None:
        """A stream that the other side has closed raises once, at the sender's next step; then the id is free again.

        If all that was sent is done, only one who `goes_on` sending is told.
        """
        outlet = self._closed.pop(key, None)
        if outlet is not None:
            error = outlet.outcome or (outlet.stream.farewell if goes_on else None)
            if error is not None:
                raise error

    def _serial(self, dest: Dest) -> Serial:
        if dest.actor_type is not None:
            raise ActrConfigError(
                f"a stream goes to one actor, not to any of {dest.actor_type}: "
                "discover one and take Dest.actor(id), or use open_stream"
            )
        return self.session.serial if dest.id is None else dest.id.serial

    def _encode(self, request: Message | bytes, route_key: str) -> bytes:
        if isinstance(request, Message):
            try:
                body = request.SerializeToString()
            except EncodeError as error:
                raise ActrConfigError(f"{route_key}: the request can't be encoded: {error}") from None
        elif isinstance(request, bytes | bytearray | memoryview):
            body = bytes(request)
        else:
            raise ActrConfigError(f"{route_key}: expected a protobuf message or bytes, got {type(request).__name__}")
        return check_body(body, self.body_limit, route_key)

    def _response_type(
        self, route_key: str, request: Message | bytes, given: type[Message] | None
    ) -> type[Message] | None:
        if not isinstance(request, Message):
            return None
        own = self.dispatch.route(route_key)
        response = given or response_of(type(request), route_key) or (own.response if own else None)
        if response is None:
            raise ActrConfigError(
                f"{route_key}: nobody has declared what it answers to {type(request).__name__}; "
                "generate the client with `actr gen`, give response_type=, or send bytes"
            )
        return response

    def _cut_off(self, deadline: int) -> tuple[int, ...]:
        """How many calls and streams are open still; nothing before the drain time is over."""
        if boottime_ms() < deadline:
            return ()
        return self.session.serving.open_count, self.session.streams.open_count

    async def _until(self, is_done: Callable[[], object], deadline: int) -> None:
        """Wait until `is_done()` or `deadline`, looking again every few milliseconds: this is the way out, once."""
        while not is_done() and boottime_ms() < deadline and not self._has_ended:  # noqa: ASYNC110 - the core has no events
            await asyncio.sleep(0.01)

    @property
    def _has_ended(self) -> bool:
        return self._bug is not None or self.session.is_out

    async def _while_moving(
        self, is_open: Callable[[], object], mark: Callable[[], object], idle: int, deadline: int
    ) -> None:
        """Wait until nothing `is_open`, for as long as `mark` changes at least every `idle` milliseconds."""
        last, moved_at = mark(), boottime_ms()

        def is_still() -> bool:
            nonlocal last, moved_at
            now = boottime_ms()
            if mark() != last:
                last, moved_at = mark(), now
            return not is_open() or now - moved_at >= idle

        await self._until(is_still, deadline)


def _resolver(future: asyncio.Future[Any]) -> Callable[[Any], None]:
    def resolve(outcome: object) -> None:
        if future.done():
            return
        if isinstance(outcome, BaseException):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)

    return resolve


def _broken(bug: Exception) -> ActrRuntimeError:
    """What those hear who wait for a node that has a bug; one for each, since callers note in it what they know."""
    return ActrRuntimeError(
        f"this node has stopped by an internal error, {shown(bug)}; its log has the traceback", may_have_run=True
    )


def _check_sender(inbox: Inbox, sender: object) -> None:
    if not isinstance(sender, ActrId):
        raise ActrConfigError(f"stream {inbox.stream_id}: sender={sender!r}, expected an ActrId")


def _decode(body: bytes, response: type[Message], route_key: str) -> Message:
    try:
        return response.FromString(body)
    except DecodeError:
        name = response.DESCRIPTOR.full_name
        raise ActrDecodeError(
            f"{route_key}: the reply ({len(body)} bytes) is not a {name}; do both sides have the same contract?",
            may_have_run=True,
        ) from None


def check_type(actor_type: ActrType, what: str) -> None:
    """Raise `ActrConfigError` unless it is one."""
    if not isinstance(actor_type, ActrType):
        raise ActrConfigError(f"{what}({actor_type!r}): expected an ActrType, as in ActrType('acme', 'Echo')")


async def run_hook(workload: WorkloadBase, name: str, *arguments: object) -> None:
    """Run a hook of `workload` with as many of the arguments as it takes; its errors are the caller's business."""
    hook = getattr(workload.handler, name, None) or getattr(workload, name)
    parameters = inspect.signature(hook).parameters.values()
    takes_any = any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters)
    result = hook(*(arguments if takes_any else arguments[: len(parameters)]))
    if result is not None:
        await result


async def _run_on_error(workload: WorkloadBase, context: Context, error: BaseException) -> None:
    try:
        await run_hook(workload, "on_error", context, error)
    except Exception:  # the user's code: nobody waits for it who could be told, and the node goes on
        log.exception("on_error raised workload=%s", type(workload.handler).__name__)


def _register(manifest: Manifest, data_endpoint: str, contract: Contract | None, visiting: bool) -> Register:
    rules = None
    if manifest.acl is not None:
        rules = tuple(Rule(rule.permission is Permission.ALLOW, rule.types) for rule in manifest.acl)
    return Register(
        attempt=0,
        protocol=PROTOCOL,
        key=b"",
        realm=manifest.realm,
        type=manifest.actor_type,
        name=manifest.name,
        visible=manifest.visible,
        rules=rules,
        data=data_endpoint,
        stream_memory=manifest.streams.memory,
        fingerprint="" if contract is None else contract.fingerprint,
        host=platform.node(),
        pid=os.getpid(),
        version=__version__,
        description=manifest.description,
        tags=manifest.tags,
        visiting=visiting,
    )


def _limits(manifest: Manifest) -> SessionLimits:
    streams, dispatch = manifest.streams, manifest.dispatch
    return SessionLimits(
        serving=ServingLimits(concurrency=dispatch.concurrency, queue=dispatch.queue),
        streams=StreamLimits(
            window_frames=streams.window_frames, window_bytes=streams.window_bytes, memory=streams.memory
        ),
    )
