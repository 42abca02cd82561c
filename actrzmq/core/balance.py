"""Which instance of a type gets the next call."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from actrzmq.identity import Serial
from actrzmq.wire.messages import Instance


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
