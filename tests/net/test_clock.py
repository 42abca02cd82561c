"""What the wall clock says decides nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from actrzmq.wire.messages import PeerDown, Reason, Renewed
from tests.net.peers import Broker, Peer
from tests.net.test_poller import CALL

HOUR = 3_600


@pytest.fixture
def broker() -> Iterator[Broker]:
    with Broker() as running:
        yield running


@pytest.mark.parametrize("jump", [HOUR, -HOUR], ids=["forward", "back"])
def test_a_wall_clock_that_jumps_changes_nothing(broker: Broker, jump: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is declared down for it, and who really goes is found as soon as ever."""
    with Peer(broker.endpoint, "One", "one") as one, Peer(broker.endpoint, "Other", "other") as other:
        one.register()
        other.register()
        one.send([other.address, CALL])
        other.hear_from(one)
        real, real_ns = time.time, time.time_ns
        monkeypatch.setattr(time, "time", lambda: real() + jump)
        monkeypatch.setattr(time, "time_ns", lambda: real_ns() + jump * 1_000_000_000)
        one.renew()
        assert one.hear(Renewed)
        assert broker.loop.statistics()["nodes"] == 2
        other.socket.close(0)
        assert one.hear(PeerDown, timeout=3) == PeerDown(other.serial, Reason.UNREACHABLE)
