"""The caller's half: each call ends once, in time, and what has ended is told."""

from __future__ import annotations

from typing import Any

import pytest

from actrzmq.core.calling import GIVE_UP_SILENCE, GRACE, SETTLE_AFTER, Calling
from actrzmq.core.calls import OpenCall
from actrzmq.core.peer import Peer
from actrzmq.core.streams import StreamLimits, Streams, Wish
from actrzmq.core.turn import Turn
from actrzmq.errors import ActrOverloaded, ActrRuntimeError, ActrTimeoutError, ActrTransportError, Status
from actrzmq.identity import Serial
from actrzmq.wire.codec import OPEN_AT_ONCE
from actrzmq.wire.messages import Call, CallId, Cancel, Failure, Lane, Reason, Reply


class Caller:
    """A `Calling`, what it says, and what it tells its shell."""

    def __init__(self, unanswered: int = 10_000) -> None:
        self.turn = Turn()
        self.said: list[Any] = []
        self.silent_for = 0
        self.body_limit = 1_000
        self.calling = Calling(
            unanswered, self.post, lambda: self.turn, lambda now: self.silent_for, lambda: self.body_limit
        )
        self.peer = Peer(Serial(7))

    def post(self, peer: Peer, envelope: Any, size: int, now: int) -> None:
        self.said.append(envelope)

    def call(self, body: bytes = b"", timeout: int = 1_000, now: int = 0, chain: Any = (), **state: bool) -> OpenCall:
        return self.calling.call(
            self.peer,
            "route",
            body,
            timeout,
            "waiter",
            now,
            chain=chain,
            is_signal=False,
            metadata=None,
            is_local=state.get("is_local", False),
            is_online=state.get("is_online", True),
        )

    def reply(self, call: OpenCall, failure: Failure | None = None, now: int = 0) -> bool:
        return self.calling.replied(self.peer, Reply(call.call.id, b"body", failure), now)

    @property
    def outcome(self) -> Any:
        """How the only call ended."""
        ((waiter, outcome),) = self.turn.resolve
        assert waiter == "waiter"
        return outcome


def test_a_call_goes_out_and_ends_with_its_reply() -> None:
    caller = Caller()
    call = caller.call()
    assert caller.said == [call.call]
    assert caller.reply(call)
    assert caller.outcome.body == b"body"


def test_a_second_reply_finds_nobody() -> None:
    caller = Caller()
    call = caller.call()
    caller.reply(call)
    assert not caller.reply(call)
    assert len(caller.turn.resolve) == 1


def test_a_call_ends_at_its_deadline_and_the_callee_is_told_to_stop() -> None:
    caller = Caller()
    call = caller.call(timeout=100)
    caller.calling.tick(99)
    assert not caller.turn.resolve
    caller.calling.tick(120)
    assert isinstance(caller.outcome, ActrTimeoutError)
    assert caller.outcome.may_have_run
    assert caller.said[-1] == Cancel(call.call.id)


def test_a_call_that_was_never_sent_says_so_at_its_deadline() -> None:
    caller = Caller()
    caller.call(timeout=100, is_online=False)
    caller.calling.tick(120)
    assert not caller.outcome.may_have_run
    assert caller.said == []


def test_a_failure_becomes_the_error_that_it_was() -> None:
    caller = Caller()
    caller.reply(caller.call(), Failure(Status.NOT_FOUND, "ActrNotFound", "nobody"))
    assert caller.outcome.code is Status.NOT_FOUND
    assert not caller.outcome.may_have_run


def test_a_failure_of_a_call_that_was_said_again_may_come_after_a_run() -> None:
    caller = Caller()
    call = caller.call()
    caller.calling.say_again(caller.peer, 10)
    caller.reply(call, Failure(Status.UNAVAILABLE, "ActrTransportError", "draining"))
    assert caller.outcome.may_have_run


def test_what_is_said_again_has_the_same_id_and_the_time_that_is_left() -> None:
    caller = Caller()
    call = caller.call(timeout=1_000)
    caller.calling.say_again(caller.peer, 300)
    assert caller.said[1:] == [Call(call.call.id, "route", b"", 700)]


@pytest.mark.parametrize("was_sent", [False, True])
def test_what_is_longer_than_the_present_broker_takes_is_not_said_again_but_ends(was_sent: bool) -> None:
    caller = Caller()
    caller.call(b"x" * 1_000, is_online=was_sent)
    caller.body_limit = 999
    caller.calling.say_again(caller.peer, 10)
    assert len(caller.said) == was_sent
    assert isinstance(caller.outcome, ActrOverloaded)
    assert (caller.outcome.may_have_run, caller.outcome.retryable) == (was_sent, False)
    assert "route: a body of 1000 bytes, at most 999 (limits.body_bytes of the broker)" in str(caller.outcome)
    assert len(caller.peer.calls.settled) == was_sent  # so that its callee forgets it


@pytest.mark.parametrize("now", [1_000, 1_010])
def test_what_is_about_to_end_is_not_said_again(now: int) -> None:
    caller = Caller()
    call = caller.call(timeout=1_000)
    caller.calling.say_again(caller.peer, now)
    caller.calling.deliver_again(caller.peer, call.call.id, now)
    assert len(caller.said) == 1


def test_a_call_kept_back_until_its_deadline_is_not_sent_after_it() -> None:
    caller = Caller()
    caller.silent_for = 2_100
    caller.call(timeout=1_005, now=0)
    caller.silent_for = 0
    caller.calling.tick(1_010)
    assert caller.said == []


