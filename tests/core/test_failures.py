"""Errors on their way from one process to another."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actrzmq.core.failures import WHY_DOWN, error_for, error_from, failure_bytes, failure_of
from actrzmq.errors import (
    ActrNotFound,
    ActrOverloaded,
    ActrPermissionDenied,
    ActrRuntimeError,
    ActrTransportError,
    Status,
)
from actrzmq.wire.codec import BATCH_BYTES, decode_batch, encode_batch
from actrzmq.wire.messages import Batch, CallId, Failure, Reason, Reply


class Homemade(ActrNotFound):
    """A user's own."""


def travelled(error: ActrRuntimeError) -> ActrRuntimeError:
    """`error` as it comes out on the other side of the wire."""
    encoded = encode_batch(Batch(0, [Reply(CallId(1), b"", failure_of(error))]))
    (reply,) = decode_batch(encoded).envelopes
    assert isinstance(reply, Reply)
    assert reply.failure is not None
    return error_from(reply.failure)


def test_an_error_arrives_as_it_was() -> None:
    error = ActrNotFound("no row", details={"table": "rows"}, retryable=False, may_have_run=True)
    other = travelled(error)
    assert type(other) is ActrNotFound
    assert vars(other) == vars(error)


def test_a_users_own_error_arrives_as_the_nearest_that_is_ours() -> None:
    assert type(travelled(Homemade("mine"))) is ActrNotFound


def test_a_class_or_status_of_a_later_version_arrives_as_something_that_we_know() -> None:
    error = error_from(Failure(4711, "ActrFromTheFuture", "new"))
    assert type(error) is ActrRuntimeError
    assert error.code is Status.UNKNOWN


texts = st.text(st.characters(), max_size=40) | st.text(st.characters(), min_size=1).map(lambda text: text * 5_000)


@given(texts, st.dictionaries(texts, texts, max_size=70))
def test_every_error_fits_into_a_batch(message: str, details: dict[str, str]) -> None:
    error = ActrRuntimeError(message, details=details)
    failure = failure_of(error)
    assert len(encode_batch(Batch(0, [Reply(CallId(1), b"", failure)]))) <= failure_bytes(failure) + 1_000
    assert failure_bytes(failure) < BATCH_BYTES
    assert travelled(error).message == failure.message


@pytest.mark.parametrize("odd", ["\ud800", 17, None, b"bytes", object()])
def test_whatever_a_user_made_of_it_an_error_can_travel(odd: Any) -> None:
    error = ActrRuntimeError("message", details={"key": odd})
    error.message = odd
    error.code = 99  # type: ignore[assignment]
    assert travelled(error).code is Status.UNKNOWN


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_has_words(reason: Reason) -> None:
    error = error_for(reason, "node 1a", "pkg.Service.Method", may_have_run=False)
    assert str(error) == f"pkg.Service.Method: node 1a {WHY_DOWN[reason]}"
    assert error.details["reason"] == reason.name


def test_the_kind_of_error_says_what_to_do() -> None:
    def kind(reason: Reason) -> type[ActrRuntimeError]:
        return type(error_for(reason, "node", "what", may_have_run=False))

    assert kind(Reason.CONGESTED) is ActrOverloaded
    assert kind(Reason.DENIED) is ActrPermissionDenied
    assert kind(Reason.LEASE) is ActrTransportError
