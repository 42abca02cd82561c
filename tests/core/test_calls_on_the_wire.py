"""Calls over a simulated wire: real cores, no sockets, and everything that goes wrong between them."""

from __future__ import annotations

from typing import Any

import pytest

from actrzmq.core.discovery import Change, Watched
from actrzmq.core.execution import Execution
from actrzmq.core.serving import ServingLimits
from actrzmq.core.session import Session, SessionLimits
from actrzmq.core.turn import News
from actrzmq.errors import (
    ActrNotFound,
    ActrOverloaded,
    ActrPermissionDenied,
    ActrRuntimeError,
    ActrTimeoutError,
    ActrTransportError,
    ActrUnknownRoute,
    Status,
)
from actrzmq.identity import ActrType, Serial
from actrzmq.testing.simulation import SimNode, World
from actrzmq.wire.messages import Batch, PeerBack, Reply

ECHO = "test.Echo.Say"


class Pair:
    """A caller and a callee that answers what it was sent, after `takes` milliseconds."""

    def __init__(self, seed: int = 1, takes: int = 0, limits: SessionLimits | None = None) -> None:
        self.world = World(seed)
        self.caller = self.world.node("caller", "Caller")
        self.callee = self.world.node("callee", "Callee", limits)
        self.takes = takes
        self.callee.handlers[ECHO] = self.echo
        self.world.run_until(lambda: self.caller.session.is_online and self.callee.session.is_online)
        self.outcomes: list[Any] = []

    def echo(self, execution: Execution) -> tuple[bytes, int]:
        return execution.request.body, self.takes

    def call(self, body: bytes = b"hello", timeout: int = 5_000, to: Serial | None = None, **more: Any) -> Any:
        serial = self.callee.id.serial if to is None else to
        return self.caller.do(
            lambda session, now: session.call(serial, ECHO, body, timeout, self.outcomes.append, now, **more)
        )

    def wait(self, count: int = 1, within: int = 60_000) -> Any:
        self.world.run_until(lambda: len(self.outcomes) >= count, within)
        return self.outcomes[-1]

    def assert_at_rest(self) -> None:
        """Everything that was open is settled, at both ends."""
        self.world.run(2_000)
        for node in (self.caller, self.callee):
            figures = node.session.statistics()
            assert (figures["calls.open"], figures["calls.running_or_queued"], figures["replies.kept"]) == (0, 0, 0)


def bodies(outcomes: list[Any]) -> list[bytes]:
    return [outcome.body for outcome in outcomes if isinstance(outcome, Reply)]


def test_a_call_is_answered() -> None:
    pair = Pair()
    pair.call(b"ping")
    assert pair.wait().body == b"ping"
    pair.assert_at_rest()


def test_a_call_that_is_said_again_and_settled_in_one_breath_does_not_run_again() -> None:
    """The news that its callee is back and the reply came together: the repeat and the settling leave in one batch."""
    pair = Pair()
    ran: list[bytes] = []

    def echo(execution: Execution) -> tuple[bytes, int]:
        ran.append(execution.request.body)
        return execution.request.body, 1_000

    pair.callee.handlers[ECHO] = echo
    call = pair.call(b"once")
    pair.world.run_until(lambda: ran)
    callee = pair.callee.id.serial

    def hear_both(session: Session, now: int) -> None:
        session.receive(None, Batch(now, [PeerBack(callee)]), None, 0, now)
        session.receive(callee, Batch(now, [Reply(call.call.id, b"once")]), None, 0, now)

    pair.caller.do(hear_both)
    assert pair.wait().body == b"once"
    pair.world.run(2_000)
    assert ran == [b"once"]
    pair.assert_at_rest()


def test_a_large_body_arrives_whole_both_ways() -> None:
    pair = Pair()
    pair.call(b"x" * 1_000_000)
    assert pair.wait().body == b"x" * 1_000_000


def test_a_node_calls_itself() -> None:
    pair = Pair()
    pair.caller.handlers[ECHO] = pair.echo
    pair.call(b"me", to=pair.caller.id.serial)
    assert pair.wait().body == b"me"


