"""The life of one node: it starts, carries out what its session decides, and stops.

What users do with it is the business of its parts, which share the session and know nothing of the engine.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from actrzmq.contracts.bundle import Contract
from actrzmq.core.agreement import Agreement
from actrzmq.core.streams import Wish
from actrzmq.core.turn import News, Turn
from actrzmq.errors import ActrConfigError, ActrRuntimeError, ActrTransportError
from actrzmq.identity import ActrId, ActrType
from actrzmq.manifest.model import Manifest
from actrzmq.net.clock import boottime_ms
from actrzmq.net.shell import Shell
from actrzmq.runtime.agreements import Agreements
from actrzmq.runtime.calls import Calls
from actrzmq.runtime.context import Context
from actrzmq.runtime.dispatch import Dispatch
from actrzmq.runtime.draining import Draining
from actrzmq.runtime.hooks import ErrorHooks
from actrzmq.runtime.inbox import Inbox
from actrzmq.runtime.inboxes import Inboxes
from actrzmq.runtime.lookup import Lookup
from actrzmq.runtime.outlets import Outlet, Outlets
from actrzmq.runtime.parts import Parts
from actrzmq.runtime.promises import Promises, resolve_all
from actrzmq.runtime.publishing import check_fits
from actrzmq.runtime.routes import Routes
from actrzmq.runtime.sessions import new_session
from actrzmq.runtime.standing import Standing, broken
from actrzmq.runtime.tasks import Tasks
from actrzmq.runtime.workload import WorkloadBase

ON_STOP_S = 1.0
"""Seconds that `on_stop` hooks have beside what is left of the drain time."""

log = logging.getLogger("actrzmq.node")


class Engine:
    """Made by `ActrNode.start`, on the event loop that it runs on. Not thread-safe, like the loop itself."""

    def __init__(
        self,
        manifest: Manifest,
        workloads: Sequence[WorkloadBase],
        contract: Contract | None = None,
        agreements: Mapping[ActrType, Agreement] | None = None,
        *,
        visiting: bool = False,
    ) -> None:
        loop = asyncio.get_running_loop()
        self._manifest = manifest
        self._workloads = workloads
        self._counters: Counter[str] = Counter()
        self._registered: asyncio.Future[None] = loop.create_future()
        self._out: asyncio.Future[None] = loop.create_future()
        self.failure: ActrRuntimeError | None = None
        self.failed: Callable[[], object] = lambda: None
        self._standing = standing = Standing(loop)
        self._promises = Promises()
        self._tasks = Tasks(loop)
        routes = Routes(workloads)
        self.shell = Shell(manifest.broker_url, loop, self._carry_out, self._broke)
        self.session = session = new_session(manifest, contract, routes, self.shell.plane, visiting)
        link, wake = self.shell.link, self.shell.wake
        self.lookup = Lookup(session, wake, standing, self._promises, self._counters)
        self.agreements = Agreements(self.lookup, session, self._tasks, self._counters, agreements or {})
        self.calls = Calls(
            session,
            link,
            wake,
            standing,
            self._promises,
            self._counters,
            self.lookup,
            self.agreements,
            routes.response_of,
        )
        self.inboxes = Inboxes(session, wake, standing, self._tasks, self._counters, self._callback_raised)
        wish = Wish[manifest.streams.path.name]
        self.outlets = Outlets(session, self.shell, standing, self.agreements, self._counters, wish)
        self.parts = Parts(session, standing, self.lookup, self.agreements, self.calls, self.inboxes, self.outlets)
        self._error_hooks = ErrorHooks(self._tasks, self._counters)
        self.dispatch = Dispatch(routes, self.parts, link, wake, standing, self._error_hooks)
        self._draining = Draining(session, wake, standing)

    # life

    async def start(self) -> None:
        """Connect and register; waits for the broker for as long as it takes. `failed` is called where that fails."""
        self._standing.is_started = True
        self.shell.start(self.session)
        await asyncio.shield(self._registered)
        check_fits(self.session.contract, self.shell.link.body_limit)

    async def stop(self, drain_ms: int, on_stop: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Drain for at most `drain_ms`, run `on_stop`, deregister, release everything."""
        if self._standing.is_stopping:
            return
        self._standing.is_stopping = True
        deadline = boottime_ms() + drain_ms
        if self._standing.bug is None:
            await self._draining.drain(drain_ms, deadline)
        try:
            async with asyncio.timeout(max(0, deadline - boottime_ms()) / 1000 + ON_STOP_S):
                await on_stop()
        except TimeoutError:
            log.error("on_stop has not ended in time; leaving without it")
        finally:
            await self.leave()

    async def leave(self) -> None:
        """Deregister, and release everything. What is open ends with an error here."""
        self._standing.is_stopping = True
        if self._standing.bug is None:
            self.session.leave(boottime_ms())
            self.shell.wake()
            await self._draining.until(self._out.done, boottime_ms() + 500)
        await self.close()

    async def close(self) -> None:
        """Release everything at once. What is open ends with an error here."""
        if self._standing.is_closed:
            return
        self._standing.is_stopping = self._standing.is_closed = True
        if self._standing.bug is None:
            self.session.leave(boottime_ms())
            while turn := self.session.take_turn():
                self._carry_out(turn)
        self.inboxes.close_all(lambda inbox: ActrTransportError(f"stream {inbox.stream_id}: the node has stopped"))
        self.lookup.end()
        self.shell.close()
        await self.dispatch.stop()
        await self._tasks.end()
        self.inboxes.threads.close()

    def fail(self, failure: ActrRuntimeError) -> None:
        """The node can't go on: who starts it, or waits for its end, is to hear of it. The first reason counts."""
        if self.failure is None:
            self.failure = failure
            self.failed()

    def _broke(self, bug: Exception) -> None:
        """The shell has ended by a bug. The session is asked nothing any more; what waits for it is told."""
        log.critical("internal error; the node stops", exc_info=bug)
        self._counters["internal_errors"] += 1
        self._standing.bug = bug
        self.fail(broken(bug))
        self._promises.break_all(lambda: broken(bug))
        self.inboxes.close_all(lambda _: broken(bug))
        self.outlets.close_all(lambda: broken(bug))
        self.lookup.end()

    # what it is

    @property
    def id(self) -> ActrId:
        """The present identity; it changes when the node is fenced."""
        return self.session.id

    def statistics(self) -> dict[str, int]:
        """What is open, and every drop with its reason."""
        return {
            **self.session.statistics(),
            **self._counters,
            **self.dispatch.counters,
            **self.inboxes.threads.statistics(),
            **{f"link.{key}": count for key, count in self.shell.link.counters.items()},
            **{f"watchdog.{key}": count for key, count in self.shell.watchdog.counters.items()},
            **{f"plane.{key}": count for key, count in self.shell.plane.counters.items()},
        }

    # the outcome of a turn

    def _carry_out(self, turn: Turn) -> None:
        resolve_all(turn.resolve)
        for receiver, frames in turn.deliver:
            receiver.sink.deliver(frames)
        for outlet in turn.writable:
            outlet.writable()
        for sink, outcome in turn.closed:
            self._close(sink, outcome)
        for execution in turn.start:
            self.dispatch.start(execution)
        for execution in turn.cancel:
            self.dispatch.cancel(execution)
        for news, text in turn.news:
            self._hear(news, text)

    def _close(self, sink: Inbox | Outlet, outcome: ActrRuntimeError | None) -> None:
        if isinstance(sink, Inbox):
            self.inboxes.closed(sink, outcome)
        else:
            self.outlets.closed(sink, outcome)

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
                if not self._standing.is_stopping:
                    self.fail(ActrConfigError(f"the broker refuses this node: {text}"))
            case News.TELLS_LOST:
                log.warning("tells came back %s; slow down or add instances", text)
            case News.OUT:
                if not self._out.done():
                    self._out.set_result(None)

    def _callback_raised(self, error: BaseException) -> None:
        """Tell every workload's `on_error` hook: a stream callback belongs to none of them alone."""
        for workload in self._workloads:
            self._error_hooks.tell(workload, Context(self.parts), error)
