"""Which instances of a type keep to the contract that was agreed on, and which of them come first.

An instance with a locked fingerprint is *exact*. Each other fingerprint is judged once: it *fits*, or it *breaks* what
was locked; where it can't be judged it is in *doubt*, for a while. Exact ones come first, then those that fit. The
others are not called. An instance that publishes no contract has promised nothing that it could break, and fits.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Collection, Iterable, Sequence

from msgspec import Struct

from actrzmq.errors import ActrContractMismatch, ActrRuntimeError, ActrTransportError
from actrzmq.identity import ActrType, Serial
from actrzmq.wire.messages import Instance

OPINIONS = 1_000
"""Fingerprints of one type of which it is known what they are worth, at most."""
DOUBT = 1_000
"""Milliseconds after which what could not be judged may be judged again."""


class Breach(Struct, frozen=True):
    """The first thing that a contract breaks of the locked one."""

    rule: str
    element: str
    text: str
    """All of it, in one line."""


class _Opinion(Struct, frozen=True):
    breach: Breach | None = None
    doubt: ActrRuntimeError | None = None
    until: int = 0


class Agreement:
    """What was locked for the actor type `type`: fingerprints, with the aliases that the manifest has for them."""

    def __init__(self, type: ActrType, locked: Iterable[tuple[str, str]]) -> None:
        self.type = type
        self.locked = dict(locked)
        self.preferred = next(iter(self.locked))
        """The fingerprint to ask the broker for."""
        self._opinions: OrderedDict[str, _Opinion] = OrderedDict()

    # what becomes known

    def judged(self, fingerprint: str, breach: Breach | None) -> None:
        """`fingerprint` fits (None), or breaks what was locked."""
        self._note(fingerprint, _Opinion(breach))

    def doubted(self, fingerprint: str, error: ActrRuntimeError, now: int) -> None:
        """It can't be judged now, because of `error`."""
        self._note(fingerprint, _Opinion(doubt=error, until=now + DOUBT))

    def unknown(self, instances: Iterable[Instance], now: int) -> list[str]:
        """The fingerprints that are to be judged, the most common ones first."""
        counts = Counter(one.fingerprint for one in instances)
        return [fingerprint for fingerprint, _ in counts.most_common() if self._is_unknown(fingerprint, now)]

    # whom to take

    def fits(self, instance: Instance) -> bool:
        """Whether it is known to keep to what was locked."""
        return self._is_exact(instance) or self._is_compatible(instance)

    def candidates(self, instances: Sequence[Instance], tried: Collection[Serial] = ()) -> list[Instance]:
        """The best that are there but for those `tried`: all exact ones, else all others that fit."""
        fresh = [one for one in instances if one.id.serial not in tried] if tried else instances
        return [one for one in fresh if self._is_exact(one)] or [one for one in fresh if self._is_compatible(one)]

    def ordered(self, instances: Sequence[Instance]) -> list[Instance]:
        """All that fit, exact ones first."""
        exact = [one for one in instances if self._is_exact(one)]
        return exact + [one for one in instances if not self._is_exact(one) and self._is_compatible(one)]

    def refusal(self, instances: Sequence[Instance]) -> ActrRuntimeError:
        """Why none of `instances` can be taken; at least one is there, and none fits."""
        by_name = sorted(instances, key=lambda one: (one.fingerprint, one.id))
        opinions = [(one, self._opinions.get(one.fingerprint, _Opinion())) for one in by_name]
        for one, opinion in opinions:
            if opinion.breach is not None:
                return self._mismatch(one, opinion.breach)
        for _, opinion in opinions:
            if opinion.doubt is not None:
                return _again(opinion.doubt)
        return ActrTransportError(
            f"{self.type}: the broker has not told in time what contract {by_name[0].id} has; try again later"
        )

    # private

    def _mismatch(self, instance: Instance, breach: Breach) -> ActrContractMismatch:
        alias = self.locked[self.preferred]
        offered = short(instance.fingerprint)
        return ActrContractMismatch(
            f"no live node of type {self.type} keeps to the contract that is locked for {alias} "
            f"({short(self.preferred)}): {instance.id} has {offered}, which breaks it, {breach.text}; see `actr "
            f"outdated`, and accept it with `actr install --update {alias}`, or start a node that keeps to it",
            details={"rule": breach.rule, "element": breach.element, "fingerprint": instance.fingerprint},
        )

    def _is_exact(self, instance: Instance) -> bool:
        return instance.fingerprint in self.locked

    def _is_compatible(self, instance: Instance) -> bool:
        if not instance.fingerprint:
            return True
        opinion = self._opinions.get(instance.fingerprint)
        return opinion is not None and opinion.breach is None and opinion.doubt is None

    def _is_unknown(self, fingerprint: str, now: int) -> bool:
        if not fingerprint or fingerprint in self.locked:
            return False
        opinion = self._opinions.get(fingerprint)
        return opinion is None or (opinion.doubt is not None and opinion.until <= now)

    def _note(self, fingerprint: str, opinion: _Opinion) -> None:
        self._opinions.pop(fingerprint, None)
        self._opinions[fingerprint] = opinion
        if len(self._opinions) > OPINIONS:
            self._opinions.popitem(last=False)


def short(fingerprint: str) -> str:
    """A fingerprint as people compare it."""
    return fingerprint.rpartition(":")[2][:12]


def _again(error: ActrRuntimeError) -> ActrRuntimeError:
    """A copy for one of those that it ends: callers note in it what they know."""
    return type(error)(error.message, code=error.code, details=error.details, retryable=error.retryable)
