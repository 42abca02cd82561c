"""A node before it starts (`ActrNode`) and while it runs (`ActrRef`)."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf.message import Message

from actrzmq.errors import ActrConfigError, ActrGateNotInitialized
from actrzmq.identity import ActrId, ActrType
from actrzmq.manifest.model import Manifest
from actrzmq.runtime.context import Context
from actrzmq.runtime.dest import Dest
from actrzmq.runtime.engine import Engine
from actrzmq.runtime.forgotten import tell_briefly
from actrzmq.runtime.hooks import run_hook
from actrzmq.runtime.limits import DEFAULT_TIMEOUT_MS
from actrzmq.runtime.locked import read_agreements
from actrzmq.runtime.payload import PayloadType
from actrzmq.runtime.publishing import own_contract
from actrzmq.runtime.running import check_loop
from actrzmq.runtime.signals import listening
from actrzmq.runtime.workload import WorkloadBase
from actrzmq.supervision.parent import watch_parent

LAST_SECONDS = 5
"""What a node whose supervisor is gone gets beside its drain time, before it is killed."""

log = logging.getLogger("actrzmq.node")


class ActrNode:
    """A manifest and its workloads, ready to start."""

    def __init__(self, manifest: Manifest, workloads: Sequence[WorkloadBase]) -> None:
        self._manifest = manifest
        self._workloads = list(workloads)
        self._engine: Engine | None = None
        self._ref: ActrRef | None = None
        self._has_started_or_failed = asyncio.Event()
        self._is_closed = False

    async def start(self) -> ActrRef:
        """Run the `on_start` hooks, register, run `on_ready`; returns once others can find the node.

        Waits for the broker for as long as it takes (bound it with `asyncio.timeout`). Raises `ActrConfigError` for
        generated code that is stale or missing, for a contract that can't be published, for a lock file that is
        damaged or contradicts the manifest, and where the broker refuses the node; `ActrGateNotInitialized` where the
        node is closed meanwhile. A start that has failed may be tried again.
        """
        if self._is_closed:
            raise ActrGateNotInitialized("this node has been closed; attach the workloads anew for another one")
        if self._engine is not None:
            raise ActrConfigError("this node has been started already; attach the workloads anew for another one")
        contract = own_contract(self._manifest, self._workloads)
        agreements = read_agreements(self._manifest)
        watch_parent(self._manifest.runtime.drain_ms / 1000 + LAST_SECONDS)
        if self._manifest.filter_level is not None:
            logging.getLogger("actrzmq").setLevel(self._manifest.filter_level.upper())
        self._has_started_or_failed.clear()
        loop = asyncio.get_running_loop()
        check_loop(self._manifest, loop)
        tell_briefly(loop)
        engine = self._engine = Engine(self._manifest, self._workloads, contract, agreements)
        try:
            await self._start(engine)
        except BaseException:  # a start that is cancelled as well: what it began is taken back
            await engine.leave()
            self._engine = None
            raise
        else:
            self._ref = ActrRef(engine, self._manifest, self._workloads)
        finally:
            self._has_started_or_failed.set()
        return self._ref

    async def _start(self, engine: Engine) -> None:
        """Returns when the node runs, and raises as soon as it has failed, whatever is waited for."""
        context = Context(engine.parts)
        try:
            async with asyncio.timeout(None) as scope:  # not for its time: it is a block that can be ended from outside
                engine.failed = lambda: scope.reschedule(0)
                for workload in self._workloads:
                    await run_hook(workload, "on_start", context)
                await engine.start()
                for workload in self._workloads:
                    await run_hook(workload, "on_ready", context)
        except TimeoutError:
            if not scope.expired():
                raise  # a hook's own
        finally:
            engine.failed = lambda: None
        if engine.failure is not None:
            raise engine.failure

    async def close(self) -> None:
        """Shut down what was started. A start that is under way ends, and raises `ActrGateNotInitialized`."""
        self._is_closed = True
        if self._ref is not None:
            await self._ref.shutdown()
        elif self._engine is not None:
            self._engine.fail(ActrGateNotInitialized("the node was closed while it was starting"))
            try:
                async with asyncio.timeout(LAST_SECONDS):
                    await self._has_started_or_failed.wait()
            except TimeoutError:
                log.error("on_start or on_ready does not end when cancelled; leaving it behind")


class ActrRef:
    """A running node."""

    def __init__(self, engine: Engine, manifest: Manifest, workloads: Sequence[WorkloadBase]) -> None:
        self._engine = engine
        self._manifest = manifest
        self._workloads = workloads
        self._context = Context(engine.parts)
        self._stopping: asyncio.Task[None] | None = None
        self._stopped = asyncio.Event()
        engine.failed = self._stop_soon

    def actor_id(self) -> ActrId:
        """The present identity. It changes if the node was cut off for a lease and had to come back as another."""
        return self._engine.id

    def context(self) -> Context:
        """What the main program calls, discovers and streams with."""
        return self._context

    async def call(
        self,
        route_key: str,
        request: Message | bytes,
        timeout_ms: int = DEFAULT_TIMEOUT_MS,
        payload_type: PayloadType | None = None,
        *,
        metadata: Mapping[str, str] | None = None,
    ) -> Any:
        """Call a method of the own process. See `Context.call`."""
        return await self._context.call(Dest.local(), route_key, request, timeout_ms, payload_type, metadata=metadata)

    async def tell(
        self,
        route_key: str,
        request: Message | bytes,
        timeout_ms: int = DEFAULT_TIMEOUT_MS,
        payload_type: PayloadType | None = None,
    ) -> None:
        """Run a method of the own process without a reply. See `Context.tell`."""
        await self._context.tell(Dest.local(), route_key, request, timeout_ms, payload_type)

    async def discover(self, actor_type: ActrType, timeout_ms: int = 0) -> ActrId:
        """A live node of that type. See `Context.discover`."""
        return await self._context.discover(actor_type, timeout_ms)

    def statistics(self) -> dict[str, int]:
        """What is open, and every drop with its reason."""
        return self._engine.statistics()

    async def shutdown(self) -> None:
        """Drain (for at most `[system.runtime] drain_ms`), stop, leave. Called again, it waits for the same end."""
        await asyncio.shield(self._stop_soon())

    async def wait_for_shutdown(self) -> None:
        """Wait until the node has stopped. Raises why, if it could not go on.

        That is `ActrConfigError` where a broker refuses it, `ActrRuntimeError` (INTERNAL) after a bug in actrzmq.
        """
        await self._stopped.wait()
        if self._engine.failure is not None:
            raise self._engine.failure

    async def wait_for_ctrl_c_and_shutdown(self) -> signal.Signals | None:
        """Serve until SIGINT, SIGTERM or SIGHUP, then drain and stop. A second signal ends the process at once.

        Returns the signal; None if the node was shut down otherwise. All nodes of the process that are waited for like
        this hear the same signal.

        SIGHUP is left to a program that handles or ignores it itself. Signals reach the main thread only; on a loop in
        another one this waits for the shutdown. Raises as `wait_for_shutdown`.
        """
        received = asyncio.Event()

        def stop(number: signal.Signals) -> None:
            log.info("signal %s: draining for at most %d ms", number.name, self._manifest.runtime.drain_ms)
            received.set()

        with listening(stop, always=(signal.SIGINT, signal.SIGTERM), if_free=(signal.SIGHUP,), is_shared=True) as ears:
            log.info("serving id=%s; Ctrl-C or SIGTERM stops it", self.actor_id())
            ends = [asyncio.ensure_future(event.wait()) for event in (received, self._stopped)]
            try:
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for end in ends:
                    end.cancel()
            await self.shutdown()
            await self.wait_for_shutdown()
            return ears.heard

    def _stop_soon(self) -> asyncio.Task[None]:
        if self._stopping is None:
            self._stopping = asyncio.get_running_loop().create_task(self._shut_down())
        return self._stopping

    async def _shut_down(self) -> None:
        try:
            await self._engine.stop(self._manifest.runtime.drain_ms, self._run_on_stop)
        finally:
            self._stopped.set()

    async def _run_on_stop(self) -> None:
        for workload in self._workloads:
            try:
                await run_hook(workload, "on_stop", self._context)
            except Exception:  # the user's code: whatever it raises, the node leaves in good order
                log.exception("on_stop raised workload=%s", type(workload.handler).__name__)
