"""The checker of the random runs checked: with any one safeguard taken out, they must find it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from actrzmq.core.answering import Answering
from actrzmq.core.calling import Calling
from actrzmq.core.dedup import Answers
from actrzmq.core.flight import Flight
from actrzmq.core.patience import Patience
from actrzmq.core.receiving import ReceiveChannel
from actrzmq.core.registration import Clock
from actrzmq.core.session import Session
from tests.core.chaos import Chaos

SEEDS = 150


def nothing(*arguments: Any, **more: Any) -> None:
    """Instead of a safeguard."""


def everything(self: Any, message: Any, now: int) -> Any:
    """Take frames whether they are due or not."""
    return message.frames


SABOTAGE: dict[str, tuple[type, str, Callable[..., Any], str]] = {
    "a callee that remembers no call": (Answers, "get", nothing, "times"),
    "a clock that knows no age": (Clock, "age", lambda *_: 0, "after its deadline"),
    "a node that does not say again what is open": (Calling, "say_again", nothing, "was promised"),
    "a node that does not list what is open": (Session, "_list_what_is_open", nothing, "replies.kept at rest"),
    "a node that is not fenced": (Session, "_fence", nothing, "not online|knows other|never ended|down"),
    "a caller that tells nobody what is settled": (Calling, "let_settled_ride", nothing, "replies.kept at rest"),
    "a callee that keeps what is settled": (Answering, "settled", nothing, "replies.kept at rest"),
    "a sender that resends nothing": (Flight, "ask_again", lambda *_: False, "never ended"),
    "a sender that never asks": (Patience, "is_over", lambda *_: False, "never ended"),
    "a receiver that takes frames in any order": (ReceiveChannel, "_what_is_due", everything, "frames came as"),
}


@pytest.mark.parametrize("what", SABOTAGE)
def test_the_random_runs_notice(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, name, instead, sign = SABOTAGE[what]
    monkeypatch.setattr(owner, name, instead)
    for seed in range(SEEDS):
        try:
            broken = Chaos(seed).run()
        except Exception as error:
            broken = [repr(error)]
        if broken:
            found = "\n".join(broken)
            assert any(word in found for word in sign.split("|")), found
            return
    pytest.fail(f"{SEEDS} runs without noticing {what}")
