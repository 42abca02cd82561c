"""Which method a request message belongs to: `.route_key` and `.Response` on generated classes."""

from __future__ import annotations

from google.protobuf.message import Message

_responses: dict[tuple[type[Message], str], type[Message]] = {}


def declare(request: type[Message], route_key: str, response: type[Message]) -> None:
    """Remember that `route_key` takes `request` and answers `response`. Generated code calls this."""
    _responses[request, route_key] = response


def response_of(request: type[Message], route_key: str) -> type[Message] | None:
    """The response class of `route_key` for this request class, where generated code declared it."""
    return _responses.get((request, route_key))
