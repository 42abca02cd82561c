"""Which instance of a type gets the next call, and whether there is a next one after a failure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from actrzmq.core.backoff import full_jitter
from actrzmq.errors import ActrOverloaded, ActrRuntimeError, ActrTransportError
from actrzmq.identity import Serial
from actrzmq.wire.messages import Instance

ATTEMPTS = 5
"""How often a call to a type is made, at most."""


def choose(
    instances: Sequence[Instance],
    tried: Collection[Serial],
    open_calls: Callable[[Serial], int],
    draw: Callable[[int], int],
) -> Instance | None:
    """The one of two random instances with fewer calls of ours open; those tried before only if there is no other.

    `draw(n)` gives a random number below n. Our own open calls are fresher than any load that is told around.
    ("The Power of Two Choices", Mitzenmacher 2001; gRPC's and Envoy's least-request picking does the same.)
    """
    candidates = [one for one in instances if one.id.serial not in tried] or list(instances)
    if not candidates:
        return None
    if len(candidates) == 1:
        return candidates[0]
    first = draw(len(candidates))
    second = (first + 1 + draw(len(candidates) - 1)) % len(candidates)
    one, other = candidates[first], candidates[second]
    ones, others = open_calls(one.id.serial), open_calls(other.id.serial)
    return one if (ones, one.load) <= (others, other.load) else other


class Attempts:
    """The attempts of one call to a type. `idempotent`: by its contract, it may run twice.

    What was *rejected* (has provably not run) goes to another instance, and so does what failed and is idempotent; an
    answer, even one that is an error, is an answer.
    """

    def __init__(self, idempotent: bool) -> None:
        self._idempotent = idempotent
        self._may_have_run = False
        self.tried: set[Serial] = set()
        """Instances that have had it: others come first."""
        self._count = 0

    def failed(self, serial: Serial | None, error: ActrRuntimeError, left: int, dice: float) -> int | None:
        """The attempt at `serial` (None: none was found) failed with `left` ms to go. Returns how many to wait before
        the next attempt, or None where `error` is the outcome; it then knows whether any attempt may have run.

        `dice` is a random number from 0 to 1.
        """
        self._count += 1
        self._may_have_run = error.may_have_run = error.may_have_run or self._may_have_run
        if serial is None or self._count >= ATTEMPTS or not self._may_repeat(error):
            return None
        self.tried.add(serial)
        pause = full_jitter(self._count, dice)
        return pause if pause < left else None

    def _may_repeat(self, error: ActrRuntimeError) -> bool:
        is_about_the_instance = isinstance(error, ActrTransportError | ActrOverloaded)
        return is_about_the_instance and error.retryable and (self._idempotent or not error.may_have_run)
