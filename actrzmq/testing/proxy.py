"""A proxy for TCP that breaks what goes through it: reset, stalled, half open, late, or cut within a frame."""

from __future__ import annotations

import asyncio
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, suppress
from types import TracebackType
from typing import Self, TypeVar

from actrzmq.errors import ActrConfigError
from actrzmq.testing.connection import Connection, Direction, reset_on_close

CONNECT_S = 5.0
ANSWER_S = 5.0
_POLL_S = 0.005

_Value = TypeVar("_Value")


class FaultProxy:
    """Stands at a loopback port of its own in front of `upstream`, `tcp://…` or `ipc://…`, for the length of a `with`.

    ::

        with FaultProxy(cluster.url) as proxy:
            server = await cluster.start(Greeter(), url=proxy.url)
            proxy.stall(Direction.DOWN)

    Its verbs are those of each `Connection`, for all that there are and all that come until `heal()`: `stall`, `delay`,
    `cut`, and for those that there are `reset` and `half_open`. `refuse()` has new ones fail.

    A node reaches its broker through it by its url: registering, calls and replies, and the grants of relayed streams.
    Frames of a stream go from node to node at ports that the nodes choose, and relayed ones to a port that the broker
    chooses: no proxy is in between there. It works in a thread, so that it also stands between processes.

    A proxy is entered once, and its verbs work while it is: `ActrConfigError` says so, and what is wrong in `upstream`.
    """

    def __init__(self, upstream: str) -> None:
        self._connect_to = _address(upstream)
        self._loop: asyncio.AbstractEventLoop
        self._thread: threading.Thread | None = None
        self._listening: socket.socket
        self._accepting: asyncio.Task[None]
        self._connections: dict[Connection, None] = {}
        self._lasting: dict[str, Callable[[Connection], None]] = {}
        self._is_refusing = False
        self.counters: Counter[str] = Counter()
        """`accepted`, `refused`, `resets`, and `unreachable` for connections behind which nobody listened."""
        self.url: str
        """Where to connect to."""

    def __enter__(self) -> Self:
        if self._thread is not None:
            raise ActrConfigError("this proxy has been entered already; each `with` takes a FaultProxy of its own")
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=1_024)
        self._listening.setblocking(False)
        self.url = f"tcp://127.0.0.1:{self._listening.getsockname()[1]}"
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="actrzmq-fault-proxy", daemon=True)
        self._thread.start()
        self.do(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(ANSWER_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        if self._thread is not None:
            self._thread.join(ANSWER_S)
        self._loop.close()

    @property
    def connections(self) -> list[Connection]:
        """Those that are open, the oldest first."""
        return list(self._connections)

    def wait_connected(self, count: int = 1, timeout: float = ANSWER_S) -> list[Connection]:
        """Wait until so many are open; from the thread of an event loop, wait for what its nodes notice instead."""
        deadline = time.monotonic() + timeout
        while len(found := self.connections) < count:
            if time.monotonic() >= deadline:
                raise AssertionError(f"{len(found)} connections within {timeout} s, {count} were waited for")
            time.sleep(_POLL_S)
        return found

    def stall(self, *directions: Direction) -> None:
        """See `Connection.stall`."""
        self._last("stall", lambda connection: connection.stall(*directions))

    def delay(self, seconds: float, *directions: Direction) -> None:
        """See `Connection.delay`."""
        self._last("delay", lambda connection: connection.delay(seconds, *directions))

    def cut(self, after: int, *directions: Direction) -> None:
        """See `Connection.cut`."""
        self._last("cut", lambda connection: connection.cut(after, *directions))

    def reset(self) -> None:
        """See `Connection.reset`."""
        self._each(Connection.reset)

    def half_open(self, *, far_stays: bool = False) -> None:
        """See `Connection.half_open`."""
        self._each(lambda connection: connection.half_open(far_stays=far_stays))

    def refuse(self) -> None:
        """Reset each new connection at once."""
        self._is_refusing = True

    def heal(self) -> None:
        """Undo it all."""
        self._is_refusing = False
        self.do(self._lasting.clear)
        self._each(Connection.heal)

    def do(self, deed: Callable[[], _Value]) -> _Value:
        """Have `deed` done on the loop of the proxy, and wait for that."""
        if self._thread is None or not self._thread.is_alive():
            raise ActrConfigError("this proxy does not run; what it does to connections belongs within its `with`")
        if threading.current_thread() is self._thread:
            return deed()

        async def act() -> _Value:
            return deed()

        return asyncio.run_coroutine_threadsafe(act(), self._loop).result(ANSWER_S)

    def forget(self, connection: Connection) -> None:
        """It has ended."""
        self._connections.pop(connection, None)

    # on its own loop

    def _last(self, name: str, deed: Callable[[Connection], None]) -> None:
        self.do(lambda: self._lasting.__setitem__(name, deed))
        self._each(deed)

    def _each(self, deed: Callable[[Connection], None]) -> None:
        def act() -> None:
            for connection in self.connections:
                deed(connection)

        self.do(act)

    def _accept(self) -> None:
        self._accepting = self._loop.create_task(self._accept_all())

    async def _accept_all(self) -> None:
        async with asyncio.TaskGroup() as connecting:
            while True:
                try:
                    near, _ = await self._loop.sock_accept(self._listening)
                except OSError:  # too many files are open: who connects waits until one is closed
                    await asyncio.sleep(_POLL_S)
                    continue
                self.counters["accepted"] += 1
                if self._is_refusing:
                    self.counters["refused"] += 1
                    reset_on_close(near)
                    near.close()
                else:
                    connecting.create_task(self._connect(near))

    async def _connect(self, near: socket.socket) -> None:
        family, address = self._connect_to
        with ExitStack() as opened:
            opened.enter_context(near)
            try:
                far = opened.enter_context(socket.socket(family, socket.SOCK_STREAM))
                far.setblocking(False)
                async with asyncio.timeout(CONNECT_S):
                    await self._loop.sock_connect(far, address)
            except (OSError, UnicodeError):  # in time, or by that name, nobody is there: told as TCP would tell it
                self.counters["unreachable"] += 1
                reset_on_close(near)
                return
            opened.pop_all()
        for side in (near, far):
            side.setblocking(False)
            if side.family is not socket.AF_UNIX:
                side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = Connection(self, near, far)
        self._connections[connection] = None
        for deed in self._lasting.values():
            deed(connection)
        connection.start()

    async def _close(self) -> None:
        self._accepting.cancel()
        with suppress(asyncio.CancelledError):
            await self._accepting
        self._listening.close()
        for connection in self.connections:
            connection.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*others, return_exceptions=True)  # they have been cancelled


def _address(upstream: str) -> tuple[socket.AddressFamily, tuple[str, int] | str]:
    if upstream.startswith("ipc://"):
        return socket.AF_UNIX, upstream.removeprefix("ipc://")
    host, _, port = upstream.removeprefix("tcp://").rpartition(":")
    if not upstream.startswith("tcp://") or not host or not re.fullmatch("[0-9]{1,5}", port):
        raise ActrConfigError(f"FaultProxy({upstream!r}): expected tcp://HOST:PORT or ipc://PATH")
    if not 0 < int(port) <= 65_535:
        raise ActrConfigError(f"FaultProxy({upstream!r}): expected a port from 1 to 65535")
    return (socket.AF_INET6 if host.startswith("[") else socket.AF_INET), (host.strip("[]"), int(port))
