"""When it is told that there is no broker."""

from __future__ import annotations

from actrzmq.core.absence import AGAIN_AFTER, FIRST_AFTER, Absence


def told(absence: Absence, until: int) -> list[int]:
    """When an absence that lasts `until` is told, with a look every half second."""
    return [away for away in range(500, until, 500) if absence.is_to_be_told(away)]


def test_a_short_absence_is_not_told() -> None:
    assert told(Absence(), FIRST_AFTER) == []


def test_a_long_absence_is_told_after_a_second_and_then_rarely() -> None:
    expected = [FIRST_AFTER, FIRST_AFTER + AGAIN_AFTER, FIRST_AFTER + 2 * AGAIN_AFTER]
    assert told(Absence(), FIRST_AFTER + 2 * AGAIN_AFTER + 1) == expected


def test_the_next_absence_is_told_anew() -> None:
    absence = Absence()
    told(absence, 10_000)
    assert not absence.is_to_be_told(0)
    assert told(absence, 2_000) == [FIRST_AFTER]
