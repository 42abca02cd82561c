"""What a node asks its broker: who is there, who comes and goes, and what is published."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

from actrzmq.core.discovery import Watched
from actrzmq.core.session import Session
from actrzmq.core.visiting import Question
from actrzmq.errors import ActrConfigError
from actrzmq.identity import ActrType
from actrzmq.net.clock import boottime_ms
from actrzmq.runtime.limits import check_timeout
from actrzmq.runtime.promises import Promises
from actrzmq.runtime.standing import Standing
from actrzmq.wire.messages import Instance


class Lookup:
    """The questions of one node, and the types that it watches."""

    def __init__(
        self,
        session: Session,
        wake: Callable[[], None],
        standing: Standing,
        promises: Promises,
        counters: Counter[str],
    ) -> None:
        self._session = session
        self._wake = wake
        self._standing = standing
        self._promises = promises
        self.counters = counters
        self._ends: dict[Watched, Callable[[], None]] = {}

    async def discover(
        self, actor_type: ActrType, timeout_ms: int, *, all: bool, patience: int = 0, fingerprint: str = ""
    ) -> tuple[Instance, ...]:
        """Whom the broker has of that type, whatever their contracts; with that `fingerprint`, where any have it.

        `patience` is for a broker that is away, where that is more than the timeout.
        """
        self._standing.check_running()
        _check_type(actor_type, "discover")
        timeout = check_timeout(timeout_ms, may_be_zero=True)
        future: asyncio.Future[tuple[Instance, ...]] = self._standing.loop.create_future()
        query = self._session.discover(
            actor_type,
            "",
            all=all,
            timeout=timeout,
            patience=patience,
            waiter=future,
            now=boottime_ms(),
            fingerprint=fingerprint,
        )
        self._promises.add(future)
        self._wake()
        try:
            return await future
        except asyncio.CancelledError:
            self._session.cancel_discover(query, boottime_ms())
            self._wake()
            raise
        finally:
            self._promises.discard(future)

    async def ask(self, question: Question, within: int) -> Any:
        """Ask the broker about contracts or nodes; raises `ActrTransportError` without an answer in so many ms."""
        self._standing.check_running()
        future: asyncio.Future[Any] = self._standing.loop.create_future()
        query = self._session.ask(question, within, future, boottime_ms())
        self._promises.add(future)
        self._wake()
        try:
            return await future
        finally:
            self._session.visiting.cancel(query)
            self._promises.discard(future)

    def watch(
        self, actor_type: ActrType, sink: Callable[[Any], None] | None, end: Callable[[], None] | None = None
    ) -> Watched:
        """Watch a type until `unwatch`; `end` is called where the node stops before that."""
        self._standing.check_running()
        _check_type(actor_type, "watch")
        watched = self._session.watch(actor_type, "", sink, boottime_ms())
        self._wake()
        if end is not None:
            self._ends[watched] = end
        return watched

    def unwatch(self, watched: Watched) -> None:
        """Stop watching."""
        self._ends.pop(watched, None)
        self._session.unwatch(watched, boottime_ms())
        self._wake()

    def end(self) -> None:
        """The node has ended: those who watch hear of it."""
        for end in list(self._ends.values()):
            end()


def _check_type(actor_type: ActrType, what: str) -> None:
    """Raise `ActrConfigError` unless it is one."""
    if not isinstance(actor_type, ActrType):
        raise ActrConfigError(f"{what}({actor_type!r}): expected an ActrType, as in ActrType('acme', 'Echo')")
