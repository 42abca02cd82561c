"""Runs handlers: decodes the request, awaits the method, encodes what it returns."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TypeGuard

from google.protobuf.message import DecodeError, EncodeError, Message

from actrzmq.core.execution import Execution
from actrzmq.core.failures import error_from, failure_of
from actrzmq.errors import ActrDecodeError, ActrOverloaded, ActrRuntimeError, ActrTimeoutError, Status
from actrzmq.net.clock import boottime_ms
from actrzmq.net.link import Link
from actrzmq.runtime.context import Context
from actrzmq.runtime.hooks import ErrorHooks
from actrzmq.runtime.limits import check_body, shown
from actrzmq.runtime.parts import Parts
from actrzmq.runtime.routes import Routes, Target
from actrzmq.runtime.standing import Standing
from actrzmq.runtime.tasks import end_tasks, starter
from actrzmq.runtime.threads import THREADS, Job, Threads
from actrzmq.runtime.workload import Route
from actrzmq.wire.messages import Tell

log = logging.getLogger("actrzmq.dispatch")

Outcome = bytes | ActrRuntimeError


class Dispatch:
    """The tasks and threads in which the handlers of one node run."""

    def __init__(
        self,
        routes: Routes,
        parts: Parts,
        link: Link,
        wake: Callable[[], None],
        standing: Standing,
        error_hooks: ErrorHooks,
    ) -> None:
        self._routes = routes
        self._parts = parts
        self._session = parts.session
        self._link = link
        self._wake = wake
        self._standing = standing
        self._error_hooks = error_hooks
        self._threads = Threads(standing.loop, "actrzmq-handler", gives_up=False)
        self._abandoned = 0
        self._is_stopped = False
        self._new_task = starter(standing.loop)
        self._unbegun: set[Execution] = set()  # their tasks have not had their first step
        self.counters: Counter[str] = Counter()

    def start(self, execution: Execution) -> None:
        """Run the handler of `execution` in a task of its own; the session hears how it ended."""
        target = self._routes[execution.request.route]
        try:
            request = _decode(execution, target.route)
        except ActrDecodeError as error:
            self._refuse(execution, error, "tells.undecodable")
            return
        execution.drop_body()
        run = self._run if target.is_async else self._run_in_thread
        self._unbegun.add(execution)
        execution.task = self._new_task(run(execution, target, request))

    def cancel(self, execution: Execution) -> None:
        """Have the handler of `execution` end. Once: its deadline and its caller may both ask, while it tidies up."""
        if execution.task is None or execution.is_cancelled:
            return
        execution.is_cancelled = True
        execution.task.cancel()
        if execution in self._unbegun:  # nothing in it will ever run, and say that it has ended
            self._unbegun.discard(execution)
            self._finish(execution, _cancelled(execution))

    async def stop(self) -> None:
        """Cancel what still runs, and let go of the threads."""
        running = self._session.serving.running
        await end_tasks([execution.task for execution in running if execution.task is not None])
        self._threads.close()
        self._is_stopped = True

    def _finish(self, execution: Execution, outcome: Outcome) -> None:
        """A handler has ended."""
        if self._standing.bug is not None:
            return
        self._session.finish(execution, outcome, boottime_ms())
        self._wake()

    def _refuse(self, execution: Execution, error: ActrRuntimeError, reason: str) -> None:
        """Its handler does not run. Nobody waits for the answer of a tell, so that becomes a dead letter instead."""
        request, caller = execution.request, execution.peer.name
        if type(request) is Tell:
            log.warning("tell dropped caller=%s reason=%s: %s", caller, reason, error.message)
            self._session.counters[reason] += 1
            self._session.drops.note(reason, "tell", request.route, caller)
        self._finish(execution, error)

    async def _run(self, execution: Execution, target: Target, request: Message) -> None:
        self._unbegun.discard(execution)
        context = Context(self._parts, execution)
        outcome: Outcome
        try:
            response = await target.method(request, context)
            outcome = self._encode(response, target.route)
        except asyncio.CancelledError:
            outcome = _cancelled(execution)
        except BaseException as error:  # noqa: BLE001 - whatever a handler raises, SystemExit too, is its answer
            outcome = self._failed(error, execution, target, context)
        self._finish(execution, outcome)

    async def _run_in_thread(self, execution: Execution, target: Target, request: Message) -> None:
        self._unbegun.discard(execution)
        context = Context(self._parts, execution)
        if self._abandoned >= THREADS:
            overloaded = ActrOverloaded(f"{target.route.route_key}: all {THREADS} threads are held by hanging handlers")
            self._refuse(execution, overloaded, "tells.refused")
            return
        job = self._threads.submit(_run_blocking, execution, target, request, context)
        try:
            returned, _ = await asyncio.shield(job.outcome)
            if inspect.isawaitable(returned):  # a `def` around an `async def`, as decorators make
                returned = await _caught(returned)
            outcome = self._threaded(returned, execution, target, context)
        except asyncio.CancelledError:
            if not job.is_running and not job.outcome.done():  # no thread has begun it, and none ever will
                self._threads.abandon(job)
                outcome = _cancelled(execution)
            else:
                # A thread can't be cancelled: its slot stays taken until it returns, however long its caller is gone.
                self._abandoned += 1
                self.counters["threads.abandoned"] += 1
                job.outcome.add_done_callback(lambda _: self._returned(job, execution, target, context))
                return
        self._finish(execution, outcome)

    def _returned(self, job: Job, execution: Execution, target: Target, context: Context) -> None:
        self._abandoned -= 1
        returned, _ = job.outcome.result()
        if isinstance(returned, BaseException):  # nobody waits for it, but its author should see it
            self._failed(returned, execution, target, context)
        self._finish(execution, _cancelled(execution))

    def _threaded(self, returned: object, execution: Execution, target: Target, context: Context) -> Outcome:
        if isinstance(returned, BaseException):
            return self._failed(returned, execution, target, context)
        try:
            return self._encode(returned, target.route)
        except ActrRuntimeError as error:
            return self._failed(error, execution, target, context)

    def _encode(self, response: object, route: Route) -> bytes:
        if type(response) is not route.response and not _is_a(response, route.response):
            expected = route.response.DESCRIPTOR.full_name
            returned = type(response).__name__
            raise _BadReply(f"the handler of {route.route_key} returned a {returned}, expected a {expected}")
        try:
            body: bytes = response.SerializeToString()
        except EncodeError as error:
            raise _BadReply(f"the reply of {route.route_key} can't be encoded: {error}") from None
        if len(body) > self._link.body_limit:
            check_body(body, self._link.body_limit, f"the reply of {route.route_key}")
        return body

    def _failed(self, error: BaseException, execution: Execution, target: Target, context: Context) -> ActrRuntimeError:
        error = _alone(error)
        route_key = target.route.route_key
        is_tell = type(execution.request) is Tell
        if not isinstance(error, ActrRuntimeError) or isinstance(error, _BadReply):
            log.error("handler raised route=%s caller=%s", route_key, context.caller_id(), exc_info=error)
        elif is_tell:  # a call's own is answered, and its caller's business
            log.warning("tell failed route=%s caller=%s: %s", route_key, context.caller_id(), shown(error))
        if is_tell and not execution.is_cancelled:  # else it is counted as expired
            self.counters["tells.failed"] += 1
        if not self._is_stopped:  # a thread may return after its node has ended
            self._error_hooks.tell(target.workload, context, error)
        try:
            failed = error_from(failure_of(error if isinstance(error, ActrRuntimeError) else _internal(error)))
        except Exception:  # noqa: BLE001 - a user made it of something else than texts; it is to be answered all the same
            failed = _internal(error)
        failed.may_have_run = True
        return failed


class _BadReply(ActrRuntimeError):
    """The handler has returned what it should not: its author should see it as well."""


def _alone(error: BaseException) -> BaseException:
    """The error itself where it is alone in its group: a handler's TaskGroup wraps what one of its calls raised."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def _internal(error: BaseException) -> ActrRuntimeError:
    return ActrRuntimeError(shown(error), code=Status.INTERNAL)


