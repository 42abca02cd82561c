"""The entry: a manifest becomes a system, to which workloads are attached."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import TracebackType

from actrzmq.manifest.load import load_manifest
from actrzmq.manifest.model import Manifest
from actrzmq.runtime.decorators import as_workload
from actrzmq.runtime.node import ActrNode


class ActrSystem:
    """What an `Actr.toml` describes. As a context manager it shuts down, on leaving, what was started from it."""

    def __init__(self, manifest: Manifest) -> None:
        self.manifest = manifest
        self._nodes: list[ActrNode] = []

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
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for node in self._nodes:
            await node.close()
