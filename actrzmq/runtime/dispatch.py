"""Runs handlers: decodes the request, awaits the method, encodes what it returns."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, TypeGuard

from google.protobuf.message import DecodeError, EncodeError, Message
from msgspec import Struct

from actrzmq.core.execution import Execution
from actrzmq.core.failures import error_from, failure_of
from actrzmq.errors import ActrConfigError, ActrDecodeError, ActrOverloaded, ActrRuntimeError, ActrTimeoutError, Status
from actrzmq.net.clock import boottime_ms
from actrzmq.runtime.context import Context
from actrzmq.runtime.limits import check_body, shown
from actrzmq.runtime.workload import Route, WorkloadBase

if TYPE_CHECKING:
    from actrzmq.runtime.engine import Engine

THREADS = 64
"""Threads for handlers that are plain `def`s."""

END_WITHIN = 1.0
"""Seconds that a task which was cancelled may take to end."""

log = logging.getLogger("actrzmq.dispatch")

Outcome = bytes | ActrRuntimeError


class Target(Struct, frozen=True):
    """Where calls to one route key go."""

    route: Route
    method: Callable[..., Any]
    workload: WorkloadBase
    is_exported: bool
    is_async: bool


class Dispatch:
    """The routes of one node, and the tasks and threads in which their handlers run."""

    def __init__(self, engine: Engine, workloads: Sequence[WorkloadBase]) -> None:
        self._engine = engine
        self._targets = _targets(workloads)
        self._threads: ThreadPoolExecutor | None = None
        self._abandoned = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self.counters: Counter[str] = Counter()

    def is_exported(self, route: str) -> bool | None:
        """May other processes call `route`? None if there is no such route."""
        target = self._targets.get(route)
        return None if target is None else target.is_exported

    def route(self, route_key: str) -> Route | None:
        """The route of that key in this node."""
        target = self._targets.get(route_key)
        return target.route if target else None

    def start(self, execution: Execution) -> None:
        """Run the handler of `execution` in a task of its own; the engine hears how it ended."""
        target = self._targets[execution.request.route]
        try:
            request = _decode(execution, target.route)
        except ActrDecodeError as error:
            self._engine.finish(execution, error)
            return
        run = self._run if target.is_async else self._run_in_thread
        execution.task = task = asyncio.ensure_future(run(execution, target, request))
        self._tasks.add(task)
        task.add_done_callback(partial(self._ended, execution, target))

    async def stop(self) -> None:
        """Cancel what still runs, and let go of the threads."""
        await end_tasks(self._tasks)
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)

    def _ended(self, execution: Execution, target: Target, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled():  # before its first step, so that nothing in it could say so
            self._engine.finish(execution, _cancelled(execution))

    async def _run(self, execution: Execution, target: Target, request: Message) -> None:
        context = Context(self._engine, execution)
        outcome: Outcome
        try:
            response = await target.method(request, context)
            outcome = self._encode(response, target.route)
        except asyncio.CancelledError:
            outcome = _cancelled(execution)
        except BaseException as error:  # noqa: BLE001 - whatever a handler raises, SystemExit too, is its answer
            outcome = self._failed(error, target, context)
        self._engine.finish(execution, outcome)

    async def _run_in_thread(self, execution: Execution, target: Target, request: Message) -> None:
        context = Context(self._engine, execution)
        if self._abandoned >= THREADS:
            overloaded = ActrOverloaded(f"{target.route.route_key}: all {THREADS} threads are held by hanging handlers")
            self._engine.finish(execution, overloaded)
            return
        if self._threads is None:
            self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="actrzmq-handler")
        loop = asyncio.get_running_loop()
        running = loop.run_in_executor(self._threads, _run_blocking, execution, target, request, context)
        try:
            returned = await asyncio.shield(running)
            if inspect.isawaitable(returned):  # a `def` around an `async def`, as decorators make
                returned = await _caught(returned)
            outcome = self._threaded(returned, target, context)
        except asyncio.CancelledError:
            # A thread can't be cancelled: its slot stays taken until it returns, however long its caller has been gone.
            self._abandoned += 1
            self.counters["threads.abandoned"] += 1
            running.add_done_callback(lambda _: self._returned(execution, target))
            return
        self._engine.finish(execution, outcome)

    def _returned(self, execution: Execution, target: Target) -> None:
        self._abandoned -= 1
        self._engine.finish(execution, _cancelled(execution))

    def _threaded(self, returned: object, target: Target, context: Context) -> Outcome:
        if isinstance(returned, BaseException):
            return self._failed(returned, target, context)
        try:
            return self._encode(returned, target.route)
        except ActrRuntimeError as error:
            return self._failed(error, target, context)

    def _encode(self, response: object, route: Route) -> bytes:
        if not _is_a(response, route.response):
            expected = route.response.DESCRIPTOR.full_name
            returned = type(response).__name__
            raise _BadReply(f"the handler of {route.route_key} returned a {returned}, expected a {expected}")
        try:
            body = response.SerializeToString()
        except EncodeError as error:
            raise _BadReply(f"the reply of {route.route_key} can't be encoded: {error}") from None
        return check_body(body, self._engine.body_limit, f"the reply of {route.route_key}")

    def _failed(self, error: BaseException, target: Target, context: Context) -> ActrRuntimeError:
        error = _alone(error)
        if not isinstance(error, ActrRuntimeError) or isinstance(error, _BadReply):
            route_key = target.route.route_key
            log.error("handler raised route=%s caller=%s", route_key, context.caller_id(), exc_info=error)
        self._engine.report(target.workload, context, error)
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


def _targets(workloads: Sequence[WorkloadBase]) -> dict[str, Target]:
    targets: dict[str, Target] = {}
    for workload in workloads:
        dispatcher = workload.get_dispatcher()
        for route in dispatcher.routes:
            method = getattr(workload.handler, route.method, None)
            if not callable(method):
                raise ActrConfigError(
                    f"{type(workload.handler).__name__} has no method {route.method}, which {route.route_key} needs"
                )
            if route.route_key in targets:
                raise ActrConfigError(f"{route.route_key} is served by two of the workloads attached")
            is_async = inspect.iscoroutinefunction(method)
            targets[route.route_key] = Target(route, method, workload, dispatcher.exported, is_async)
    return targets


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


async def end_tasks(tasks: Collection[asyncio.Task[Any]]) -> None:
    """Cancel them and wait for their end, but not for long: one that will not be cancelled is named and left behind."""
    others = [task for task in tasks if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    if others:
        _, stubborn = await asyncio.wait(others, timeout=END_WITHIN)
        for task in stubborn:
            log.error("does not end when cancelled: %s", task.get_coro())


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
