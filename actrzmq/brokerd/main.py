"""The broker as a process: `actrzmq-broker`."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime

from actrzmq.brokerd.settings import parse_settings
from actrzmq.brokerd.store import Store
from actrzmq.core.broker import BrokerCore, BrokerLimits
from actrzmq.errors import ActrConfigError, ActrRuntimeError
from actrzmq.manifest import BrokerSettings
from actrzmq.net.clock import boottime_ms
from actrzmq.net.context import raise_descriptor_limit
from actrzmq.net.poller import BrokerLoop
from actrzmq.observe.log import configure
from actrzmq.supervision import watch_parent

SPARE_DESCRIPTORS = 64
SWITCH_S = 0.0005
"""Seconds that the store's thread may compute while the loop wants to go on: checking a contract may take a second."""

log = logging.getLogger("actrzmq.broker")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a broker until it is told to stop, and exit.

    0: it was asked to (SIGTERM); 130: by Ctrl-C; 1: it can't have its address or its store; 2: a setting is wrong.
    """
    try:
        settings = parse_settings(sys.argv[1:] if arguments is None else arguments)
        configure(settings.log_level)
        watch_parent()
        code = _run(settings)
    except ActrRuntimeError as error:
        print(f"actrzmq-broker: {error.message}", file=sys.stderr)
        code = 2 if isinstance(error, ActrConfigError) else 1
    except KeyboardInterrupt:  # before we took the signal over
        code = 130
    sys.exit(code)


def _run(settings: BrokerSettings) -> int:
    descriptors = raise_descriptor_limit()
    if descriptors < settings.limits.nodes + SPARE_DESCRIPTORS:
        log.warning("few file descriptors limit=%d nodes=%d; raise it (ulimit -n)", descriptors, settings.limits.nodes)
    sys.setswitchinterval(SWITCH_S)
    store = Store(settings.store)
    recalled = store.open()
    try:
        core = _core(settings)
        core.expect(recalled.nodes, recalled.dead, boottime_ms())
        core.library.recall(recalled.contents, recalled.versions)
        loop = BrokerLoop(core, store.put, store.counters, store.shelf)
        try:
            endpoints = [loop.listen(endpoint) for endpoint in settings.listen]
            relay = loop.listen_for_relay(settings.relay)
            signals = _take_signals(loop)
            _say_ready(endpoints, relay, core)
            loop.run()
        finally:
            loop.close()
    finally:
        store.close()
    return 130 if signal.SIGINT in signals else 0


def _core(settings: BrokerSettings) -> BrokerCore:
    limits = BrokerLimits(
        lease=settings.lease_ms,
        renew=settings.renew_ms,
        nodes=settings.limits.nodes,
        backlog=settings.limits.backlog_bytes,
        body=settings.limits.body_bytes,
        contracts=settings.limits.contracts_bytes,
    )
    return BrokerCore(limits, secrets.randbits(62) + 1, secrets.token_bytes, stamp=_stamp)


def _stamp() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _take_signals(loop: BrokerLoop) -> set[int]:
    """Stop on SIGTERM and SIGINT, show counts on SIGUSR1; returns the set that the former will be put into."""
    taken: set[int] = set()

    def stop(number: int, _: object) -> None:
        if taken:  # asked twice: now
            os._exit(130 if number == signal.SIGINT else 0)
        taken.add(number)
        loop.stop()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGUSR1, lambda *_: loop.show_statistics())
    # A signal that comes just before the waiting begins must end it as well.
    signal.set_wakeup_fd(loop.waker, warn_on_full_buffer=False)
    return taken


def _say_ready(endpoints: Sequence[str], relay: str, core: BrokerCore) -> None:
    words = [f"endpoint={endpoint}" for endpoint in endpoints]
    expected = core.statistics()["expected"]
    with suppress(OSError):  # nobody reads it
        print("ready", *words, f"relay={relay}", f"epoch={core.epoch}", f"expected={expected}", flush=True)
