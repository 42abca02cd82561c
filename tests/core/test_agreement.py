"""Who keeps to what was locked, and who comes first: pure decisions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actrzmq.core.agreement import DOUBT, OPINIONS, Agreement, Breach
from actrzmq.errors import ActrContractMismatch, ActrNotFound, ActrTransportError
from actrzmq.identity import ActrId, ActrType, Serial
from actrzmq.wire.messages import Instance

ECHO = ActrType("acme", "Echo")
LOCKED = "service_semantic:aaaabbbbccccdddd"
FITS, BREAKS, DOUBTED, NEW = "service_semantic:fits", "service_semantic:breaks", "service_semantic:doubt", "new"
BREACH = Breach("RPC_NO_DELETE", "echo.Echo.Say", "echo.proto: RPC_NO_DELETE echo.Echo.Say: method Say is gone")
KINDS = (LOCKED, FITS, "", BREAKS, DOUBTED, NEW)
GOOD = {FITS, ""}


def instances(*fingerprints: str) -> list[Instance]:
    return [Instance(ActrId(Serial(at), 0, ECHO), 0, fingerprint) for at, fingerprint in enumerate(fingerprints, 1)]


def agreement(now: int = 0) -> Agreement:
    made = Agreement(ECHO, [(LOCKED, "echo")])
    made.judged(FITS, None)
    made.judged(BREAKS, BREACH)
    made.doubted(DOUBTED, ActrNotFound("the broker has not got it"), now)
    return made


some_instances = st.lists(st.sampled_from(KINDS), max_size=8).map(lambda kinds: instances(*kinds))
some_serials = st.sets(st.integers(1, 8).map(Serial))


@given(some_instances, some_serials)
def test_the_candidates_are_all_exact_ones_or_else_all_that_fit_and_never_others(
    there: list[Instance], tried: set[Serial]
) -> None:
    fresh = [one for one in there if one.id.serial not in tried]
    exact = [one for one in fresh if one.fingerprint == LOCKED]
    assert agreement().candidates(there, tried) == (exact or [one for one in fresh if one.fingerprint in GOOD])


@given(some_instances)
def test_all_that_fit_are_ordered_exact_ones_first_each_once(there: list[Instance]) -> None:
    ordered = agreement().ordered(there)
    assert sorted(ordered, key=lambda one: one.id) == [one for one in there if one.fingerprint in {LOCKED, *GOOD}]
    ranks = [one.fingerprint != LOCKED for one in ordered]
    assert ranks == sorted(ranks)
    assert all(map(agreement().fits, ordered))


@given(some_instances, st.integers(0, 2 * DOUBT))
def test_what_is_to_be_judged_is_what_nobody_has_judged_or_was_in_doubt_long_enough(
    there: list[Instance], now: int
) -> None:
    wanted = {NEW} | ({DOUBTED} if now >= DOUBT else set())
    unknown = agreement().unknown(there, now)
    assert len(unknown) == len(set(unknown))
    assert set(unknown) == wanted & {one.fingerprint for one in there}


def test_what_most_instances_have_is_judged_first() -> None:
    assert agreement().unknown(instances("x", "y", "y"), 0) == ["y", "x"]


@given(some_instances.filter(bool), st.randoms())
def test_the_refusal_is_the_same_in_whatever_order_the_instances_come(there: list[Instance], random: object) -> None:
    shuffled = list(there)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one, other = agreement().refusal(there), agreement().refusal(shuffled)
    assert (type(one), str(one), one.details) == (type(other), str(other), other.details)


def test_the_refusal_names_type_instance_version_finding_and_what_to_do() -> None:
    error = agreement().refusal(instances(DOUBTED, BREAKS))
    assert isinstance(error, ActrContractMismatch)
    assert str(error) == (
        "no live node of type acme+Echo keeps to the contract that is locked for echo (aaaabbbbcccc): 2@0:acme+Echo "
        "has breaks, which breaks it, echo.proto: RPC_NO_DELETE echo.Echo.Say: method Say is gone; see `actr "
        "outdated`, and accept it with `actr install --update echo`, or start a node that keeps to it"
    )
    assert error.details == {"rule": "RPC_NO_DELETE", "element": "echo.Echo.Say", "fingerprint": BREAKS}
    assert not error.may_have_run


def test_where_nothing_is_known_to_break_the_refusal_is_the_doubt_anew_each_time() -> None:
    held = agreement()
    one, other = held.refusal(instances(DOUBTED)), held.refusal(instances(DOUBTED))
    assert isinstance(one, ActrNotFound)
    assert str(one) == "the broker has not got it"
    assert one is not other


def test_what_could_not_be_judged_in_time_is_said_to_be_so() -> None:
    error = agreement().refusal(instances(NEW))
    assert isinstance(error, ActrTransportError)
    assert "the broker has not told in time what contract 1@0:acme+Echo has" in str(error)


def test_a_later_judgement_takes_the_place_of_a_doubt() -> None:
    held = agreement()
    held.judged(DOUBTED, None)
    assert held.fits(instances(DOUBTED)[0])
    assert held.unknown(instances(DOUBTED), 10 * DOUBT) == []


def test_of_two_locked_contracts_of_one_type_both_are_exact() -> None:
    held = Agreement(ECHO, [(LOCKED, "old"), (FITS, "new")])
    both = instances(FITS, LOCKED, NEW)
    assert held.candidates(both) == both[:2]
    assert held.preferred == LOCKED


@pytest.mark.parametrize("over", [0, 5])
def test_no_more_opinions_are_kept_than_the_limit(over: int) -> None:
    held = Agreement(ECHO, [(LOCKED, "echo")])
    for number in range(OPINIONS + over):
        held.judged(str(number), None)
    there = instances(*map(str, range(OPINIONS + over)))
    assert held.unknown(there, 0) == [str(number) for number in range(over)]
