"""A visitor: an invisible node by which a tool looks around, calls and listens, and which nobody expects back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from msgspec import Struct

from actrzmq.contracts.bundle import Contract, Published
from actrzmq.errors import ActrConfigError, ActrTransportError
from actrzmq.identity import MAX_REALM, ActrId, ActrType
from actrzmq.manifest import values
from actrzmq.manifest.model import MANIFEST_NAME, Manifest
from actrzmq.net.clock import boottime_ms
from actrzmq.runtime.context import Context
from actrzmq.runtime.engine import Engine
from actrzmq.runtime.limits import check_name, check_timeout
from actrzmq.runtime.opening import ANSWER_WITHIN, opened
from actrzmq.wire.messages import DeadLetter, Describe, Facts, Inspect, Inspected, Listed, ListNodes, Spec

VISITOR = ActrType("actrzmq", "Visitor")
NAME = "visitor"


class NodeInfo(Struct, frozen=True):
    """A node of the realm, as the broker sees it."""

    id: ActrId
    name: str
    visible: bool
    state: str
    """"up", "draining", "lagging" or "unreachable"."""
    pid: int
    host: str
    uptime_ms: int
    lag_ms: int
    """How late its event loop was, when it last said."""
    calls: int
    streams: int
    fingerprint: str
    """Of its contract; empty where it publishes none."""
    version: str
    """Of actrzmq."""


class Letter(Struct, frozen=True):
    """Something that was dropped, without what was in it; how often, where it was just the same."""

    reason: str
    what: str
    """"call", "tell", "reply", "frames" or, where the broker could not look inside, "message" or its kind."""
    name: str
    """The route or the stream id; empty where who dropped it could not know."""
    sender: str
    to: str
    by: str
    """Who dropped it: "broker", or the id of a node."""
    count: int
    age_ms: int
    """How long ago it was told for the last time."""


class Account(Struct, frozen=True):
    """What a broker says of itself."""

    counts: dict[str, int]
    """What there is, and what was counted since it started, by name."""
    letters: tuple[Letter, ...]
    """The dead letters of the visitor's realm, the latest first."""


class Visitor:
    """What a tool looks around with."""

    def __init__(self, engine: Engine) -> None:
        self._lookup = engine.lookup
        self._registration = engine.session.registration
        self.context = Context(engine.parts)
        """What it discovers, calls and streams with."""

    @property
    def away_ms(self) -> int:
        """For how long the broker has been away; 0 while it is there."""
        return self._registration.away(boottime_ms())

    @property
    def epoch(self) -> int:
        """Which start of the broker this is: another number after each restart."""
        return self._registration.epoch

    async def describe(
        self, actor_type: ActrType | None = None, name: str = "", fingerprint: str = "", with_files: bool = True
    ) -> Published:
        """The contract published under these, as far as they are given; `with_files` False: its facts alone.

        Without a fingerprint: the newest one of live instances, else the newest one. Raises `ActrNotFound` where there
        is none, `ActrTransportError` where the broker can't give it now or does not answer.
        """
        if actor_type is not None and not isinstance(actor_type, ActrType):
            raise ActrConfigError(f"describe({actor_type!r}): expected an ActrType, as in ActrType('acme', 'Echo')")
        if actor_type is None and not name and not fingerprint:
            raise ActrConfigError("describe: say of which type, name or fingerprint")
        for text, what in ((name, "name"), (fingerprint, "fingerprint")):
            if text:
                check_name(text, what)
        spec: Spec = await self._lookup.ask(Describe(0, actor_type, name, fingerprint, with_files), ANSWER_WITHIN)
        if not with_files:
            return _published(spec.facts)
        # Checking a large one takes a while, and the loop has a broker to answer.
        return _published(spec.facts, await asyncio.to_thread(opened, spec))

    async def nodes(self) -> tuple[NodeInfo, ...]:
        """All nodes of the realm that are registered, this visitor among them, in the order of their ids."""
        rows: tuple[Listed, ...] = await self._lookup.ask(ListNodes(0), ANSWER_WITHIN)
        return tuple(sorted(map(_info, rows), key=lambda node: str(node.id)))

    async def account(self) -> Account:
        """What the broker has counted, in all realms, and the dead letters of this one."""
        inspected: Inspected = await self._lookup.ask(Inspect(0), ANSWER_WITHIN)
        return Account(inspected.counts, tuple(map(_letter, inspected.letters)))


@asynccontextmanager
async def visit(url: str, realm: int = 0, timeout_ms: int = 3_000) -> AsyncIterator[Visitor]:
    """Visit the broker at `url`, for the length of the `async with`; others neither find nor expect the visitor.

    Raises `ActrTransportError` naming the address if no broker answers in time, `ActrConfigError` for an address or a
    realm that can't be one. What is open when the block ends, ends.
    """
    wrong = values.broker_address(url)
    if wrong:
        raise ActrConfigError(f"broker address {url!r} {wrong}")
    if not 0 <= realm <= MAX_REALM:
        raise ActrConfigError(f"realm {realm!r}: expected 0 to {MAX_REALM}")
    timeout = check_timeout(timeout_ms)
    manifest = Manifest(
        path=Path(MANIFEST_NAME), name=NAME, actor_type=VISITOR, broker_url=url, realm=realm, visible=False
    )
    engine = Engine(manifest, (), visiting=True)
    try:
        await _arrive(engine, url, timeout)
        yield Visitor(engine)
    finally:
        await engine.leave()


async def _arrive(engine: Engine, url: str, within_ms: int) -> None:
    try:
        async with asyncio.timeout(within_ms / 1000):
            await engine.start()
    except TimeoutError:
        raise ActrTransportError(
            f"no broker answers at {url} within {within_ms} ms; is actrzmq-broker running there?"
        ) from None


def _published(facts: Facts, contract: Contract | None = None) -> Published:
    return Published(
        name=facts.name,
        actor_type=facts.type,
        realm=facts.realm,
        fingerprint=facts.fingerprint,
        description=facts.description,
        tags=facts.tags,
        published_at=facts.published_at,
        live=facts.live,
        contract=contract,
    )


def _letter(letter: DeadLetter) -> Letter:
    return Letter(
        reason=letter.reason,
        what=letter.what,
        name=letter.name,
        sender=letter.sender,
        to=letter.to,
        by=letter.by,
        count=letter.count,
        age_ms=letter.age,
    )


def _info(row: Listed) -> NodeInfo:
    return NodeInfo(
        id=row.id,
        name=row.name,
        visible=row.visible,
        state=row.state.name.lower(),
        pid=row.pid,
        host=row.host,
        uptime_ms=row.uptime,
        lag_ms=row.lag,
        calls=row.calls,
        streams=row.streams,
        fingerprint=row.fingerprint,
        version=row.version,
    )
