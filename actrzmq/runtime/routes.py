"""The routes of one node: which method of which workload answers to a route key."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from google.protobuf.message import Message
from msgspec import Struct

from actrzmq.errors import ActrConfigError
from actrzmq.runtime.workload import Route, WorkloadBase


class Target(Struct, frozen=True):
    """Where calls to one route key go."""

    route: Route
    method: Callable[..., Any]
    workload: WorkloadBase
    is_exported: bool
    is_async: bool


class Routes(dict[str, Target]):
    """The targets of all workloads of one node, by route key."""

    def __init__(self, workloads: Sequence[WorkloadBase]) -> None:
        super().__init__()
        for workload in workloads:
            dispatcher = workload.get_dispatcher()
            for route in dispatcher.routes:
                method = getattr(workload.handler, route.method, None)
                if not callable(method):
                    raise ActrConfigError(
                        f"{type(workload.handler).__name__} has no method {route.method}, which {route.route_key} needs"
                    )
                if route.route_key in self:
                    raise ActrConfigError(f"{route.route_key} is served by two of the workloads attached")
                is_async = inspect.iscoroutinefunction(method)
                self[route.route_key] = Target(route, method, workload, dispatcher.exported, is_async)

    def is_exported(self, route_key: str) -> bool | None:
        """May other processes call `route_key`? None if there is no such route."""
        target = self.get(route_key)
        return None if target is None else target.is_exported

    def response_of(self, route_key: str) -> type[Message] | None:
        """What the method of `route_key` returns; None if there is no such route."""
        target = self.get(route_key)
        return None if target is None else target.route.response
