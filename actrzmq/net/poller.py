"""The broker's loop: waits for its sockets, lets the core decide, and does what comes out.

One thread, one poll. A turn takes in what has come (within bounds, so that no socket starves another), looks at the
time, and says what the core has to say. The time is looked at after what has come was taken in: whoever is about to be
declared down has been heard to the end.

Waiting is most of what an idle turn costs: `zmq_poll` asks each socket what it is ready for, before and after. Only the
ROUTER needs that, since it is written to as well: its descriptor tells of edges, and to send may take one away. Those
that are only read from are drained until they have nothing more, so their descriptors will do, behind one epoll.
"""

from __future__ import annotations

import logging
import select
import socket
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import cast

import zmq
from zmq import zmq_poll

from actrzmq.core.broker import BrokerCore, Bury, Remember
from actrzmq.core.shelf import Shelf
from actrzmq.errors import ActrTransportError
from actrzmq.net import sockets
from actrzmq.net.clock import boottime_ms
from actrzmq.net.doors import LOOK_EVERY, Doors
from actrzmq.net.endpoints import UnixListener, sibling_path
from actrzmq.net.relay import Relay
from actrzmq.net.switch import Switch

AWAY = 1_000
"""A turn that begins this much later than it was meant to (milliseconds): the process was stopped."""
LATE = 100
"""How long the time may go unlooked at while more and more comes in."""
EVENTS = 200
"""Beginnings and ends of connections noted in one turn."""
LINES = 20
"""Changes that are logged one by one in one turn; more are counted: a flood must not fill the log."""
COMPLAIN_EVERY = 10_000
LAST_WORDS = 200
"""Milliseconds for what has been said to leave, at the end."""

log = logging.getLogger("actrzmq.broker")

_IPC = "ipc://"
_CONNECTION: dict[int, str] = {
    zmq.EVENT_ACCEPTED: "connections.begun",
    zmq.EVENT_HANDSHAKE_SUCCEEDED: "connections.made",  # it speaks our protocol
    zmq.EVENT_DISCONNECTED: "connections.ended",
    zmq.EVENT_ACCEPT_FAILED: "connections.failed",
}

_Ready = list[tuple[zmq.Socket[bytes] | int, int]]
_Source = Callable[[int], bool]
"""Takes in what has come, and is told the time; True if there may be more."""


