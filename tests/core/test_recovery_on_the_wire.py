"""What is left behind when something is lost at the wrong moment: nothing. Each of these was found by a random run."""

from __future__ import annotations

from typing import TypeVar

import pytest

from actrzmq.core.failures import failure_of
from actrzmq.core.outgoing import OutState
from actrzmq.core.paths import Wish
from actrzmq.core.registration import Life
from actrzmq.errors import ActrRuntimeError, ActrStreamError, ActrTransportError, Status
from actrzmq.identity import Serial
from actrzmq.testing.simulation import SimNode
from actrzmq.wire.messages import (
    Batch,
    CallId,
    Cancel,
    Lane,
    Opened,
    OpenRefused,
    OpenStream,
    Outstanding,
    Path,
    Reason,
    Reply,
    Returned,
)
from tests.core import test_calls_on_the_wire as calls
from tests.core import test_streams_on_the_wire as streams

_Kind = TypeVar("_Kind")


def said(node: SimNode, kind: type[_Kind]) -> list[_Kind]:
    """What `node` is about to say of that kind."""
    parcels = [outgoing.parcel for outgoing in node.session.outgoing(node.world.now)]
    return [envelope for parcel in parcels for envelope in parcel.envelopes if isinstance(envelope, kind)]


def test_settled_ids_that_a_reset_swallowed_are_told_after_it() -> None:
    pair = calls.Pair()
    pair.call()
    pair.wait()
    pair.world.delay = (50, 50)
    pair.world.run(215)  # the ids are on their way
    pair.caller.reset()
    pair.assert_at_rest()


def test_settled_ids_that_a_broker_crash_swallowed_are_told_after_it() -> None:
    pair = calls.Pair()
    pair.call()
    pair.wait()
    pair.world.broker.kill()
    pair.world.run(300)
    pair.world.broker.start()
    pair.assert_at_rest()


def test_settled_ids_are_told_though_a_reset_swallows_the_reminder_too() -> None:
    pair = calls.Pair()
    pair.call()
    pair.wait()
    pair.world.delay = (50, 50)
    pair.world.broker.kill()
    pair.world.broker.start()
    pair.world.run(175)  # the callee has named its caller, which is being told
    pair.caller.reset()
    pair.assert_at_rest()


def test_a_call_cancelled_while_the_broker_is_away_is_cancelled_when_it_is_back() -> None:
    pair = calls.Pair(takes=60_000)
    call = pair.call(timeout=60_000)
    pair.world.run(100)
    pair.world.broker.kill()
    pair.world.run(10)
    pair.caller.do(lambda session, now: session.cancel(call, now))
    pair.world.broker.start()
    pair.world.run(1_000)
    assert pair.callee.session.serving.open_count == 0
    pair.assert_at_rest()


def test_a_call_cancelled_in_the_middle_of_registering_is_cancelled_there_too() -> None:
    pair = calls.Pair(takes=60_000)
    call = pair.call(timeout=60_000)
    pair.world.run(100)
    pair.world.broker.kill()
    pair.caller.stop()
    pair.world.broker.start()
    pair.world.run(1_000)
    pair.caller.resume()
    pair.world.run_until(lambda: pair.caller.session.registration.life is Life.REGISTERING)
    pair.caller.do(lambda session, now: session.cancel(call, now))
    pair.world.run(1_000)
    assert pair.callee.session.serving.open_count == 0
    pair.assert_at_rest()


def test_no_call_is_answered_with_the_reply_to_another_though_the_callee_was_forgotten_between() -> None:
    pair = calls.Pair()
    pair.call(b"first")
    pair.wait()
    pair.world.broker.kill()
    pair.callee.stop()  # it comes back later than its caller, which has nothing open with it by then
    pair.world.run(300)
    pair.world.broker.start()
    pair.world.run(2_000)
    pair.callee.resume()
    pair.call(b"second")
    assert pair.wait(2).body == b"second"
    pair.assert_at_rest()


def test_a_node_without_a_broker_settles_what_it_asked_of_itself() -> None:
    pair = calls.Pair()
    pair.caller.handlers[calls.ECHO] = pair.echo
    pair.world.broker.kill()
    pair.world.run(50)
    pair.call(b"me", to=pair.caller.id.serial)
    assert pair.wait().body == b"me"
    pair.world.run(1_000)
    assert pair.caller.session.statistics()["replies.kept"] == 0