def test_a_callee_that_dies_ends_the_call_within_a_second_and_says_that_it_may_have_run() -> None:
    pair = Pair(takes=10_000)
    pair.call(timeout=30_000)
    pair.world.run(50)
    pair.callee.kill()
    killed = pair.world.now
    error = pair.wait()
    assert isinstance(error, ActrTransportError)
    assert error.may_have_run
    assert pair.world.now - killed <= 1_100


def test_a_call_to_a_node_that_is_down_fails_at_once() -> None:
    pair = Pair()
    serial = pair.callee.id.serial
    pair.call()
    pair.wait()
    pair.callee.kill()
    pair.world.run(2_000)
    with pytest.raises(ActrTransportError):
        pair.call(to=serial)


def test_a_call_to_a_node_that_never_was_fails_at_once_and_did_not_run() -> None:
    pair = Pair()
    pair.call(to=Serial(4711))
    error = pair.wait(within=50)
    assert isinstance(error, ActrTransportError)


def test_an_unknown_route_is_refused_and_did_not_run() -> None:
    pair = Pair()
    del pair.callee.handlers[ECHO]
    pair.call()
    error = pair.wait()
    assert isinstance(error, ActrUnknownRoute)
    assert not error.may_have_run


@pytest.mark.parametrize("seed", range(10))
def test_a_broker_crash_is_invisible_to_open_calls_and_each_runs_once(seed: int) -> None:
    pair = Pair(seed, takes=300)
    for number in range(20):
        pair.call(str(number).encode(), timeout=20_000)
        pair.world.run(pair.world.dice.randint(0, 30))
    pair.world.broker.kill()
    pair.world.run(pair.world.dice.randint(50, 1_000))
    pair.world.broker.start()
    pair.wait(20)
    assert sorted(bodies(pair.outcomes), key=int) == [str(number).encode() for number in range(20)]
    assert set(pair.callee.ran.values()) == {1}
    assert len(pair.callee.ran) == 20
    pair.assert_at_rest()


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("who", ["caller", "callee"])
def test_resets_of_anyones_connection_lose_no_call_and_repeat_none(seed: int, who: str) -> None:
    pair = Pair(seed, takes=20)
    for number in range(50):
        pair.call(str(number).encode(), timeout=20_000)
        pair.world.run(pair.world.dice.randint(0, 20))
        if number % 10 == 5:
            pair.world.nodes[who].reset()
    pair.wait(50)
    assert len(bodies(pair.outcomes)) == 50
    assert set(pair.callee.ran.values()) == {1}
    pair.assert_at_rest()


def test_calls_made_while_the_broker_is_away_are_held_and_then_answered() -> None:
    pair = Pair()
    pair.call()
    pair.wait()
    pair.world.broker.kill()
    pair.world.run(500)
    pair.call(b"held", timeout=20_000)
    pair.world.run(2_000)
    assert len(pair.outcomes) == 1
    pair.world.broker.start()
    assert pair.wait(2).body == b"held"


def test_a_held_call_that_no_broker_comes_for_ends_at_its_deadline_as_never_sent() -> None:
    pair = Pair()
    pair.world.broker.kill()
    pair.world.run(500)
    pair.call(timeout=1_000)
    error = pair.wait(within=1_100)
    assert isinstance(error, ActrTimeoutError)
    assert not error.may_have_run


def test_new_calls_to_a_silent_broker_fail_at_three_seconds_unsent() -> None:
    pair = Pair()
    pair.call()
    pair.wait()
    pair.world.broker.stop()
    pair.world.run(2_100)
    pair.call(b"late", timeout=20_000)
    error = pair.wait(2, within=1_200)
    assert isinstance(error, ActrTransportError)
    assert not error.may_have_run
    pair.world.broker.resume()
    pair.world.run(1_000)
    assert len(pair.callee.ran) == 1


def test_what_expired_while_the_broker_was_stopped_never_runs() -> None:
    pair = Pair()
    pair.call()
    pair.wait()
    pair.world.broker.stop()
    for _ in range(40):
        pair.call(timeout=1_000)
    pair.world.run(5_000)
    pair.world.broker.resume()
    pair.world.run(2_000)
    assert len(pair.outcomes) == 41
    assert sum(pair.callee.ran.values()) == 1


