"""Streams that are opened before anybody has registered for them."""

from __future__ import annotations

from msgspec import Struct

from actrzmq.core.deadlines import Deadlines
from actrzmq.core.peer import Peer
from actrzmq.wire.messages import OpenStream


class EarlyOpening(Struct, eq=False):
    """An opening that came before its stream id was registered."""

    peer: Peer
    ask: OpenStream
    deadline: int


class EarlyOpenings:
    """Keeps openings for `patience` milliseconds, in the order in which they came."""

    def __init__(self, patience: int) -> None:
        self.patience = patience
        self._waiting: dict[str, list[EarlyOpening]] = {}
        self._count = 0
        self._deadlines: Deadlines[EarlyOpening] = Deadlines()

    def add(self, peer: Peer, ask: OpenStream, now: int) -> None:
        """Keep it, here and among what the peer has open with us."""
        opening = EarlyOpening(peer, ask, now + self.patience)
        self._waiting.setdefault(ask.stream_id, []).append(opening)
        peer.incoming[ask.open] = opening
        self._count += 1
        self._deadlines.add(opening, opening.deadline)

    def take(self, stream_id: str) -> list[EarlyOpening]:
        """Those of a stream id that is registered now."""
        openings = list(self._waiting.get(stream_id, ()))
        for opening in openings:
            self.drop(opening)
        return openings

    def drop(self, opening: EarlyOpening) -> None:
        """Forget it."""
        queue = self._waiting[opening.ask.stream_id]
        queue.remove(opening)
        if not queue:
            del self._waiting[opening.ask.stream_id]
        del opening.peer.incoming[opening.ask.open]
        self._count -= 1
        self._deadlines.remove(opening, opening.deadline)

    def clear(self) -> None:
        """Forget all."""
        for opening in [one for queue in self._waiting.values() for one in queue]:
            self.drop(opening)

    def expire(self, now: int) -> list[EarlyOpening]:
        """Forget and return those that nobody has registered for in time."""
        late = self._deadlines.due(now)
        for opening in late:
            self.drop(opening)
        return late

    def next_deadline(self) -> int | None:
        """When `expire` has something to look at."""
        return self._deadlines.next_deadline()

    def __len__(self) -> int:
        return self._count
