"""Runs a session: one turn of it for each turn of the event loop in which something happened.

A turn takes in what has come, ticks if it is time, has the outcome carried out, and sends what is to be said. So
everything that happens within one turn of the loop leaves in one batch for each destination. Stream frames that fill a
message do not wait for that.

An exception in here is a bug in a machine, whose state can't be trusted from then on. It is caught once, at this edge:
the shell closes, so that the broker and the peers hear of it, and its owner is told.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from actrzmq.core.absence import Absence
from actrzmq.core.registration import Life
from actrzmq.core.session import Session
from actrzmq.core.turn import News, Turn
from actrzmq.net.clock import boottime_ms
from actrzmq.net.context import check_descriptors, check_same_process, this_process
from actrzmq.net.link import Link
from actrzmq.net.plane import Plane
from actrzmq.net.watchdog import Watchdog

GRAIN = 20
"""Milliseconds after a turn, at most, until the session is asked when it is to be woken next."""
NEVER = 1 << 62
HEARTBEAT = 500
"""Milliseconds between two signs of life to the watchdog; how late they are is the loop's lag."""
DEREGISTER_WITHIN = 500
"""Milliseconds that the last words may take to leave."""
DESCRIPTORS = 20
"""Files that the first node of a process opens, with one way for frames and one for grants."""

log = logging.getLogger("actrzmq.node")


