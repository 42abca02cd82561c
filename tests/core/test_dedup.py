"""Which calls a node has seen, and so runs no second time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from actrzmq.core.dedup import Answers
from actrzmq.core.execution import Execution, execution_of
from actrzmq.core.peer import Peer
from actrzmq.identity import Serial
from actrzmq.wire.messages import Call, CallId

PEER = Peer(Serial(1))


def execution(number: int) -> Execution:
    return execution_of(PEER, Call(CallId(number), "route", b"", 1_000), 1_000, 0)


def seen(*numbers: int) -> Answers:
    answers = Answers()
    for number in numbers:
        answers.add(CallId(number), execution(number))
    return answers


def ids(executions: list[Execution]) -> list[int]:
    return [one.id for one in executions]


def call_ids(*numbers: int) -> list[CallId]:
    return [CallId(number) for number in numbers]


def test_a_call_is_known_until_it_is_settled() -> None:
    answers = seen(1, 2)
    assert answers.get(CallId(1)) is not None
    assert ids(answers.settle(call_ids(1))) == [1]
    assert answers.get(CallId(1)) is None
    assert len(answers) == 1


def test_settling_what_is_unknown_changes_nothing() -> None:
    answers = seen(1)
    assert ids(answers.settle(call_ids(7, 1, 1))) == [1]
    assert answers.settle(call_ids(1)) == []


def test_what_is_not_listed_as_open_is_forgotten() -> None:
    answers = seen(1, 2, 3)
    assert ids(answers.keep_only(call_ids(2), 3)) == [1, 3]
    assert answers.get(CallId(2)) is not None


def test_what_came_after_the_list_was_made_is_kept() -> None:
    answers = seen(1, 9)
    assert ids(answers.keep_only([], 5)) == [1]
    assert answers.get(CallId(9)) is not None


def test_a_copy_that_strays_in_after_it_was_settled_is_stale() -> None:
    answers = seen(1)
    answers.keep_only([], 5)
    assert answers.is_stale(CallId(1))
    assert answers.is_stale(CallId(4))
    assert not answers.is_stale(CallId(6))


def test_what_is_listed_as_open_and_was_never_seen_may_still_come() -> None:
    answers = seen()
    answers.keep_only(call_ids(3), 5)
    assert not answers.is_stale(CallId(3))
    answers.add(CallId(3), execution(3))
    answers.settle(call_ids(3))
    assert answers.is_stale(CallId(3))


def test_an_older_list_does_not_bring_back_what_a_newer_one_has_closed() -> None:
    answers = seen()
    answers.keep_only([], 9)
    answers.keep_only([], 5)
    assert answers.is_stale(CallId(8))


def test_forgetting_a_caller_forgets_all() -> None:
    answers = seen(1, 2)
    assert ids(answers.forget()) == [1, 2]
    assert len(answers) == 0


steps = st.lists(
    st.one_of(
        st.tuples(st.just("call"), st.integers(0, 30)),
        st.tuples(st.just("settle"), st.integers(0, 30)),
        st.tuples(st.just("lose"), st.just(0)),
        st.tuples(st.just("again"), st.just(0)),
    ),
    max_size=80,
)


@given(steps)
def test_no_call_runs_twice_whatever_is_lost_and_said_again(steps: list[tuple[str, int]]) -> None:
    """A caller that repeats what is open after each loss, and a callee that has only these answers to go by."""
    answers = Answers()
    ran: list[int] = []
    last, open_calls, settled, loses = 0, set[int](), list[CallId](), False

    def arrive(number: int) -> None:
        if answers.get(CallId(number)) is None and not answers.is_stale(CallId(number)):
            answers.add(CallId(number), execution(number))
            ran.append(number)

    for step, value in steps:
        if step == "call":
            last += 1
            open_calls.add(last)
            if not loses:
                answers.settle(settled)
                settled.clear()
                arrive(last)
        elif step == "settle" and open_calls:
            number = sorted(open_calls)[value % len(open_calls)]
            open_calls.remove(number)
            settled.append(CallId(number))
        elif step == "lose":
            loses = True
            settled.clear()
        elif step == "again":
            loses = False
            settled.clear()
            answers.keep_only(call_ids(*sorted(open_calls)), last)
            for number in sorted(open_calls):
                arrive(number)
    assert len(ran) == len(set(ran))
    if not loses:
        assert open_calls <= set(ran)
        assert len(answers) <= len(open_calls) + len(settled)
