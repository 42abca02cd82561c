"""A node before it starts (`ActrNode`) and while it runs (`ActrRef`)."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf.message import Message

from actrzmq.contracts.bundle import check_fresh, read_contract
from actrzmq.errors import ActrConfigError
from actrzmq.identity import ActrId, ActrType
from actrzmq.manifest.model import Manifest
from actrzmq.runtime.context import Context
from actrzmq.runtime.dest import Dest
from actrzmq.runtime.engine import Engine, run_hook
from actrzmq.runtime.limits import DEFAULT_TIMEOUT_MS
from actrzmq.runtime.payload import PayloadType
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
        self._refs: list[ActrRef] = []

    async def start(self) -> ActrRef:
        """Run the `on_start` hooks, register, run `on_ready`; returns once others can find the node.

        Waits for the broker for as long as it takes (bound it with `asyncio.timeout`). Raises `ActrConfigError` for
        generated code that is stale or missing, and where the broker refuses the node.
        """
        if self._refs:
            raise ActrConfigError("this node has been started already; attach the workloads anew for another one")
        fingerprint = check_contract(self._manifest, self._workloads)
        watch_parent(self._manifest.runtime.drain_ms / 1000 + LAST_SECONDS)
        if self._manifest.filter_level is not None:
            logging.getLogger("actrzmq").setLevel(self._manifest.filter_level.upper())
        engine = Engine(self._manifest, self._workloads, fingerprint)
        context = Context(engine)
        try:
            for workload in self._workloads:
                await run_hook(workload, "on_start", context)
            await engine.start()
            for workload in self._workloads:
                await run_hook(workload, "on_ready", context)
        except BaseException:
            await engine.leave()
            raise
        ref = ActrRef(engine, self._manifest, self._workloads)
        self._refs.append(ref)
        return ref

    async def close(self) -> None:
        """Shut down what was started."""
        for ref in self._refs:
            await ref.shutdown()


class ActrRef:
    """A running node."""

    def __init__(self, engine: Engine, manifest: Manifest, workloads: Sequence[WorkloadBase]) -> None:
        self._engine = engine
        self._manifest = manifest
        self._workloads = workloads
        self._context = Context(engine)
        self._stopping: asyncio.Task[None] | None = None
        self._stopped = asyncio.Event()
        self._refusal: ActrConfigError | None = None
        engine.refused = self._refused

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
        if self._stopping is None:
            self._stopping = asyncio.get_running_loop().create_task(self._shut_down())
        await asyncio.shield(self._stopping)

    async def wait_for_shutdown(self) -> None:
        """Wait until the node has stopped. Raises `ActrConfigError` if that was because a broker refuses it."""
        await self._stopped.wait()
        if self._refusal is not None:
            raise self._refusal

    async def wait_for_ctrl_c_and_shutdown(self) -> None:
        """Serve until SIGINT or SIGTERM, then drain and stop. A second signal ends the process at once.

        Raises `ActrConfigError` if a broker that came back refuses this node, for a reason that won't change.
        """
        loop = asyncio.get_running_loop()
        received: asyncio.Future[signal.Signals] = loop.create_future()

        def stop(number: signal.Signals) -> None:
            if received.done():
                log.warning("second signal %s: leaving at once", number.name)
                logging.shutdown()
                os._exit(128 + number)
            log.info("signal %s: draining for at most %d ms", number.name, self._manifest.runtime.drain_ms)
            received.set_result(number)

        numbers = (signal.SIGINT, signal.SIGTERM)
        for number in numbers:
            loop.add_signal_handler(number, stop, number)
        try:
            stopped = asyncio.ensure_future(self._stopped.wait())
            stopped.add_done_callback(lambda _: received.cancel())
            await asyncio.wait([received])
            stopped.cancel()
            await self.shutdown()
            await self.wait_for_shutdown()
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)

    def _refused(self, refusal: ActrConfigError) -> None:
        """Without a broker that will have it, the node can only stop: whoever started it is to hear of it."""
        if self._stopping is None:
            self._refusal = refusal
            self._stopping = asyncio.get_running_loop().create_task(self._shut_down())

    async def _shut_down(self) -> None:
        try:
            await self._engine.stop(self._manifest.runtime.drain_ms, self._run_on_stop)
        finally:
            self._stopped.set()

    async def _run_on_stop(self) -> None:
        for workload in self._workloads:
            try:
                await run_hook(workload, "on_stop", self._context)
            except Exception:
                log.exception("on_stop raised workload=%s", type(workload.handler).__name__)


def check_contract(manifest: Manifest, workloads: Sequence[WorkloadBase]) -> str:
    """The fingerprint of what the node exports, empty where that is nothing.

    Raises `ActrConfigError` if the generated code is not that of the exported files as they are now.
    """
    paths = {path for workload in workloads if (path := workload.get_dispatcher().contract) is not None}
    if len(paths) > 1:
        raise ActrConfigError(f"workloads from {len(paths)} generated packages; a node exports one contract")
    contract = read_contract(paths.pop()) if paths else None
    check_fresh(contract, manifest.exports)
    return contract.fingerprint if contract is not None else ""
