"""What a node makes of the broker's answers to its registrations: of late ones, and of a limit smaller than before."""

from __future__ import annotations

from msgspec import structs

from actrzmq.core.registration import REGISTER_AGAIN
from actrzmq.core.session import Session
from actrzmq.errors import Status
from actrzmq.identity import ActrId, ActrType, Serial
from actrzmq.wire.messages import (
    PROTOCOL,
    Batch,
    Call,
    CallId,
    Envelope,
    FromBroker,
    Introduce,
    Refused,
    Register,
    Registered,
    Reply,
)

OTHER = ActrId(Serial(7), 0, ActrType("acme", "Other"))


class Node:
    """A session whose broker is this test."""

    def __init__(self) -> None:
        numbers = iter(range(1, 100))
        register = Register(0, PROTOCOL, b"", 0, ActrType("acme", "Echo"), "echo")
        self.session = Session(register, lambda route: True, lambda length: bytes([next(numbers)]) * length, 0)
        self.session.connected(0)

    def hear(self, envelope: FromBroker, now: int) -> None:
        self.session.receive(None, Batch(now, [envelope]), None, 100, now)

    def hear_from_other(self, envelope: Envelope, now: int) -> None:
        self.session.receive(OTHER.serial, Batch(0, [envelope]), None, 100, now)

    def come_back(self, body_limit: int, now: int) -> None:
        """Register on a new connection, with a broker that takes so many bytes, and there is another node."""
        self.session.disconnected(now)
        self.session.connected(now)
        (attempt,) = self.attempts(now)
        self.hear(structs.replace(taken(attempt, 5), epoch=now, body_limit=body_limit), now)
        self.hear(Introduce(OTHER, True, True), now)

    def bodies(self, now: int) -> list[bytes]:
        """The large bodies that are sent."""
        return [body for outgoing in self.session.outgoing(now) for body in outgoing.parcel.bodies]

    def attempts(self, now: int) -> list[int]:
        """The registrations that are said until `now`."""
        self.session.tick(now)
        said = [envelope for outgoing in self.session.outgoing(now) for envelope in outgoing.parcel.envelopes]
        return [envelope.attempt for envelope in said if isinstance(envelope, Register)]


def dead(attempt: int) -> Refused:
    return Refused(attempt, Status.ABORTED, "this identity was declared down; take a new key", fatal=False)


def taken(attempt: int, session: int) -> Registered:
    return Registered(attempt, session, 77, 1, 10_000, 1_000, 4_000_000, b"token")


def test_who_is_refused_under_its_identity_takes_another_one() -> None:
    node = Node()
    (attempt,) = node.attempts(0)
    before = node.session.serial
    node.hear(dead(attempt), 10)
    assert node.session.serial != before
    assert node.attempts(300) == [attempt + 1]


def test_a_refusal_of_an_attempt_that_is_overtaken_changes_nothing() -> None:
    node = Node()
    (first,) = node.attempts(0)
    (second,) = node.attempts(REGISTER_AGAIN)
    serial = node.session.serial
    node.hear(dead(first), REGISTER_AGAIN + 10)
    node.hear(Refused(first, Status.INVALID_ARGUMENT, "no"), REGISTER_AGAIN + 10)
    assert node.session.serial == serial
    assert node.session.counters["dropped.old_attempt"] == 2
    node.hear(taken(second, 5), REGISTER_AGAIN + 20)
    assert node.session.is_online


def test_a_refusal_changes_nothing_for_who_is_registered() -> None:
    node = Node()
    (attempt,) = node.attempts(0)
    node.hear(taken(attempt, 5), 10)
    node.hear(dead(attempt), 20)
    assert node.session.is_online
    assert node.session.counters["fenced"] == 0


def test_what_the_broker_answered_to_a_former_identity_is_not_taken_for_the_present_one() -> None:
    node = Node()
    (first,) = node.attempts(0)
    node.hear(taken(first, 5), 10)
    node.session.paused(10_001, 10_020)  # it takes a new identity, and registers that
    (second,) = node.attempts(10_020)
    node.hear(taken(first, 6), 10_030)
    assert not node.session.is_online
    node.hear(taken(second, 7), 10_040)
    assert node.session.registration.session == 7


def test_a_call_longer_than_the_present_broker_takes_is_not_said_again_and_the_others_are() -> None:
    node = Node()
    node.come_back(400_000, 10)
    long, short = bytes(300_000), bytes(200_000)
    for body in (long, short):
        node.session.call(OTHER.serial, "acme.Other.Do", body, 60_000, len(body), 20)
    assert node.bodies(20) == [long, short]
    node.come_back(200_000, 30)
    assert node.bodies(30) == [short]
    turn = node.session.take_turn()
    assert turn is not None
    ((waiter, error),) = turn.resolve
    assert (waiter, error.may_have_run) == (len(long), True)


def test_a_reply_longer_than_the_present_broker_takes_is_answered_again_as_a_failure() -> None:
    node = Node()
    body, call = bytes(300_000), Call(CallId(1), "acme.Echo.Say", b"", 60_000)
    node.come_back(400_000, 10)
    node.hear_from_other(call, 20)
    turn = node.session.take_turn()
    assert turn is not None
    (execution,) = turn.start
    node.session.finish(execution, body, 30)
    assert node.bodies(30) == [body]
    node.come_back(200_000, 40)
    node.hear_from_other(call, 50)
    said = [envelope for outgoing in node.session.outgoing(50) for envelope in outgoing.parcel.envelopes]
    (reply,) = [envelope for envelope in said if isinstance(envelope, Reply)]
    assert reply.failure is not None
    assert reply.failure.may_have_run
    assert "the reply of acme.Echo.Say: a body of 300000 bytes, at most 200000" in reply.failure.message
    node.come_back(400_000, 60)
    node.hear_from_other(call, 70)
    assert node.bodies(70) == [body]
