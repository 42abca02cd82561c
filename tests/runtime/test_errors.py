"""What a caller learns when a handler fails, and what the server's log keeps for itself."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf.wrappers_pb2 import StringValue

from actrzmq import (
    ActrConfigError,
    ActrDecodeError,
    ActrGateNotInitialized,
    ActrNotFound,
    ActrOverloaded,
    ActrPermissionDenied,
    ActrRuntimeError,
    ActrStreamError,
    ActrTimeoutError,
    ActrTransportError,
    ActrUnknownRoute,
    Context,
    Dest,
    Status,
)
from tests.runtime.harness import HIDDEN, RUN, Hidden, Script, World, ask, to

CLASSES = {
    ActrRuntimeError: Status.INTERNAL,
    ActrTransportError: Status.UNAVAILABLE,
    ActrTimeoutError: Status.DEADLINE_EXCEEDED,
    ActrDecodeError: Status.INVALID_ARGUMENT,
    ActrUnknownRoute: Status.UNIMPLEMENTED,
    ActrNotFound: Status.NOT_FOUND,
    ActrPermissionDenied: Status.PERMISSION_DENIED,
    ActrOverloaded: Status.RESOURCE_EXHAUSTED,
    ActrGateNotInitialized: Status.FAILED_PRECONDITION,
    ActrStreamError: Status.ABORTED,
    ActrConfigError: Status.INVALID_ARGUMENT,
}


def raising(make: Callable[[], BaseException]) -> Callable[[StringValue, Context], Any]:
    """A handler that raises what `make` makes, unless it is asked whether it is well."""

    async def handler(req: StringValue, ctx: Context) -> StringValue:
        if req.value == "well?":
            return StringValue(value="well")
        raise make()

    return handler


async def failure(world: World, make: Callable[[], BaseException]) -> ActrRuntimeError:
    """How the caller of a handler that raises this fails; afterwards the server is as well as before."""
    client, server = await world.pair(raising(make), "[system.dispatch]\nconcurrency = 1")
    started = time.monotonic()
    with pytest.raises(ActrRuntimeError) as caught:
        await ask(client, to(server), timeout_ms=5_000)
    assert time.monotonic() - started < 2
    assert await ask(client, to(server), "well?", timeout_ms=5_000) == "well"
    return caught.value


class Broken(Exception):
    """An error of the user's own."""


async def test_an_error_out_of_a_task_group_arrives_as_itself(world: World) -> None:
    found = ActrNotFound("nobody", details={"who": "x"})
    error = await failure(world, lambda: ExceptionGroup("of a task group", [ExceptionGroup("within", [found])]))
    assert type(error) is ActrNotFound
    assert (error.message, error.details) == ("nobody", {"who": "x"})


async def test_several_errors_out_of_a_task_group_arrive_as_internal(world: World) -> None:
    error = await failure(world, lambda: ExceptionGroup("of a task group", [ActrNotFound("a"), ActrNotFound("b")]))
    assert error.code is Status.INTERNAL
    assert "of a task group (2 sub-exceptions)" in error.message


class Unshowable(Exception):
    """One that can't be shown."""

    def __str__(self) -> str:
        raise ValueError("no text")


class Own(ActrNotFound):
    """A user's own kind of a known error."""


async def test_the_users_own_exception_arrives_as_internal_with_type_and_message(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    error = await failure(world, lambda: Broken("out of cheese"))
    assert type(error) is ActrRuntimeError
    assert error.code is Status.INTERNAL
    assert error.message == str(error) == "Broken: out of cheese"
    assert error.may_have_run
    assert error.__cause__ is None
    (record,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert record.name.startswith("actrzmq.")
    assert RUN in record.getMessage()
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], Broken)


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
async def test_each_error_of_the_library_arrives_as_itself(
    world: World, kind: type[ActrRuntimeError], caplog: pytest.LogCaptureFixture
) -> None:
    error = await failure(world, lambda: kind("no «cheese» left", details={"shelf": "3"}))
    assert type(error) is kind
    assert error.message == "no «cheese» left"
    assert error.details == {"shelf": "3"}
    assert error.code is CLASSES[kind]
    assert error.retryable is kind("x").retryable
    assert error.may_have_run
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_the_code_that_a_handler_gives_an_error_arrives_with_it(world: World) -> None:
    error = await failure(world, lambda: ActrRuntimeError("twice", code=Status.ALREADY_EXISTS, retryable=True))
    assert (error.code, error.retryable) == (Status.ALREADY_EXISTS, True)


