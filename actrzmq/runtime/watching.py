"""Watching a type: who is there, and who comes and goes."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from actrzmq.core.discovery import Change, Watched
from actrzmq.errors import ActrConfigError, ActrRuntimeError
from actrzmq.identity import ActrId, ActrType
from actrzmq.runtime.inbox import waited_for_already
from actrzmq.runtime.lookup import Lookup

if TYPE_CHECKING:
    from types import TracebackType

QUEUE = 10_000
"""Changes kept for one who does not read them; over it, the older half is dropped, since `instances` is what counts."""


class Watch:
    """The live nodes of one type: `async with ctx.watch(type) as watch: async for change in watch`.

    Iterating gives each `Change`: first those that are up, then as it happens.
    """

    def __init__(self, lookup: Lookup, actor_type: ActrType) -> None:
        self._lookup = lookup
        self._type = actor_type
        self._changes: deque[Change] = deque()
        self._wakeup: asyncio.Future[None] | None = None
        self._watched: Watched | None = None
        self._is_over = False
        self._refusal: ActrRuntimeError | None = None

    @property
    def instances(self) -> list[ActrId]:
        """Who is up now and takes new work; after a restart of the broker, also who is still expected back."""
        watched = self._watched
        return [one.id for one in (*watched.instances.values(), *watched.missing.values())] if watched else []

    async def __aenter__(self) -> Watch:
        if self._watched is not None:
            raise ActrConfigError("a watch is entered once; for another one, ctx.watch(type) again")
        self._watched = self._lookup.watch(self._type, self._add, self.end)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._watched is not None:
            self._lookup.unwatch(self._watched)
            self.end()

    def __aiter__(self) -> Watch:
        return self

    async def __anext__(self) -> Change:
        """The next change; waits for as long as there is none. It ends with the node, and with the `with`.

        One task at a time: where another one waits already, `ActrStreamError`. `ActrOverloaded` if this node
        watches more than its broker tells of. Cancelling loses nothing.
        """
        if self._watched is None:
            raise ActrConfigError("a watch is to be entered first: `async with ctx.watch(type) as watch`")
        if self._wakeup is not None:
            raise waited_for_already(f"watch of {self._type}", "change")
        while not self._changes:
            if self._refusal is not None:
                raise self._refusal
            if self._is_over:
                raise StopAsyncIteration
            self._wakeup = asyncio.get_running_loop().create_future()
            try:
                await self._wakeup
            finally:
                self._wakeup = None
        return self._changes.popleft()

    def _add(self, change: Change | ActrRuntimeError) -> None:
        if isinstance(change, ActrRuntimeError):
            self._refusal = change
            self._wake()
            return
        if len(self._changes) >= QUEUE:
            for _ in range(QUEUE // 2):
                self._changes.popleft()
            self._lookup.counters["watch.changes_dropped"] += QUEUE // 2
        self._changes.append(change)
        self._wake()

    def end(self) -> None:
        """Nothing comes any more."""
        self._is_over = True
        self._wake()

    def _wake(self) -> None:
        if self._wakeup is not None and not self._wakeup.done():
            self._wakeup.set_result(None)
