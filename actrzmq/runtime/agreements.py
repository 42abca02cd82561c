"""Discovery by contract: whoever is called keeps to what the node has locked.

What an instance is worth is decided in `core.agreement`. Here is what that takes: asking the broker for contracts, once
for each fingerprint, and comparing them with the locked one, in a thread, since that may take longer than a turn of the
loop. The locked contract itself comes from the generated code, if the program has imported it.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

from google.protobuf.descriptor_pb2 import FileDescriptorProto

from actrzmq.contracts.compatibility import Finding, Level, compare
from actrzmq.core.agreement import Agreement, Breach, short
from actrzmq.core.balance import choose
from actrzmq.core.discovery import ANSWER_WITHIN as TOLD_WITHIN
from actrzmq.core.session import Session
from actrzmq.errors import ActrContractMismatch, ActrNotFound, ActrRuntimeError
from actrzmq.identity import ActrType, Serial
from actrzmq.net.clock import boottime_ms
from actrzmq.runtime.descriptors import generated_contract
from actrzmq.runtime.limits import check_timeout, shown
from actrzmq.runtime.lookup import Lookup
from actrzmq.runtime.opening import ANSWER_WITHIN, opened
from actrzmq.runtime.tasks import Tasks
from actrzmq.wire.messages import Describe, Instance, Spec

AT_ONCE = 16
"""Fingerprints that are judged at the same time, at most."""
SETTLING_PAUSE = 100
"""Milliseconds between looks at a type, while nodes come back to a broker that was restarted."""

Files = Sequence[FileDescriptorProto]

log = logging.getLogger("actrzmq.node")


class Agreements:
    """Those of one node, by type; a type without one is not looked at."""

    def __init__(
        self,
        lookup: Lookup,
        session: Session,
        tasks: Tasks,
        counters: Counter[str],
        agreements: Mapping[ActrType, Agreement],
    ) -> None:
        self._lookup = lookup
        self._session = session
        self._tasks = tasks
        self._counters = counters
        self._agreements = agreements
        self._locked: dict[str, Files] = {}
        self._judging: dict[tuple[ActrType, str], asyncio.Task[None]] = {}

    def of(self, actor_type: ActrType) -> Agreement | None:
        """What is locked for that type, if anything is."""
        return self._agreements.get(actor_type) if isinstance(actor_type, ActrType) else None

    async def discover(
        self, actor_type: ActrType, timeout_ms: int, *, all: bool, patience: int = 0
    ) -> tuple[Instance, ...]:
        """See `Context.discover`: one that keeps to what is locked, or `all` of them, the best first."""
        agreement = self.of(actor_type)
        if agreement is None:
            return await self._lookup.discover(actor_type, timeout_ms, all=all, patience=patience)
        until = boottime_ms() + max(check_timeout(timeout_ms, may_be_zero=True), patience)
        while True:
            left = max(0, until - boottime_ms())
            found = await self._ask_for(agreement, min(timeout_ms, left), all=all, patience=min(patience, left))
            try:
                return await self._fitting(agreement, found, until + TOLD_WITHIN, all=all)
            except ActrContractMismatch as error:
                await self.settle(error)

    async def choose(
        self, agreement: Agreement, instances: Sequence[Instance], tried: Collection[Serial], deadline: int
    ) -> list[Instance]:
        """Those to choose from: what fits and was not `tried`, else what fits. Raises where there is nothing."""
        fresh = agreement.candidates(instances, tried)
        if fresh:
            return fresh
        unknown = agreement.unknown(instances, boottime_ms())
        for at in range(0, len(unknown), AT_ONCE):
            await self._judge(agreement, unknown[at : at + AT_ONCE], deadline)
            fresh = agreement.candidates(instances, tried)
            if fresh:
                return fresh
        again = agreement.candidates(instances)
        if not again:
            raise agreement.refusal(instances)
        return again

    def look_at(self, agreement: Agreement, instances: Iterable[Instance]) -> None:
        """Begin to judge what is new among them, so that it is known when it is needed."""
        for fingerprint in agreement.unknown(instances, boottime_ms())[:AT_ONCE]:
            self._begin(agreement, fingerprint)

    async def settle(self, error: ActrContractMismatch) -> None:
        """All that are there break what is locked: raise that, or return after a moment, to look again.

        After a restart of the broker those that keep to it may only not be back yet. One lease tells.
        """
        registration = self._session.registration
        restarted = registration.restarted_at
        if restarted is None or boottime_ms() - restarted > registration.lease:
            raise error
        await asyncio.sleep(SETTLING_PAUSE / 1000)

    # asking who is there

    async def _ask_for(self, agreement: Agreement, wait_ms: int, *, all: bool, patience: int) -> tuple[Instance, ...]:
        ask = self._lookup.discover
        if not all:
            wanted = agreement.preferred
            found = await ask(agreement.type, wait_ms, all=False, patience=patience, fingerprint=wanted)
            if agreement.fits(found[0]):
                return found
        return await ask(agreement.type, wait_ms, all=True, patience=patience)

    async def _fitting(
        self, agreement: Agreement, found: tuple[Instance, ...], deadline: int, *, all: bool
    ) -> tuple[Instance, ...]:
        if all:
            unknown = agreement.unknown(found, boottime_ms())
            for at in range(0, len(unknown), AT_ONCE):
                await self._judge(agreement, unknown[at : at + AT_ONCE], deadline)
            fitting = agreement.ordered(found)
            if not fitting:
                raise agreement.refusal(found)
            return tuple(fitting)
        candidates = await self.choose(agreement, found, (), deadline)
        chosen = choose(candidates, (), self._session.open_calls_to, random.randrange)
        assert chosen is not None, "there are candidates, or choose raises"
        return (chosen,)

    # judging

    async def _judge(self, agreement: Agreement, fingerprints: Sequence[str], deadline: int) -> None:
        """Judge them all, or as many as can be until the deadline. Others may wait for the same."""
        tasks = [self._begin(agreement, fingerprint) for fingerprint in fingerprints]
        await asyncio.wait(tasks, timeout=max(0, deadline - boottime_ms()) / 1000)

    def _begin(self, agreement: Agreement, fingerprint: str) -> asyncio.Task[None]:
        key = agreement.type, fingerprint
        task = self._judging.get(key)
        if task is None:
            task = self._judging[key] = self._tasks.spawn(self._judge_one(agreement, fingerprint))
            task.add_done_callback(lambda _: self._judging.pop(key))
        return task

    async def _judge_one(self, agreement: Agreement, fingerprint: str) -> None:
        self._counters["contracts.judged"] += 1
        try:
            breach = await self._breach(agreement, fingerprint)
        except ActrRuntimeError as error:
            agreement.doubted(fingerprint, error, boottime_ms())
        except Exception as bug:  # a comparison that trips over a contract must not be taken for one that fits
            log.exception("the contract can't be compared type=%s fingerprint=%s", agreement.type, fingerprint)
            broken = ActrRuntimeError(f"{agreement.type}: {short(fingerprint)} can't be compared: {shown(bug)}")
            agreement.doubted(fingerprint, broken, boottime_ms())
        else:
            agreement.judged(fingerprint, breach)
            if breach is not None:
                log.info(
                    "contract not taken type=%s fingerprint=%s: %s", agreement.type, short(fingerprint), breach.text
                )

    async def _breach(self, agreement: Agreement, fingerprint: str) -> Breach | None:
        """The first thing that it breaks; None if it fits one of those that are locked."""
        first: Finding | None = None
        offered = await self._published(
            fingerprint,
            f"{agreement.type}: nodes have the contract {short(fingerprint)}, which can't be compared with what is "
            "locked, since the broker has not got it; does its log say why?",
        )
        for wanted, alias in agreement.locked.items():
            findings = await asyncio.to_thread(compare, await self._agreed(wanted, alias), offered, Level.WIRE)
            if not findings:
                return None
            first = first or findings[0]
        assert first is not None, "an agreement has something locked"
        return Breach(first.rule, first.element, str(first))

    async def _agreed(self, fingerprint: str, alias: str) -> Files:
        """The files of a locked contract: those of generated code, else from the broker."""
        files = generated_contract(fingerprint) or self._locked.get(fingerprint)
        if files is None:
            files = self._locked[fingerprint] = await self._published(
                fingerprint,
                f"the contract that is locked for {alias} ({short(fingerprint)}) is neither in generated code that "
                "this program imports nor at the broker, so that others can't be compared with it; run `actr install` "
                f"and `actr gen`, and import what was generated for {alias}",
            )
        return files

    async def _published(self, fingerprint: str, missing: str) -> Files:
        """What the broker has under that fingerprint; raises `ActrContractMismatch` with `missing` if it has not."""
        try:
            spec: Spec = await self._lookup.ask(Describe(0, None, "", fingerprint, True), ANSWER_WITHIN)
            contract = await asyncio.to_thread(opened, spec)
        except ActrNotFound:
            raise ActrContractMismatch(missing, retryable=True) from None
        return [file.parsed() for file in contract.files]
