"""What a node tells others: at most once, and nobody answers.

Where nobody answers, nothing slows the teller down but what waits here. Tells count against the bytes that may be
unanswered at their destination, until they have been taken for sending; and when some have come back because too much
waits for their receiver, the next ones are refused for a moment. What is lost is counted, each tell by its reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from actrzmq.core.packing import metadata_bytes
from actrzmq.core.peer import Peer
from actrzmq.core.registration import Registration
from actrzmq.core.turn import News, Turn
from actrzmq.errors import ActrOverloaded, ActrTransportError
from actrzmq.wire.codec import OPEN_AT_ONCE
from actrzmq.wire.messages import Batch, Between, Reason, Tell

CONGESTED_FOR = 100
"""Milliseconds in which nothing is told to a node for which tells have come back."""
ON_THE_WAY = 16 * 1024 * 1024
"""Bytes of tells, to all nodes, that the broker may not have taken yet: sockets hold whatever they are given."""
SAY_EVERY = 10_000
"""The loss of tells is said at most once in so many milliseconds."""


class Telling:
    """Tells to all peers. `unanswered` bytes may wait for one; `post` as `Calling` has it."""

    def __init__(
        self,
        unanswered: int,
        registration: Registration,
        post: Callable[[Peer, Between, int, int], None],
        turn: Callable[[], Turn],
        counters: Counter[str],
    ) -> None:
        self._unanswered = unanswered
        self._registration = registration
        self._post = post
        self._turn = turn
        self._counters = counters
        self._lost = 0
        self._said_at: int | None = None

    def tell(self, peer: Peer, tell: Tell, now: int, *, is_local: bool) -> None:
        """Queue `tell`. Raises `ActrOverloaded` where too much waits; it was not sent then."""
        size = len(tell.body) + len(tell.route) + metadata_bytes(tell.metadata)
        outbox = peer.outbox
        waiting = peer.calls.bytes + outbox.tell_bytes
        if (waiting and waiting + size > self._unanswered) or outbox.tells >= OPEN_AT_ONCE:
            raise self._overloaded(f"{tell.route}: {outbox.tells} tells and {waiting} bytes wait for {peer.name}")
        if now < peer.congested_until:
            raise self._overloaded(f"{tell.route}: {peer.name} did not take what it was told just now")
        if not is_local:
            self._goes_by_the_broker(tell.route, size, now)
        self._post(peer, tell, size, now)

    def returned(self, peer: Peer, reason: Reason, batch: Batch, now: int) -> None:
        """`batch` could not be delivered: the tells in it are lost."""
        count = sum(isinstance(envelope, Tell) for envelope in batch.envelopes)
        if not count:
            return
        why = reason.name.lower()
        self.lost(why, count)
        if reason is Reason.CONGESTED:
            peer.congested_until = now + CONGESTED_FOR
        if self._said_at is None or now - self._said_at >= SAY_EVERY:
            self._said_at = now
            self._turn().news.append((News.TELLS_LOST, f"count={self._lost} last_to={peer.name} reason={why}"))

    def lost(self, why: str, count: int) -> None:
        """So many tells will not arrive."""
        self._lost += count
        if count:
            self._counters[f"tells.lost.{why}"] += count

    def _goes_by_the_broker(self, route: str, size: int, now: int) -> None:
        registration = self._registration
        silence, waiting = registration.silence(now), registration.told_and_not_taken
        if silence:
            raise ActrTransportError(f"{route}: the broker has been silent for {silence} ms, and a tell does not wait")
        if waiting and waiting + size > ON_THE_WAY:
            raise self._overloaded(f"{route}: the broker has not taken {waiting} bytes of tells yet")
        registration.told(size, now)

    @staticmethod
    def _overloaded(what: str) -> ActrOverloaded:
        return ActrOverloaded(
            f"{what}; it was not sent: slow down or add instances", details={"retry_after_ms": str(CONGESTED_FOR)}
        )
