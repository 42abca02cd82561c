"""Calls to a type: each goes to a live instance, and on to another one where that is safe.

The first call to a type watches it, so that the next ones need no question to the broker. Whom to call, and whether to
try again, is decided in `core.balance`.
"""

from __future__ import annotations

import asyncio
import random
from collections import OrderedDict
from collections.abc import Collection
from typing import TYPE_CHECKING

from actrzmq.core.balance import Attempts, choose
from actrzmq.core.discovery import Watched
from actrzmq.errors import ActrNotFound, ActrRuntimeError, ActrTimeoutError
from actrzmq.identity import ActrType, Serial
from actrzmq.net.clock import boottime_ms
from actrzmq.wire.messages import Reply

if TYPE_CHECKING:
    from actrzmq.runtime.engine import Engine

PICK_GRACE = 40
"""Milliseconds past the deadline that finding an instance may take, so that "nobody is there" can still be told."""
WATCHED_TYPES = 100
"""Types watched at the same time, at most; the one that was called longest ago makes room."""


class Balancer:
    """Spreads the calls of one node over the instances of each type."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._topics: OrderedDict[ActrType, Watched] = OrderedDict()

    async def call(
        self,
        actor_type: ActrType,
        route_key: str,
        body: bytes,
        deadline: int,
        wait: bool,
        idempotent: bool,
        chain: tuple[Serial, ...],
        signal: bool,
        metadata: dict[str, str] | None,
    ) -> Reply:
        """Call any instance; see the module. Raises what the last attempt raised."""
        attempts = Attempts(idempotent)
        while True:
            serial = None
            try:
                serial = await self.pick(actor_type, route_key, attempts.tried, deadline, wait)
                return await self._engine.call_once(serial, route_key, body, deadline, chain, signal, metadata)
            except ActrRuntimeError as error:
                dice = random.random()  # noqa: S311 - jitter is no secret
                pause = attempts.failed(serial, error, deadline - boottime_ms(), dice)
                if pause is None:
                    raise
            self._engine.count("calls.tried_again")
            await asyncio.sleep(pause / 1000)

    async def pick(
        self, actor_type: ActrType, route_key: str, tried: Collection[Serial], deadline: int, wait: bool
    ) -> Serial:
        """A live instance, none of those `tried` if there is another; `wait` for one to come, where there is none.

        A broker that is away is waited for in any case, but nothing for longer than the call itself may take.
        """
        try:
            async with asyncio.timeout((max(0, deadline - boottime_ms()) + PICK_GRACE) / 1000):
                return await self._pick(actor_type, tried, deadline, wait)
        except TimeoutError as error:
            if isinstance(error, ActrRuntimeError):
                raise
            raise ActrTimeoutError(f"{route_key}: nobody told in time who is of type {actor_type}; not sent") from None

    async def _pick(self, actor_type: ActrType, tried: Collection[Serial], deadline: int, wait: bool) -> Serial:
        watched = self._watch(actor_type)
        if not watched.instances or watched.is_stale:
            left = max(0, deadline - boottime_ms())
            found = await self._engine.discover(actor_type, left if wait else 0, all=False, patience=left)
            return found[0].id.serial
        instances = list(watched.instances.values())
        chosen = choose(instances, tried, self._engine.session.open_calls_to, random.randrange)
        if chosen is None:
            raise ActrNotFound(f"no live node of type {actor_type}; is its process running?")
        return chosen.id.serial

    def _watch(self, actor_type: ActrType) -> Watched:
        watched = self._topics.pop(actor_type, None)
        if watched is None:
            watched = self._engine.watch(actor_type, None)
            if len(self._topics) >= WATCHED_TYPES:
                self._engine.unwatch(self._topics.popitem(last=False)[1])
        self._topics[actor_type] = watched  # at the end: most recently used
        return watched
