"""What a node makes of the broker's answers to its registrations, above all of late ones."""

from __future__ import annotations

from actrzmq.core.registration import REGISTER_AGAIN
from actrzmq.core.session import Session
from actrzmq.errors import Status
from actrzmq.identity import ActrType
from actrzmq.wire.messages import PROTOCOL, Batch, FromBroker, Refused, Register, Registered


class Node:
    """A session whose broker is this test."""

    def __init__(self) -> None:
        numbers = iter(range(1, 100))
        register = Register(0, PROTOCOL, b"", 0, ActrType("acme", "Echo"), "echo")
        self.session = Session(register, lambda route: None, lambda length: bytes([next(numbers)]) * length, 0)
        self.session.connected(0)

    def hear(self, envelope: FromBroker, now: int) -> None:
        self.session.receive(None, Batch(now, [envelope]), None, 100, now)

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
