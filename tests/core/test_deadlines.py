"""Many deadlines, few timers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from actrzmq.core.deadlines import BUCKET, EMPTY, Deadlines


def test_a_key_is_due_once_never_early_and_at_most_a_bucket_late() -> None:
    deadlines: Deadlines[str] = Deadlines()
    deadlines.add("key", 105)
    assert deadlines.due(105) == []
    assert deadlines.due(105 + BUCKET) == ["key"]
    assert deadlines.due(1_000) == []


def test_what_was_removed_is_not_due() -> None:
    deadlines: Deadlines[str] = Deadlines()
    deadlines.add("key", 100)
    deadlines.remove("key", 100)
    assert deadlines.due(1_000) == []


def test_removing_what_has_fired_or_never_was_changes_nothing() -> None:
    deadlines: Deadlines[str] = Deadlines()
    deadlines.add("key", 100)
    deadlines.due(1_000)
    deadlines.remove("key", 100)
    deadlines.remove("other", 5_000)
    assert len(deadlines) == 0


def test_the_next_deadline_is_when_the_first_bucket_ends() -> None:
    deadlines: Deadlines[str] = Deadlines()
    assert deadlines.next_deadline() is None
    deadlines.add("late", 500)
    deadlines.add("early", 100)
    next_deadline = deadlines.next_deadline()
    assert next_deadline == 120
    assert deadlines.due(next_deadline) == ["early"]


def test_what_is_due_together_comes_in_the_order_it_was_added() -> None:
    deadlines: Deadlines[str] = Deadlines()
    for key in ("c", "a", "b"):
        deadlines.add(key, 100)
    assert deadlines.due(200) == ["c", "a", "b"]


def test_what_was_removed_long_before_its_time_leaves_nothing_behind() -> None:
    deadlines: Deadlines[int] = Deadlines()
    day = 24 * 60 * 60 * 1000
    deadlines.add(-1, day)
    for now in range(0, 100_000, BUCKET):
        deadlines.add(now, now + day)
        deadlines.remove(now, now + day)
    assert len(deadlines._order) <= 2 * EMPTY
    assert deadlines.due(2 * day) == [-1]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 5_000), st.booleans()), max_size=400))
def test_sweeping_loses_and_invents_no_deadline(steps: list[tuple[int, int, bool]]) -> None:
    deadlines: Deadlines[int] = Deadlines()
    waiting: dict[int, int] = {}
    for key, at, is_removed in steps:
        if key in waiting:
            deadlines.remove(key, waiting.pop(key))
        if not is_removed:
            deadlines.add(key, at)
            waiting[key] = at
    assert sorted(deadlines.due(10_000)) == sorted(waiting)


@given(st.dictionaries(st.integers(), st.integers(0, 2_000), max_size=50), st.integers(1, 300))
def test_every_key_is_due_exactly_once(at: dict[int, int], step: int) -> None:
    deadlines: Deadlines[int] = Deadlines()
    for key, moment in at.items():
        deadlines.add(key, moment)
    fired: dict[int, int] = {}
    for now in range(0, 2_000 + BUCKET + step, step):
        for key in deadlines.due(now):
            assert key not in fired
            fired[key] = now
    assert fired.keys() == at.keys()
    assert all(at[key] < now <= at[key] + BUCKET + step for key, now in fired.items())
    assert deadlines.next_deadline() is None
