"""The broker as a process: `actrzmq-broker`."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import closing, suppress

from actrzmq.brokerd.broker import Broker
from actrzmq.brokerd.settings import parse_settings
from actrzmq.errors import ActrConfigError, ActrRuntimeError
from actrzmq.manifest import BrokerSettings
from actrzmq.net.context import check_descriptors, raise_descriptor_limit
from actrzmq.net.poller import BrokerLoop
from actrzmq.observe.log import configure
from actrzmq.supervision import watch_parent

DESCRIPTORS = 24
"""Files that a broker opens, with its store and the first node, beside those for its addresses."""
DESCRIPTORS_EACH = 3
"""An address, the unix socket beside it, and the lock of that."""
SPARE_DESCRIPTORS = 64
SWITCH_S = 0.0005
"""Seconds that the store's thread may compute while the loop wants to go on: checking a contract may take a second."""

log = logging.getLogger("actrzmq.broker")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a broker until it is told to stop, and exit.

    0: it was asked to (SIGTERM); 130: by Ctrl-C; 1: it can't have its address, its store or enough files;
    2: a setting is wrong.
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
    check_descriptors(DESCRIPTORS + DESCRIPTORS_EACH * len(settings.listen), "a broker")
    descriptors = raise_descriptor_limit()
    if descriptors < settings.limits.nodes + SPARE_DESCRIPTORS:
        log.warning("few file descriptors limit=%d nodes=%d; raise it (ulimit -n)", descriptors, settings.limits.nodes)
    sys.setswitchinterval(SWITCH_S)
    with closing(Broker(settings)) as broker:
        signals = _take_signals(broker.loop)
        _say_ready(broker)
        broker.run()
    return 130 if signal.SIGINT in signals else 0


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


def _say_ready(broker: Broker) -> None:
    words = [f"endpoint={endpoint}" for endpoint in broker.endpoints]
    words += [f"relay={broker.relay}", f"epoch={broker.core.epoch}", f"expected={broker.core.statistics()['expected']}"]
    with suppress(OSError):  # nobody reads it
        print(f"ready {' '.join(words)}\n", end="", flush=True)  # at once: who reads the log finds all of it