class BrokerLoop:
    """The sockets of a broker. `store` takes what is to be remembered; it must not block.
    `counted` is what it counts, to be shown with the rest. `shelf` keeps contracts, where the core's limits allow any.
    """

    def __init__(
        self,
        core: BrokerCore,
        store: Callable[[Sequence[Remember | Bury]], None],
        counted: Counter[str] | None = None,
        shelf: Shelf | None = None,
    ) -> None:
        self._core = core
        self._store = store
        self._shelf = shelf
        if shelf is not None:
            shelf.notify = self.wake
        self._router = sockets.router(core.limits.body)
        self._monitor = sockets.monitor(self._router, sockets.SERVER_EVENTS)
        self._pull = sockets.relay(core.limits.body)
        self._waker, self._wakened = socket.socketpair()
        self._waker.setblocking(False)
        self._wakened.setblocking(False)
        self._switch = Switch(core, self._router)
        self._drain_router: _Source = self._switch.drain
        self._relay = Relay(core, self._pull)
        self._doors = Doors()
        self._is_stopping = False
        self._wants_statistics = False
        self._is_woken = False
        self._now = boottime_ms()
        self._deadline: int | None = None
        self._complained_at = -COMPLAIN_EVERY
        self._sources: dict[int, _Source] = {
            sockets.descriptor(self._pull): self._drain_relay,
            sockets.descriptor(self._monitor): self._note_connections,
            self._wakened.fileno(): self._take_wakes,
        }
        self._others = select.epoll()
        for descriptor in self._sources:
            self._others.register(descriptor, select.EPOLLIN)
        self._polled: _Ready = [(self._router, int(zmq.POLLIN)), (self._others.fileno(), int(zmq.POLLIN))]
        # What came before we wait for the first time is looked for: its edge may be gone.
        self._unfinished: list[_Source] = [self._drain_relay, self._note_connections]
        """Those that may have more, whatever their descriptors say."""
        self._counted = Counter() if counted is None else counted
        self.counters: Counter[str] = Counter()
        core.inspecting.figures = self.statistics

    def listen(self, endpoint: str) -> str:
        """Take nodes at `endpoint`, and at the unix socket beside it; returns where, with the port that it got.

        Raises `ActrTransportError` where another process listens there already.
        """
        if endpoint.startswith(_IPC):
            self._bind_unix(self._router, endpoint)
            return endpoint
        bound = sockets.bind(self._router, endpoint)
        path = sibling_path(bound)
        if path is not None:
            listener = UnixListener(path)
            try:
                listener.bind_sibling(self._router)
                self._doors.add(listener)
            except ActrTransportError as error:
                log.warning("no unix socket beside endpoint=%s reason=%s", bound, error)
        return bound

    def listen_for_relay(self, endpoint: str) -> str:
        """Take frames to be relayed at `endpoint`; returns where. To be called before `run`; raises as `listen`."""
        if endpoint.startswith(_IPC):
            self._bind_unix(self._pull, endpoint)
            self._core.relay_endpoint = endpoint
        else:
            self._core.relay_endpoint = sockets.bind(self._pull, endpoint)
        return self._core.relay_endpoint

    def run(self) -> None:
        """Serve until `stop`."""
        while not self._is_stopping:
            self._turn()
        self._finish()

    def stop(self) -> None:
        """Let `run` come to its end. May be called from any thread, and from a signal handler."""
        self._is_stopping = True
        self.wake()

    def show_statistics(self) -> None:
        """Log what there is and what was counted. May be called from any thread, and from a signal handler."""
        self._wants_statistics = True
        self.wake()

    @property
    def waker(self) -> int:
        """A descriptor that ends the waiting when a byte is written to it."""
        return self._waker.fileno()

    def wake(self) -> None:
        """End the waiting."""
        with suppress(OSError):  # full of such bytes, or closed
            self._waker.send(b"\0")

    def close(self) -> None:
        """Close all sockets and leave no file behind."""
        self._others.close()
        self._switch.close()
        self._relay.close()
        self._router.disable_monitor()
        self._monitor.close(0)
        self._pull.close(0)
        self._router.close(LAST_WORDS)
        self._doors.remove()
        self._waker.close()
        self._wakened.close()

    def statistics(self) -> dict[str, int]:
        """Counts for the operator, by name."""
        counters = self._switch.counters + self._relay.counters + self.counters + self._counted
        return {**self._core.statistics(), **counters}

    def _bind_unix(self, listening: zmq.Socket[bytes], endpoint: str) -> None:
        listener = UnixListener(Path(endpoint.removeprefix(_IPC)))
        listener.bind(listening)
        self._doors.add(listener)

    def _turn(self) -> None:
        sources = self._wait()
        now = self._now
        unfinished = [drain for drain in sources if drain(now)]
        # The ROUTER is asked before we wait, and whenever it has more, we don't.
        self._unfinished = [drain for drain in unfinished if drain is not self._drain_router] if unfinished else []
        deadline = self._deadline
        if deadline is not None and deadline <= now and (not unfinished or deadline + LATE <= now):
            self._core.tick(now)
        else:
            self._core.answer(now)
        if self._shelf is not None and (self._is_woken or self._core.library.orders):
            self._tend(self._shelf, now)
        self._is_woken = False
        if self._doors.are_shut:
            self._doors.look(now)
        self._switch.flush(now)
        if self._core.over_budget:
            self._relay.mark(now)
        if self._core.store_effects:
            self._keep()
        if self._wants_statistics:
            self._wants_statistics = False
            log.info("statistics %s", " ".join(f"{name}={count}" for name, count in self.statistics().items()))

    def _tend(self, shelf: Shelf, now: int) -> None:
        library = self._core.library
        for outcome in shelf.take():
            self._core.outcome(outcome, now)
        if library.orders:
            shelf.put(library.take_orders())

    def _wait(self) -> list[_Source]:
        """Wait until something is ready, or until the core's next deadline; returns what is to be drained."""
        deadline = self._deadline = self._core.next_deadline()
        timeout = -1 if deadline is None else max(0, deadline - self._now)
        if self._doors.are_shut:
            timeout = LOOK_EVERY if timeout < 0 else min(timeout, LOOK_EVERY)
        if self._unfinished:
            timeout = 0
        polled = self._polled + self._relay.waiting if self._relay.has_waiting else self._polled
        ready = cast("_Ready", zmq_poll(polled, timeout))
        now = boottime_ms()
        late = now - self._now - timeout
        if timeout >= 0 and late > AWAY:
            log.warning("the broker did not run for ms=%d; nodes get that time back", late)
            self._core.was_away(late)
        self._now = now
        return self._ready_sources(ready)

    def _ready_sources(self, ready: _Ready) -> list[_Source]:
        sources = self._unfinished
        for source, _ in ready:
            if source is self._router:
                sources.append(self._drain_router)
            elif isinstance(source, int):
                others = (self._sources[descriptor] for descriptor, _ in self._others.poll(0))
                sources.extend(drain for drain in others if drain not in sources)
            else:
                self._relay.flush(source)
        return sources

    def _drain_relay(self, now: int) -> bool:
        return self._relay.drain()

    def _take_wakes(self, now: int) -> bool:
        self._wakened.recv(4096)
        self._is_woken = True
        return False

    def _note_connections(self, now: int) -> bool:
        for _ in range(EVENTS):
            event = sockets.take_event(self._monitor)
            if event is None:
                return False
            self.counters[_CONNECTION[event]] += 1
            if event == zmq.EVENT_ACCEPTED:
                self._doors.look(now)
            if event == zmq.EVENT_DISCONNECTED:
                self._core.suspect(now)
            elif event == zmq.EVENT_ACCEPT_FAILED and now - self._complained_at > COMPLAIN_EVERY:
                self._complained_at = now
                log.error("can't accept connections: out of file descriptors? raise the limit (ulimit -n)")
        return True

    def _keep(self) -> None:
        effects = list(self._core.store_effects)
        self._core.store_effects.clear()
        for effect in effects:
            if isinstance(effect, Bury):
                self._relay.forget(effect.serial)
        self._store(effects)
        if len(effects) > LINES:
            log.info("nodes changed=%d", len(effects))
            return
        for effect in effects:
            if isinstance(effect, Bury):
                log.info("node down serial=%x reason=%s", effect.serial, effect.reason.name.lower())
            else:
                log.info("node up id=%s name=%s", effect.node.id, effect.node.name)

    def _finish(self) -> None:
        """Say what is left to be said, and keep what is left to be kept."""
        self._switch.flush(self._now)
        self._keep()