async def test_a_users_subclass_arrives_as_the_nearest_class_that_is_known(world: World) -> None:
    error = await failure(world, lambda: Own("gone"))
    assert type(error) is ActrNotFound
    assert error.message == "gone"


@pytest.mark.parametrize(
    "make",
    [
        lambda: SystemExit(3),
        KeyboardInterrupt,
        GeneratorExit,
        asyncio.CancelledError,
        lambda: TimeoutError("t"),
        lambda: StopIteration(1),
        StopAsyncIteration,
        lambda: BaseExceptionGroup("g", [SystemExit(1)]),
        Unshowable,
        lambda: Broken("\ud800"),
        lambda: Broken("x" * 1_000_000),
        lambda: ActrNotFound("\ud800", details={"\udfff": "\udfff"}),
        lambda: ActrNotFound("x", details={str(i): "é" * 5_000 for i in range(200)}),
        lambda: ActrNotFound("x", details={"n": 5}),  # type: ignore[dict-item]
        lambda: ActrRuntimeError("x", code="NOT_FOUND"),  # type: ignore[arg-type]
        lambda: ActrRuntimeError("x", code=[]),  # type: ignore[arg-type]
        lambda: ActrRuntimeError(None),  # type: ignore[arg-type]
    ],
)
async def test_whatever_a_handler_raises_the_caller_hears_and_the_server_goes_on(
    world: World, make: Callable[[], BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    # What half a surrogate pair does to the reports of parallel test processes is not our business here.
    monkeypatch.setattr(logging.getLogger("actrzmq"), "propagate", False)
    monkeypatch.setattr(logging.getLogger("actrzmq"), "handlers", [logging.NullHandler()])
    error = await failure(world, make)
    assert error.may_have_run


async def test_an_exit_in_a_handler_is_named(world: World) -> None:
    error = await failure(world, lambda: SystemExit(3))
    assert (error.code, error.message) == (Status.INTERNAL, "SystemExit: 3")


async def test_many_long_errors_at_once_all_arrive(world: World) -> None:
    def make() -> BaseException:
        return ActrNotFound("x" * 4_000, details={str(i): "y" * 4_000 for i in range(6)})

    client, server = await world.pair(raising(make))
    calls = [ask(client, to(server), timeout_ms=5_000) for _ in range(200)]
    errors = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(error) for error in errors} == {ActrNotFound}


async def test_an_unknown_route_is_told_at_once(world: World) -> None:
    client, server = await world.pair()
    with pytest.raises(ActrUnknownRoute, match=r"test\.Script\.Walk.*same contract") as caught:
        await ask(client, to(server), route_key="test.Script.Walk", timeout_ms=5_000)
    assert not caught.value.may_have_run
    with pytest.raises(ActrUnknownRoute):
        await server.call("test.Script.Walk", b"")


async def test_an_undecodable_body_is_told_at_once_and_the_handler_does_not_run(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    ran: list[str] = []

    async def note(req: StringValue, ctx: Context) -> StringValue:
        ran.append(req.value)
        return req

    client, server = await world.pair(note)
    with pytest.raises(ActrDecodeError, match=r"3 bytes.*google\.protobuf\.StringValue") as caught:
        await client.context().call(to(server), RUN, b"\x0a\x01\xff", timeout_ms=5_000)
    assert not caught.value.may_have_run
    assert not caught.value.retryable
    assert ran == []
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_a_local_service_called_from_outside_is_refused_at_once(world: World) -> None:
    server = await world.start("Server", Script(), Hidden())
    client = await world.start("Client", Hidden())
    with pytest.raises(ActrPermissionDenied, match=r"test\.Hidden\.Run is local") as caught:
        await ask(client, to(server), "x", HIDDEN, timeout_ms=5_000)
    assert not caught.value.may_have_run
    assert await ask(client, Dest.local(), "x", HIDDEN) == "hidden x"


async def test_a_reply_that_is_too_large_is_an_error_at_the_caller(world: World) -> None:
    async def much(req: StringValue, ctx: Context) -> StringValue:
        return StringValue(value="x" * (5 << 20 if req.value == "much" else 1))

    client, server = await world.pair(much)
    with pytest.raises(ActrOverloaded, match=r"the reply of test\.Script\.Run.*at most 4194304") as caught:
        await ask(client, to(server), "much", timeout_ms=5_000)
    assert not caught.value.retryable
    assert caught.value.may_have_run
    assert await ask(client, to(server)) == "x"


@pytest.mark.parametrize("wrong", [None, "text", b"bytes", 7, Broken, Script()])
async def test_a_handler_that_returns_something_else_is_an_error_at_both_ends(
    world: World, wrong: object, caplog: pytest.LogCaptureFixture
) -> None:
    async def other(req: StringValue, ctx: Context) -> Any:
        return wrong

    client, server = await world.pair(other)
    with pytest.raises(ActrRuntimeError, match=r"returned .*, expected .*google\.protobuf\.StringValue") as caught:
        await ask(client, to(server), timeout_ms=5_000)
    assert caught.value.code is Status.INTERNAL
    assert any(RUN in record.getMessage() for record in caplog.records if record.levelno == logging.ERROR)


async def test_types_that_may_not_call_are_refused_at_once(world: World) -> None:
    rule = '[acl]\n[[acl.rules]]\npermission = "allow"\ntypes = ["acme+Friend"]'
    server = await world.start("Server", Script(), more=rule)
    friend = await world.start("Friend")
    stranger = await world.start("Stranger")
    assert await ask(friend, to(server), "hi") == "hi"
    with pytest.raises(ActrPermissionDenied) as caught:
        await ask(stranger, to(server), timeout_ms=5_000)
    assert not caught.value.may_have_run


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_each_error_has_its_status_and_its_fields(kind: type[ActrRuntimeError]) -> None:
    error = kind("m", details={"a": "b"}, retryable=True, may_have_run=True)
    assert isinstance(error, ActrRuntimeError)
    assert (error.code, error.message, error.details, error.retryable, error.may_have_run) == (
        CLASSES[kind],
        "m",
        {"a": "b"},
        True,
        True,
    )
    assert kind("m").may_have_run is False


def test_a_timeout_is_a_timeout_error_and_a_wrong_setting_a_value_error() -> None:
    assert issubclass(ActrTimeoutError, TimeoutError)
    assert issubclass(ActrConfigError, ValueError)


def test_statuses_have_the_names_and_numbers_of_grpc() -> None:
    assert {status.name: status.value for status in Status} == {
        "OK": 0,
        "CANCELLED": 1,
        "UNKNOWN": 2,
        "INVALID_ARGUMENT": 3,
        "DEADLINE_EXCEEDED": 4,
        "NOT_FOUND": 5,
        "ALREADY_EXISTS": 6,
        "PERMISSION_DENIED": 7,
        "RESOURCE_EXHAUSTED": 8,
        "FAILED_PRECONDITION": 9,
        "ABORTED": 10,
        "OUT_OF_RANGE": 11,
        "UNIMPLEMENTED": 12,
        "INTERNAL": 13,
        "UNAVAILABLE": 14,
        "DATA_LOSS": 15,
        "UNAUTHENTICATED": 16,
    }
