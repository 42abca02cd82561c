"""What becomes of the error of a task that nobody awaits.

A handler may leave a task behind that sends a stream, and whoever receives it may go at any time. That is an everyday
event, which the error tells in a sentence; asyncio would tell it as it tells a bug, with a traceback. So it is told in
one line. Everything else goes to asyncio as ever, and a program that has a handler of its own keeps it.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from actrzmq.errors import ActrStreamError, ActrTransportError

log = logging.getLogger("actrzmq.streams")


def tell_briefly(loop: asyncio.AbstractEventLoop) -> None:
    """Have `loop` tell of tasks that died with their stream in one line each."""
    if loop.get_exception_handler() is None:
        loop.set_exception_handler(_tell)


def _tell(loop: asyncio.AbstractEventLoop, complaint: dict[str, Any]) -> None:
    error, task = complaint.get("exception"), complaint.get("future")
    if isinstance(task, asyncio.Task) and isinstance(error, ActrStreamError | ActrTransportError):
        coroutine = getattr(task.get_coro(), "__qualname__", "")
        log.warning("a task that nobody awaits has ended task=%r coroutine=%s: %s", task.get_name(), coroutine, error)
    else:
        loop.default_exception_handler(complaint)
