"""How streams have ended, kept for their senders: exact, small, and each told once."""

from __future__ import annotations

import tracemalloc
from collections import Counter

import pytest

from actrzmq import ActrOverloaded, ActrRuntimeError, ActrStreamError, ActrTransportError, Status
from actrzmq.identity import Serial
from actrzmq.runtime import endings
from actrzmq.runtime.endings import Endings

PEER = Serial(0x1A2B3C)


def closed(stream_id: str, last: int = 1, why: str = "closed by its receiver") -> ActrStreamError:
    """What the sender of such a stream is told."""
    frames = "1 frame" if last == 1 else f"{last} frames"
    return ActrStreamError(
        f"stream {stream_id} to 1a2b3c@0:acme+Receiver: {why} (after {frames}); stop sending; "
        "catch ActrStreamError where receivers may go",
        code=Status.CANCELLED,
        details={"last": str(last), "peer": "1a2b3c@0:acme+Receiver"},
    )


def facts(error: ActrRuntimeError | None) -> tuple[object, ...]:
    """All that an error tells."""
    assert error is not None
    details = list(error.details.items())
    return type(error), str(error), error.args, error.code, details, error.retryable, error.may_have_run


@pytest.mark.parametrize(
    "error",
    [
        closed("s"),
        closed("s", 17),
        closed("s", 1, "stream s, stream s (after 1 frame"),
        ActrTransportError("stream s: this node is down", may_have_run=True, details={"reason": "LEASE"}),
        ActrOverloaded("", retryable=False),
        ActrStreamError("about something else", details={"why": "x", "last": "", "peer": "p"}),
    ],
)
def test_what_a_sender_is_told_is_what_it_was(error: ActrRuntimeError) -> None:
    known = Endings(Counter())
    known.add((PEER, "s"), error, None)
    assert facts(known.take((PEER, "s"))) == facts(error)
    assert known.take((PEER, "s")) is None


def test_only_one_who_goes_on_sending_is_told_of_a_receiver_that_has_gone_when_all_was_done() -> None:
    known = Endings(Counter())
    for stream_id in "ab":
        known.add((PEER, stream_id), None, closed(stream_id))
    assert known.take((PEER, "a")) is None
    assert facts(known.take((PEER, "b"), goes_on=True)) == facts(closed("b"))


def test_streams_that_came_to_their_end_displace_none_of_which_somebody_is_to_be_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(endings, "COMPLETE", 2)
    counters: Counter[str] = Counter()
    known = Endings(counters)
    known.add((PEER, "failed"), closed("failed"), None)
    for number in range(10):
        known.add((PEER, f"s{number}"), None, None)
    assert [number for number in range(10) if (PEER, f"s{number}") in known] == [8, 9]
    assert facts(known.take((PEER, "failed"))) == facts(closed("failed"))
    assert not counters


def test_an_ending_of_which_nobody_was_told_and_that_makes_room_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endings, "UNHEARD", 2)
    counters: Counter[str] = Counter()
    known = Endings(counters)
    for stream_id in "abcde":
        known.add((PEER, stream_id), closed(stream_id), None)
    assert [stream_id for stream_id in "abcde" if (PEER, stream_id) in known] == ["d", "e"]
    assert counters == {"streams.endings_forgotten": 3}


def test_streams_that_end_by_the_same_cause_share_what_is_said_of_it() -> None:
    known = Endings(Counter())
    keys = [(PEER, f"s{number}") for number in range(2_000)]
    tracemalloc.start()
    for number, key in enumerate(keys):
        known.add(key, closed(key[1], number), None)
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert taken / len(keys) < 300
    assert len(known._causes) == 2  # with "1 frame" and with "n frames"
    assert facts(known.take(keys[1_234])) == facts(closed("s1234", 1_234))


def test_long_texts_are_cut_when_they_are_too_many_and_the_sender_is_told_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(endings, "TEXTS", 10_000)
    known = Endings(Counter())
    for number in range(20):
        error = closed(f"s{number}", number, f"{number}" * 1_000)
        error.details["more"] = "x" * 1_000
        known.add((PEER, f"s{number}"), error, None)
    told = [known.take((PEER, f"s{number}")) for number in range(20)]
    assert [len(str(error)) > 1_000 for error in told] == [True] * 4 + [False] * 16
    assert all(str(error).startswith(f"stream s{number} to") for number, error in enumerate(told))
    assert [error.details["last"] for error in told if error is not None] == [str(number) for number in range(20)]
    assert not known._causes
    assert not known._texts
