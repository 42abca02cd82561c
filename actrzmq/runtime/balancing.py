"""Calls to a type: each goes to a live instance, and on to another one where that is safe.

The first call to a type watches it, so that the next ones need no question to the broker. Whom to call, and whether to
try again, is decided in `core.balance`.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Collection

from msgspec import Struct

from actrzmq.core.balance import Attempts, choose
from actrzmq.core.discovery import Change, Watched
from actrzmq.errors import ActrContractMismatch, ActrNotFound, ActrRuntimeError, ActrTimeoutError
from actrzmq.identity import ActrType, Serial
from actrzmq.net.clock import boottime_ms
from actrzmq.runtime.agreements import Agreements
from actrzmq.runtime.lookup import Lookup
from actrzmq.wire.messages import Reply

PICK_GRACE = 40
"""Milliseconds past the deadline that finding an instance may take, so that "nobody is there" can still be told."""
WATCHED_TYPES = 100
"""Types watched at the same time, at most; the one that was called longest ago makes room."""


class PreparedCall(Struct, frozen=True):
    """A call as it travels, whoever is to take it."""

    route_key: str
    body: bytes
    deadline: int
    chain: tuple[Serial, ...]
    is_signal: bool
    metadata: dict[str, str] | None


class Balancer:
    """Spreads the calls of one node over the instances of each type.

    `open_calls_to(serial)` is how many of its calls wait for that node, `call_once` makes one call to one node.
    """

    def __init__(
        self,
        lookup: Lookup,
        agreements: Agreements,
        open_calls_to: Callable[[Serial], int],
        call_once: Callable[[Serial, PreparedCall], Awaitable[Reply]],
        counters: Counter[str],
    ) -> None:
        self._lookup = lookup
        self._agreements = agreements
        self._open_calls_to = open_calls_to
        self._call_once = call_once
        self._counters = counters
        self._topics: OrderedDict[ActrType, Watched] = OrderedDict()

    async def call(self, actor_type: ActrType, call: PreparedCall, wait: bool, idempotent: bool) -> Reply:
        """Call any instance; see the module. Raises what the last attempt raised."""
        attempts = Attempts(idempotent)
        while True:
            serial = None
            try:
                serial = await self.pick(actor_type, call.route_key, attempts.tried, call.deadline, wait)
                return await self._call_once(serial, call)
            except ActrRuntimeError as error:
                dice = random.random()  # noqa: S311 - jitter is no secret
                pause = attempts.failed(serial, error, call.deadline - boottime_ms(), dice)
                if pause is None:
                    raise
            self._counters["calls.tried_again"] += 1
            await asyncio.sleep(pause / 1000)

    async def pick(
        self, actor_type: ActrType, route_key: str, tried: Collection[Serial], deadline: int, wait: bool
    ) -> Serial:
        """A live instance, none of those `tried` if there is another; `wait` for one to come, where there is none.

        A broker that is away is waited for in any case, but nothing for longer than the call itself may take.
        """
        try:
            async with asyncio.timeout((max(0, deadline - boottime_ms()) + PICK_GRACE) / 1000):
                while True:
                    try:
                        return await self._pick(actor_type, tried, deadline, wait)
                    except ActrContractMismatch as error:
                        await self._agreements.settle(error)
        except TimeoutError as error:
            if isinstance(error, ActrRuntimeError):
                raise
            raise ActrTimeoutError(f"{route_key}: nobody told in time who is of type {actor_type}; not sent") from None

    async def _pick(self, actor_type: ActrType, tried: Collection[Serial], deadline: int, wait: bool) -> Serial:
        watched = self._watch(actor_type)
        if not watched.instances or watched.is_stale:
            left = max(0, deadline - boottime_ms())
            found = await self._agreements.discover(actor_type, left if wait else 0, all=False, patience=left)
            return found[0].id.serial
        instances = list(watched.instances.values())
        agreement = self._agreements.of(actor_type)
        if agreement is not None:
            instances = await self._agreements.choose(agreement, instances, tried, deadline)
        chosen = choose(instances, tried, self._open_calls_to, random.randrange)
        if chosen is None:
            raise ActrNotFound(f"no live node of type {actor_type}; is its process running?")
        return chosen.id.serial

    def _watch(self, actor_type: ActrType) -> Watched:
        watched = self._topics.pop(actor_type, None)
        if watched is None:
            watched = self._lookup.watch(actor_type, self._looker(actor_type))
            if len(self._topics) >= WATCHED_TYPES:
                self._lookup.unwatch(self._topics.popitem(last=False)[1])
        self._topics[actor_type] = watched  # at the end: most recently used
        return watched

    def _looker(self, actor_type: ActrType) -> Callable[[Change | ActrRuntimeError], None] | None:
        """What is told when instances come and go, where their contracts matter: new ones are judged beforehand."""
        agreement = self._agreements.of(actor_type)
        if agreement is None:
            return None
        is_due = False

        def look() -> None:
            nonlocal is_due
            is_due = False
            watched = self._topics.get(actor_type)
            if watched is not None:
                self._agreements.look_at(agreement, watched.instances.values())

        def changed(change: Change | ActrRuntimeError) -> None:
            nonlocal is_due
            if (
                isinstance(change, Change) and change.is_up and not is_due
            ):  # a snapshot tells of each instance, and is looked at once
                is_due = True
                asyncio.get_running_loop().call_soon(look)

        return changed
