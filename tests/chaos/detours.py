"""The other half of `network.py`, in nodes and brokers: others are told the addresses of proxies."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path

from actrzmq.net.plane import Plane
from actrzmq.net.poller import BrokerLoop

DOOR = "detours"
"""The unix socket, in the folder of a run, that answers `name endpoint` with the address of a proxy."""


def take_detours(folder: Path, name: str) -> None:
    """To be called before the node is made."""
    make = Plane.__init__

    def made(self: Plane, loop: asyncio.AbstractEventLoop, wake: Callable[[], None]) -> None:
        make(self, loop, wake)
        self.data_endpoint = _ask(folder, name, self.data_endpoint)
        self.grants_endpoint = _ask(folder, name, self.grants_endpoint)

    Plane.__init__ = made  # type: ignore[method-assign]


def detour_relay(folder: str) -> None:
    """In a broker, before it starts: have nodes told the address of a proxy for what is to be relayed."""
    listen = BrokerLoop.listen_for_relay

    def led(self: BrokerLoop, endpoint: str) -> str:
        self._core.relay_endpoint = _ask(Path(folder), "broker.1", listen(self, endpoint))
        return self._core.relay_endpoint

    BrokerLoop.listen_for_relay = led  # type: ignore[method-assign]


def _ask(folder: Path, name: str, endpoint: str) -> str:
    with socket.socket(socket.AF_UNIX) as asking:
        asking.connect(str(folder / DOOR))
        asking.sendall(f"{name} {endpoint}\n".encode())
        return asking.makefile().readline().strip()