def test_a_callee_that_was_away_for_a_lease_is_fenced_and_comes_back_as_another() -> None:
    pair = Pair(takes=20_000)
    pair.call(timeout=60_000)
    pair.world.run(100)
    before = pair.callee.id
    pair.callee.stop()
    pair.world.run(11_000)
    assert isinstance(pair.outcomes[0], ActrTransportError)
    pair.callee.resume()
    pair.world.run_until(lambda: pair.callee.session.is_online)
    assert pair.callee.id != before
    assert News.FENCED in [news for news, _ in pair.callee.news]
    pair.world.run(30_000)
    assert len(pair.outcomes) == 1
    pair.assert_at_rest()


def test_a_tell_of_a_former_life_does_not_run_in_the_next_one() -> None:
    """Nor goes on running: it was told to a node that is down by now, and nobody else."""
    pair = Pair(limits=SessionLimits(serving=ServingLimits(concurrency=1)))
    ran: list[bytes] = []
    ended: list[bytes] = []

    def take(execution: Execution) -> None:
        ran.append(execution.request.body)
        pair.callee.on_cancel(execution, lambda: ended.append(execution.request.body))

    pair.callee.handlers[ECHO] = take
    serial, session, world = pair.callee.id.serial, pair.caller.session, pair.world
    session.tell(serial, ECHO, b"first", 60_000, world.now)
    session.tell(serial, ECHO, b"waits for the slot", 60_000, world.now)
    pair.caller.turn()
    pair.world.run(100)
    assert ran == [b"first"]
    pair.callee.stop()
    pair.world.run(11_000)
    pair.callee.resume()
    pair.world.run_until(lambda: pair.callee.session.is_online)
    assert (ran, ended) == ([b"first"], [b"first"])
    pair.assert_at_rest()


def test_a_pause_shorter() -> None:
    pair = Pair()
    pair.call()
    pair.wait()
    before = pair.callee.id
    pair.callee.stop()
    pair.call(b"later", timeout=20_000)
    pair.world.run(8_000)
    pair.callee.resume()
    assert pair.wait(2).body == b"later"
    assert pair.callee.id == before


def test_a_serial_declared_down_never_comes_back() -> None:
    pair = Pair()
    before = pair.callee.id
    pair.callee.stop()
    pair.world.run(11_000)
    pair.callee.is_stopped = False  # without the watchdog: the broker alone must see to it
    pair.callee._kept.clear()
    pair.callee.do(lambda session, now: None)
    pair.world.run_until(lambda: pair.callee.session.is_online and pair.callee.id != before)


def watch(pair: Pair) -> tuple[Watched, list[Change]]:
    """The caller watches the callee's type, and has been told of it."""
    changes: list[Any] = []
    watched = pair.caller.do(lambda session, now: session.watch(pair.callee.id.type, "", changes.append, now))
    pair.world.run_until(lambda: changes == [Change(pair.callee.id, True)])
    return watched, changes


def test_who_watches_hears_nothing_of_nodes_that_come_back_later_after_broker_restarts() -> None:
    pair = Pair()
    watched, changes = watch(pair)
    for _ in range(3):
        pair.world.broker.kill()
        pair.callee.stop()
        pair.world.broker.start()
        pair.world.run(5_000)
        assert pair.caller.session.is_online
        assert not watched.is_stale
        assert not watched.instances  # nobody picks it meanwhile
        pair.callee.resume()
        pair.world.run_until(lambda: watched.instances, 2_000)
    pair.world.run(30_000)
    assert set(watched.instances) == {pair.callee.id.serial}
    assert changes == [Change(pair.callee.id, True)]


def test_who_watches_hears_once_of_a_node_that_does_not_come_back_a_lease_after_a_broker_restart() -> None:
    pair = Pair()
    watched, changes = watch(pair)
    pair.world.broker.kill()
    pair.callee.kill()
    pair.world.broker.start()
    began = pair.world.now
    pair.world.run_until(lambda: len(changes) > 1)
    assert 10_000 <= pair.world.now - began < 11_000
    assert not watched.missing
    pair.world.run(30_000)
    assert changes[1:] == [Change(pair.callee.id, False, "LEASE")]


