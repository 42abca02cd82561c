"""Tasks that end with their node."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Coroutine
from typing import Any, TypeVar

END_WITHIN = 1.0
"""Seconds that a task which was cancelled may take to end."""

log = logging.getLogger("actrzmq.dispatch")

_Value = TypeVar("_Value")


class Tasks:
    """The tasks of one node that are no handlers."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._tasks: set[asyncio.Task[Any]] = set()

    def spawn(self, coroutine: Coroutine[Any, Any, _Value]) -> asyncio.Task[_Value]:
        """Run `coroutine` in a task that ends with the node at the latest."""
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def end(self) -> None:
        """End all that still run."""
        await end_tasks(self._tasks)


async def end_tasks(tasks: Collection[asyncio.Task[Any]]) -> None:
    """Cancel them and wait for their end, but not for long: one that will not be cancelled is named and left behind."""
    others = [task for task in tasks if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    if others:
        _, stubborn = await asyncio.wait(others, timeout=END_WITHIN)
        for task in stubborn:
            log.error("does not end when cancelled: %s", task.get_coro())
