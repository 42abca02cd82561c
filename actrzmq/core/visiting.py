"""The asker's half of looking around: questions to the broker about contracts and nodes.

They outlive a restart of the broker: each is asked again at every registration, until its answer or its deadline comes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import Struct, structs

from actrzmq.core.deadlines import Deadlines
from actrzmq.core.failures import error_from
from actrzmq.core.turn import Turn
from actrzmq.errors import ActrRuntimeError, ActrTransportError
from actrzmq.wire.messages import Describe, Inspect, Inspected, ListNodes, Nodes, NoSpec, Spec, ToBroker

Question = Describe | ListNodes | Inspect


class _Open(Struct):
    ask: Question
    waiter: Any
    until: int
    rows: list[Any] = []
    """Of an answer that comes in several messages."""
    counts: dict[str, int] = {}


class Visiting:
    """Open questions of one node. A waiter gets a `Spec`, a tuple of `Listed`, an `Inspected`, or the error."""

    def __init__(self) -> None:
        self._last = 0
        self._open: dict[int, _Open] = {}
        self._deadlines: Deadlines[int] = Deadlines()

    def ask(self, ask: Question, timeout: int, waiter: Any, now: int) -> Question:
        """Ask, for at most `timeout` milliseconds; returns the question with the number that it is given."""
        self._last += 1
        asked = structs.replace(ask, query=self._last)
        self._open[self._last] = _Open(asked, waiter, now + timeout)
        self._deadlines.add(self._last, now + timeout)
        return asked

    def cancel(self, query: int) -> None:
        """Nobody waits for that answer any more."""
        asked = self._open.pop(query, None)
        if asked is not None:
            self._deadlines.remove(query, asked.until)

    def answered(self, answer: Spec | NoSpec | Nodes | Inspected, turn: Turn) -> None:
        """The broker's answer, or a part of it."""
        asked = self._open.get(answer.query)
        fits = {Describe: Spec, ListNodes: Nodes, Inspect: Inspected}
        if asked is None or not isinstance(answer, (NoSpec, fits[type(asked.ask)])):
            return
        if isinstance(answer, Nodes):
            asked.rows.extend(answer.rows)
        elif isinstance(answer, Inspected):
            asked.rows.extend(answer.letters)
            asked.counts |= answer.counts
        if isinstance(answer, Nodes | Inspected) and answer.more:
            return
        self.cancel(answer.query)
        match answer:
            case Nodes():
                turn.resolve.append((asked.waiter, tuple(asked.rows)))
            case Inspected():
                turn.resolve.append((asked.waiter, Inspected(answer.query, asked.counts, tuple(asked.rows))))
            case Spec():
                turn.resolve.append((asked.waiter, answer))
            case NoSpec():
                turn.resolve.append((asked.waiter, error_from(answer.failure)))

    def again(self) -> Iterator[ToBroker]:
        """After a registration: every question, once more."""
        for asked in self._open.values():
            asked.rows.clear()
            yield asked.ask

    def fail_all(self, error: ActrRuntimeError, turn: Turn) -> None:
        """The node stops: every question ends with `error`."""
        opened, self._open = self._open, {}
        turn.resolve.extend((asked.waiter, error) for asked in opened.values())

    def tick(self, turn: Turn, now: int) -> None:
        """End the questions whose time is up."""
        for query in self._deadlines.due(now):
            asked = self._open.pop(query, None)
            if asked is not None:
                turn.resolve.append((asked.waiter, ActrTransportError("the broker has not answered in time")))

    def next_deadline(self) -> int | None:
        """When `tick` has something to look at."""
        return self._deadlines.next_deadline()