def test_a_broker_that_is_stopped_while_it_expects_nodes_costs_none_of_them_its_place() -> None:
    pair = Pair()
    watched, changes = watch(pair)
    pair.world.broker.kill()
    pair.callee.stop()
    pair.world.broker.start()
    pair.world.run(5_000)
    pair.world.broker.stop()
    pair.world.run(15_000)
    assert changes == [Change(pair.callee.id, True)]
    assert set(watched.missing) == {pair.callee.id.serial}


def test_expected_nodes_are_waited_for_after_a_broker_restart_and_then_declared_down() -> None:
    pair = Pair(takes=60_000)
    pair.call(timeout=60_000)
    pair.world.run(100)
    pair.world.broker.kill()
    pair.callee.kill()
    pair.world.run(500)
    pair.world.broker.start()
    pair.world.run(5_000)
    assert pair.outcomes == []
    error = pair.wait(within=7_000)
    assert isinstance(error, ActrTransportError)
    assert error.may_have_run


def test_cancelling_a_call_cancels_the_handler() -> None:
    pair = Pair(takes=10_000)
    call = pair.call(timeout=30_000)
    pair.world.run(100)
    assert pair.callee.session.serving.open_count == 1
    pair.caller.do(lambda session, now: session.cancel(call, now))
    pair.world.run(100)
    assert pair.callee.session.serving.open_count == 0
    assert pair.outcomes == []
    pair.assert_at_rest()


def test_a_caller_that_dies_has_its_handlers_cancelled() -> None:
    pair = Pair(takes=60_000)
    pair.call(timeout=60_000)
    pair.world.run(100)
    pair.caller.kill()
    pair.world.run(1_500)
    assert pair.callee.session.serving.open_count == 0


def test_a_cancel_that_was_lost_is_healed_at_the_next_registration() -> None:
    pair = Pair(takes=60_000)
    call = pair.call(timeout=60_000)
    pair.call(b"other", timeout=60_000)
    pair.world.run(100)
    pair.caller.do(lambda session, now: session.cancel(call, now))
    pair.caller.reset()  # the Cancel is in flight, and lost
    pair.world.run(1_000)
    assert pair.callee.session.serving.open_count == 1


def test_a_handler_that_hangs_is_cancelled_at_its_deadline() -> None:
    pair = Pair(takes=100_000)
    pair.call(timeout=1_000)
    error = pair.wait()
    assert isinstance(error, ActrTimeoutError)
    assert error.may_have_run
    pair.world.run(200)
    assert pair.callee.session.serving.open_count == 0


def test_calls_over_the_callees_queue_are_refused_and_did_not_run() -> None:
    limits = SessionLimits(serving=ServingLimits(concurrency=1, queue=5))
    pair = Pair(takes=1_000, limits=limits)
    for _ in range(10):
        pair.call(timeout=60_000)
    pair.world.run(100)
    refused = [error for error in pair.outcomes if isinstance(error, ActrOverloaded)]
    assert len(refused) == 4
    assert not any(error.may_have_run for error in refused)
    pair.wait(10)
    assert len(bodies(pair.outcomes)) == 6


def test_a_caller_with_too_much_unanswered_is_told_before_anything_is_sent() -> None:
    pair = Pair(takes=10_000)
    for _ in range(8):
        pair.call(b"x" * 1_000_000)
    with pytest.raises(ActrOverloaded):
        pair.call(b"x" * 1_000_000)


def test_at_most_concurrency_handlers_run_in_order_of_arrival() -> None:
    order: list[bytes] = []
    limits = SessionLimits(serving=ServingLimits(concurrency=2))
    pair = Pair(takes=100, limits=limits)

    def slow(execution: Execution) -> tuple[bytes, int]:
        order.append(execution.request.body)
        assert len(pair.callee.session.serving.running) <= 2
        return b"", 100

    pair.callee.handlers[ECHO] = slow
    for number in range(6):
        pair.call(str(number).encode())
    pair.wait(6)
    assert order == [str(number).encode() for number in range(6)]


