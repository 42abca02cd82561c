"""Every error of the library: what it says of itself, and how it travels."""

from __future__ import annotations

import inspect

import pytest

from actrzmq import errors
from actrzmq.errors import (
    ActrConfigError,
    ActrNotFound,
    ActrOverloaded,
    ActrRuntimeError,
    ActrTimeoutError,
    ActrTransportError,
    Status,
    error_name,
    error_named,
)

ALL = [value for value in vars(errors).values() if inspect.isclass(value) and issubclass(value, ActrRuntimeError)]


@pytest.mark.parametrize("error", ALL)
def test_every_error_travels_by_its_own_name(error: type[ActrRuntimeError]) -> None:
    assert error_name(error("message")) == error.__name__
    assert error_named(error.__name__) is error


@pytest.mark.parametrize("error", ALL)
def test_every_error_says_what_it_means_and_with_which_status(error: type[ActrRuntimeError]) -> None:
    assert error.__doc__
    assert error("message").code is not Status.OK


def test_a_users_own_error_travels_as_the_nearest_that_is_ours() -> None:
    class NoSuchRow(ActrNotFound):
        pass

    assert error_name(NoSuchRow("row 5")) == "ActrNotFound"


@pytest.mark.parametrize("name", ["", "ActrFromTheFuture", "SystemExit", "__class__"])
def test_an_unknown_name_is_the_root(name: str) -> None:
    assert error_named(name) is ActrRuntimeError


def test_an_error_is_its_message() -> None:
    error = ActrRuntimeError("what happened", details={"key": "value"})
    assert str(error) == error.message == "what happened"
    assert error.details == {"key": "value"}


def test_what_is_not_said_is_the_kinds_own() -> None:
    error = ActrOverloaded("full")
    assert (error.code, error.retryable, error.may_have_run) == (Status.RESOURCE_EXHAUSTED, True, False)
    error = ActrOverloaded("full", code=Status.INTERNAL, retryable=False, may_have_run=True)
    assert (error.code, error.retryable, error.may_have_run) == (Status.INTERNAL, False, True)


def test_two_errors_do_not_share_their_details() -> None:
    given = {"key": "value"}
    one, other = ActrRuntimeError("one", details=given), ActrRuntimeError("other")
    one.details["more"] = "details"
    assert given == {"key": "value"}
    assert other.details == {}


def test_who_knows_only_pythons_own_errors_can_catch_them() -> None:
    assert issubclass(ActrTimeoutError, TimeoutError)
    assert issubclass(ActrConfigError, ValueError)
    assert not issubclass(ActrTransportError, OSError)


def test_statuses_are_those_of_grpc() -> None:
    assert [status.name for status in Status] == [
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    ]
    assert list(Status) == list(range(17))
