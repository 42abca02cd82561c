"""Which calls of one caller this node has seen, and what it answered.

An entry lives exactly until its caller has settled it. The floor is the highest id that the caller has accounted for in
an Outstanding: what comes below it, and is neither known here nor was listed as open, is from before and never runs.
"""

from __future__ import annotations

from collections.abc import Iterable

from actrzmq.core.execution import Execution
from actrzmq.wire.messages import CallId


class Answers(dict[CallId, Execution]):
    """Executions, running or done, of one caller's calls that it has not settled."""

    def __init__(self) -> None:
        super().__init__()
        self.floor = 0
        """Up to here all is accounted for by the caller: what is not known was settled, or is listed in `_owed`."""
        self._owed: set[CallId] = set()  # listed as open, and not seen yet: the caller says them again

    def is_stale(self, id: CallId) -> bool:
        """Was that call settled before, so that it must not run again?"""
        return id <= self.floor and id not in self and id not in self._owed

    def add(self, id: CallId, execution: Execution) -> None:
        """Remember it until it is settled."""
        self[id] = execution
        if self._owed:
            self._owed.discard(id)

    def settle(self, ids: Iterable[CallId]) -> list[Execution]:
        """Forget these; returns the ones that were there."""
        if self._owed:
            self._owed.difference_update(ids)
        return [found for id in ids if (found := self.pop(id, None)) is not None]

    def keep_only(self, outstanding: Iterable[CallId], upto: int) -> list[Execution]:
        """Forget all up to `upto` that are not outstanding; returns them."""
        keep = set(outstanding)
        self.floor = max(self.floor, upto)
        self._owed = keep.difference(self)
        return self.settle([id for id in self if id <= upto and id not in keep])

    def ids(self) -> tuple[CallId, ...]:
        """The calls that were seen, and are not settled."""
        return tuple(self)

    def forget(self) -> list[Execution]:
        """The caller is gone: forget everything; returns it."""
        gone = list(self.values())
        self.clear()
        return gone
