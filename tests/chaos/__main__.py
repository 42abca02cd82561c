"""`python -m tests.chaos --faults 30 --seed 1 [--scenario NAME]…`: do faults, compare, print, and keep the results."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial

from tests.chaos import cells, matrix
from tests.chaos.crowd import crowd
from tests.chaos.memory import stuck_receiver
from tests.chaos.openings import exits_at_once, open_races
from tests.chaos.results import RESULTS, Result, keep
from tests.chaos.scenarios import broker_kills, node_kills, rolling_restarts

SCENARIOS: dict[str, Callable[[int, int], Result]] = {
    "broker-kill": broker_kills,
    "server-kill": partial(node_kills, victim="server"),
    "client-kill": partial(node_kills, victim="client"),
    "rolling-restart": rolling_restarts,
    "crowd": crowd,
    "stuck-receiver-direct": partial(stuck_receiver, path="direct"),
    "stuck-receiver-relay": partial(stuck_receiver, path="relay"),
    "server-stopped-3s": matrix.short_stop,
    "server-stopped-13s": matrix.long_stop,
    "broker-stopped-6s": matrix.broker_stop,
    "double-sigterm": matrix.double_term,
    "loop-blocked-3s": matrix.blocked_loop,
    "slow-consumer": matrix.slow_consumer,
    "second-broker": matrix.second_broker,
    "disk-full": matrix.disk_full,
    "few-descriptors": matrix.few_descriptors,
    "garbage-peers": matrix.garbage,
    "open-races": open_races,
    "exit-at-once": exits_at_once,
    **{f"cells-{name}": partial(cells.run, name=name) for name in cells.FAULTS},
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--faults", type=int, default=10, help="so many in each scenario that repeats its fault")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--scenario", action="append", help="one or more, with commas between; else all")
    parser.add_argument("--no-results", action="store_true", help=f"append nothing to {RESULTS.name}")
    options = parser.parse_args()
    is_whole = True
    chosen = [name for names in options.scenario or [] for name in names.split(",") if name] or list(SCENARIOS)
    for name in chosen:
        if name not in SCENARIOS:
            parser.error(f"no scenario {name!r}: there are {', '.join(SCENARIOS)}")
    for name in chosen:
        result = SCENARIOS[name](options.faults, options.seed)
        keep(result, None if options.no_results else RESULTS)
        is_whole = is_whole and not result.broken
    return 0 if is_whole else 1


if __name__ == "__main__":
    sys.exit(main())
