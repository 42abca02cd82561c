"""Dead letters: whatever is dropped is noted by who drops it, told to the broker, and shown to its realm alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from actrzmq.core.deadletters import KEPT, NOTED, REALMS, TOLD_AT_ONCE, DeadLetters, Drops
from actrzmq.core.execution import Execution
from actrzmq.core.inspecting import ROWS
from actrzmq.core.serving import ServingLimits
from actrzmq.core.session import Session, SessionLimits
from actrzmq.errors import ActrOverloaded
from actrzmq.identity import MAX_REALM, ActrId, ActrType, Serial
from actrzmq.testing.simulation import SimNode, World
from actrzmq.wire.codec import decode_batch, encode_batch
from actrzmq.wire.messages import MAX_INT, Batch, CallId, Cancel, DeadLetter, Dropped, Inspect, Inspected
from tests.core.test_contracts_on_the_wire import Library
from tests.core.test_streams_on_the_wire import Pair as StreamPair

SECRET = b"nobody is to see this"


class Office:
    """A caller, a callee that runs one thing at a time, and tools of two realms that ask the broker."""

    def __init__(self) -> None:
        self.world = World(1)
        limits = SessionLimits(serving=ServingLimits(concurrency=1))
        self.caller = self.world.node("caller", "Caller")
        self.callee = self.world.node("callee", "Callee", limits)
        self.tool = self.world.node("tool", "Tool", visiting=True)
        self.stranger = self.world.node("stranger", "Tool", realm=1, visiting=True)
        self.callee.handlers["work"] = self._work
        self.world.run(300)

    def _work(self, execution: Execution) -> tuple[bytes, int]:
        return b"done", 500

    def ask(self, node: SimNode | None = None) -> Inspected:
        answers: list[Any] = []
        (node or self.tool).do(lambda session, now: session.ask(Inspect(0), 1_000, answers.append, now))
        self.world.run_until(lambda: answers)
        assert isinstance(answers[0], Inspected)
        return answers[0]

    def letters(self, reason: str, node: SimNode | None = None) -> list[DeadLetter]:
        return [letter for letter in self.ask(node).letters if letter.reason == reason]

    def call(self, timeout: int) -> None:
        serial = self.callee.id.serial
        self.caller.do(lambda session, now: session.call(serial, "work", SECRET, timeout, ignore, now))


def ignore(outcome: object) -> None:
    """Nobody waits for it."""


def test_a_call_that_expired_in_the_queue_is_shown_with_its_route_and_whose_it_was() -> None:
    office = Office()
    for _ in range(3):
        office.call(300)
    office.world.run(2_500)
    (letter,) = office.letters("expired.queued")
    assert (letter.what, letter.name, letter.count) == ("call", "work", 2)
    assert letter.to == letter.by == str(office.callee.id)
    assert str(office.caller.id) in letter.sender
    assert 0 < letter.age <= 2_500


def test_a_tell_that_came_back_is_shown() -> None:
    office = Office()
    office.call(5_000)
    office.world.run(1_000)
    office.callee.kill()
    serial = office.callee.id.serial
    office.caller.do(lambda session, now: session.tell(serial, "work", SECRET, 1_000, now))
    office.world.run(2_500)
    (tell,) = [letter for letter in office.ask().letters if letter.what == "tell"]
    assert tell.reason == "returned.unreachable"
    assert (tell.name, tell.sender, tell.by) == ("work", str(office.caller.id), str(office.caller.id))


def test_frames_that_were_given_up_are_shown_with_their_stream() -> None:
    pair = StreamPair()
    tool = pair.world.node("tool", "Tool", visiting=True)
    pair.register(pace=10_000)
    pair.send(3)
    pair.world.run(500)
    pair.sender.kill()
    pair.world.run(4_000)
    answers: list[Any] = []
    tool.do(lambda session, now: session.ask(Inspect(0), 1_000, answers.append, now))
    pair.world.run_until(lambda: answers)
    (letter,) = [letter for letter in answers[0].letters if letter.reason == "frames.given_up"]
    assert (letter.what, letter.name, letter.count) == ("frames", "s", 3)


def test_what_the_broker_drops_is_shown_to_the_realm_of_who_sent_it_alone() -> None:
    office = Office()
    broker, peer = office.world.broker.core, office.caller.peer
    broker.receive(peer, [Cancel(CallId(1))] * 5, office.world.now)
    broker.refused(peer, "dropped.undecodable")
    (letter,) = office.letters("dropped.not_for_broker")
    assert (letter.what, letter.sender, letter.to, letter.count) == ("Cancel", str(office.caller.id), "broker", 5)
    assert office.letters("dropped.undecodable")
    assert not office.ask(office.stranger).letters


def test_no_body_is_ever_in_a_letter() -> None:
    office = Office()
    for _ in range(3):
        office.call(300)
    office.world.run(2_500)
    assert office.ask().letters
    assert SECRET.decode() not in repr(office.ask())


def test_who_tells_of_a_drop_is_what_its_connection_says() -> None:
    office = Office()
    forged = DeadLetter("made up", "call", by="broker", count=7)
    office.world.broker.core.receive(office.caller.peer, [Dropped((forged,))], office.world.now)
    (letter,) = office.letters("made up")
    assert (letter.by, letter.count) == (str(office.caller.id), 7)


def test_what_was_counted_comes_with_the_letters() -> None:
    counts = Office().ask().counts
    assert (counts["nodes"], counts["dead_letters"]) == (4, 0)


def test_many_letters_come_in_several_messages_the_latest_first() -> None:
    office = Office()
    broker = office.world.broker.core
    for number in range(250):
        broker.receive(office.caller.peer, [Dropped((DeadLetter(f"reason {number}", "call"),))], office.world.now)
    reasons = [letter.reason for letter in office.ask().letters]
    assert reasons == [f"reason {number}" for number in range(249, -1, -1)]


def test_as_many_letters_as_are_told_at_once_can_be_decoded_however_long_they_are() -> None:
    long = "\U0001f9c3" * 256
    teller = ActrId(Serial(MAX_INT), MAX_REALM, ActrType("m" * 32, "N" * 32))
    letter = DeadLetter(long, long, long, long, long, str(teller), MAX_INT, MAX_INT)
    decode_batch(encode_batch(Batch(MAX_INT, [Inspected(MAX_INT, {}, (letter,) * ROWS, True)])))


def test_a_flood_of_questions_is_refused_and_the_first_ones_are_answered() -> None:
    library = Library()
    answers: list[Any] = []

    def flood(session: Session, now: int) -> None:
        for _ in range(50):
            session.ask(Inspect(0), 1_000, answers.append, now)

    library.tool.do(flood)
    library.world.run_until(lambda: len(answers) == 50)
    assert sum(isinstance(answer, Inspected) for answer in answers) == 4
    assert sum(isinstance(answer, ActrOverloaded) for answer in answers) == 46
    assert library.count("refused.inspect") == 46


# bounds


def noted(drops: Drops, count: int, name: Callable[[int], str]) -> None:
    for number in range(count):
        drops.note("dropped.late_reply", "reply", name(number), "peer")


def test_a_flood_of_the_same_takes_one_place_at_a_node() -> None:
    drops = Drops()
    noted(drops, 1_000, lambda number: "same")
    (letter,) = drops.take("me")
    assert (letter.count, letter.sender, letter.to, drops.untold) == (1_000, "peer", "me", 0)
    assert not drops


def test_counts_that_a_sender_made_up_are_told_as_what_can_be_decoded() -> None:
    drops = Drops()
    for _ in range(2):
        drops.note("frames.missing", "frames", "s", "peer", count=MAX_INT)
    assert [letter.count for letter in drops.take("me")] == [MAX_INT]


def test_of_a_flood_of_different_ones_a_node_keeps_some_and_counts_the_rest() -> None:
    drops = Drops()
    noted(drops, NOTED + 50, str)
    assert (len(drops), drops.untold) == (NOTED, 50)
    assert [letter.name for letter in drops.take("me")] == [str(number) for number in range(TOLD_AT_ONCE)]


def test_the_broker_keeps_the_latest_of_each_realm_and_of_so_many_realms() -> None:
    letters = DeadLetters()
    for realm in range(REALMS + 1):
        for number in range(KEPT + 5 if realm == REALMS else 1):
            letters.add(realm, DeadLetter("r", "call", str(number)), realm)
    assert letters.latest(0, 100) == []
    latest = letters.latest(REALMS, 100)
    assert [letter.name for letter in latest] == [str(number) for number in range(KEPT + 4, 4, -1)]
    assert len(letters) == REALMS - 1 + KEPT
