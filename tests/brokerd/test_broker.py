"""The broker made from its settings."""

from __future__ import annotations

from pathlib import Path

from actrzmq.brokerd.broker import Broker
from actrzmq.manifest import BrokerSettings
from actrzmq.manifest.model import BrokerLimits


def test_the_limits_of_its_settings_hold(tmp_path: Path) -> None:
    limits = BrokerLimits(body_bytes=1_024, nodes=2, backlog_bytes=3, relayed_bytes=4, contracts_bytes=5)
    settings = BrokerSettings(
        path=None, listen=(f"ipc://{tmp_path}/b",), relay=f"ipc://{tmp_path}/r", store=tmp_path / "s.db", limits=limits
    )
    broker = Broker(settings)
    held = broker.core.limits
    broker.close()
    assert (held.body, held.nodes, held.backlog, held.relayed, held.contracts) == (1_024, 2, 3, 4, 5)
