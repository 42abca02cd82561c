"""Which calls run now, which wait, which are refused."""

from __future__ import annotations

import pytest

from actrzmq.core.execution import SHORT_BYTES, Execution, State, execution_of
from actrzmq.core.peer import Peer
from actrzmq.core.serving import MAX_CHAIN, Serving, ServingLimits
from actrzmq.errors import ActrOverloaded, ActrPermissionDenied, ActrTransportError, ActrUnknownRoute
from actrzmq.identity import Serial
from actrzmq.wire.messages import Call, CallId, Failure, Reply

ME, OTHER = Serial(1), Serial(2)
ROUTES = {"open": True, "local": False}


class Desk:
    """A `Serving` with a counter for call ids."""

    def __init__(self, **limits: int) -> None:
        self.serving = Serving(ServingLimits(**limits), ROUTES.get)
        self.peer = Peer(OTHER)
        self.last = 0

    def accept(
        self, deadline: int = 1_000, body: bytes = b"", *, is_signal: bool = False, chain: tuple[Serial, ...] = ()
    ) -> Execution:
        self.last += 1
        call = Call(CallId(self.last), "open", body, deadline, chain)
        execution = execution_of(self.peer, call, deadline, 0)
        self.serving.accept(execution, ME, is_signal=is_signal, chain=chain)
        return execution

    def start(self, now: int = 0) -> list[int]:
        return [execution.id for execution in self.serving.startable(now)]

    def finish(self, execution: Execution, body: bytes = b"") -> bool:
        return self.serving.finish(execution, Reply(execution.id, body))


def test_calls_start_in_order_of_arrival_as_slots_become_free() -> None:
    desk = Desk(concurrency=2)
    first, *_ = [desk.accept() for _ in range(4)]
    assert desk.start() == [1, 2]
    assert desk.start() == []
    desk.finish(first)
    assert desk.start() == [3]


def test_signals_start_before_what_waits_and_in_their_own_order() -> None:
    desk = Desk(concurrency=1)
    first = desk.accept()
    desk.start()
    for is_signal in (False, True, True):
        desk.accept(is_signal=is_signal)
    order = []
    running = [first]
    while running:
        desk.finish(running[0])
        running = desk.serving.startable(0)
        order += [execution.id for execution in running]
    assert order == [3, 4, 2]


def test_a_call_whose_chain_leads_through_here_does_not_wait_for_a_slot() -> None:
    desk = Desk(concurrency=1)
    desk.accept()
    desk.accept()
    desk.accept(chain=(ME, OTHER))
    assert desk.start() == [3]  # a slot is free, and it goes first
    desk.accept(chain=(ME, OTHER))
    assert desk.start() == [4]


def test_a_caller_that_makes_up_chains_gets_sixteen_calls_more_for_each_slot() -> None:
    desk = Desk(concurrency=1)
    desk.accept()
    for _ in range(3 * MAX_CHAIN):
        desk.accept(chain=(ME, OTHER))
    assert len(desk.start()) == 1 + MAX_CHAIN


def test_what_ran_beyond_the_limit_does_not_take_a_slot_away_when_it_ends() -> None:
    desk = Desk(concurrency=1)
    first = desk.accept()
    desk.start()
    extra = desk.accept(chain=(ME,))
    assert desk.start() == [2]
    desk.finish(first)
    desk.accept()
    assert desk.start() == [3]
    desk.finish(extra)
    desk.accept()
    assert desk.start() == []


def test_what_expired_while_it_waited_never_runs() -> None:
    desk = Desk(concurrency=1)
    first = desk.accept()
    desk.accept(deadline=100)
    desk.accept(deadline=500)
    desk.start()
    desk.finish(first)
    assert desk.start(now=200) == [3]
    assert desk.serving.counters["expired.queued"] == 1


def test_what_runs_past_its_deadline_is_to_be_cancelled_once() -> None:
    desk = Desk()
    late = desk.accept(deadline=100)
    desk.accept(deadline=900)
    desk.start()
    assert desk.serving.overdue(90) == []
    assert desk.serving.overdue(130) == [late]
    assert desk.serving.overdue(140) == []


def test_the_time_of_what_waits_runs_out_too() -> None:
    desk = Desk(concurrency=1)
    desk.accept()
    desk.start()
    waiting = desk.accept(deadline=100)
    assert desk.serving.overdue(130) == []
    assert waiting.state is State.DONE
    assert desk.serving.open_count == 1


@pytest.mark.parametrize(
    ("route", "is_local", "error"),
    [
        ("open", False, None),
        ("local", True, None),
        ("local", False, ActrPermissionDenied),
        ("none", False, ActrUnknownRoute),
        ("none", True, ActrUnknownRoute),
    ],
)
def test_routes_are_open_or_local_or_unknown(route: str, is_local: bool, error: type[Exception] | None) -> None:
    refusal = Desk().serving.refusal(route, (), ME, is_local)
    assert (type(refusal) if refusal else None) == error


def test_a_draining_node_takes_only_what_it_waits_for_itself() -> None:
    serving = Desk().serving
    serving.draining = True
    assert isinstance(serving.refusal("open", (OTHER,), ME, False), ActrTransportError)
    assert serving.refusal("open", (ME, OTHER), ME, False) is None
    assert serving.refusal("open", (), ME, True) is None


