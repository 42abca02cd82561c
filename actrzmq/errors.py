"""Every error that actrzmq raises, and the statuses they carry over the wire."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import ClassVar


class Status(IntEnum):
    """How a call ended: the names and numbers of gRPC's status codes."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class ActrRuntimeError(Exception):
    """The root of all errors of this library.

    `code` is a `Status`; `details` are strings for programs to read; `retryable` says that the same
    request may succeed later; `may_have_run` says that the handler may have run (or may still run),
    so that only an idempotent request should be repeated.
    """

    default_code: ClassVar[Status] = Status.INTERNAL
    default_retryable: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        code: Status | None = None,
        details: Mapping[str, str] | None = None,
        retryable: bool | None = None,
        may_have_run: bool = False,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = self.default_code if code is None else code
        self.details: dict[str, str] = dict(details or {})
        self.retryable = self.default_retryable if retryable is None else retryable
        self.may_have_run = may_have_run

    def __str__(self) -> str:
        return self.message


class ActrTransportError(ActrRuntimeError):
    """The other side, or the way to it, is gone (UNAVAILABLE)."""

    default_code = Status.UNAVAILABLE
    default_retryable = True


class ActrTimeoutError(ActrRuntimeError, TimeoutError):
    """The deadline passed first (DEADLINE_EXCEEDED). Also a `TimeoutError`."""

    default_code = Status.DEADLINE_EXCEEDED


class ActrDecodeError(ActrRuntimeError):
    """Bytes that are not the message that they should be (INVALID_ARGUMENT)."""

    default_code = Status.INVALID_ARGUMENT


class ActrUnknownRoute(ActrRuntimeError):
    """The node has no handler for the route key (UNIMPLEMENTED)."""

    default_code = Status.UNIMPLEMENTED


class ActrNotFound(ActrRuntimeError):
    """No live node, or no such thing, by that name (NOT_FOUND)."""

    default_code = Status.NOT_FOUND
    default_retryable = True


class ActrPermissionDenied(ActrRuntimeError):
    """A rule, or a service that is local only, forbids it (PERMISSION_DENIED)."""

    default_code = Status.PERMISSION_DENIED


class ActrOverloaded(ActrRuntimeError):
    """A queue or window is full; try later (RESOURCE_EXHAUSTED)."""

    default_code = Status.RESOURCE_EXHAUSTED
    default_retryable = True


class ActrGateNotInitialized(ActrRuntimeError):
    """The node no longer runs (FAILED_PRECONDITION)."""

    default_code = Status.FAILED_PRECONDITION


class ActrStreamError(ActrRuntimeError):
    """A stream ended otherwise than complete (ABORTED, unless it says otherwise).

    `details["last"]` is the number of frames, counted from the first, that were good.
    """

    default_code = Status.ABORTED


class ActrConfigError(ActrRuntimeError, ValueError):
    """A setting, manifest or argument is wrong; names the file, the key and what was expected.

    Also a `ValueError`.
    """

    default_code = Status.INVALID_ARGUMENT


class ActrContractMismatch(ActrRuntimeError):
    """The contract of the other side breaks the one that was locked, or can't be compared (FAILED_PRECONDITION).

    `details["rule"]` and `details["element"]` say what breaks first, `details["fingerprint"]` of which contract.
    """

    default_code = Status.FAILED_PRECONDITION


_BY_NAME: dict[str, type[ActrRuntimeError]] = {
    error.__name__: error
    for error in (
        ActrRuntimeError,
        ActrTransportError,
        ActrTimeoutError,
        ActrDecodeError,
        ActrUnknownRoute,
        ActrNotFound,
        ActrPermissionDenied,
        ActrOverloaded,
        ActrGateNotInitialized,
        ActrStreamError,
        ActrConfigError,
        ActrContractMismatch,
    )
}


def error_name(error: ActrRuntimeError) -> str:
    """The name by which `error` travels: its class, or the nearest base that this library defines."""
    return next(base.__name__ for base in type(error).__mro__ if base.__name__ in _BY_NAME)


def error_named(name: str) -> type[ActrRuntimeError]:
    """The class that travels as `name`; the root where this version does not know it."""
    return _BY_NAME.get(name, ActrRuntimeError)
