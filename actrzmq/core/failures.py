"""The failures that machines themselves decide on, in words for whoever made the call."""

from __future__ import annotations

from actrzmq.errors import ActrOverloaded, ActrRuntimeError, Status, error_name, error_named
from actrzmq.identity import ActrId, Serial
from actrzmq.wire.messages import MAX_METADATA, MAX_NAME, MAX_TEXT, Failure, Reason

MAX_DETAILS = 8 * MAX_TEXT
"""Characters of all details of an error that travels; those that come first have precedence."""


def failure_of(error: ActrRuntimeError) -> Failure:
    """`error` as it travels; over-long texts are cut, since an error must always fit. Whatever a user made of it."""
    known = error.code in Status._value2member_map_
    return Failure(
        int(error.code) if known else int(Status.UNKNOWN),
        error_name(error),
        _text(error.message, MAX_TEXT),
        _details(error),
        bool(error.retryable),
        bool(error.may_have_run),
    )


def failure_bytes(failure: Failure | None) -> int:
    """What its texts take, at most."""
    if failure is None:
        return 0
    details = sum(len(key) + len(value) for key, value in failure.details.items())
    return 4 * (len(failure.message) + details)


def _details(error: ActrRuntimeError) -> dict[str, str]:
    details: dict[str, str] = {}
    room = MAX_DETAILS
    for key, value in list(error.details.items())[:MAX_METADATA]:
        name, text = _text(key, MAX_NAME), _text(value, MAX_TEXT)
        room -= len(name) + len(text)
        if room < 0:
            break
        details[name] = text
    return details


def _text(value: object, length: int) -> str:
    """`value` as a text that can be encoded: half a surrogate pair can't."""
    text = str(value)[:length]
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()[:length]


WHY_DOWN = {
    Reason.UNKNOWN: "is not known to the broker, or is down",
    Reason.UNREACHABLE: "is down: its process ended or its connection broke",
    Reason.CONGESTED: "takes no more: too much waits for it already",
    Reason.DRAINING: "is stopping",
    Reason.DENIED: "may not be talked to from here, by its access rules and ours",
    Reason.NOT_YET: "has not come back since the broker restarted",
    Reason.DEREGISTERED: "has left",
    Reason.LEASE: "is down: it has not renewed its lease",
    Reason.LAGGING: "is down: its event loop has not turned for too long",
    Reason.FENCED: "has given up its identity",
}
"""A node `…`: the sentence's end for each reason."""


def peer_name(serial: Serial, id: ActrId | None) -> str:
    """The node in words: its id where we were introduced."""
    return str(id) if id is not None else f"node {serial:x}"


def error_for(reason: Reason, who: str, what: str, *, may_have_run: bool) -> ActrRuntimeError:
    """The error of `what` (a call, a stream) aimed at `who`, that ended for this reason."""
    message = f"{what}: {who} {WHY_DOWN[reason]}"
    names = {
        Reason.CONGESTED: "ActrOverloaded",
        Reason.DENIED: "ActrPermissionDenied",
    }
    error = error_named(names.get(reason, "ActrTransportError"))
    return error(message, details={"reason": reason.name, "peer": who}, may_have_run=may_have_run)


def too_long(size: int, limit: int, what: str, *, may_have_run: bool) -> ActrOverloaded:
    """The error of `what` (a call, a reply), whose body of `size` bytes the broker does not take."""
    return ActrOverloaded(
        f"{what}: a body of {size} bytes, at most {limit} (limits.body_bytes of the broker); send it as a stream",
        retryable=False,
        may_have_run=may_have_run,
    )


def error_from(failure: Failure) -> ActrRuntimeError:
    """`failure` as the error that it was on the other side."""
    known = failure.status in Status._value2member_map_
    return error_named(failure.name)(
        failure.message,
        code=Status(failure.status) if known else Status.UNKNOWN,
        details=failure.details,
        retryable=failure.retryable,
        may_have_run=failure.may_have_run,
    )
