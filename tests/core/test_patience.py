"""When to ask again, and what is answered to who asks too late."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from actrzmq.core.patience import QUIET, QUIET_AT_MOST, Patience
from actrzmq.core.tombstones import FEW, LONG, WORDS, Tombstones
from actrzmq.wire.messages import Channel, EndAck, Failure, Reset


def asked_at(patience: Patience, until: int, start: int = 0) -> list[int]:
    return [now for now in range(start, until) if patience.is_over(now)]


def test_it_asks_after_a_while_then_less_and_less_often() -> None:
    moments = asked_at(Patience(), 20_000)
    pauses = [later - earlier for earlier, later in itertools.pairwise(moments)]
    assert moments[0] == QUIET
    assert pauses == sorted(pauses)
    assert max(pauses) == QUIET_AT_MOST


def test_news_start_it_anew() -> None:
    patience = Patience()
    asked_at(patience, 5_000)
    patience.heard()
    assert patience.asked == 0
    assert asked_at(patience, 6_000, start=5_000)[0] == 5_000 + QUIET


def test_a_sign_of_life_puts_it_off() -> None:
    patience = Patience()
    patience.is_over(0)
    patience.postpone(200)
    assert asked_at(patience, 1_000)[0] == 200 + QUIET


def reset(number: int, message: str = "why", **details: str) -> Reset:
    return Reset(Channel(number), Failure(1, "ActrStreamError", message, details), 0)


def test_last_words_are_said_to_who_asks_afterwards() -> None:
    tombstones = Tombstones()
    tombstones.bury(Channel(1), EndAck(Channel(1)))
    tombstones.bury(Channel(2), reset(2))
    tombstones.bury(Channel(3), None)
    assert tombstones.answer(Channel(1)) == EndAck(Channel(1))
    assert tombstones.answer(Channel(2)) == reset(2)
    assert tombstones.answer(Channel(3)) is None


def test_the_oldest_is_forgotten_first() -> None:
    tombstones = Tombstones(kept=2)
    for number in range(3):
        tombstones.bury(Channel(number), EndAck(Channel(number)))
    assert len(tombstones) == 2
    assert tombstones.answer(Channel(0)) is None
    assert tombstones.answer(Channel(2)) is not None


@given(st.integers(0, 3 * FEW), st.integers(0, 3 * FEW))
def test_what_is_from_long_ago_is_forgotten_but_for_the_latest_few(before: int, after: int) -> None:
    tombstones = Tombstones()
    for number in range(before):
        tombstones.bury(Channel(number), EndAck(Channel(number)))
    tombstones.expire(LONG)
    tombstones.expire(2 * LONG - 1)
    assert len(tombstones) == before
    for number in range(before, before + after):
        tombstones.bury(Channel(number), EndAck(Channel(number)))
    tombstones.expire(2 * LONG)
    assert len(tombstones) == min(before + after, max(FEW, after))
    if before + after:
        assert tombstones.answer(Channel(before + after - 1)) is not None


def test_long_reasons_are_kept_short() -> None:
    tombstones = Tombstones()
    tombstones.bury(Channel(1), reset(1, "x" * 4_000, much="more"))
    words = tombstones.answer(Channel(1))
    assert isinstance(words, Reset)
    assert len(words.failure.message) == WORDS
    assert words.failure.details == {}
