"""What is awaited of the session: replies, and the broker's answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from actrzmq.errors import ActrRuntimeError


def resolve_all(outcomes: Iterable[tuple[Any, Any]]) -> None:
    """Give each waiter (a future that only the session resolves, or a function) what it waits for."""
    for waiter, outcome in outcomes:
        if type(waiter) is not asyncio.Future and not asyncio.isfuture(waiter):
            waiter(outcome)
        elif not waiter.done():
            if isinstance(outcome, BaseException):
                waiter.set_exception(outcome)
            else:
                waiter.set_result(outcome)


class Promises(set[asyncio.Future[Any]]):
    """All futures of one node that its session is to resolve."""

    def break_all(self, error: Callable[[], ActrRuntimeError]) -> None:
        """Nobody resolves them any more: each gets an `error` of its own."""
        resolve_all((promise, error()) for promise in self)
