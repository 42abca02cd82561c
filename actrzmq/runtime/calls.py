"""Calls and tells: encoded here, sent to one node or to any of a type, and their replies decoded."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping

from google.protobuf.message import DecodeError, EncodeError, Message

from actrzmq.core.calls import OpenCall
from actrzmq.core.execution import Execution, State
from actrzmq.core.session import Session
from actrzmq.errors import ActrConfigError, ActrDecodeError, ActrRuntimeError, ActrTimeoutError
from actrzmq.identity import Serial
from actrzmq.net.clock import boottime_ms
from actrzmq.net.link import Link
from actrzmq.runtime.agreements import Agreements
from actrzmq.runtime.balancing import Balancer, PreparedCall
from actrzmq.runtime.dest import Dest, no_dest
from actrzmq.runtime.limits import DEFAULT_TIMEOUT_MS, check_body, check_metadata, check_name, check_timeout
from actrzmq.runtime.lookup import Lookup
from actrzmq.runtime.messages import is_idempotent, response_of
from actrzmq.runtime.payload import PayloadType, is_signal
from actrzmq.runtime.promises import Promises
from actrzmq.runtime.standing import Standing
from actrzmq.wire.messages import Reply


class Calls:
    """What one node calls and tells. `own_response(route_key)` is what its own method of that key returns, if it has
    one.
    """

    def __init__(
        self,
        session: Session,
        link: Link,
        wake: Callable[[], None],
        standing: Standing,
        promises: Promises,
        counters: Counter[str],
        lookup: Lookup,
        agreements: Agreements,
        own_response: Callable[[str], type[Message] | None],
    ) -> None:
        self._session = session
        self._link = link
        self._wake = wake
        self._standing = standing
        self._loop = standing.loop
        self._promises = promises
        self._own_response = own_response
        self._known: dict[tuple[type, str], tuple[str, type[Message] | None]] = {}
        self._balancer = Balancer(lookup, agreements, session.open_calls_to, self._call_once, counters)

    async def call(
        self,
        dest: Dest,
        route_key: str,
        request: Message | bytes,
        timeout_ms: int,
        payload_type: PayloadType | None,
        wait: bool,
        metadata: Mapping[str, str] | None,
        response_type: type[Message] | None,
        execution: Execution | None,
    ) -> object:
        """See `Context.call`. `execution` is that of the handler that makes the call, if one does."""
        self._standing.check_running()
        now = boottime_ms()
        deadline = now + (timeout_ms if timeout_ms is DEFAULT_TIMEOUT_MS else check_timeout(timeout_ms))
        chain: tuple[Serial, ...] = ()
        if execution is not None and execution.state is State.RUNNING:
            deadline = min(deadline, execution.deadline)
            chain = (*getattr(execution.request, "chain", ()), self._session.serial)
        is_usual = response_type is None and type(route_key) is str
        known = self._known.get((type(request), route_key)) if is_usual else None
        route_key, response = known or self._look_at(route_key, request, response_type)
        body = self._encode(request, route_key)
        signal = payload_type is not None and is_signal(payload_type)
        extra = check_metadata(metadata) if metadata else None
        try:
            actor_type = dest.actor_type
        except AttributeError:
            raise no_dest(dest) from None
        if actor_type is not None:
            call = PreparedCall(route_key, body, deadline, chain, signal, extra)
            idempotent = isinstance(request, Message) and is_idempotent(type(request), route_key)
            reply = await self._balancer.call(actor_type, call, wait, idempotent)
        else:
            id = dest.id
            serial = self._session.serial if id is None else id.serial
            try:
                open_call = self._open(serial, route_key, body, deadline, chain, signal, extra, now)
            except ActrRuntimeError:
                await asyncio.sleep(0)  # who tries again and again keeps nobody else from running, this node neither
                raise
            try:
                reply = await open_call.waiter
            except asyncio.CancelledError:
                self._withdraw(open_call)
                raise
            finally:
                self._promises.discard(open_call.waiter)
                del open_call  # an error holds this frame, and so what is in it: let that not hold the error
        return reply.body if response is None else _decode(reply.body, response, route_key)

    async def _call_once(self, serial: Serial, call: PreparedCall) -> Reply:
        """One call to one node, to its end. Cancelling cancels it there too."""
        open_call = self._open(
            serial,
            call.route_key,
            call.body,
            call.deadline,
            call.chain,
            call.is_signal,
            call.metadata,
            boottime_ms(),
        )
        future: asyncio.Future[Reply] = open_call.waiter
        try:
            return await future
        except asyncio.CancelledError:
            self._withdraw(open_call)
            raise
        finally:
            self._promises.discard(future)
            # An error that it raised holds this frame, and so what is in it: let that not hold the error.
            del future, open_call

    def _open(
        self,
        serial: Serial,
        route_key: str,
        body: bytes,
        deadline: int,
        chain: tuple[Serial, ...],
        signal: bool,
        metadata: dict[str, str] | None,
        now: int,
    ) -> OpenCall:
        """Send one call to one node; its waiter is a future."""
        if deadline <= now:
            raise ActrTimeoutError(f"{route_key}: the deadline of the calling handler has passed; nothing was sent")
        future: asyncio.Future[Reply] = self._loop.create_future()
        call = self._session.call(serial, route_key, body, deadline - now, future, now, chain, signal, metadata)
        self._promises.add(future)  # not before: a call that is refused raises here, and nobody would take it out
        self._wake()
        return call

    def _withdraw(self, call: OpenCall) -> None:
        """Nobody waits for it any more."""
        self._session.cancel(call, boottime_ms())
        self._wake()

    async def tell(
        self,
        dest: Dest,
        route_key: str,
        request: Message | bytes,
        timeout_ms: int,
        payload_type: PayloadType | None,
        metadata: Mapping[str, str] | None,
    ) -> None:
        """See `Context.tell`."""
        self._standing.check_running()
        now = boottime_ms()
        deadline = now + check_timeout(timeout_ms)
        route_key = check_name(route_key, "route key")
        body = self._encode(request, route_key)
        signal, extra = is_signal(payload_type), check_metadata(metadata)
        try:
            actor_type = dest.actor_type
        except AttributeError:
            raise no_dest(dest) from None
        if actor_type is not None:
            serial = await self._balancer.pick(actor_type, route_key, (), deadline, wait=False)
            now = boottime_ms()
        else:
            serial = self._session.serial if dest.id is None else dest.id.serial
        try:
            self._session.tell(serial, route_key, body, max(1, deadline - now), now, is_signal=signal, metadata=extra)
        except ActrRuntimeError:
            await asyncio.sleep(0)  # as for a call
            raise
        self._wake()

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
        return body if len(body) <= self._link.body_limit else check_body(body, self._link.body_limit, route_key)

    def _look_at(
        self, route_key: str, request: Message | bytes, given: type[Message] | None
    ) -> tuple[str, type[Message] | None]:
        """The route key as it travels, and what is to be decoded; once for each route and class of its requests."""
        route_key = check_name(route_key, "route key")
        response = self._response_type(route_key, request, given)
        if given is None and response is not None:
            self._known[type(request), route_key] = route_key, response
        return route_key, response

    def _response_type(
        self, route_key: str, request: Message | bytes, given: type[Message] | None
    ) -> type[Message] | None:
        if not isinstance(request, Message):
            return None
        response = given or response_of(type(request), route_key) or self._own_response(route_key)
        if response is None:
            raise ActrConfigError(
                f"{route_key}: nobody has declared what it answers to {type(request).__name__}; "
                "generate the client with `actr gen`, give response_type=, or send bytes"
            )
        return response


def _decode(body: bytes, response: type[Message], route_key: str) -> Message:
    try:
        return response.FromString(body)
    except DecodeError:
        name = response.DESCRIPTOR.full_name
        raise ActrDecodeError(
            f"{route_key}: the reply ({len(body)} bytes) is not a {name}; do both sides have the same contract?",
            may_have_run=True,
        ) from None