def _is_a(response: object, expected: type[Message]) -> TypeGuard[Message]:
    """By its full name: the same message has another class in another descriptor pool."""
    return isinstance(response, Message) and response.DESCRIPTOR.full_name == expected.DESCRIPTOR.full_name


def _decode(execution: Execution, route: Route) -> Message:
    try:
        return route.request.FromString(execution.request.body)
    except DecodeError:
        name = route.request.DESCRIPTOR.full_name
        size = len(execution.request.body)
        raise ActrDecodeError(f"{route.route_key}: the body ({size} bytes) is not a {name}") from None


def _run_blocking(execution: Execution, target: Target, request: Message, context: Context) -> object:
    """The result of the handler, or the exception that it raised: a SystemExit must not end the thread's work."""
    if execution.deadline <= boottime_ms():
        return _cancelled(execution)
    try:
        return target.method(request, context)
    except BaseException as error:  # noqa: BLE001 - it is logged and answered by whoever asked for it
        return error


async def _caught(awaitable: Awaitable[object]) -> object:
    try:
        return await awaitable
    except asyncio.CancelledError:
        raise
    except BaseException as error:  # noqa: BLE001 - it is logged and answered by whoever asked for it
        return error


def _cancelled(execution: Execution) -> ActrRuntimeError:
    route_key = execution.request.route
    if execution.deadline <= boottime_ms():  # the caller is about to find that out for itself
        return ActrTimeoutError(f"{route_key}: it was cancelled at its deadline", may_have_run=True)
    return ActrRuntimeError(f"{route_key} was cancelled", code=Status.CANCELLED, may_have_run=True)
