"""The systems that are compared, one module each: a table of what they need and how they are started.

Each module has `async def serve(place, ready)`, which answers calls and sends streams until it is killed, and
`async def connect(place)`, which returns a `Client`.
"""

from __future__ import annotations

import importlib
import importlib.util
import shutil
import sys
from collections.abc import Callable
from typing import Protocol, cast

import msgspec

from benchmarks.work import Figures, Task


class Place(msgspec.Struct, frozen=True):
    """Where a process of a system is to work, and as which variant of it."""

    folder: str
    broker: str = ""
    server: str = ""
    variant: str = ""


class Client(Protocol):
    """The calling and receiving side of a system."""

    async def run(self, task: Task) -> Figures: ...


class Module(Protocol):
    """What each module in this folder has."""

    async def serve(self, place: Place, ready: Callable[[str], None]) -> None: ...
    async def connect(self, place: Place) -> Client: ...


class Broker(msgspec.Struct, frozen=True):
    """A process between server and client: `ready` finds its address in what it prints."""

    arguments: tuple[str, ...]
    ready: str


class System(msgspec.Struct, frozen=True):
    """One line of the tables."""

    name: str
    module: str
    variant: str = ""
    packages: tuple[str, ...] = ()
    broker: Broker | None = None
    program: str = ""

    def missing(self) -> str:
        """What has to be installed first; empty where all is there."""
        for package in self.packages:
            if importlib.util.find_spec(package) is None:
                return f"the Python package {package}"
        if self.program and shutil.which(self.program) is None:
            return f"the program {self.program}"
        return ""


WORKER = (sys.executable, "-m", "benchmarks.worker")

ACTRZMQ = Broker(
    (
        sys.executable,
        "-c",
        "from actrzmq.brokerd.main import main; main()",
        "--listen=tcp://127.0.0.1:*",
        "--store={folder}/broker.db",
    ),
    r"ready endpoint=(\S+)",
)
NATS = Broker(
    (*WORKER, "program", "nats-server", "-a", "127.0.0.1", "-p", "-1"),
    r"client connections on (127\.0\.0\.1:\d+)(?s:.*)Server is ready",
)

SYSTEMS = {
    system.name: system
    for system in (
        System("actrzmq", "ours", "direct", broker=ACTRZMQ),
        System("actrzmq relay", "ours", "relay", broker=ACTRZMQ),
        System("actrzmq uvloop", "ours", "uvloop", ("uvloop",), ACTRZMQ),
        System("nats-py", "nats", "", ("nats",), NATS, "nats-server"),
        System("grpc.aio", "grpc", "", ("grpc",)),
        System("zerorpc", "zerorpc", "", ("zerorpc", "gevent")),
        System("xoscar", "xoscar", "", ("xoscar",)),
        System(
            "bare pyzmq",
            "bare_zmq",
            broker=Broker((*WORKER, "broker", "bare_zmq", "{folder}"), r"ready (\S+)"),
        ),
        System(
            "bare asyncio",
            "bare_asyncio",
            broker=Broker((*WORKER, "broker", "bare_asyncio", "{folder}"), r"ready (\S+)"),
        ),
    )
}


def load(name: str) -> Module:
    """The module of that name in this folder."""
    return cast(Module, importlib.import_module(f"benchmarks.systems.{name}"))
