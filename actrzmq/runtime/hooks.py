"""Runs the hooks of workloads."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import Counter

from actrzmq.runtime.context import Context
from actrzmq.runtime.tasks import Tasks
from actrzmq.runtime.workload import WorkloadBase

AT_ONCE = 64
"""`on_error` hooks of one node that run at the same time."""
WITHIN_S = 10.0
"""Seconds that each may take."""

log = logging.getLogger("actrzmq.node")


async def run_hook(workload: WorkloadBase, name: str, *arguments: object) -> None:
    """Run a hook of `workload` with as many of the arguments as it takes; its errors are the caller's business."""
    hook = getattr(workload.handler, name, None) or getattr(workload, name)
    parameters = inspect.signature(hook).parameters.values()
    takes_any = any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters)
    result = hook(*(arguments if takes_any else arguments[: len(parameters)]))
    if result is not None:
        await result


class ErrorHooks:
    """Tells `on_error` hooks: so many at a time, and none for longer than they may take."""

    def __init__(self, tasks: Tasks, counters: Counter[str]) -> None:
        self._tasks = tasks
        self._counters = counters
        self._running = 0

    def tell(self, workload: WorkloadBase, context: Context, error: BaseException) -> None:
        """Have the hook of `workload` run soon. While too many run, it is left out and counted."""
        if self._running >= AT_ONCE:
            self._counters["on_error.left_out"] += 1
            return
        self._running += 1
        self._tasks.spawn(self._run(workload, context, error)).add_done_callback(self._ended)

    def _ended(self, _: asyncio.Task[None]) -> None:
        self._running -= 1

    async def _run(self, workload: WorkloadBase, context: Context, error: BaseException) -> None:
        name = type(workload.handler).__name__
        try:
            async with asyncio.timeout(WITHIN_S) as limit:
                await run_hook(workload, "on_error", context, error)
        except Exception:  # the user's code: nobody waits for it who could be told, and the node goes on
            if limit.expired():
                self._counters["on_error.cut_off"] += 1
                log.error("on_error has not ended within %g s, and was cancelled workload=%s", WITHIN_S, name)
            else:
                log.exception("on_error raised workload=%s", name)