class Shell:
    """Sockets, timer and watchdog of one node. `carry_out` does what a Turn asks for, `broke` hears why it ended."""

    def __init__(
        self,
        url: str,
        loop: asyncio.AbstractEventLoop,
        carry_out: Callable[[Turn], None],
        broke: Callable[[Exception], None],
    ) -> None:
        self._url = url
        self._loop = loop
        self._carry_out = carry_out
        self._broke = broke
        check_descriptors(DESCRIPTORS, "a node")
        self.link = Link(url, loop, self._readable)
        self.plane = Plane(loop, self._readable)
        self.watchdog = Watchdog(url, lambda: self._session.registration.token)
        self._session: Session
        self._absence = Absence()
        self._is_awake = True  # until `start`, there is nothing to wake
        self._is_started = self._is_turning = False
        self._coming: asyncio.Handle | None = None
        self._is_closed = False
        self._process = this_process()
        self._timer: asyncio.TimerHandle | None = None
        self._tick_at = 0

    def start(self, session: Session) -> None:
        """Connect, and run `session` until `close`."""
        self._session = session
        session.registration.started(boottime_ms())
        self.link.open()
        self.plane.open()
        self.watchdog.start()
        self._is_started = True
        self._turn_soon()
        self._heartbeat()

    def close(self) -> None:
        """Release everything; what is under way is lost, except for the last words to the broker."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        self.watchdog.stop()
        self.plane.close()
        self.link.close(DEREGISTER_WITHIN)

    def wake(self) -> None:
        """Something was asked of the session: run a turn soon, once however often this is called.

        What is ripe is sent at once, so that the other end has it while the rest of this turn goes on.
        """
        if self._is_started and self._session.saying.is_ripe:
            self._guarded(self._send_early)
        elif not self._is_awake:
            self._turn_soon()

    def _turn_soon(self) -> None:
        self._is_awake = True
        self._coming = self._loop.call_soon(self._turn)

    def send_frames(self) -> None:
        """Send what waits for the stream plane now, not at the end of the turn: its receiver can begin with it."""
        self._guarded(self._send_frames_early)

    def _guarded(self, step: Callable[..., None], *arguments: int) -> None:
        if self._is_closed:
            return
        check_same_process(
            self._process
        )  # outside of what follows: in a child of a fork, nothing of this is ours to close
        try:
            step(*arguments)
        except Exception as error:  # noqa: BLE001 - the edge of the machines, see above; `broke` logs it
            try:
                self.close()
            finally:
                self._broke(error)

    def _heartbeat(self, due: int = 0) -> None:
        self._guarded(self._beat, due)

    def _beat(self, due: int) -> None:
        now = boottime_ms()
        self.watchdog.turned(now)
        registration = self._session.registration
        registration.lag = max(0, now - due) if due else 0
        if registration.life is Life.OFFLINE:
            self.link.look_elsewhere()
        away = registration.away(now)
        if self._absence.is_to_be_told(away):
            self._tell_away(away)
        self._loop.call_later(HEARTBEAT / 1000, self._heartbeat, now + HEARTBEAT)

    def _tell_away(self, away: int) -> None:
        registration = self._session.registration
        if registration.refusal:
            log.warning("the broker takes no more nodes url=%s for_ms=%d: %s", self._url, away, registration.refusal)
        elif registration.life is Life.OFFLINE:
            hint = "start it with `actrzmq-broker`, or say where it is in ACTRZMQ_BROKER or [system.broker] url"
            log.warning("no broker url=%s for_ms=%d; %s", self._url, away, hint)
        else:
            hint = "is it a broker, and is it overloaded or stopped?"
            log.warning("broker does not answer url=%s for_ms=%d; %s", self._url, away, hint)

    def _readable(self) -> None:
        if not self._is_awake:
            self._turn()

    def _turn(self) -> None:
        self._guarded(self._take_turn)

    def _take_turn(self) -> None:
        self._is_awake = self._is_turning = True  # what is asked for in here is done before the end
        session, link, plane = self._session, self.link, self.plane
        now = boottime_ms()
        session.paused(self.watchdog.take_gap(now), now)
        more = link.drain(session, now)
        more = plane.drain(session, now) or more
        is_tick = now >= self._tick_at or session.registration.is_pressing
        if is_tick:
            session.tick(now)
        turn = session.take_turn()
        if turn is not None:
            self._act(turn, now)
        self._send(now)
        plane.sweep(now)
        self._is_awake = self._is_turning = False
        # What came of carrying it out has to wait: handlers may end in there, and be followed by others without end.
        if link.look() or more or session.has_turn:
            self._turn_soon()
        if is_tick:
            self._tick_by(session.next_deadline(), now)
        else:
            self._tick_soon(now)

    def _send(self, now: int) -> None:
        session, link, plane = self._session, self.link, self.plane
        if plane.has_backlog:
            plane.flush()
        if not link.is_ready:
            link.flush()
        if session.saying.has_outgoing and link.is_ready:
            for outgoing in session.outgoing(now):
                link.send(outgoing)
        self._send_frames(now)

    def _send_early(self) -> None:
        """Send, and have no turn of its own for that where there is nothing else to be done in one."""
        now = boottime_ms()
        self._look_for_gap(now)
        self._send(now)
        if self._is_turning:
            return
        needs_turn = self.link.look() or self.plane.has_input or self._session.has_turn
        if needs_turn and not self._is_awake:
            self._turn_soon()
        elif self._is_awake and not needs_turn and self._coming is not None:
            self._coming.cancel()
            self._is_awake = False
        self._tick_soon(now)

    def _send_frames_early(self) -> None:
        now = boottime_ms()
        self._look_for_gap(now)
        self._send_frames(now)

    def _look_for_gap(self, now: int) -> None:
        """Nothing leaves before it is known whether the process was away, and is somebody else by now."""
        if not self._is_turning:
            self._session.paused(self.watchdog.take_gap(now), now)

    def _send_frames(self, now: int) -> None:
        streams = self._session.streams
        if streams.has_outgoing:
            for parcel in streams.outgoing(self.plane.is_blocked):
                self.plane.send(parcel, self._session, now)

    def _act(self, turn: Turn, now: int) -> None:
        self.watchdog.turned(now)
        if turn.gone:
            self.plane.forget(turn.gone)
        for news, _ in turn.news:
            if news is News.REGISTERED:
                registration = self._session.registration
                self.link.body_limit = self.plane.body_limit = registration.body_limit
                self.plane.relay_at(registration.relay)
        self._carry_out(turn)

    def _tick_soon(self, now: int) -> None:
        """Something has happened: tick within a moment, instead of asking all machines for their deadlines each time.

        A tick too early does no harm, and they are asked after it.
        """
        if self._tick_at - now > GRAIN:
            self._tick_by(now + GRAIN, now)

    def _tick_by(self, deadline: int | None, now: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._tick_at = None, NEVER
        if deadline is not None:
            self._tick_at = deadline
            self._timer = self._loop.call_later(max(0, deadline - now) / 1000, self._tick)

    def _tick(self) -> None:
        self._tick_at = 0
        self._turn()
