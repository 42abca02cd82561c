"""Which calls of one caller this node has seen, and what it answered.

An entry lives exactly until its caller has settled it. The floor is the highest id that the caller has accounted for in
an Outstanding: what comes below it, and is neither known here nor was listed as open, is from before and never runs.
"""

from __future__ import annotations

from collections.abc import Iterable

from actrzmq.core.execution import Execution
from actrzmq.wire.messages import CallId


class Answers:
    """Executions, running or done, of one caller's calls."""

    def __init__(self) -> None:
        self._seen: dict[CallId, Execution] = {}
        self._floor = 0
        self._owed: set[CallId] = set()  # listed as open, and not seen yet: the caller says them again

    def get(self, id: CallId) -> Execution | None:
        """The execution of that call, if it was seen and is not settled."""
        return self._seen.get(id)

    def is_stale(self, id: CallId) -> bool:
        """Was that call settled before, so that it must not run again?"""
        return id <= self._floor and id not in self._seen and id not in self._owed

    def add(self, execution: Execution) -> None:
        """Remember it until it is settled."""
        self._seen[execution.id] = execution
        self._owed.discard(execution.id)

    def settle(self, ids: Iterable[CallId]) -> list[Execution]:
        """Forget these; returns the ones that were there."""
        self._owed.difference_update(ids)
        return [found for id in ids if (found := self._seen.pop(id, None)) is not None]

    def keep_only(self, outstanding: Iterable[CallId], upto: int) -> list[Execution]:
        """Forget all up to `upto` that are not outstanding; returns them."""
        keep = set(outstanding)
        self._floor = max(self._floor, upto)
        self._owed = keep.difference(self._seen)
        return self.settle([id for id in self._seen if id <= upto and id not in keep])

    def ids(self) -> tuple[CallId, ...]:
        """The calls that were seen, and are not settled."""
        return tuple(self._seen)

    def forget(self) -> list[Execution]:
        """The caller is gone: forget everything; returns it."""
        gone = list(self._seen.values())
        self._seen.clear()
        return gone

    def __len__(self) -> int:
        return len(self._seen)