def test_a_signal_overtakes_what_waits() -> None:
    order: list[bytes] = []
    pair = Pair(limits=SessionLimits(serving=ServingLimits(concurrency=1)))

    def slow(execution: Execution) -> tuple[bytes, int]:
        order.append(execution.request.body)
        return b"", 50

    pair.callee.handlers[ECHO] = slow
    for number in range(4):
        pair.call(str(number).encode())
    pair.call(b"signal", is_signal=True)
    pair.wait(5)
    assert order.index(b"signal") == 1


def test_a_call_back_into_a_waiting_caller_does_not_deadlock_with_concurrency_one() -> None:
    world = World(3)
    one = SessionLimits(serving=ServingLimits(concurrency=1))
    a, b = world.node("a", "A", one), world.node("b", "B", one)
    done: list[Any] = []
    a.handlers["test.A.Inner"] = lambda execution: (b"inner", 0)
    world.run_until(lambda: a.session.is_online and b.session.is_online)

    def nested(node: SimNode, to: SimNode, route: str) -> Any:
        def handler(execution: Execution) -> None:
            chain = (*execution.request.chain, node.id.serial)  # type: ignore[union-attr]

            def forward(outcome: Any) -> None:
                node.finish(execution, outcome.body if isinstance(outcome, Reply) else outcome)

            node.session.call(to.id.serial, route, b"", 5_000, forward, world.now, chain=chain)

        return handler

    a.handlers["test.A.Outer"] = nested(a, b, "test.B.Middle")
    b.handlers["test.B.Middle"] = nested(b, a, "test.A.Inner")
    a.do(lambda session, now: session.call(a.id.serial, "test.A.Outer", b"", 5_000, done.append, now))
    world.run_until(lambda: done)
    assert done[0].body == b"inner"


def test_discovery_finds_one_fails_at_once_or_waits() -> None:
    world = World(5)
    asker = world.node("asker", "Asker")
    world.run_until(lambda: asker.session.is_online)
    found: list[Any] = []
    kind = ActrType("acme", "Late")

    def ask(timeout: int) -> None:
        asker.do(
            lambda session, now: session.discover(kind, "", all=False, timeout=timeout, waiter=found.append, now=now)
        )

    ask(0)
    world.run(50)
    assert isinstance(found[0], ActrNotFound)
    ask(500)
    world.run(600)
    assert isinstance(found[1], ActrNotFound)
    ask(5_000)
    world.run(1_000)
    late = world.node("late", "Late")
    world.run_until(lambda: len(found) == 3, within=1_000)
    assert found[2][0].id == late.id


def test_a_discovery_is_held_while_a_restarted_broker_still_expects_the_type() -> None:
    pair = Pair()
    kind = ActrType("acme", "Callee")
    pair.world.broker.kill()
    pair.world.run(10)
    pair.callee.peer = b""
    pair.world.broker.start()
    found: list[Any] = []
    pair.world.run_until(lambda: pair.caller.session.is_online)
    pair.caller.do(lambda session, now: session.discover(kind, "", all=False, timeout=0, waiter=found.append, now=now))
    pair.world.run_until(lambda: found)
    assert found[0][0].id == pair.callee.id


def test_a_watch_tells_of_every_coming_and_going_and_outlives_the_broker() -> None:
    world = World(7)
    watcher = world.node("watcher", "Watcher")
    world.run_until(lambda: watcher.session.is_online)
    changes: list[Any] = []
    kind = ActrType("acme", "Worker")
    watched = watcher.do(lambda session, now: session.watch(kind, "", changes.append, now))
    first = world.node("first", "Worker")
    world.run(500)
    world.broker.kill()
    world.run(300)
    world.broker.start()
    world.run(3_000)
    second = world.node("second", "Worker")
    world.run(500)
    first.kill()
    world.run(2_000)
    assert [(change.id.serial, change.is_up) for change in changes] == [
        (first.id.serial, True),
        (second.id.serial, True),
        (first.id.serial, False),
    ]
    assert set(watched.instances) == {second.id.serial}


def test_a_draining_node_takes_no_new_calls_and_finishes_the_open_ones() -> None:
    pair = Pair(takes=500)
    pair.call(b"open", timeout=10_000)
    pair.world.run(50)
    pair.callee.do(lambda session, now: session.drain(now))
    pair.world.run(20)
    pair.call(b"new", timeout=10_000)
    pair.wait(2)
    refused = next(outcome for outcome in pair.outcomes if isinstance(outcome, ActrRuntimeError))
    assert refused.code is Status.UNAVAILABLE
    assert refused.retryable
    assert not refused.may_have_run
    assert bodies(pair.outcomes) == [b"open"]


