"""Many deadlines, few timers."""

from __future__ import annotations

from collections.abc import Hashable
from heapq import heappop, heappush
from typing import Generic, TypeVar

BUCKET = 20
"""Deadlines are kept by buckets of this many milliseconds, and fire at their bucket's end."""
EMPTY = 64
"""Buckets that may lie empty before they are swept out, and in the long run as many as are in use."""

_Key = TypeVar("_Key", bound=Hashable)


class Deadlines(Generic[_Key]):
    """When each key is due. Adding and removing cost the same however many there are.

    A heap with lazy removal keeps what was removed until its time comes: 30 s of finished calls. Buckets keep nothing,
    and are swept out themselves when most of them are empty: 24 h of buckets are 4 million.
    """

    def __init__(self) -> None:
        self._buckets: dict[int, dict[_Key, None]] = {}  # no sets: what is due comes in the order it was added
        self._order: list[int] = []
        self._sweep_at = EMPTY
        """So many buckets are looked through for empty ones before there is another."""

    def add(self, key: _Key, at: int) -> None:
        """`key` is due at `at`."""
        number = at // BUCKET
        bucket = self._buckets.get(number)
        if bucket is None:
            if len(self._order) >= self._sweep_at:
                self._sweep()
            bucket = self._buckets[number] = {}
            heappush(self._order, number)
        bucket[key] = None

    def remove(self, key: _Key, at: int) -> None:
        """`key`, which was due at `at`, is no longer; nothing happens if it has fired."""
        bucket = self._buckets.get(at // BUCKET)
        if bucket is not None:
            bucket.pop(key, None)

    def due(self, now: int) -> list[_Key]:
        """Remove and return the keys of all buckets that have ended."""
        due: list[_Key] = []
        while self._order and (self._order[0] + 1) * BUCKET <= now:
            due.extend(self._buckets.pop(heappop(self._order)))
        return due

    def next_deadline(self) -> int | None:
        """When the first bucket ends; one whose keys are all gone costs a look and no more."""
        return (self._order[0] + 1) * BUCKET if self._order else None

    def _sweep(self) -> None:
        self._buckets = {number: bucket for number, bucket in self._buckets.items() if bucket}
        self._order = sorted(self._buckets)
        self._sweep_at = EMPTY + 2 * len(self._order)

    def __len__(self) -> int:
        return sum(map(len, self._buckets.values()))


def earlier(one: int | None, other: int | None) -> int | None:
    """The earlier of two deadlines, where None is none at all."""
    if one is None or other is None:
        return one if other is None else other
    return min(one, other)
