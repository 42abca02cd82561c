"""Threads for users' functions that are plain `def`s, and may block.

There are at most `THREADS`. When all are taken, jobs wait in the order in which they came; since a stream has one job
at a time, streams take turns. A job that its stream no longer waits for is dropped if it waits, and counted if it runs:
a thread can't be cancelled, so it stays taken until the function returns. If none returns for `STANDSTILL_S`, stream
callbacks that wait are given up, so that nobody waits for ever behind functions that hang. Handlers are not: they have
a deadline.

The threads are daemons, other than those of `concurrent.futures`: a function that hangs must not outlive the program.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import Counter
from collections.abc import Callable
from contextvars import Context, copy_context
from queue import SimpleQueue

from msgspec import Struct

THREADS = 64
STANDSTILL_S = 30.0

log = logging.getLogger("actrzmq.streams")

Outcome = tuple[object, BaseException | None]
"""What a function has returned, or else raised: as a value, since a future takes no StopIteration."""


class Job(Struct, eq=False):
    """One call of a function, and who waits for it."""

    function: Callable[..., object]
    arguments: tuple[object, ...]
    context: Context
    outcome: asyncio.Future[Outcome]
    is_running: bool = False


class NoThread(Exception):
    """No thread has become free: whatever runs in them hangs."""


class Threads:
    """Threads of one node; used from its event loop only, and made when they are needed.

    They are called `name`. Where it `gives_up`, jobs that wait end as `NoThread` if no function returns for a while.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, name: str, *, gives_up: bool) -> None:
        self._loop = loop
        self._name = name
        self._gives_up = gives_up
        self._limit = THREADS
        self._patience = STANDSTILL_S
        self._started = 0
        self._busy = 0
        self._returned_count = 0
        self._ready: SimpleQueue[Job | None] = SimpleQueue()
        self._waiting: dict[Job, None] = {}
        self._look: asyncio.TimerHandle | None = None
        self._counters: Counter[str] = Counter()

    def submit(self, function: Callable[..., object], *arguments: object) -> Job:
        """Have a thread call `function`. The job's outcome may be `NoThread`."""
        job = Job(function, arguments, copy_context(), self._loop.create_future())
        if self._busy < self._limit:
            self._run(job)
        else:
            self._waiting[job] = None
            if self._gives_up and self._look is None:
                self._look = self._loop.call_later(self._patience, self._look_round, self._returned_count)
        return job

    def abandon(self, job: Job) -> None:
        """Nobody waits for it any more."""
        if not job.outcome.done():
            job.outcome.cancel()
        if job.is_running:
            self._counters["callbacks.abandoned"] += 1
        else:
            self._waiting.pop(job, None)

    def close(self) -> None:
        """Let the threads end, each when its function has returned; what waits is not begun."""
        if self._look is not None:
            self._look.cancel()
        for job in self._waiting:
            job.outcome.cancel()
        self._waiting.clear()
        for _ in range(self._started):
            self._ready.put(None)

    def statistics(self) -> dict[str, int]:
        """What runs, what waits, and what was given up."""
        return {
            "callbacks.in_threads": self._busy,
            "callbacks.waiting_for_thread": len(self._waiting),
            **self._counters,
        }

    def _run(self, job: Job) -> None:
        job.is_running = True
        self._busy += 1
        if self._busy > self._started:
            self._started += 1
            threading.Thread(target=self._work, name=f"{self._name}-{self._started}", daemon=True).start()
        self._ready.put(job)

    def _work(self) -> None:
        while (job := self._ready.get()) is not None:
            result, error = None, None
            try:
                result = job.context.run(job.function, *job.arguments)
            except BaseException as raised:  # noqa: BLE001 - whoever waits for it logs it and decides
                error = raised
            try:
                self._loop.call_soon_threadsafe(self._returned, job, result, error)
            except RuntimeError:
                return  # the loop is closed, nobody waits
            del job, result, error  # a thread that waits keeps nothing alive

    def _returned(self, job: Job, result: object, error: BaseException | None) -> None:
        job.is_running = False
        self._busy -= 1
        self._returned_count += 1
        if not job.outcome.done():
            job.outcome.set_result((result, error))
        elif error is not None:
            log.error("stream callback raised after its stream had ended", exc_info=error)
            self._counters["callbacks.raised_too_late"] += 1
        if self._waiting:
            waiting = next(iter(self._waiting))
            del self._waiting[waiting]
            self._run(waiting)

    def _look_round(self, returned_before: int) -> None:
        """Give up what waits if no function has returned since the last look."""
        self._look = None
        if self._returned_count == returned_before:
            message = (
                f"all {self._limit} threads for plain callbacks are taken, and none has become free for "
                f"{self._patience:g} s; the others hang, or should be `async def`"
            )
            waiting, self._waiting = self._waiting, {}
            for job in waiting:
                self._counters["callbacks.no_thread"] += 1
                job.outcome.set_result((None, NoThread(message)))
        elif self._waiting:
            self._look = self._loop.call_later(self._patience, self._look_round, self._returned_count)
