"""Nodes for the tests of this folder: real ones, on real sockets, with a service whose handler each test writes."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from google.protobuf.wrappers_pb2 import BytesValue, StringValue

from actrzmq import ActrNode, ActrRef, ActrSystem, ActrType, Context, Dest, rpc, service

PATIENCE_S = 30
REPOSITORY = Path(__file__).parents[2]

RUN = "test.Script.Run"
HIDDEN = "test.Hidden.Run"
RAW = "test.Raw.Run"

Handler = Callable[[StringValue, Context], Awaitable[StringValue]]


async def echo(req: StringValue, ctx: Context) -> StringValue:
    """Says what it is told."""
    return StringValue(value=req.value)


@service("test.Script", exported=True)
class Script:
    """A service with one method, which does what the test says."""

    def __init__(self, handler: Handler = echo) -> None:
        self.handler = handler

    @rpc
    async def run(self, req: StringValue, ctx: Context) -> StringValue:
        return await self.handler(req, ctx)


@service("test.Hidden")
class Hidden:
    """The same, for its own process only."""

    @rpc
    async def run(self, req: StringValue, ctx: Context) -> StringValue:
        return StringValue(value=f"hidden {req.value}")


@service("test.Raw")
class Raw:
    """Answers bytes that are no text."""

    @rpc
    async def run(self, req: StringValue, ctx: Context) -> BytesValue:
        return BytesValue(value=b"\xff")


class World:
    """Nodes on one broker, each with a manifest of its own."""

    def __init__(self, endpoint: str, folder: Path) -> None:
        self.endpoint = endpoint
        self.folder = folder
        self._count = 0
        self._systems: list[ActrSystem] = []

    def manifest(self, type_name: str = "Node", more: str = "", drain_ms: int = 1_000) -> Path:
        """A manifest for a node of type `acme+<type_name>`, with `more` after it."""
        self._count += 1
        path = self.folder / f"node-{self._count}" / "Actr.toml"
        path.parent.mkdir()
        path.write_text(
            f'[package]\nname = "{type_name.lower()}"\n'
            f'[package.actr_type]\nmanufacturer = "acme"\nname = "{type_name}"\n'
            f'[system.broker]\nurl = "{self.endpoint}"\n[system.runtime]\ndrain_ms = {drain_ms}\n{more}\n'
        )
        return path

    async def node(
        self, type_name: str = "Node", *workloads: object, more: str = "", drain_ms: int = 1_000
    ) -> ActrNode:
        """A node that has not been started."""
        return (await self.system(self.manifest(type_name, more, drain_ms))).attach(*workloads)

    async def system(self, manifest: Path) -> ActrSystem:
        """What that manifest describes; what is started from it is stopped after the test at the latest."""
        system = await ActrSystem.from_toml(manifest)
        self._systems.append(system)
        return system

    async def start(
        self, type_name: str = "Node", *workloads: object, more: str = "", drain_ms: int = 1_000
    ) -> ActrRef:
        """A running node; it is stopped after the test at the latest."""
        return await (await self.node(type_name, *workloads, more=more, drain_ms=drain_ms)).start()

    async def pair(self, handler: Handler = echo, more: str = "") -> tuple[ActrRef, ActrRef]:
        """A client, and a server that runs `handler`."""
        server = await self.start("Server", Script(handler), more=more)
        return await self.start("Client"), server

    async def close(self) -> None:
        """Stop what still runs."""
        for system in self._systems:
            await system.__aexit__(None, None, None)


SERVER = ActrType("acme", "Server")


def to(ref: ActrRef) -> Dest:
    """The destination that `ref` is."""
    return Dest.actor(ref.actor_id())


async def ask(caller: ActrRef | Context, dest: Dest, text: str = "", route_key: str = RUN, **more: Any) -> str:
    """Call the scripted service."""
    context = caller.context() if isinstance(caller, ActrRef) else caller
    answer = await context.call(dest, route_key, StringValue(value=text), response_type=StringValue, **more)
    return answer.value


async def until(condition: Callable[[], object], what: str, timeout_s: float = 5) -> None:
    """Wait until `condition` holds, where there is no event to wait for."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"never: {what}"
        await asyncio.sleep(0.005)


def environment(**variables: str) -> dict[str, str]:
    """An environment in which actrzmq can be imported, without settings of whoever runs the tests."""
    kept = {
        name: os.environ[name] for name in ("HOME", "LANG", "PATH", "TMPDIR", "XDG_RUNTIME_DIR") if name in os.environ
    }
    parent = str(os.getpid())  # so that nothing outlives tests that are killed
    return {**kept, "PYTHONPATH": str(REPOSITORY), "PYTHONUNBUFFERED": "1", "ACTRZMQ_PARENT": parent, **variables}


def spawn(code: str, *arguments: str, cwd: Path, **variables: str) -> subprocess.Popen[str]:
    """Python in a process of its own, with pipes for what it reads and says."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=cwd,
        env=environment(**variables),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