def test_a_call_of_a_node_to_itself_does_not_wait_for_a_silent_broker() -> None:
    pair = calls.Pair()
    pair.caller.handlers[calls.ECHO] = pair.echo
    pair.call()
    pair.wait()
    pair.world.broker.stop()
    pair.world.run(2_500)
    pair.call(b"me", to=pair.caller.id.serial)
    assert pair.wait(2, within=50).body == b"me"


def test_a_call_whose_repeat_came_back_congested_is_not_given_up() -> None:
    pair = calls.Pair(takes=1_000)
    call = pair.call(timeout=20_000)
    pair.world.run(100)
    pair.caller.reset()
    pair.world.run(300)
    back = Batch(0, [Returned(pair.callee.id.serial, Reason.CONGESTED)])
    pair.caller.do(lambda session, now: session.receive(None, back, Batch(0, [call.call]), 0, now))
    assert pair.wait().body == b"hello"
    assert set(pair.callee.ran.values()) == {1}
    pair.assert_at_rest()


def test_a_call_to_a_node_that_the_broker_does_not_know_has_not_run() -> None:
    pair = calls.Pair()
    pair.call(to=Serial(4711))
    error = pair.wait()
    assert isinstance(error, ActrTransportError)
    assert not error.may_have_run


def test_a_node_that_was_asked_for_too_early_is_talked_to_once_it_is_there() -> None:
    pair = calls.Pair()
    pair.world.broker.stop()  # what it says is heard after the call to it
    late = pair.world.node("late", "Late")
    late.handlers[calls.ECHO] = pair.echo
    pair.call(to=late.id.serial)
    pair.world.broker.resume()
    pair.wait()
    pair.world.run_until(lambda: late.session.is_online)
    pair.call(b"now", to=late.id.serial)
    assert pair.wait(2).body == b"now"
    late.do(lambda session, now: session.call(pair.callee.id.serial, calls.ECHO, b"", 900, pair.outcomes.append, now))
    assert pair.wait(3).body == b""


def test_a_call_that_came_too_early_does_not_end_the_next_one() -> None:
    pair = calls.Pair(takes=500)
    pair.world.broker.stop()
    pair.world.delay = (30, 30)
    pair.call(b"early", to=Serial(4711))
    pair.world.run(10)
    late = pair.world.node("late", "Late")
    late.handlers[calls.ECHO] = pair.echo
    pair.call(b"early", to=late.id.serial)
    pair.world.run(10)
    pair.call(b"in time", to=late.id.serial)
    pair.world.broker.resume()
    pair.wait(3)
    assert calls.bodies(pair.outcomes)
    pair.assert_at_rest()
    assert late.session.statistics()["replies.kept"] == 0


def test_asking_in_vain_again_and_again_leaves_nothing() -> None:
    pair = calls.Pair()
    for number in range(300):
        pair.call(to=Serial(4711 + number % 2))
        pair.world.run(10)
    pair.assert_at_rest()
    assert pair.caller.session.statistics()["peers"] == 1  # itself


def test_nodes_go_on_with_what_is_open_though_the_brokers_store_was_lost() -> None:
    pair = calls.Pair(takes=2_000)
    pair.call(b"open", timeout=20_000)
    pair.world.run(100)
    pair.world.broker.kill()
    pair.world.broker.stored.clear()
    pair.callee.stop()
    pair.world.broker.start()
    pair.world.run(1_000)
    pair.callee.resume()
    assert pair.wait().body == b"open"
    assert set(pair.callee.ran.values()) == {1}
    pair.assert_at_rest()


def test_what_expired_while_its_callee_was_registering_never_runs() -> None:
    pair = calls.Pair()
    pair.world.broker.stop()
    late = pair.world.node("late", "Late")
    late.handlers[calls.ECHO] = pair.echo
    pair.world.run(1_500)  # by now it has said Register twice
    pair.call(to=late.id.serial, timeout=300)
    pair.world.run(1_000)
    pair.world.broker.resume()
    pair.world.run(2_000)
    assert isinstance(pair.outcomes[0], ActrRuntimeError)
    assert not late.ran


