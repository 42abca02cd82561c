"""What a test has left behind: tasks that still run, and sockets that are still open."""

from __future__ import annotations

import asyncio
from typing import Any

from actrzmq.net.sockets import open_sockets

PATIENCE_S = 0.2
"""Seconds that tasks have to end which are about to."""


RUNNERS = {"anyio", "pytest_asyncio"}


class LeakWarning(UserWarning):
    """Something was left behind. `-W error::actrzmq.testing.LeakWarning` makes that a failure."""


class Leaks:
    """Remembers what there is on this event loop, and tells later what has been left beside it."""

    def __init__(self) -> None:
        self._tasks = asyncio.all_tasks()
        self._sockets = open_sockets()

    async def find(self) -> list[str]:
        """What is left, one line each; nothing is good."""
        tasks = asyncio.all_tasks() - self._tasks
        tasks = {task for task in tasks if task is not asyncio.current_task() and not _is_of_runner(task)}
        if tasks:
            _, tasks = await asyncio.wait(tasks, timeout=PATIENCE_S)
        sockets = open_sockets() - self._sockets
        return [*sorted(map(_told, tasks)), *[f"an open socket, {socket.LAST_ENDPOINT!r}" for socket in sockets]]


def _told(task: asyncio.Task[Any]) -> str:
    """The task, and where it waits."""
    frames = task.get_stack(limit=1)
    where = f", waiting in {frames[-1].f_code.co_filename}:{frames[-1].f_lineno}" if frames else ""
    name = getattr(task.get_coro(), "__qualname__", repr(task))
    return f"the task {task.get_name()} ({name}){where}"


def _is_of_runner(task: asyncio.Task[Any]) -> bool:
    """Is it a task of the test runner, which waits for the very fixture that leaves the cluster?"""
    frame = getattr(task.get_coro(), "cr_frame", None)
    return frame is not None and frame.f_globals.get("__name__", "").split(".")[0] in RUNNERS
