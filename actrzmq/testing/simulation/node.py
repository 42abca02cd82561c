"""A node of a simulated world: the real session, with what a shell and a program would do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from actrzmq.core.broker import MESSAGE_OVERHEAD
from actrzmq.core.execution import Execution
from actrzmq.core.session import Session, SessionLimits
from actrzmq.core.turn import News, Turn
from actrzmq.errors import ActrRuntimeError
from actrzmq.identity import ActrId, ActrType, Serial
from actrzmq.wire.codec import decode_batch, decode_from_broker, decode_serial, decode_stream_messages, encode_batch
from actrzmq.wire.messages import PROTOCOL, Batch, Call, Register

if TYPE_CHECKING:
    from actrzmq.testing.simulation.world import World

RECONNECT = 100
"""Milliseconds from a broken connection to the next try."""
SPINS = 3
"""Turns in a row after which a deadline may be past; more, and a shell would spin."""

Handler = Callable[[Execution], "tuple[bytes | ActrRuntimeError, int] | None"]
"""What a handler answers, and how many milliseconds it takes; None: it calls `SimNode.finish` itself."""


class SimNode:
    """A node of a `World`: its session, and what a shell and a program would do."""

    def __init__(
        self,
        world: World,
        name: str,
        actor_type: ActrType,
        limits: SessionLimits | None,
        contract: bytes = b"",
        realm: int = 0,
        **fields: Any,
    ) -> None:
        self.world = world
        self.name = name
        self.handlers: dict[str, Handler] = {}
        self.ran: Counter[tuple[Serial, int]] = Counter()
        """How often each call, by (caller, id), was started here."""
        self.news: list[tuple[News, str]] = []
        self.peer = b""
        self.is_up = True
        self.is_stopped = False
        self._stopped_at = 0
        self._kept: list[Callable[[], None]] = []
        self._work: dict[Execution, Callable[[], None] | None] = {}
        self._timer_at: int | None = None
        self._due: int | None = None
        """The session's next deadline, as it was after the last turn."""
        self._spins = 0
        port = 10_000 + 2 * len(world.nodes)
        self.data, self.grants = f"tcp://127.0.0.1:{port}", f"tcp://127.0.0.1:{port + 1}"
        register = Register(0, PROTOCOL, b"", realm, actor_type, name, data=self.data, stream_memory=64 << 20, **fields)
        self.session = Session(
            register,
            lambda route: True if route in self.handlers else None,
            world.dice.randbytes,
            world.now,
            limits,
            self.grants,
            contract,
        )

    @property
    def id(self) -> ActrId:
        """Its present identity."""
        return self.session.id

    def connect(self) -> None:
        """Try until the broker is there."""
        if not self.is_up or self.peer:
            return
        if not self.world.broker.is_up:
            self.world.after(RECONNECT, self.connect)
            return
        self.peer = self.world.dice.randbytes(5)
        self.world.connections[self.peer] = self
        self._guarded(lambda: self.session.connected(self.world.now))

    def reset(self) -> None:
        """Break its control connection: what is in flight is lost, both ways."""
        if self.peer:
            del self.world.connections[self.peer]
            self.peer = b""
            self._guarded(lambda: self.session.disconnected(self.world.now))
            self.world.after(RECONNECT, self.connect)

    def kill(self) -> None:
        """End at once."""
        self.is_up = False
        self._kept.clear()
        if self.peer:
            del self.world.connections[self.peer]
            self.peer = b""

    def stop(self) -> None:
        """Be stopped, as by SIGSTOP."""
        self.is_stopped = True
        self._stopped_at = self.world.now

    def resume(self) -> None:
        """Go on; the watchdog tells how long it was."""
        self.is_stopped = False
        gap = self.world.now - self._stopped_at
        self._guarded(lambda: self.session.paused(gap, self.world.now))
        kept, self._kept = self._kept, []
        for deed in kept:
            deed()

    def receive(self, frames: list[bytes]) -> None:
        """A message of the control plane has come."""
        self._guarded(lambda: self._receive(frames))

    def receive_plane(self, frames: list[bytes], relayed: int | None) -> None:
        """A message of the stream plane has come."""
        self._guarded(lambda: self._receive_plane(frames, relayed))

    def do(self, deed: Callable[[Session, int], Any]) -> Any:
        """Ask something of the session, as a program would."""
        result = deed(self.session, self.world.now)
        self.turn()
        return result

    def turn(self) -> None:
        """What a shell does in one turn of its loop."""
        world, session = self.world, self.session
        if self._due is not None and self._due <= world.now:
            session.tick(world.now)
        while turn := session.take_turn():
            self._carry_out(turn)
        for outgoing in session.outgoing(world.now):
            parcel = outgoing.parcel
            batch = Batch(outgoing.sent_at, [*parcel.envelopes], tuple(parcel.settled), tuple(parcel.large))
            world.to_broker(self, [outgoing.to, encode_batch(batch), *parcel.bodies])
        for stream_parcel in session.streams.outgoing(lambda via: False):
            world.to_stream_plane(self, stream_parcel)
        self._arm()

    def later(self, delay: int, deed: Callable[[], None]) -> None:
        """The node does `deed` in `delay` milliseconds, and a turn after it: not while it is stopped, nor when dead."""
        self.world.after(delay, lambda: self._guarded(deed))

    def finish(self, execution: Execution, outcome: bytes | ActrRuntimeError) -> None:
        """A handler has ended, unless it was cancelled."""
        if execution in self._work:
            del self._work[execution]
            self.session.finish(execution, outcome, self.world.now)

    def on_cancel(self, execution: Execution, deed: Callable[[], None]) -> None:
        """What to do when the handler is cancelled."""
        self._work[execution] = deed

    def _arm(self) -> None:
        """One timer, for the session's next deadline: it does nothing but what this wakes it for."""
        deadline = self._due = self.session.next_deadline()
        self._spins = self._spins + 1 if deadline is not None and deadline <= self.world.now else 0
        if self._spins > SPINS:
            raise AssertionError(f"{self.name} wants to tick again and again: its next deadline is {deadline}, past")
        if deadline is not None and (self._timer_at is None or deadline < self._timer_at):
            self._timer_at = max(deadline, self.world.now + 1)
            self.world.after(self._timer_at - self.world.now, partial(self._fire, self._timer_at))

    def _fire(self, at: int) -> None:
        if self._timer_at == at:
            self._timer_at = None
            self._guarded(lambda: None)

    def _guarded(self, deed: Callable[[], None]) -> None:
        if not self.is_up:
            return
        if self.is_stopped:
            self._kept.append(lambda: self._guarded(deed))
            return
        deed()
        self.turn()

    def _receive(self, frames: list[bytes]) -> None:
        address, header, *bodies = frames
        size = sum(map(len, frames[1:])) + MESSAGE_OVERHEAD
        if address:
            self.session.receive(decode_serial(address), decode_batch(header, bodies), None, size, self.world.now)
            return
        batch, returned = decode_from_broker(header, bodies)
        self.session.receive(None, batch, returned, size, self.world.now)

    def _receive_plane(self, frames: list[bytes], relayed: int | None) -> None:
        if relayed is not None:
            self.session.registration.relayed = relayed
        self.session.streams.arrived(decode_stream_messages(frames[0], frames[1:]), self.world.now)

    def _carry_out(self, turn: Turn) -> None:
        for waiter, outcome in turn.resolve:
            waiter(outcome)
        for receiver, frames in turn.deliver:
            receiver.sink.deliver(receiver, frames)
        for sink in turn.writable:
            sink.writable()
        for sink, outcome in turn.closed:
            sink.closed(outcome)
        for execution in turn.start:
            self._run(execution)
        for execution in turn.cancel:
            if execution in self._work:
                on_cancel = self._work[execution]
                if on_cancel is not None:
                    on_cancel()
                self.finish(execution, ActrRuntimeError("cancelled", may_have_run=True))
        self.news.extend(turn.news)

    def _run(self, execution: Execution) -> None:
        if isinstance(execution.request, Call):
            self.ran[execution.peer.serial, execution.request.id] += 1
        self._work[execution] = None
        result = self.handlers[execution.request.route](execution)
        if result is not None:
            outcome, duration = result
            self.later(duration, lambda: self.finish(execution, outcome))
