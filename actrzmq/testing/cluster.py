"""A broker and nodes in one process, for the length of a test."""

from __future__ import annotations

import asyncio
import shutil
import threading
import warnings
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from msgspec.structs import replace

from actrzmq.brokerd.broker import Broker
from actrzmq.errors import ActrConfigError, ActrTimeoutError
from actrzmq.identity import ActrType
from actrzmq.manifest import Manifest, load_broker_settings
from actrzmq.manifest.values import broker_address
from actrzmq.runtime.context import Context
from actrzmq.runtime.decorators import as_workload
from actrzmq.runtime.node import ActrNode, ActrRef
from actrzmq.testing.folders import short_folder
from actrzmq.testing.leaks import Leaks, LeakWarning
from actrzmq.testing.manifests import manifest_for

STOP_S = 5.0
"""Seconds that the broker has to end."""
START_S = 30.0
"""Seconds that a start may take, with its hooks. Where a longer one is tested there is `attach`."""


class LocalCluster:
    """A real broker in a thread, and real nodes on the event loop of the test, on sockets of their own.

    ::

        async with LocalCluster() as cluster:
            await cluster.start(Greeter())
            reply = await GreeterClient(cluster.context(), Dest.type(ActrType("test", "Greeter"))).greet(request)

    On leaving, nodes drain and stop, the latest first, then the broker; no file is left. What the test itself has left
    behind is told as a `LeakWarning`: tasks that still run, sockets that are open. `leaks=False` does not look.

    `broker_toml` is a file for the broker; its address and store are the cluster's own. `type` is that of the node
    which `context()` speaks for. Needs an asyncio loop, however it was started: `asyncio.run`, pytest-asyncio, anyio.
    """

    def __init__(
        self,
        *,
        broker_toml: Path | str | None = None,
        type: ActrType | str = "test+Test",
        leaks: bool = True,
    ) -> None:
        self._settings = load_broker_settings(broker_toml, environ={})
        self._type = type
        self._looks_for_leaks = leaks
        self._exits = AsyncExitStack()
        self._leaks: Leaks | None = None
        self._broker: Broker | None = None
        self._thread: threading.Thread | None = None
        self._ref: ActrRef | None = None
        self.is_open = False
        self.folder: Path
        """A folder that is gone with the cluster."""
        self.url: str
        """Where the broker is, for nodes and tools beside those of the cluster (`ACTRZMQ_BROKER`)."""

    async def __aenter__(self) -> Self:
        if self.is_open:
            raise ActrConfigError("this cluster runs already")
        self.is_open = True
        self._leaks = Leaks()
        self.folder = short_folder()
        self._exits.callback(shutil.rmtree, self.folder, ignore_errors=True)
        try:
            self.url = f"ipc://{self.folder}/broker"
            self._settings = replace(self._settings, listen=(self.url,), store=self.folder / "broker.db")
            self._exits.push_async_callback(self.stop_broker)
            await self.start_broker()
            self._ref = await self.start(type=self._type, name="test", visible=False)
        except BaseException:  # a test that is cancelled as well: nobody will leave what was not entered
            await self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()
        if error is None and self._looks_for_leaks and self._leaks is not None:
            left = await self._leaks.find()
            if left:
                warnings.warn("left behind: " + "; ".join(left), LeakWarning, stacklevel=2)

    def context(self) -> Context:
        """What the test itself calls, discovers and streams with. Its node is not to be found by its type."""
        if self._ref is None:
            raise ActrConfigError("the cluster does not run; its context is there within `async with`")
        return self._ref.context()

    async def start(
        self,
        *workloads: object,
        type: ActrType | str | None = None,
        name: str | None = None,
        manifest: Manifest | Path | str | None = None,
        toml: str = "",
        url: str | None = None,
        visible: bool | None = None,
    ) -> ActrRef:
        """A running node that serves these, or none; it stops with the cluster, or earlier by `shutdown()`.

        What it is follows from `manifest`, else from the `Actr.toml` of the project whose generated code a workload is,
        else from the first service: `demo.Greeter` makes a node of type `test+Greeter` with the name `greeter`. `type`,
        `name` and `visible` override; `toml` is more for a manifest that is made up, as `[system.streams]` with
        `path = "relay"`. `url` has it reach the broker another way, as through a `FaultProxy`: `ActrConfigError` for
        what is no address of one.
        """
        node = self.attach(*workloads, type=type, name=name, manifest=manifest, toml=toml, url=url, visible=visible)
        try:
            async with asyncio.timeout(START_S) as limit:
                return await node.start()
        except TimeoutError:
            if not limit.expired():
                raise
            raise ActrTimeoutError(
                f"the node has not started within {START_S:.0f} s: does on_start wait, or is the broker stopped?"
            ) from None

    def attach(
        self,
        *workloads: object,
        type: ActrType | str | None = None,
        name: str | None = None,
        manifest: Manifest | Path | str | None = None,
        toml: str = "",
        url: str | None = None,
        visible: bool | None = None,
    ) -> ActrNode:
        """As `start`, but the node has not been started: for tests of a start."""
        if not self.is_open:
            raise ActrConfigError("the cluster does not run; start nodes within `async with`")
        wrong = broker_address(url) if url else None
        if wrong:
            raise ActrConfigError(f"url={url!r} {wrong}")
        served = [as_workload(workload) for workload in workloads]
        found = manifest_for(served, self.folder, manifest, type, name, toml)
        given = {} if visible is None else {"visible": visible}
        # The level of `logging` is the test runner's.
        node = ActrNode(replace(found, broker_url=url or self.url, filter_level=None, **given), served)
        self._exits.push_async_callback(node.close)
        return node

    async def start_broker(self) -> None:
        """Start the broker again, as supervisord would: with the same address and store, and another epoch."""
        if self._broker is None:
            self._broker = broker = await asyncio.to_thread(Broker, self._settings)
            self._thread = threading.Thread(target=broker.run, name="actrzmq-test-broker", daemon=True)
            self._thread.start()

    async def stop_broker(self) -> None:
        """Stop the broker. Nodes wait for the next one, and so does what they are asked, within its time."""
        broker, thread = self._broker, self._thread
        if broker is None or thread is None:
            return
        self._broker = None
        broker.stop()
        await asyncio.to_thread(thread.join, STOP_S)
        if thread.is_alive():
            raise RuntimeError(f"the broker has not stopped within {STOP_S} s")
        broker.close()

    @property
    def relay(self) -> str:
        """Where the running broker takes the frames of relayed streams."""
        return self._running_broker().relay

    def relay_through(self, url: str) -> None:
        """Have nodes that register from now on send their frames for the relay to `url`, a `FaultProxy` before it."""
        self._running_broker().core.relay_endpoint = url

    def _running_broker(self) -> Broker:
        if self._broker is None:
            raise ActrConfigError("the broker of this cluster does not run")
        return self._broker

    async def _close(self) -> None:
        self.is_open = False
        self._ref = None
        await self._exits.aclose()
