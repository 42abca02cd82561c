"""The checker of the random runs checked: with any one safeguard taken out, they must find it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from actrzmq.core.answering import Answering
from actrzmq.core.calling import Calling
from actrzmq.core.conversation import Conversation
from actrzmq.core.dedup import Answers
from actrzmq.core.flight import Flight
from actrzmq.core.patience import Patience
from actrzmq.core.receiving import ReceiveChannel
from actrzmq.core.registration import Clock
from actrzmq.core.repeating import Repeating
from actrzmq.core.sending import SendChannel
from tests.core.chaos import Chaos
from tests.sabotage.patches import grant_as_done, nothing, spend_at_will

SEEDS = 150


def everything(self: Any, message: Any, now: int) -> Any:
    """Take frames whether they are due or not."""
    return message.frames


INVARIANTS = {
    "a call runs at most once": r"call \d+ of \w+ to \w+ ran \d+ times: .*",
    "no call begins after its deadline": r"call \d+ ran \d+ ms after its deadline",
    "a broker's restart costs a call nothing but time": r"call \d+ of \w+ to \w+ was promised to be answered: .*",
    "what is settled is forgotten": r"\w+: \d+ replies\.kept at rest",
    "who lives is registered at last": r"\w+ is not online",
    "a stream ends": r"stream \d+ \w+ to \w+ never ended at its (sender|receiver)",
    "frames come in order, none missing and none twice": r"stream \d+ \w+ to \w+: frames came as \[.*\]",
    "nobody sends more than was granted": r"\w+ sent frame \d+ of a channel with credit for \d+ frames, \d+ bytes",
    "what is acknowledged was done": r"stream \d+ \w+ to \w+: \d+ frames were acknowledged, \d+ were done",
}
"""What the ledger says when one is broken: the whole line, so that nothing else is taken for it."""

SABOTAGE: dict[str, tuple[type, str, Callable[..., Any], str]] = {
    "a callee that remembers no call": (Answers, "get", nothing, "a call runs at most once"),
    "a clock that knows no age": (Clock, "age", lambda *_: 0, "no call begins after its deadline"),
    "a node that does not say again what is open": (
        Calling,
        "say_again",
        nothing,
        "a broker's restart costs a call nothing but time",
    ),
    "a node that does not list what is open": (Repeating, "list_what_is_open", nothing, "what is settled is forgotten"),
    "a node that is not fenced": (Conversation, "_fence", nothing, "who lives is registered at last"),
    "a caller that tells nobody what is settled": (
        Calling,
        "let_settled_ride",
        nothing,
        "what is settled is forgotten",
    ),
    "a callee that keeps what is settled": (Answering, "settled", nothing, "what is settled is forgotten"),
    "a sender that resends nothing": (Flight, "ask_again", lambda *_: False, "a stream ends"),
    "a sender that never asks": (Patience, "is_over", lambda *_: False, "a stream ends"),
    "a receiver that takes frames in any order": (
        ReceiveChannel,
        "_what_is_due",
        everything,
        "frames come in order, none missing and none twice",
    ),
    "a sender that spends what it has not got": (
        SendChannel,
        "_spread_credit",
        spend_at_will,
        "nobody sends more than was granted",
    ),
    "a receiver that acknowledges what has come": (
        ReceiveChannel,
        "grant",
        grant_as_done,
        "what is acknowledged was done",
    ),
}


def find(invariant: str) -> bool:
    """Does any of the runs break that very one? Whatever a run raises is a bug and no finding, and is raised."""
    broken = re.compile(INVARIANTS[invariant])
    return any(broken.fullmatch(line) for seed in range(SEEDS) for line in Chaos(seed).run())


@pytest.mark.parametrize("what", SABOTAGE)
def test_the_random_runs_notice(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, name, instead, invariant = SABOTAGE[what]
    monkeypatch.setattr(owner, name, instead)
    assert find(invariant), f"{SEEDS} runs in which {invariant}, with {what}"


def test_a_sabotage_that_raises_by_accident_is_not_taken_for_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def accident(*arguments: Any) -> None:
        raise AttributeError("a call runs at most once: call 1 of n1 to n2 ran 2 times: []")

    monkeypatch.setattr(Answers, "get", accident)
    with pytest.raises(AttributeError):
        find("a call runs at most once")
