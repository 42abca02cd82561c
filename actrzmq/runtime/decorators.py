"""Services without generated code: a class, a decorator, and the annotations of its methods."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from typing import Any, TypeVar, overload

from google.protobuf.message import Message

from actrzmq.errors import ActrConfigError
from actrzmq.runtime.limits import check_name
from actrzmq.runtime.messages import declare
from actrzmq.runtime.workload import Dispatcher, Route, WorkloadBase

_Method = TypeVar("_Method", bound=Callable[..., Any])
_Class = TypeVar("_Class", bound=type)

_MARK = "__actrzmq_rpc__"
_DISPATCHER = "__actrzmq_dispatcher__"


@overload
def rpc(method: _Method) -> _Method: ...


@overload
def rpc(*, route_key: str | None = ..., idempotent: bool = ...) -> Callable[[_Method], _Method]: ...


def rpc(method: Any = None, *, route_key: str | None = None, idempotent: bool = False) -> Any:
    """Mark a method of a `@service` class as callable: `@rpc`, or `@rpc(route_key="package.Service.Method")`.

    By default the route key is the service's name and the method's in CamelCase. The classes of request and response
    are those of its annotations: `async def echo(self, req: EchoRequest, ctx: Context) -> EchoResponse`. One that is
    `idempotent` may run twice: calls to a type go on to another instance even if the first one may have run it.
    """

    def mark(function: Any) -> Any:
        setattr(function, _MARK, (route_key, idempotent))
        return function

    return mark if method is None else mark(method)


def service(name: str, *, exported: bool = False) -> Callable[[_Class], _Class]:
    """Make a class the service `package.Service`: its instances can be given to `attach`.

    Not `exported`: only the own process may call it. Raises `ActrConfigError` for a method whose annotations do not
    say what it takes and returns, for two methods with one route key, and for a class without any `@rpc`.
    """
    check_name(name, "service name")

    def decorate(cls: _Class) -> _Class:
        routes = tuple(_route(cls, name, attribute, function) for attribute, function in _marked(cls))
        if not routes:
            raise ActrConfigError(f"@service({name!r}) {cls.__name__}: it has no method marked @rpc")
        keys = [route.route_key for route in routes]
        for key in keys:
            if keys.count(key) > 1:
                raise ActrConfigError(f"@service({name!r}) {cls.__name__}: two methods have the route key {key}")
        for route in routes:
            declare(route.request, route.route_key, route.response, idempotent=route.idempotent)
        members = {"service": name, "exported": exported, "routes": routes}
        setattr(cls, _DISPATCHER, type(f"{cls.__name__}Dispatcher", (Dispatcher,), members))
        return cls

    return decorate


def as_workload(given: object) -> WorkloadBase:
    """`given` as a workload: itself, or an instance of a `@service` class in one; else `ActrConfigError`."""
    if isinstance(given, WorkloadBase):
        return given
    dispatcher = getattr(given, _DISPATCHER, None)
    if dispatcher is None or isinstance(given, type):
        raise ActrConfigError(
            f"attach({given!r:.80}): expected a workload, as in <Service>Workload(handler), "
            "or an instance of a @service class"
        )
    return WorkloadBase(dispatcher(), given)


def _marked(cls: type) -> list[tuple[str, Any]]:
    return [(name, function) for name, function in inspect.getmembers(cls, callable) if hasattr(function, _MARK)]


def _route(cls: type, name: str, attribute: str, function: Any) -> Route:
    route_key, idempotent = getattr(function, _MARK)
    where = f"{cls.__name__}.{attribute}"
    try:
        hints = typing.get_type_hints(function)
    except NameError as error:
        raise ActrConfigError(f"{where}: its annotations name something that is not there: {error}") from None
    parameters = [parameter for parameter in inspect.signature(function).parameters if parameter != "self"]
    if len(parameters) != 2:
        raise ActrConfigError(f"{where}: expected the parameters (self, req, ctx)")
    request, response = hints.get(parameters[0]), hints.get("return")
    for what, kind in (("its first parameter", request), ("its result", response)):
        if not (isinstance(kind, type) and issubclass(kind, Message)):
            raise ActrConfigError(
                f"{where}: expected a protobuf message class as the annotation of {what}, got {kind!r}"
            )
    key = check_name(route_key or f"{name}.{camel_case(attribute)}", "route key")
    assert isinstance(request, type)
    assert isinstance(response, type)
    return Route(key, attribute, request, response, idempotent)


def camel_case(name: str) -> str:
    """`register_stream` as a proto names it: `RegisterStream`."""
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))
