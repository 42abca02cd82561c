"""The caller's half: calls that wait for a reply, and what has been settled.

A call ends exactly once: with its Reply, with an error that says whether it may have run, or because its caller gave
up. It stays here until then, so that it can be said again after a broken connection; from then on its id is *settled*,
and rides to the callee in the next batch, which forgets it. (After RIFL: Lee et al., SOSP 2015.)
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from actrzmq.wire.messages import Call, CallId

CALL_BYTES = 64
"""What an open call counts beside its body."""


class OpenCall(Struct, eq=False, gc=True):
    """One call that waits. `waiter` belongs to the shell: it is handed back with the outcome."""

    peer: Any
    """The `Peer` it was made to."""
    call: Call
    deadline: int
    started: int
    waiter: Any
    size: int
    """What it counts against the limit of its destination."""
    sent: int = 0
    """How often it went out."""


class CallIds:
    """Numbers for the calls of this node, to whomever: no id comes twice, even if a callee was forgotten between."""

    def __init__(self) -> None:
        self.last = 0
        """The highest id given out."""

    def draw(self) -> CallId:
        """The id of the next call."""
        self.last += 1
        return CallId(self.last)


class OpenCalls(dict[CallId, OpenCall]):
    """The calls of this node to one other that wait, by their ids and in the order of these."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0
        self.settled: list[CallId] = []
        """Ids that the callee has not been told of yet."""

    def add(self, call: OpenCall) -> None:
        """From now on `call` waits."""
        self[call.call.id] = call
        self.bytes += call.size

    def settle(self, id: CallId) -> OpenCall | None:
        """Take the call out, for good; None if it no longer waits. What never went out is nothing to the callee."""
        call = self.pop(id, None)
        if call is not None:
            self.bytes -= call.size
            if call.sent:
                self.settled.append(id)
        return call

    def take_settled(self) -> list[CallId]:
        """The ids to tell the callee, once."""
        settled, self.settled = self.settled, []
        return settled
