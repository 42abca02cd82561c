"""What is awaited of the session: replies, and the broker's answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from actrzmq.errors import ActrRuntimeError


class Promises(set[asyncio.Future[Any]]):
    """All futures of one node that its session is to resolve."""

    def break_all(self, error: Callable[[], ActrRuntimeError]) -> None:
        """Nobody resolves them any more: each gets an `error` of its own."""
        for promise in self:
            resolver(promise)(error())


def resolver(future: asyncio.Future[Any]) -> Callable[[Any], None]:
    """A waiter for the session: it resolves `future` with what it is given, unless that is done."""

    def resolve(outcome: object) -> None:
        if future.done():
            return
        if isinstance(outcome, BaseException):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)

    return resolve