@pytest.mark.parametrize("offset", range(0, 20, 4))
def test_a_call_kept_back_past_its_deadline_is_not_sent(offset: int) -> None:
    pair = calls.Pair()
    pair.call()
    pair.wait()
    pair.world.broker.stop()
    pair.world.run(2_500 + offset)
    for timeout in range(60, 260):
        pair.call(timeout=timeout)
    pair.world.run(95)
    pair.world.broker.resume()
    pair.wait(201)
    pair.assert_at_rest()


@pytest.mark.parametrize("wish", list(Wish))
def test_a_node_streams_to_itself(wish: Wish) -> None:
    pair = streams.Pair()
    pair.receiver = pair.sender
    sink = pair.register()
    sender = pair.send(200, wish=wish)
    pair.world.run_until(lambda: sender.outcome is not ...)
    assert streams.sequences(sink) == list(range(1, 201))
    pair.assert_at_rest()


def test_an_opening_said_twice_before_its_registration_opens_one_stream() -> None:
    pair = streams.Pair()
    sender = pair.send(20)
    pair.world.run(100)
    pair.world.broker.kill()
    pair.world.run(100)
    pair.world.broker.start()
    pair.world.run(1_000)
    sink = pair.register()
    pair.world.run_until(lambda: sender.outcome is not ...)
    assert (sender.outcome, sink.outcome) == (None, None)
    pair.assert_at_rest()


def test_an_opening_that_is_given_up_before_its_registration_opens_nothing() -> None:
    pair = streams.Pair()
    sender = pair.send(20)
    pair.world.run(100)
    pair.world.broker.kill()
    pair.world.run(10)
    why = ActrStreamError("changed my mind")
    pair.sender.do(lambda session, now: session.streams.abort(sender.stream, why, now))
    pair.world.broker.start()
    pair.world.run(1_000)
    sink = pair.register()
    pair.assert_at_rest()
    assert sink.outcome is ...


def test_a_refusal_of_what_was_taken_already_changes_nothing() -> None:
    pair = streams.Pair()
    sink = pair.register()
    sender = pair.send(20)
    pair.world.run_until(lambda: sender.stream.channel is not None)
    refusal = OpenRefused(sender.stream.open, failure_of(ActrStreamError("no")))
    pair.sender.do(lambda session, now: session.receive(pair.receiver.id.serial, Batch(0, [refusal]), None, 0, now))
    pair.world.run_until(lambda: sender.outcome is not ...)
    assert streams.sequences(sink) == list(range(1, 21))


def test_a_stream_cancelled_before_it_was_open_ends_as_cancelled_at_its_sender() -> None:
    pair = streams.Pair()
    pair.register()
    pair.world.cut_planes.add(("sender", "receiver"))
    sender = pair.send(0)
    pair.world.run_until(lambda: sender.stream.channel is not None)
    receiver = pair.receiver.session.streams.receiver("s")
    assert receiver is not None
    why = ActrStreamError("enough", code=Status.CANCELLED)
    pair.receiver.do(lambda session, now: session.streams.unregister(receiver, why, now))
    pair.world.run_until(lambda: sender.outcome is not ...)
    assert "enough" in str(sender.outcome)
    pair.assert_at_rest()


def test_of_all_openings_that_are_given_up_at_once_their_receiver_is_told_once() -> None:
    pair = streams.Pair()
    for number in range(20):
        pair.send(1, f"s{number}", timeout=1_000)
    pair.world.run(500)
    pair.sender.session.tick(pair.world.now + 1_000)
    assert [one.opens for one in said(pair.sender, Outstanding)] == [()]


def test_a_list_of_what_is_open_that_came_back_congested_is_made_anew() -> None:
    pair = streams.Pair()
    pair.register()
    sender = pair.send(5)
    stale = Outstanding((), 0, (sender.stream.open,))
    back = Batch(0, [Returned(pair.receiver.id.serial, Reason.CONGESTED)])
    pair.sender.do(lambda session, now: session.receive(None, back, Batch(0, [stale]), 0, now))
    why = ActrStreamError("changed my mind")
    pair.sender.do(lambda session, now: session.streams.abort(sender.stream, why, now))
    pair.sender.session.tick(pair.world.now + 1_000)
    assert [one.opens for one in said(pair.sender, Outstanding)] == [()]


