"""Tasks that end with their node."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable, Collection, Coroutine
from functools import partial
from typing import Any, TypeVar

_Starter = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]

END_WITHIN = 1.0
"""Seconds that a task which was cancelled may take to end."""

log = logging.getLogger("actrzmq.dispatch")

_Value = TypeVar("_Value")


def starter(loop: asyncio.AbstractEventLoop) -> _Starter:
    """What runs a coroutine in a task on `loop`, at once as far as it goes without waiting where Python can do that.

    Where the program has set a task factory, that is asked.
    """
    if loop.get_task_factory() is not None:
        return loop.create_task
    if sys.version_info >= (3, 12):
        return partial(asyncio.Task, loop=loop, eager_start=True)
    return partial(asyncio.Task, loop=loop)  # what `create_task` does, without what it does besides


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
