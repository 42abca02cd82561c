"""Runs the hooks of workloads."""

from __future__ import annotations

import inspect
import logging

from actrzmq.runtime.context import Context
from actrzmq.runtime.workload import WorkloadBase

log = logging.getLogger("actrzmq.node")


async def run_hook(workload: WorkloadBase, name: str, *arguments: object) -> None:
    """Run a hook of `workload` with as many of the arguments as it takes; its errors are the caller's business."""
    hook = getattr(workload.handler, name, None) or getattr(workload, name)
    parameters = inspect.signature(hook).parameters.values()
    takes_any = any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters)
    result = hook(*(arguments if takes_any else arguments[: len(parameters)]))
    if result is not None:
        await result


async def run_on_error(workload: WorkloadBase, context: Context, error: BaseException) -> None:
    """Tell the workload's `on_error` hook."""
    try:
        await run_hook(workload, "on_error", context, error)
    except Exception:  # the user's code: nobody waits for it who could be told, and the node goes on
        log.exception("on_error raised workload=%s", type(workload.handler).__name__)