@pytest.mark.parametrize(("sends", "may_have_run"), [(1, False), (2, True)])
def test_what_came_back_undelivered_has_not_run_unless_an_earlier_copy_has(sends: int, may_have_run: bool) -> None:
    caller = Caller()
    call = caller.call()
    for _ in range(sends - 1):
        caller.calling.say_again(caller.peer, 0)
    assert caller.calling.was_repeated(caller.peer, call.call.id) is may_have_run
    caller.calling.returned(caller.peer, call.call.id, Reason.CONGESTED, 0)
    assert isinstance(caller.outcome, ActrOverloaded)
    assert caller.outcome.may_have_run is may_have_run


def test_all_calls_end_with_their_peer() -> None:
    caller = Caller()
    caller.call()
    caller.call()
    caller.calling.fail_all(caller.peer, lambda call: ActrTransportError("down"), 0)
    assert len(caller.turn.resolve) == 2
    assert len(caller.peer.calls) == 0
    assert caller.calling.next_deadline() in (None, 1_020)


def test_a_cancelled_call_ends_without_a_word_to_its_waiter() -> None:
    caller = Caller()
    call = caller.call()
    caller.calling.cancel(call, 0)
    caller.calling.cancel(call, 0)
    assert caller.turn.resolve == []
    assert caller.said[1:] == [Cancel(call.call.id)]


def test_a_call_that_was_never_sent_is_cancelled_without_a_word() -> None:
    caller = Caller()
    caller.calling.cancel(caller.call(is_online=False), 0)
    assert caller.said == []


def test_too_much_that_waits_for_replies_is_refused_but_one_call_always_goes() -> None:
    caller = Caller(unanswered=100)
    caller.call(b"x" * 1_000)
    with pytest.raises(ActrOverloaded):
        caller.call(b"x")
    assert len(caller.said) == 1


def test_no_more_calls_and_streams_are_open_to_one_node_than_can_be_listed_to_it() -> None:
    caller = Caller(unanswered=1_000_000_000)
    streams = Streams(StreamLimits(), caller.post, lambda: caller.turn, bytes, "", "")
    calls = [caller.call() for _ in range(OPEN_AT_ONCE - 1)]
    streams.open(caller.peer, "last", Lane.RELIABLE, Wish.RELAY, 1_000, None, 0)
    said = len(caller.said)
    with pytest.raises(ActrOverloaded, match=r"route: 50000 calls and streams are open to .*; wait for some of them"):
        caller.call()
    with pytest.raises(ActrOverloaded, match=r"stream one more: 50000 calls and streams are open to .*; end some"):
        streams.open(caller.peer, "one more", Lane.RELIABLE, Wish.RELAY, 1_000, None, 0)
    assert len(caller.said) == said
    assert streams.find(caller.peer.serial, "one more") is None
    caller.reply(calls[0])
    caller.call()


def test_a_chain_of_more_than_sixteen_is_refused() -> None:
    caller = Caller()
    caller.call(chain=tuple(range(16)))
    with pytest.raises(ActrRuntimeError, match="loop"):
        caller.call(chain=tuple(range(17)))


def test_calls_to_a_silent_broker_are_kept_back_until_it_speaks() -> None:
    caller = Caller()
    caller.silent_for = 2_100
    caller.call()
    assert caller.said == []
    caller.silent_for = 0
    caller.calling.tick(200)
    assert len(caller.said) == 1


def test_calls_to_a_broker_that_stays_silent_fail_as_not_sent() -> None:
    caller = Caller()
    caller.silent_for = 2_100
    caller.call(timeout=30_000)
    caller.silent_for = GIVE_UP_SILENCE
    caller.calling.tick(GRACE - 1)
    assert not caller.turn.resolve
    caller.calling.tick(GRACE + 200)
    assert isinstance(caller.outcome, ActrTransportError)
    assert not caller.outcome.may_have_run


def test_a_call_kept_back_and_then_said_again_does_not_fail_as_not_sent() -> None:
    caller = Caller()
    caller.silent_for = 2_100
    call = caller.call(timeout=30_000)
    caller.calling.say_again(caller.peer, 100)  # its callee has registered again
    caller.silent_for = GIVE_UP_SILENCE
    caller.calling.tick(GRACE + 200)
    assert not caller.turn.resolve
    assert caller.reply(call)


def test_a_call_kept_back_and_then_said_again_goes_out_once() -> None:
    caller = Caller()
    caller.silent_for = 2_100
    caller.call(timeout=30_000)
    caller.calling.say_again(caller.peer, 100)
    caller.silent_for = 0
    caller.calling.tick(200)
    assert len(caller.said) == 1


def test_a_call_to_oneself_needs_no_broker() -> None:
    caller = Caller()
    caller.silent_for = 5_000
    caller.call(is_local=True, is_online=False)
    assert len(caller.said) == 1


def test_settled_ids_are_told_after_a_while_and_once() -> None:
    caller = Caller()
    caller.reply(caller.call(), now=50)
    assert caller.calling.tick(50 + SETTLE_AFTER - 1) == []
    assert caller.calling.tick(50 + SETTLE_AFTER) == [caller.peer]
    assert caller.calling.tick(50 + SETTLE_AFTER + 1) == []
    caller.calling.let_settled_ride(caller.peer, 300)
    assert caller.peer.outbox.take()[0].settled == [CallId(1)]


def test_settled_ids_that_came_back_are_told_later() -> None:
    caller = Caller()
    caller.calling.tell_again(caller.peer, [CallId(5)], 100)
    assert caller.calling.next_deadline() == 100 + SETTLE_AFTER
    assert caller.calling.tick(100 + SETTLE_AFTER) == [caller.peer]


def test_no_id_is_given_to_two_calls_whomever_they_go_to() -> None:
    caller = Caller()
    first = caller.call()
    caller.peer = Peer(Serial(8))
    assert caller.call().call.id == first.call.id + 1