@pytest.mark.parametrize("seed", range(20))
def test_a_call_that_meets_a_node_which_leaves_is_answered_or_has_provably_not_run(seed: int) -> None:
    pair = Pair(seed)
    pair.call()
    pair.wait()
    for _ in range(10):  # some on their way to the broker, some beyond it, some already answered
        pair.call(timeout=500)
        pair.world.run(1)
    pair.callee.do(lambda session, now: session.drain(now))
    pair.callee.do(lambda session, now: session.leave(now))
    pair.wait(11, within=450)
    errors = [error for error in pair.outcomes if isinstance(error, ActrRuntimeError)]
    assert all(isinstance(error, ActrTransportError) and error.retryable for error in errors)
    assert sum(not error.may_have_run for error in errors) == 11 - len(pair.callee.ran)


def test_a_call_that_was_cut_off_by_a_node_which_leaves_may_have_run() -> None:
    pair = Pair(takes=1_000)
    pair.call()
    pair.world.run(100)
    pair.callee.do(lambda session, now: session.leave(now))
    error = pair.wait(within=450)
    assert isinstance(error, ActrTransportError)
    assert error.may_have_run


def test_nothing_is_sent_to_a_node_that_has_said_farewell() -> None:
    pair = Pair()
    pair.call()
    pair.wait()
    serial = pair.callee.id.serial
    peer = pair.caller.session.peers.get(serial)
    assert peer is not None
    pair.callee.do(lambda session, now: session.leave(now))
    pair.world.run_until(lambda: peer.is_leaving)
    with pytest.raises(ActrTransportError, match="is stopping") as caught:
        pair.call(to=serial)
    assert not caught.value.may_have_run


def test_a_node_that_leaves_is_down_at_once_for_those_who_talked_to_it() -> None:
    pair = Pair(takes=60_000)
    pair.call(timeout=60_000)
    pair.world.run(50)
    pair.callee.do(lambda session, now: session.leave(now))
    error = pair.wait(within=100)
    assert isinstance(error, ActrTransportError)
    pair.world.run(1_000)
    assert pair.callee.session.is_out


def test_access_rules_keep_a_type_out() -> None:
    from msgspec import structs

    from actrzmq.wire.messages import Rule

    pair = Pair()
    shy = pair.world.node("shy", "Shy")
    shy.handlers[ECHO] = pair.echo
    shy.session._register = structs.replace(shy.session._register, rules=(Rule(True, (ActrType("acme", "Friend"),)),))
    pair.world.run_until(lambda: shy.session.is_online)
    pair.call(to=shy.id.serial)
    error = pair.wait()
    assert isinstance(error, ActrPermissionDenied)
    assert not shy.ran


def test_a_node_whose_broker_is_away_has_nothing_overdue_that_would_keep_it_busy() -> None:
    pair = Pair()
    for _ in range(5):
        pair.call()
    pair.wait(5)
    pair.world.broker.kill()
    pair.call(timeout=500)
    pair.world.run(3_000)
    for node in (pair.caller, pair.callee):
        deadline = node.do(lambda session, now: session.next_deadline())
        assert deadline is None or deadline > pair.world.now


def test_a_caller_that_never_settles_is_refused_at_last(monkeypatch: pytest.MonkeyPatch) -> None:
    from actrzmq.wire.messages import Batch, Call, CallId

    monkeypatch.setattr("actrzmq.core.answering.UNSETTLED", 1_000)
    pair = Pair()
    pair.call()
    pair.wait()
    peer = pair.caller.id.serial
    for start in range(2, 1_300, 256):
        calls: list[Any] = [Call(CallId(start + number), ECHO, b"", 60_000) for number in range(256)]
        pair.callee.session.receive(peer, Batch(0, calls), None, 0, pair.world.now)
        pair.world.run(50)
    assert pair.callee.session.statistics()["calls.refused"] > 0
    assert pair.callee.session.statistics()["replies.kept"] <= 1_000
