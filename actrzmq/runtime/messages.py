"""Which method a request message belongs to: `.route_key` and `.Response` on generated classes.

protobuf's message classes can't be subclassed, but take attributes; a class shared by two generated packages
is told the same by both, since what is said of it follows from its own file alone.
"""

from __future__ import annotations

from typing import NoReturn, Protocol, TypeVar

from google.protobuf.message import Message
from msgspec import Struct

from actrzmq.errors import ActrConfigError

_Response_co = TypeVar("_Response_co", bound=Message, covariant=True)


class Request(Protocol[_Response_co]):
    """A message that knows the method it is sent to, and what that answers."""

    @property
    def route_key(self) -> str: ...

    @property
    def Response(self) -> type[_Response_co]: ...  # noqa: N802, RUF100  # named like the class that it is


class _Declared(Struct, frozen=True):
    response: type[Message]
    idempotent: bool


_declared: dict[tuple[type[Message], str], _Declared] = {}
# By the names of message and route: for a message whose class comes from another pool than the route's.
_by_name: dict[tuple[str, str], list[_Declared]] = {}


def declare(request: type[Message], route_key: str, response: type[Message], *, idempotent: bool = False) -> None:
    """Remember that `route_key` takes `request` and answers `response`. Generated code calls this."""
    found = _Declared(response, idempotent)
    _declared[request, route_key] = found
    alike = _by_name.setdefault((request.DESCRIPTOR.full_name, route_key), [])
    if found not in alike:
        alike.append(found)


def response_of(request: type[Message], route_key: str) -> type[Message] | None:
    """The response class of `route_key` for this request class, where generated code declared it."""
    found = _find(request, route_key)
    return None if found is None else found.response


def is_idempotent(request: type[Message], route_key: str) -> bool:
    """Whether the contract says that `route_key` may run twice; no, where nothing was declared."""
    found = _find(request, route_key)
    return found is not None and found.idempotent


def _find(request: type[Message], route_key: str) -> _Declared | None:
    exact = _declared.get((request, route_key))
    if exact is not None:
        return exact
    alike = _by_name.get((request.DESCRIPTOR.full_name, route_key), [])
    return alike[0] if len(alike) == 1 else None


def name_route(request: type[Message], route_key: str) -> None:
    """Give `request` its `.route_key`."""
    request.route_key = route_key  # type: ignore[attr-defined]  # the stubs that we generate declare it


def name_response(request: type[Message], response: type[Message]) -> None:
    """Give `request` its `.Response`."""
    request.Response = response  # type: ignore[attr-defined]  # the stubs that we generate declare it


def refuse(request: type[Message], attribute: str, constants: str) -> None:
    """Make reading `request.<attribute>` an `ActrConfigError`: two methods take it; `constants` names them."""
    setattr(request, attribute, _Ambiguous(request.DESCRIPTOR.full_name, attribute, constants))


class _Ambiguous:
    """An attribute that can't be read. Not an AttributeError: of that upb drops the text."""

    def __init__(self, message: str, attribute: str, constants: str) -> None:
        self._text = (
            f"{message}.{attribute}: several methods take a {message}, so it can't tell which one is meant; "
            f"use one of {constants}"
        )

    def __get__(self, instance: object, owner: object = None) -> NoReturn:
        raise ActrConfigError(self._text)
