"""Who is still believed in, and until when."""

from __future__ import annotations

from heapq import heappop, heappush

from actrzmq.identity import Serial


class Leases:
    """One lease for each node, `term` milliseconds long from its last renewal."""

    def __init__(self, term: int) -> None:
        self.term = term
        self._until: dict[Serial, int] = {}
        self._queue: list[tuple[int, Serial]] = []

    def renew(self, serial: Serial, now: int) -> None:
        """Believe in `serial` for one more term, from now."""
        known = serial in self._until
        self._until[serial] = now + self.term
        if not known:
            heappush(self._queue, (now + self.term, serial))

    def drop(self, serial: Serial) -> None:
        """Forget `serial` before its time."""
        self._until.pop(serial, None)

    def expire(self, now: int) -> list[Serial]:
        """Forget and return those whose term is over."""
        gone = []
        while self._queue and self._queue[0][0] <= now:
            _, serial = heappop(self._queue)
            until = self._until.get(serial)
            if until is None:
                continue  # dropped meanwhile
            if until > now:
                heappush(self._queue, (until, serial))  # renewed meanwhile: one entry a node, however often it renews
            else:
                del self._until[serial]
                gone.append(serial)
        return gone

    def extend(self, by: int) -> None:
        """Give everyone `by` milliseconds more."""
        for serial in self._until:
            self._until[serial] += by

    def next_deadline(self) -> int | None:
        """When to look again; some leases may have been renewed by then."""
        return self._queue[0][0] if self._queue else None

    def __len__(self) -> int:
        return len(self._until)
