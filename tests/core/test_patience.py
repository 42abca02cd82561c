"""When to ask again, and what is answered to who asks too late."""

from __future__ import annotations

import itertools

from actrzmq.core.patience import QUIET, QUIET_AT_MOST, Patience
from actrzmq.core.tombstones import WORDS, Tombstones
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


def test_long_reasons_are_kept_short() -> None:
    tombstones = Tombstones()
    tombstones.bury(Channel(1), reset(1, "x" * 4_000, much="more"))
    words = tombstones.answer(Channel(1))
    assert isinstance(words, Reset)
    assert len(words.failure.message) == WORDS
    assert words.failure.details == {}
