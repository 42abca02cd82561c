"""The entry: a manifest becomes a system, to which workloads are attached."""

from __future__ import annotations

import asyncio
import logging
import signal
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from actrzmq.manifest.load import load_manifest
from actrzmq.manifest.model import Manifest
from actrzmq.runtime.decorators import as_workload
from actrzmq.runtime.node import ActrNode
from actrzmq.runtime.signals import Ears, listening

log = logging.getLogger("actrzmq.node")


class ActrSystem:
    """What an `Actr.toml` describes. As a context manager it shuts down, on leaving, what was started from it.

    Meanwhile SIGTERM and SIGHUP cancel the task in the `async with`, unless the program handles or ignores them itself;
    once the nodes have left, `SystemExit` is raised with 143 or 129. A second signal ends the process at once.
    """

    def __init__(self, manifest: Manifest) -> None:
        self.manifest = manifest
        self._nodes: list[ActrNode] = []
        self._exits = ExitStack()
        self._ears: Ears | None = None
        self._task: asyncio.Task[object] | None = None

    @classmethod
    async def from_toml(cls, path: str | Path) -> ActrSystem:
        """Read the manifest at `path`. Raises `ActrConfigError`, naming file, key and what was expected."""
        manifest = await asyncio.to_thread(load_manifest, Path(path))
        return cls(manifest)

    def attach(self, *workloads: object) -> ActrNode:
        """A node that serves all these: workloads, or instances of `@service` classes; none for a node that only calls.

        Raises `ActrConfigError` for anything else.
        """
        node = ActrNode(self.manifest, [as_workload(workload) for workload in workloads])
        self._nodes.append(node)
        return node

    async def __aenter__(self) -> ActrSystem:
        self._task = asyncio.current_task()
        self._ears = self._exits.enter_context(
            listening(self._hear, always=(), if_free=(signal.SIGTERM, signal.SIGHUP))
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._task = None
        if self._ears is not None:
            self._ears.leave()
        try:
            for node in self._nodes:
                await node.close()
        finally:
            self._exits.close()
            if self._ears is not None and self._ears.heard and kind in (None, asyncio.CancelledError):
                raise SystemExit(128 + self._ears.heard)

    def _hear(self, number: signal.Signals) -> None:
        if self._task is None:  # it leaves already
            return
        log.info("signal %s: draining for at most %d ms", number.name, self.manifest.runtime.drain_ms)
        self._task.cancel(number.name)
