"""What came back because too much waits for its receiver, and is said again after a pause that grows.

Those who made a call or asked for a stream are told at once, and may go elsewhere; but an earlier copy may have got
through, so a call that was sent before is not given up, and the peer is told that the stream is not open. Bodies are
not kept here: who made a call or answered one has it. What is asked
for again when it does not come (Grant, Probe, End, Resend, EndAck) needs no help.
"""

from __future__ import annotations

from collections import Counter
from heapq import heappop, heappush

from msgspec import structs

from actrzmq.core.peer import Peer
from actrzmq.wire.messages import Call, Cancel, Envelope, Opened, OpenRefused, OpenStream, Outstanding, Reply, Reset

FIRST_PAUSE = 50
"""Milliseconds before the first repeat; each refusal in a row doubles it."""
DOUBLINGS = 5
MOST = 65_536
"""Envelopes that wait; what comes back beyond that is counted and let go."""

SaidOnce = Call | Reply | Cancel | Outstanding | OpenStream | Opened | OpenRefused | Reset
"""What the other side would not ask for again if it were lost."""


class Undelivered:
    """Envelopes to be said again, by their time."""

    def __init__(self, counters: Counter[str]) -> None:
        self._counters = counters
        self._queue: list[tuple[int, int, Peer, SaidOnce]] = []
        self._count = 0

    def add(self, peer: Peer, envelope: Envelope, now: int) -> None:
        """Keep `envelope` if it is of the kind that must be said again. `peer.congestion` counts the refusals."""
        if isinstance(envelope, SaidOnce):
            if len(self._queue) >= MOST:
                self._counters["dropped.undelivered"] += 1
                return
            if isinstance(envelope, Call | Reply) and envelope.body:
                envelope = structs.replace(envelope, body=b"")
            self._count += 1
            pause = FIRST_PAUSE << min(peer.congestion, DOUBLINGS)
            heappush(self._queue, (now + pause, self._count, peer, envelope))

    def due(self, now: int) -> list[tuple[Peer, SaidOnce]]:
        """Remove and return what is to be said again now."""
        due = []
        while self._queue and self._queue[0][0] <= now:
            _, _, peer, envelope = heappop(self._queue)
            due.append((peer, envelope))
        return due

    def clear(self) -> None:
        """Forget everything: the connection is another one."""
        self._queue.clear()

    def next_deadline(self) -> int | None:
        """When `due` has something to return."""
        return self._queue[0][0] if self._queue else None

    def __len__(self) -> int:
        return len(self._queue)
