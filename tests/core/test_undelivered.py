"""What came back congested is said again, later and later."""

from __future__ import annotations

from collections import Counter

import pytest

from actrzmq.core.peer import Peer
from actrzmq.core.undelivered import FIRST_PAUSE, Undelivered
from actrzmq.identity import Serial
from actrzmq.wire.messages import CallId, Cancel, Channel, Grant, Probe, Reply, Tell


def peer(refusals: int = 0) -> Peer:
    one = Peer(Serial(1))
    one.congestion = refusals
    return one


def test_it_is_said_again_once_after_a_pause() -> None:
    undelivered, one, words = Undelivered(Counter()), peer(), Cancel(CallId(1))
    undelivered.add(one, words, 0)
    assert undelivered.next_deadline() == FIRST_PAUSE
    assert undelivered.due(FIRST_PAUSE - 1) == []
    assert undelivered.due(FIRST_PAUSE) == [(one, words)]
    assert undelivered.due(10_000) == []
    assert undelivered.next_deadline() is None


def test_the_pause_doubles_with_each_refusal_up_to_a_limit() -> None:
    pauses = []
    for refusals in range(8):
        undelivered = Undelivered(Counter())
        undelivered.add(peer(refusals), Cancel(CallId(1)), 0)
        pauses.append(undelivered.next_deadline())
    assert pauses == [50, 100, 200, 400, 800, 1_600, 1_600, 1_600]


def test_what_is_said_again_comes_in_the_order_of_its_time() -> None:
    undelivered = Undelivered(Counter())
    undelivered.add(peer(3), Cancel(CallId(1)), 0)
    undelivered.add(peer(), Cancel(CallId(2)), 0)
    undelivered.add(peer(), Cancel(CallId(3)), 0)
    said = [envelope.id for _, envelope in undelivered.due(10_000) if isinstance(envelope, Cancel)]
    assert said == [2, 3, 1]


def test_what_is_asked_for_again_anyway_or_may_be_lost_is_let_go() -> None:
    undelivered = Undelivered(Counter())
    for envelope in (Grant(Channel(1), 0, 0, 0, 0), Probe(Channel(1), 0), Tell("route", b"", 5)):
        undelivered.add(peer(), envelope, 0)
    assert len(undelivered) == 0


def test_on_another_connection_all_is_forgotten() -> None:
    undelivered = Undelivered(Counter())
    undelivered.add(peer(), Cancel(CallId(1)), 0)
    undelivered.clear()
    assert undelivered.due(10_000) == []


def test_bodies_are_not_kept() -> None:
    undelivered = Undelivered(Counter())
    undelivered.add(peer(), Reply(CallId(1), b"x" * 1_000), 0)
    assert [envelope for _, envelope in undelivered.due(10_000)] == [Reply(CallId(1), b"")]


def test_what_is_too_much_is_counted_and_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actrzmq.core.undelivered.MOST", 2)
    counters: Counter[str] = Counter()
    undelivered = Undelivered(counters)
    for id in range(5):
        undelivered.add(peer(), Cancel(CallId(id)), 0)
    assert len(undelivered) == 2
    assert counters["dropped.undelivered"] == 3
