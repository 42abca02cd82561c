"""The asker's half of discovery: questions to the broker, and topics watched.

Questions that may wait for the same topic share a watch, which ends with the first instance. So there is one way of
waiting, and it outlives a restart of the broker: questions and watches are said again at every registration.

What a broker that has restarted does not tell of yet is missing and not down, as long as it may come back: the broker
says so in its snapshot. After a lease it is asked for another one, and that tells.

A broker that is slow is not one that is away. While it is there, it has `ANSWER_WITHIN` beside the time that the asker
gives; once it has been away for `BACK_WITHIN`, a question ends when the asker's own patience does.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from actrzmq.core.deadlines import Deadlines
from actrzmq.core.failures import error_from
from actrzmq.core.turn import Turn
from actrzmq.errors import ActrNotFound, ActrRuntimeError, ActrTransportError
from actrzmq.identity import ActrId, ActrType, Serial
from actrzmq.wire.messages import (
    Changed,
    Discover,
    Found,
    Instance,
    NotFound,
    NotYet,
    NoWatch,
    Reason,
    ToBroker,
    Unwatch,
    Watch,
    Watching,
)

ANSWER_WITHIN = 5_000
"""Milliseconds that the broker has for an answer, beside what the caller would wait for an instance."""
BACK_WITHIN = 1_000
"""Milliseconds in which a broken connection is made anew; a broker that is away for longer is not just reconnecting."""


class Change(Struct, frozen=True):
    """One step of a watched topic: `up`, or down with the reason."""

    id: ActrId
    is_up: bool
    reason: str = ""


_Topic = tuple[ActrType | None, str]


class _Ask(Struct):
    ask: Discover
    waiter: Any
    wait_until: int
    """Until when a missing instance is waited for; 0: not at all."""
    patient_until: int
    """Until when a broker that is away is waited for."""
    deadline: int
    look_at: int
    """When `tick` looks at it."""
    wait: _Wait | None = None


class _Wait(Struct, eq=False):
    """A topic that the questions with these numbers wait for, in the order in which they came."""

    watch: Watch
    asks: dict[int, None] = {}

    @property
    def topic(self) -> _Topic:
        return self.watch.type, self.watch.name


class Watched(Struct, eq=False):
    """A topic that somebody watches. `instances` is what the broker says is up now; `sink` (the shell's) gets every
    Change, or the error where the broker refuses to tell.
    """

    query: int
    watch: Watch
    sink: Any
    instances: dict[Serial, Instance] = {}
    missing: dict[Serial, Instance] = {}
    """What was up before the broker restarted, and may come back: nobody has been told that it is down."""
    look_again_at: int = 0
    """When to ask what has become of the missing."""
    version: int = 0
    is_stale: bool = True
    """True until a snapshot has come on the present registration."""


class Discovery:
    """Open questions and watches of one node."""

    def __init__(self) -> None:
        self._last = 0
        self._asks: dict[int, _Ask] = {}
        self._waits: dict[_Topic, _Wait] = {}
        self._watched: dict[int, Watched] = {}
        self._deadlines: Deadlines[int] = Deadlines()

    # verbs

    def discover(
        self,
        type: ActrType | None,
        name: str,
        *,
        all: bool,
        timeout: int,
        patience: int = 0,
        waiter: Any,
        now: int,
        fingerprint: str = "",
    ) -> tuple[int, ToBroker]:
        """Ask for one instance, or `all`; `waiter` gets a tuple of `Instance`, or the error.

        An instance is waited for up to `timeout`, a broker that is away up to `patience` where that is more. Where any
        have that `fingerprint`, only those are meant.
        """
        query = self._next()
        ask = Discover(query, type, name, all, fingerprint)
        patient_until = now + max(timeout, patience)
        wait_until = now + timeout if timeout else 0
        self._asks[query] = _Ask(ask, waiter, wait_until, patient_until, patient_until + ANSWER_WITHIN, patient_until)
        self._deadlines.add(query, patient_until)
        return query, ask

    def cancel(self, query: int) -> list[ToBroker]:
        """Nobody waits for that answer any more."""
        if query not in self._asks:
            return []
        return self._wait_no_more(self._close(query))

    def watch(self, type: ActrType | None, name: str, sink: Any) -> tuple[Watched, ToBroker]:
        """Watch a topic until `unwatch`."""
        query = self._next()
        watch = Watch(query, type, name)
        watched = self._watched[query] = Watched(query, watch, sink)
        return watched, watch

    def unwatch(self, watched: Watched) -> list[ToBroker]:
        """Stop watching."""
        return [Unwatch(watched.query)] if self._watched.pop(watched.query, None) else []

    # events

    def answered(self, answer: Found | NotFound | NotYet, lease: int, turn: Turn, now: int) -> list[ToBroker]:
        """The broker's answer to a question."""
        ask = self._asks.get(answer.query)
        if ask is None:
            return []
        if isinstance(answer, Found):
            self._close(answer.query)
            turn.resolve.append((ask.waiter, answer.instances))
            return self._wait_no_more(ask)
        if isinstance(answer, NotYet) and not ask.wait_until:
            # Nobody is there since the broker restarted, which is not the caller's business: one lease tells.
            ask.wait_until = ask.deadline = now + lease
        if ask.wait_until > now:
            self._look_at(ask, ask.wait_until)
            return self._wait(ask)
        self._close(answer.query)
        turn.resolve.append((ask.waiter, _nobody(ask.ask, answer.hidden if isinstance(answer, NotFound) else 0)))
        return self._wait_no_more(ask)

    def snapshot(self, snapshot: Watching, lease: int, turn: Turn, now: int) -> list[ToBroker]:
        """All that is up at this moment."""
        wait = self._waited_for(snapshot.query)
        if wait is not None:
            return self._found(wait, snapshot.instances, turn) if snapshot.instances else []
        watched = self._watched.get(snapshot.query)
        if watched is None:
            return [Unwatch(snapshot.query)]
        fresh = {instance.id.serial: instance for instance in snapshot.instances}
        known = watched.instances | watched.missing
        lost = {serial: gone for serial, gone in known.items() if serial not in fresh}
        if lost and snapshot.expected:
            watched.look_again_at = now + lease
            self._deadlines.add(watched.query, watched.look_again_at)
        elif lost:
            for serial, gone in lost.items():
                reason = Reason.LEASE if serial in watched.missing else Reason.UNKNOWN
                _tell(turn, watched, Change(gone.id, False, reason.name))
            lost = {}
        for serial, new in fresh.items():
            if serial not in known:
                _tell(turn, watched, Change(new.id, True))
        watched.instances, watched.missing = fresh, lost
        watched.version, watched.is_stale = snapshot.version, False
        return []

    def changed(self, change: Changed, turn: Turn) -> list[ToBroker]:
        """One instance is up or down."""
        wait = self._waited_for(change.query)
        if wait is not None:
            return self._found(wait, (change.instance,), turn) if change.reason is None else []
        watched = self._watched.get(change.query)
        if watched is None or watched.is_stale:
            return []
        if change.version != watched.version + 1:
            watched.is_stale = True
            return [watched.watch]  # a gap: ask for a new snapshot
        watched.version = change.version
        serial = change.instance.id.serial
        if change.reason is None:
            is_new = serial not in watched.instances and watched.missing.pop(serial, None) is None
            watched.instances[serial] = change.instance
            if is_new:
                _tell(turn, watched, Change(change.instance.id, True))
        elif watched.instances.pop(serial, None) or watched.missing.pop(serial, None):
            _tell(turn, watched, Change(change.instance.id, False, change.reason.name))
        return []

    def refused(self, refused: NoWatch, turn: Turn) -> None:
        """The broker does not tell of a topic: who waits for it hears why. A watch is tried anew at a registration."""
        error = error_from(refused.failure)
        wait = self._waited_for(refused.query)
        if wait is not None:
            self._end(wait, error, turn)
        watched = self._watched.get(refused.query)
        if watched is not None:
            watched.is_stale = True
            if watched.sink is not None:
                turn.resolve.append((watched.sink, error))

    def again(self) -> Iterator[ToBroker]:
        """After a registration: everything that is open, once more."""
        self._waits.clear()
        for ask in self._asks.values():
            ask.wait = None
            yield ask.ask
        for watched in self._watched.values():
            watched.is_stale = True
            yield watched.watch

    def fail_all(self, error: ActrRuntimeError, turn: Turn) -> None:
        """The node stops: every question ends with `error`."""
        self._waits.clear()
        asks, self._asks = self._asks, {}
        turn.resolve.extend((ask.waiter, error) for ask in asks.values())

    # time

    def tick(self, turn: Turn, away: int, now: int) -> list[ToBroker]:
        """End the questions whose time is up, and ask what has become of the missing. The broker has been away for
        `away` milliseconds; 0: it is there.
        """
        said: list[ToBroker] = []
        for query in self._deadlines.due(now):
            ask = self._asks.get(query)
            if ask is None:
                said += self._look_again(query, now)
                continue
            again_at = ask.wait_until if ask.wait is not None else _look_again_at(ask, away, now)
            if now < again_at:
                self._look_at(ask, again_at)
                continue
            self._close(query)
            error = _nobody(ask.ask, 0) if ask.wait is not None else _no_answer(away)
            turn.resolve.append((ask.waiter, error))
            said += self._wait_no_more(ask)
        return said

    def next_deadline(self) -> int | None:
        """When `tick` has something to look at."""
        return self._deadlines.next_deadline()

    def _look_again(self, query: int, now: int) -> list[ToBroker]:
        """Ask the broker what has become of the missing: it alone knows for how long it expects them.

        A watch that is stale has a snapshot under way, or gets one at the next registration.
        """
        watched = self._watched.get(query)
        if watched is None or watched.is_stale or not watched.missing or now < watched.look_again_at:
            return []
        return [watched.watch]

    def _wait(self, ask: _Ask) -> list[ToBroker]:
        """Wait with those that wait for the same, or begin to."""
        topic = ask.ask.type, ask.ask.name
        is_new = topic not in self._waits
        if is_new:
            self._waits[topic] = _Wait(Watch(ask.ask.query, *topic))
        ask.wait = self._waits[topic]
        ask.wait.asks[ask.ask.query] = None
        return [ask.wait.watch] if is_new else []

    def _wait_no_more(self, ask: _Ask) -> list[ToBroker]:
        """This question is over; the last one that waited for its topic ends the watch."""
        wait = ask.wait
        if wait is None:
            return []
        del wait.asks[ask.ask.query]
        if wait.asks:
            return []
        del self._waits[wait.topic]
        return [Unwatch(wait.watch.query)]

    def _waited_for(self, query: int) -> _Wait | None:
        return next((wait for wait in self._waits.values() if wait.watch.query == query), None)

    def _found(self, wait: _Wait, instances: tuple[Instance, ...], turn: Turn) -> list[ToBroker]:
        self._end(wait, instances, turn)
        return [Unwatch(wait.watch.query)]

    def _end(self, wait: _Wait, outcome: tuple[Instance, ...] | ActrRuntimeError, turn: Turn) -> None:
        del self._waits[wait.topic]
        turn.resolve.extend((self._close(query).waiter, outcome) for query in wait.asks)

    def _look_at(self, ask: _Ask, at: int) -> None:
        """Have `tick` look at that question `at`, and not before."""
        self._deadlines.remove(ask.ask.query, ask.look_at)
        ask.look_at = at
        self._deadlines.add(ask.ask.query, at)

    def _close(self, query: int) -> _Ask:
        """The question with this number is over."""
        ask = self._asks.pop(query)
        self._deadlines.remove(query, ask.look_at)
        return ask

    def _next(self) -> int:
        self._last += 1
        return self._last


def _look_again_at(ask: _Ask, away: int, now: int) -> int:
    """When to look again at a question that has no answer; not after `now` if that is its end."""
    if away >= BACK_WITHIN:
        return ask.patient_until
    return min(ask.deadline, max(ask.patient_until, now + BACK_WITHIN - away))


def _tell(turn: Turn, watched: Watched, change: Change) -> None:
    if watched.sink is not None:
        turn.resolve.append((watched.sink, change))


def _nobody(ask: Discover, hidden: int) -> ActrNotFound:
    what = f"no live node of type {ask.type}" if ask.type else f"no live node that publishes {ask.name!r}"
    if hidden:
        return ActrNotFound(f"{what} takes new work: {hidden} are stopping or do not respond; try again later")
    return ActrNotFound(f"{what}; is its process running, and does it use the same broker (`actr ps` shows who does)?")


def _no_answer(away: int) -> ActrTransportError:
    if away:
        return ActrTransportError(f"no connection to the broker for {away} ms; is actrzmq-broker running?")
    return ActrTransportError("the broker is connected and does not answer; is it overloaded, or stopped?")
