"""What generated `<Service>Client` classes are made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeVar

from google.protobuf.message import Message

if TYPE_CHECKING:
    from actrzmq.runtime.context import Context
    from actrzmq.runtime.dest import Dest

_Response = TypeVar("_Response", bound=Message)


class ServiceClient:
    """Calls to one service at one destination, through `ctx`."""

    def __init__(self, ctx: Context, dest: Dest) -> None:
        self._ctx = ctx
        self._dest = dest

    async def _call(
        self,
        route_key: str,
        request: Message,
        response: type[_Response],
        timeout_ms: int,
        *,
        wait: bool = False,
        metadata: Mapping[str, str] | None = None,
    ) -> _Response:
        """The decoded reply of type `response`; arguments and errors are those of `Context.call`."""
        return await self._ctx.call(
            self._dest,
            route_key,
            request,
            timeout_ms=timeout_ms,
            wait=wait,
            metadata=metadata,
            response_type=response,
        )
