"""A broker: its store, its core and its sockets, as its settings say."""

from __future__ import annotations

import secrets
from contextlib import ExitStack
from datetime import UTC, datetime

from actrzmq.brokerd.store import Store
from actrzmq.core.broker import BrokerCore, BrokerLimits
from actrzmq.manifest import BrokerSettings
from actrzmq.net.clock import boottime_ms
from actrzmq.net.poller import BrokerLoop


class Broker:
    """It listens from the start, and serves while `run` runs, in whichever thread that is.

    Raises `ActrTransportError` where another process has its address or its store, and `ActrConfigError` where nothing
    can be stored there; then nothing is left open.
    """

    def __init__(self, settings: BrokerSettings) -> None:
        with ExitStack() as exits:
            store = Store(settings.store)
            recalled = store.open()
            exits.callback(store.close)
            self.core = _core(settings)
            self.core.expect(recalled.nodes, recalled.dead, boottime_ms())
            self.core.library.recall(recalled.contents, recalled.versions)
            self.loop = BrokerLoop(self.core, store.put, store.counters, store.shelf)
            exits.callback(self.loop.close)
            self.endpoints = [self.loop.listen(endpoint) for endpoint in settings.listen]
            self.relay = self.loop.listen_for_relay(settings.relay)
            self._exits = exits.pop_all()

    def run(self) -> None:
        """Serve until `stop`."""
        self.loop.run()

    def stop(self) -> None:
        """Let `run` come to its end. May be called from any thread, and from a signal handler."""
        self.loop.stop()

    def close(self) -> None:
        """Close all that is open, once it does not run any more."""
        self._exits.close()


def _core(settings: BrokerSettings) -> BrokerCore:
    limits = BrokerLimits(
        lease=settings.lease_ms,
        renew=settings.renew_ms,
        nodes=settings.limits.nodes,
        backlog=settings.limits.backlog_bytes,
        relayed=settings.limits.relayed_bytes,
        body=settings.limits.body_bytes,
        contracts=settings.limits.contracts_bytes,
    )
    return BrokerCore(limits, secrets.randbits(62) + 1, secrets.token_bytes, stamp=_stamp)


def _stamp() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
