"""Who may talk to whom."""

import pytest

from actrzmq.core.access import allowed_types, is_allowed
from actrzmq.identity import ActrId, ActrType, Serial
from actrzmq.wire.messages import Rule

A, B = ActrType("acme", "A"), ActrType("acme", "B")
OWNER = ActrId(Serial(1), 0, ActrType("acme", "Owner"))
ALLOW_A, DENY_A, ALLOW_BOTH = Rule(True, (A,)), Rule(False, (A,)), Rule(True, (A, B))


@pytest.mark.parametrize(
    ("rules", "allowed"),
    [
        (None, {A, B}),
        ((), set()),
        ((ALLOW_A,), {A}),
        ((ALLOW_BOTH, DENY_A), {B}),
        ((DENY_A, ALLOW_BOTH), {B}),
        ((DENY_A,), set()),
    ],
)
def test_a_deny_wins_and_what_no_rule_allows_is_denied(rules: tuple[Rule, ...] | None, allowed: set[ActrType]) -> None:
    assert {type for type in (A, B) if is_allowed(ActrId(Serial(2), 0, type), OWNER, allowed_types(rules))} == allowed


@pytest.mark.parametrize("rules", [None, (ALLOW_A,)])
def test_nobody_is_allowed_across_realms(rules: tuple[Rule, ...] | None) -> None:
    assert not is_allowed(ActrId(Serial(2), 1, A), OWNER, allowed_types(rules))
