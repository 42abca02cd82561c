"""Which instance gets the next call, and how long to wait before the next try."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actrzmq.core.backoff import full_jitter
from actrzmq.core.balance import Attempts, choose
from actrzmq.errors import (
    ActrNotFound,
    ActrOverloaded,
    ActrPermissionDenied,
    ActrRuntimeError,
    ActrTimeoutError,
    ActrTransportError,
    ActrUnknownRoute,
)
from actrzmq.identity import ActrId, ActrType, Serial
from actrzmq.wire.messages import Instance

DICE = random.Random(1).randrange


def instances(*loads: int) -> list[Instance]:
    return [Instance(ActrId(Serial(number), 0, ActrType("acme", "Echo")), load) for number, load in enumerate(loads)]


def picks(candidates: list[Instance], open_calls: Counter[int], times: int, *, counts: bool) -> Counter[int]:
    """Who was chosen how often; with `counts`, each choice is a call that stays open."""
    chosen: Counter[int] = Counter()
    for _ in range(times):
        one = choose(candidates, (), lambda serial: open_calls[serial], DICE)
        assert one is not None
        chosen[one.id.serial] += 1
        open_calls[one.id.serial] += counts
    return chosen


def test_nobody_is_chosen_from_none() -> None:
    assert choose([], (), lambda serial: 0, DICE) is None


def test_the_only_one_is_chosen_even_if_it_was_tried() -> None:
    (one,) = instances(0)
    assert choose([one], {one.id.serial}, lambda serial: 0, DICE) is one


def test_what_was_tried_is_not_chosen_while_there_is_another() -> None:
    candidates = instances(9, 0, 0)
    tried = {candidates[1].id.serial, candidates[2].id.serial}
    assert choose(candidates, tried, lambda serial: 0, DICE) is candidates[0]


def test_of_two_the_one_with_fewer_of_our_calls_is_chosen_then_the_less_loaded() -> None:
    candidates = instances(5, 0)
    assert picks(candidates, Counter({1: 1}), 20, counts=False) == {0: 20}
    assert picks(candidates, Counter(), 20, counts=False) == {1: 20}


def test_a_burst_spreads_over_all() -> None:
    chosen = picks(instances(*[0] * 10), Counter(), 1_000, counts=True)
    assert max(chosen.values()) - min(chosen.values()) <= 10


@given(st.integers(1, 40), st.floats(0, 1))
def test_a_pause_is_within_its_bounds(attempt: int, dice: float) -> None:
    assert 0 <= full_jitter(attempt, dice) <= min(1_000, 20 * 2**attempt)


@pytest.mark.parametrize(("attempt", "most"), [(1, 40), (2, 80), (5, 640), (6, 1_000), (60, 1_000)])
def test_pauses_grow_up_to_a_limit(attempt: int, most: int) -> None:
    assert full_jitter(attempt, 1.0) == most
    assert full_jitter(attempt, 0.0) == 0


# after an attempt that failed


HERE, THERE = Serial(1), Serial(2)


def rejected() -> ActrRuntimeError:
    return ActrTransportError("is down", may_have_run=False)


def unknown() -> ActrRuntimeError:
    return ActrTransportError("went away", may_have_run=True)


def test_what_has_not_run_is_tried_again_after_a_pause_and_elsewhere() -> None:
    attempts = Attempts(idempotent=False)
    assert attempts.failed(HERE, rejected(), 1_000, 0.5) == full_jitter(1, 0.5)
    assert attempts.failed(THERE, ActrOverloaded("full"), 1_000, 0.5) == full_jitter(2, 0.5)
    assert attempts.tried == {HERE, THERE}


def test_what_may_have_run_is_tried_again_only_if_it_may_run_twice() -> None:
    assert Attempts(idempotent=False).failed(HERE, unknown(), 1_000, 0.5) is None
    assert Attempts(idempotent=True).failed(HERE, unknown(), 1_000, 0.5) is not None


def test_what_may_have_run_once_may_have_run_in_the_end() -> None:
    attempts = Attempts(idempotent=True)
    attempts.failed(HERE, unknown(), 1_000, 0.5)
    later = rejected()
    attempts.failed(THERE, later, 1_000, 0.5)
    assert later.may_have_run
    last = ActrNotFound("nobody is there")
    assert attempts.failed(None, last, 1_000, 0.5) is None
    assert last.may_have_run


@pytest.mark.parametrize(
    "error",
    [
        ActrPermissionDenied("no"),
        ActrUnknownRoute("what?"),
        ActrTimeoutError("late"),
        ActrRuntimeError("the handler's own", retryable=True),
        ActrOverloaded("too large", retryable=False),
    ],
)
def test_what_another_instance_would_say_as_well_is_the_outcome(error: ActrRuntimeError) -> None:
    assert Attempts(idempotent=True).failed(HERE, error, 1_000, 0.5) is None


def test_where_no_instance_was_found_there_is_no_other() -> None:
    assert Attempts(idempotent=True).failed(None, rejected(), 1_000, 0.5) is None


def test_the_fifth_attempt_is_the_last() -> None:
    attempts = Attempts(idempotent=False)
    pauses = [attempts.failed(Serial(number), rejected(), 10_000, 1.0) for number in range(5)]
    assert pauses == [40, 80, 160, 320, None]


def test_no_attempt_begins_at_or_after_the_deadline() -> None:
    assert Attempts(idempotent=False).failed(HERE, rejected(), 40, 1.0) is None
    assert Attempts(idempotent=False).failed(HERE, rejected(), 41, 1.0) == 40
    assert Attempts(idempotent=False).failed(HERE, rejected(), 0, 0.0) is None
