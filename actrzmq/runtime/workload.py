"""What a node runs: a handler, the table of its routes, and the hooks around its life."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from google.protobuf.message import Message
from msgspec import Struct

if TYPE_CHECKING:
    from pathlib import Path

    from actrzmq.runtime.context import Context


class Route(Struct, frozen=True):
    """One method of a service: where calls to `route_key` go, and what they carry."""

    route_key: str
    """`package.Service.Method`, in the proto's own case."""
    method: str
    """The name of the handler's Python method."""
    request: type[Message]
    response: type[Message]
    idempotent: bool = False
    """True where the proto's `idempotency_level` allows a repeat."""


class Dispatcher:
    """The route table of one service; generated code and `@service` subclass it."""

    service: ClassVar[str]
    """`package.Service`."""
    exported: ClassVar[bool] = False
    """False: only the own process may call it."""
    routes: ClassVar[tuple[Route, ...]] = ()
    contract: ClassVar[Path | None] = None
    """The `contract.json` that `actr gen` wrote beside the generated code."""


class WorkloadBase:
    """A service as `ActrSystem.attach` takes it: a dispatcher, and the handler whose methods it names.

    Without `handler` the workload is its own handler. Hooks are looked up on the handler; each may take
    fewer arguments than offered. Subclass this, or use the generated `<Service>Workload(handler)`.
    """

    def __init__(self, dispatcher: Dispatcher, handler: object | None = None) -> None:
        self._dispatcher = dispatcher
        self.handler: object = self if handler is None else handler

    def get_dispatcher(self) -> Dispatcher:
        """The route table of this workload's service."""
        return self._dispatcher

    async def on_start(self, ctx: Context) -> None:
        """Before the node registers; raising stops the start."""

    async def on_ready(self, ctx: Context) -> None:
        """After the node has registered and can be discovered."""

    async def on_stop(self, ctx: Context) -> None:
        """While draining, after open work has ended and before the node deregisters."""

    async def on_error(self, ctx: Context, error: BaseException) -> None:
        """A handler or a stream callback raised `error`."""
