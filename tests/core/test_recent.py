"""A memory of the latest things."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from actrzmq.core.recent import Recent


def test_of_more_than_it_keeps_the_oldest_is_forgotten() -> None:
    recent: Recent[int] = Recent(2)
    recent.update([1, 2, 3])
    assert [number in recent for number in (1, 2, 3)] == [False, True, True]
    assert len(recent) == 2


def test_what_is_known_already_stays_where_it_is() -> None:
    recent: Recent[int] = Recent(2)
    recent.update([1, 2, 1, 3])
    assert [number in recent for number in (1, 2, 3)] == [False, True, True]


def test_one_that_keeps_nothing_knows_nothing() -> None:
    recent: Recent[int] = Recent(0)
    recent.add(1)
    assert 1 not in recent
    assert len(recent) == 0


@given(st.lists(st.integers(0, 9)), st.integers(0, 5))
def test_it_is_what_a_plain_list_would_be(numbers: list[int], kept: int) -> None:
    recent: Recent[int] = Recent(kept)
    plain: list[int] = []
    for number in numbers:
        recent.add(number)
        if number not in plain:
            plain = [*plain, number][-kept:] if kept else []
        assert {n for n in range(10) if n in recent} == set(plain)