@pytest.mark.parametrize("limits", [{"queue": 3}, {"queue_bytes": 3 * 64}])
def test_a_full_queue_refuses_and_says_when_to_come_again(limits: dict[str, int]) -> None:
    desk = Desk(concurrency=0, **limits)
    for _ in range(3):
        assert desk.serving.refusal("open", (), ME, False) is None
        desk.accept()
    refusal = desk.serving.refusal("open", (), ME, False)
    assert isinstance(refusal, ActrOverloaded)
    assert refusal.details["retry_after_ms"] == "100"


def test_a_cancelled_call_leaves_the_queue_at_once() -> None:
    desk = Desk(concurrency=1, queue=1)
    desk.accept()
    desk.start()
    waiting = desk.accept()
    assert desk.serving.forget(waiting) is False
    assert desk.serving.refusal("open", (), ME, False) is None
    assert desk.serving.open_count == 1


def test_a_running_call_that_nobody_waits_for_is_to_be_cancelled_and_its_reply_is_not_kept() -> None:
    desk = Desk()
    running = desk.accept()
    desk.start()
    assert desk.serving.forget(running) is True
    assert desk.finish(running, b"body") is False
    assert running.reply is None


def test_cancelled_calls_do_not_pile_up_in_the_queue() -> None:
    desk = Desk(concurrency=0)
    for _ in range(1_000):
        desk.serving.forget(desk.accept())
    assert len(desk.serving._queue) <= 65


def test_a_reply_is_kept_until_it_is_settled() -> None:
    desk = Desk()
    execution = desk.accept()
    desk.start()
    assert desk.finish(execution, b"body") is True
    assert execution.reply == Reply(execution.id, b"body")
    assert desk.serving.forget(execution) is False
    assert execution.reply is None


def test_the_oldest_replies_are_let_go_when_too_much_is_kept() -> None:
    desk = Desk(kept_bytes=100)
    executions = [desk.accept() for _ in range(4)]
    desk.start()
    for execution in executions:
        desk.finish(execution, b"x" * 40)
    assert [execution.reply is not None for execution in executions] == [False, False, True, True]
    assert desk.serving.counters["replies.let_go"] == 2


def test_the_texts_of_errors_count_among_what_is_kept() -> None:
    desk = Desk(kept_bytes=1_000)
    executions = [desk.accept() for _ in range(2)]
    desk.start()
    for execution in executions:
        desk.serving.finish(execution, Reply(execution.id, b"", Failure(2, "ActrRuntimeError", "x" * 200)))
    assert executions[0].reply is None


def test_nothing_is_left_when_all_is_done_and_settled() -> None:
    desk = Desk(concurrency=3)
    executions = [desk.accept(body=b"x" * number) for number in range(20)]
    while started := desk.serving.startable(0):
        for execution in started:
            desk.finish(execution, b"reply")
    for execution in executions:
        desk.serving.forget(execution)
    serving = desk.serving
    assert (serving.open_count, serving._queued_bytes, serving._kept_bytes, len(serving._deadlines)) == (0, 0, 0, 0)


def test_calls_that_are_given_up_while_they_wait_take_no_room() -> None:
    desk = Desk(concurrency=1)
    desk.accept()
    desk.start()
    waiting = [desk.accept(is_signal=number % 2 == 0) for number in range(10)]
    for number in range(10_000):
        desk.serving.forget(desk.accept(is_signal=number % 2 == 0))
        assert len(desk.serving._queue) + len(desk.serving._signals) < 200
    assert desk.serving.open_count == 11
    running, order = [desk.serving.running[0]], []
    while running:
        desk.finish(running[0])
        running = desk.serving.startable(0)
        order += running
    assert order == waiting[::2] + waiting[1::2]


def test_of_what_has_ended_or_is_given_up_the_body_is_not_kept() -> None:
    desk = Desk(concurrency=1)
    body = b"x" * (SHORT_BYTES + 1)
    first, expired, cancelled = desk.accept(body=body), desk.accept(10, body), desk.accept(body=body)
    desk.start()
    desk.finish(first)
    desk.serving.overdue(50)
    desk.serving.forget(cancelled)
    assert [execution.request.body for execution in (first, expired, cancelled)] == [b"", b"", b""]
    assert [execution.id for execution in (first, expired, cancelled)] == [1, 2, 3]
    assert desk.serving._queued_bytes == 0


def test_bodies_that_wait_fill_the_queue() -> None:
    desk = Desk(concurrency=0, queue_bytes=1_000)
    desk.accept(body=b"x" * 1_000)
    assert isinstance(desk.serving.refusal("open", (), ME, False), ActrOverloaded)


def test_calls_whose_chain_leads_through_here_go_first_and_in_their_own_order() -> None:
    desk = Desk(concurrency=1)
    desk.accept()
    desk.start()
    desk.accept(is_signal=True)
    for _ in range(4):
        desk.accept(chain=(ME, OTHER))
    assert desk.start() == [3, 4, 5, 6]


def test_such_calls_that_are_given_up_while_they_wait_take_no_room() -> None:
    desk = Desk(concurrency=0)
    kept = [desk.accept(chain=(ME, OTHER)) for _ in range(3)]
    for _ in range(1_000):
        desk.serving.forget(desk.accept(chain=(ME, OTHER)))
    assert len(desk.serving._returning) < 200
    assert desk.serving.forget_all() == []
    assert [execution.state for execution in kept] == [State.DONE] * 3