def test_a_stream_whose_repeated_opening_came_back_congested_is_open_at_neither_end() -> None:
    pair = streams.Pair()
    pair.world.delay = (20, 20)
    pair.register()
    sender = pair.send(5, wish=Wish.RELAY)
    ask = OpenStream(sender.stream.open, "s", Lane.RELIABLE, Path.RELAY)
    pair.world.run_until(lambda: pair.receiver.session.streams.receiving_count)
    assert sender.stream.state is OutState.OPENING  # the answer is on its way
    back = Batch(0, [Returned(pair.receiver.id.serial, Reason.CONGESTED)])
    pair.receiver.reset()  # and lost
    pair.sender.do(lambda session, now: session.receive(None, back, Batch(0, [ask]), 0, now))
    assert isinstance(sender.outcome, ActrRuntimeError)
    pair.assert_at_rest()


@pytest.mark.parametrize("is_closed", [False, True])
def test_an_answer_to_an_opening_that_came_back_congested_is_said_again_if_it_is_still_true(is_closed: bool) -> None:
    pair = streams.Pair()
    pair.register()
    sender = pair.send(5)
    pair.world.run_until(lambda: sender.stream.channel is not None)
    assert sender.stream.channel is not None
    answer = Opened(sender.stream.open, sender.stream.channel.channel, Path.DIRECT, 10, 10, "")
    back = Batch(0, [Returned(pair.sender.id.serial, Reason.CONGESTED)])
    pair.receiver.do(lambda session, now: session.receive(None, back, Batch(0, [answer]), 0, now))
    if is_closed:
        why = ActrStreamError("changed my mind")
        pair.sender.do(lambda session, now: session.streams.abort(sender.stream, why, now))
        pair.world.run(10)
    pair.receiver.session.tick(pair.world.now + 1_000)
    assert len(said(pair.receiver, Opened)) == (0 if is_closed else 1)


def with_a_reply_that_came_back() -> tuple[calls.Pair, Reply]:
    """The callee has answered a call with 5 s, and the broker gives the reply back to it as congested."""
    pair = calls.Pair()
    pair.call(b"x" * 1_000, timeout=5_000)
    pair.world.run_until(lambda: pair.callee.session.serving._kept)
    pair.world.broker.stop()
    (reply,) = [execution.reply for execution in pair.callee.session.serving._kept]
    assert reply is not None
    list(pair.callee.session.outgoing(pair.world.now))
    back = Batch(0, [Returned(pair.caller.id.serial, Reason.CONGESTED)])
    pair.callee.do(lambda session, now: session.receive(None, back, Batch(0, [reply]), 0, now))
    return pair, reply


def test_a_reply_that_came_back_congested_is_said_again() -> None:
    pair, reply = with_a_reply_that_came_back()
    pair.callee.session.tick(pair.world.now + 1_000)
    assert said(pair.callee, Reply) == [reply]


def test_a_reply_that_came_back_congested_is_not_said_again_past_its_deadline() -> None:
    pair, _ = with_a_reply_that_came_back()
    pair.callee.session.tick(pair.world.now + 5_001)
    assert said(pair.callee, Reply) == []
    assert pair.callee.session.counters["replies.expired"] == 1
    assert len(pair.callee.session._repeating._undelivered) == 0


def test_settled_ids_of_a_batch_that_came_back_congested_are_told_again() -> None:
    pair = calls.Pair()
    call = pair.call()
    pair.wait()
    pair.world.run(1_000)
    id = call.call.id
    back = Batch(0, [Returned(pair.callee.id.serial, Reason.CONGESTED)])
    pair.caller.do(lambda session, now: session.receive(None, back, Batch(0, [], (id,)), 0, now))
    pair.caller.session.tick(pair.world.now + 1_000)
    parcels = [outgoing.parcel for outgoing in pair.caller.session.outgoing(pair.world.now)]
    assert [settled for parcel in parcels for settled in parcel.settled] == [id]


def test_what_comes_from_a_peer_shows_that_it_is_congested_no_longer() -> None:
    """The pauses before something is said again begin small anew."""
    pair = calls.Pair()
    pair.call()
    pair.wait()
    peer = pair.caller.session.peers.get(pair.callee.id.serial)
    assert peer is not None
    back = Batch(0, [Returned(peer.serial, Reason.CONGESTED)])
    for _ in range(3):
        pair.caller.do(lambda session, now: session.receive(None, back, Batch(0, [Cancel(CallId(99))]), 0, now))
    assert peer.congestion == 3
    pair.call()
    pair.wait(2)
    assert peer.congestion == 0
