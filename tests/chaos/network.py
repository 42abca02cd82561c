"""Proxies between processes, in the hands of the one who does the faults.

Each node has a proxy of its own in front of the broker. The ports at which a node takes frames and grants are its own
choice, so it asks for a detour when it has them: a unix socket in the folder of the run answers with a proxy's address
for each, and that is what the node tells its peers. Frames that the broker relays come by the same detour, and go to
the broker by another one.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from types import TracebackType
from typing import Any, Self

from actrzmq.testing import FaultProxy
from tests.chaos.detours import DOOR
from tests.chaos.world import Program, World


class Network:
    """The proxies of a world, for the length of a `with`."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._stack = ExitStack()
        self._door = socket.socket(socket.AF_UNIX)
        self._thread = threading.Thread(target=self._answer, name="detours", daemon=True)
        self._control: dict[str, FaultProxy] = {}
        self._streams: dict[str, dict[str, FaultProxy]] = {}

    def __enter__(self) -> Self:
        self._door.bind(str(self._world.folder / DOOR))
        self._door.listen()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._door.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._door.close()
        self._stack.close()

    def start(self, role: str, base: str, **settings: Any) -> Program:
        """As `World.start`, with proxies all around it."""
        if base not in self._control:
            self._control[base] = self._stack.enter_context(FaultProxy(self._world.address))
        return self._world.start(role, base, broker=self._control[base].url, detours=1, **settings)

    def proxies(self, base: str = "", *, control: bool = True, streams: bool = True) -> Iterator[FaultProxy]:
        """Those of the process `base`, of all its lives; without a name, all."""
        for name, proxy in list(self._control.items()):
            if control and base in ("", name):
                yield proxy
        for name, found in list(self._streams.items()):
            if streams and base in ("", name):
                yield from list(found.values())

    def endpoints(self, base: str = "") -> list[str]:
        """Where the process itself takes frames and grants."""
        return [endpoint for name, found in self._streams.items() if base in ("", name) for endpoint in found]

    def _answer(self) -> None:
        with suppress(OSError):
            while True:
                asking, _ = self._door.accept()
                with asking:
                    name, endpoint = asking.makefile().readline().split()
                    proxy = self._stack.enter_context(FaultProxy(endpoint))
                    self._streams.setdefault(name.rpartition(".")[0], {})[endpoint] = proxy
                    asking.sendall(f"{proxy.url}\n".encode())
