"""A fixed slice of what `make fuzz` does at length, and the proof that it would notice."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from actrzmq.wire.codec import decode_batch
from actrzmq.wire.messages import Batch
from tests.fuzz import decoders
from tests.fuzz.decoders import targets
from tests.fuzz.run import Fed, add, feed, summary

INPUTS = 30_000


def test_whatever_is_fed_to_the_decoders_is_decoded_or_refused_as_declared() -> None:
    fed = feed((1, INPUTS))
    assert fed.count == INPUTS
    assert not fed.found


def test_every_target_takes_some_inputs_and_refuses_some(tmp_path: Path) -> None:
    """Else its inputs would be all too good, or all too bad to get anywhere."""
    dice = random.Random(3)
    for name, (target, _) in targets(dice, tmp_path).items():
        fed = Fed()
        for _ in range(400):
            fed.outcomes[f"{name}: {target(dice)}"] += 1
        kinds = {what.partition(": ")[2] for what in summary(fed)}
        assert "refused" in kinds, name
        assert len(kinds) > 1, name


def test_the_same_seed_makes_the_same_inputs() -> None:
    assert feed((7, 2_000)).outcomes == feed((7, 2_000)).outcomes


def test_what_escapes_a_decoder_is_found_and_says_where(monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(header: bytes, bodies: Sequence[bytes] = ()) -> Batch:
        assert len(bodies) != 2, "two bodies, which it does not expect"
        return decode_batch(header, bodies)

    monkeypatch.setattr(decoders, "decode_batch", careless)
    total = Fed()
    add(total, feed((1, 3_000)))
    assert any("batch: AssertionError" in line and "of seed 1" in line for line in total.found)


def test_a_live_broker_survives_what_it_is_sent() -> None:
    from tests.fuzz.live import attack

    outcome = attack(1, 3_000, 60)
    assert not outcome.found
    assert outcome.counts["dropped.undecodable"]
    assert outcome.counts["dropped.not_for_broker"]
    assert outcome.counts["connections.begun"] >= 60
