"""The callee's half: which calls run now, which wait, which are refused.

Calls start in order of arrival, at most `concurrency` at a time; `signal` calls go ahead of the others. A call whose
chain contains this node goes first, and is admitted beyond the limit: its caller's caller sits in one of the slots and
waits for it, and would wait for ever. Chains are short (16), so the excess is too.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Callable

from msgspec import Struct

from actrzmq.core.deadletters import Drops
from actrzmq.core.deadlines import Deadlines
from actrzmq.core.execution import Execution, State
from actrzmq.core.failures import failure_bytes
from actrzmq.errors import ActrOverloaded, ActrPermissionDenied, ActrRuntimeError, ActrTransportError, ActrUnknownRoute
from actrzmq.identity import Serial
from actrzmq.wire.messages import Call, Reply

RETRY_AFTER_MS = 100
MAX_CHAIN = 16
"""Nodes that a call may have come through."""


class ServingLimits(Struct, frozen=True):
    """How many calls run and wait at once, and how much memory they and the kept replies may take (bytes)."""

    concurrency: int = 256
    queue: int = 10_000
    queue_bytes: int = 64 * 1024 * 1024
    kept_bytes: int = 64 * 1024 * 1024


class Serving:
    """The queue, the slots, and the replies kept for repeats.

    `is_exported(route)` is None for a route that there is none of, else whether other processes may call it.
    """

    def __init__(
        self, limits: ServingLimits, is_exported: Callable[[str], bool | None], drops: Drops | None = None
    ) -> None:
        self._drops = Drops() if drops is None else drops
        self._limits = limits
        self._is_exported = is_exported
        self._queue: deque[Execution] = deque()
        self._signals: deque[Execution] = deque()
        self._returning: deque[Execution] = deque()  # their chains lead through here: they go first
        self._queued_bytes = 0
        self.queued = 0
        """How many calls wait for their turn."""
        self._running: set[Execution] = set()
        self._extra = 0
        self._deadlines: Deadlines[Execution] = Deadlines()
        self._kept: OrderedDict[Execution, None] = OrderedDict()  # its first entry is found at once
        self._kept_bytes = 0
        self.counters: Counter[str] = Counter()
        self.draining = False
        self.is_closed = False
        """Does the node leave? Then nothing is accepted any more, whoever waits for it."""

    def refusal(self, route: str, chain: tuple[Serial, ...], me: Serial, is_local: bool) -> ActrRuntimeError | None:
        """Why a call to `route` is not accepted now; None if it is. What is refused has not run."""
        exported = self._is_exported(route)
        if exported is None:
            return ActrUnknownRoute(f"no handler for {route} in this node; do both sides have the same contract?")
        if not exported and not is_local:
            return ActrPermissionDenied(f"{route} is local to its process: its service is not among the exports")
        if self.is_closed or (self.draining and not is_local and me not in chain):
            return ActrTransportError(f"{route}: the node is stopping and takes no new calls")
        if self.queued >= self._limits.queue or self._queued_bytes >= self._limits.queue_bytes:
            self.counters["rejected.overload"] += 1
            return ActrOverloaded(
                f"{route}: {self.queued} calls wait in this node already; slow down or add instances",
                details={"retry_after_ms": str(RETRY_AFTER_MS)},
            )
        return None

    def accept(self, execution: Execution, me: Serial, *, is_signal: bool, chain: tuple[Serial, ...]) -> None:
        """Queue it; `startable` gives it back when its turn has come."""
        if me in chain:
            execution.is_extra = True
            self._returning.append(execution)
        elif is_signal:
            self._signals.append(execution)
        else:
            self._queue.append(execution)
        self.queued += 1
        self._queued_bytes += execution.size
        self._deadlines.add(execution, execution.deadline)

    def startable(self, now: int) -> list[Execution]:
        """Those that start now. What has expired while it waited is dropped and counted, and never runs."""
        started: list[Execution] = []
        free = self._limits.concurrency - len(self._running) + self._extra
        while self.queued:
            queue = self._returning or self._signals or self._queue
            execution = queue[0]
            if execution.state is not State.QUEUED:
                queue.popleft()  # cancelled meanwhile
                continue
            if free <= 0 and not self._may_go_beyond(execution):
                break
            queue.popleft()
            self.queued -= 1
            self._queued_bytes -= execution.size
            if execution.deadline <= now:
                self._expired(execution)
                continue
            execution.state = State.RUNNING
            execution.is_extra = free <= 0  # one that may go beyond the limit, but need not, does not
            if free > 0:
                free -= 1
            else:
                self._extra += 1
            self._running.add(execution)
            started.append(execution)
        if not self.queued:
            self._queue.clear()
            self._signals.clear()
            self._returning.clear()
        return started

    def finish(self, execution: Execution, reply: Reply | None) -> bool:
        """The handler has ended. True if somebody waits for `reply`, which is kept until it is settled."""
        execution.state = State.DONE
        execution.drop_body()
        self._running.discard(execution)
        self._extra -= execution.is_extra
        self._deadlines.remove(execution, execution.deadline)
        if reply is None or execution.is_forgotten:
            return False
        execution.reply = reply
        execution.size = size = reply_bytes(reply)
        self._kept[execution] = None
        self._kept_bytes += size
        while self._kept_bytes > self._limits.kept_bytes:
            self._let_go(next(iter(self._kept)))
            self.counters["replies.let_go"] += 1
        return True

    def forget(self, execution: Execution) -> bool:
        """Its caller has settled it. True if it still runs and is to be cancelled."""
        execution.is_forgotten = True
        if execution.state is State.QUEUED:
            execution.state = State.DONE
            execution.drop_body()
            self._leave_queue(execution)
            self._deadlines.remove(execution, execution.deadline)
            self._sweep()
            return False
        self._let_go(execution)
        return execution.state is State.RUNNING

    def forget_all(self) -> list[Execution]:
        """Whom these were for is no more: what waits never runs. Returns what runs and is to be cancelled."""
        waiting = [one for one in (*self._queue, *self._signals, *self._returning) if one.state is State.QUEUED]
        unforgotten = [one for one in (*waiting, *self._running) if not one.is_forgotten]
        return [execution for execution in unforgotten if self.forget(execution)]

    def overdue(self, now: int) -> list[Execution]:
        """Running ones whose deadline has passed: their callers wait no longer, they are to be cancelled."""
        overdue = []
        for execution in self._deadlines.due(now):
            if execution.state is State.RUNNING:
                self.counters["expired.running"] += 1
                overdue.append(execution)
            elif execution.state is State.QUEUED:
                self._expired(execution)
                self._leave_queue(execution)
        return overdue

    def next_deadline(self) -> int | None:
        """When `overdue` has something to look at."""
        return self._deadlines.next_deadline()

    @property
    def open_count(self) -> int:
        """Calls that run or wait."""
        return len(self._running) + self.queued

    @property
    def running(self) -> list[Execution]:
        """Those that run now."""
        return list(self._running)

    def _expired(self, execution: Execution) -> None:
        """Its time was over before its turn had come."""
        execution.state = State.DONE
        execution.drop_body()
        self.counters["expired.queued"] += 1
        what = "call" if isinstance(execution.request, Call) else "tell"
        self._drops.note("expired.queued", what, execution.request.route, execution.peer.name)

    def _leave_queue(self, execution: Execution) -> None:
        self.queued -= 1
        self._queued_bytes -= execution.size

    def _may_go_beyond(self, execution: Execution) -> bool:
        # A chain is what the caller says it is: believed as far as chains that go through this node can be long.
        return execution.is_extra and self._extra < MAX_CHAIN * self._limits.concurrency

    def _sweep(self) -> None:
        """Cancelled ones stay in the queue until their turn; sweep them out before they are the most of it."""
        if len(self._queue) + len(self._signals) + len(self._returning) > 2 * self.queued + 64:
            self._queue = deque(one for one in self._queue if one.state is State.QUEUED)
            self._signals = deque(one for one in self._signals if one.state is State.QUEUED)
            self._returning = deque(one for one in self._returning if one.state is State.QUEUED)

    def _let_go(self, execution: Execution) -> None:
        if execution.reply is not None:
            del self._kept[execution]
            self._kept_bytes -= execution.size
            execution.reply = None


def reply_bytes(reply: Reply) -> int:
    """What `reply` takes: its body and the texts of its error."""
    return len(reply.body) if reply.failure is None else len(reply.body) + failure_bytes(reply.failure)
