"""Random runs over the simulated wire: whatever breaks, what was promised is kept.

`make test` runs a fixed slice, `make simulate SEEDS=A-B` many more. To see what happened in one::

    python -m tests.core.test_simulation 4711
"""

from __future__ import annotations

import sys

import pytest

from tests.core.chaos import Chaos

SLICES = 10
SEEDS = 200


@pytest.mark.parametrize("slice", range(SLICES))
def test_whatever_breaks_what_was_promised_is_kept(slice: int) -> None:
    for seed in range(slice, SEEDS, SLICES):
        assert_kept(seed)


def test_a_seed_is_a_run() -> None:
    first, second, other = Chaos(1), Chaos(1), Chaos(2)
    for chaos in (first, second, other):
        chaos.run()
    assert first.digest == second.digest != other.digest


def test_most_runs_get_something_done_in_spite_of_it_all() -> None:
    """A ledger without entries is always right: this is what keeps the runs above from proving nothing."""
    runs = [Chaos(seed) for seed in range(20)]
    for chaos in runs:
        chaos.run()
    calls = [call for chaos in runs for call in chaos.calls]
    streams = [stream for chaos in runs for stream in chaos.streams]
    assert sum(len(call.runs) for call in calls) > len(calls) / 3
    assert sum(stream.out.outcome is None for stream in streams) > len(streams) / 3


def assert_kept(seed: int) -> None:
    """Run that seed; what was broken is told with the command that shows it."""
    broken = Chaos(seed).run()
    assert not broken, "\n  ".join([f"seed {seed}:", *broken, f"see: python -m tests.core.test_simulation {seed}"])


def main(seed: int) -> int:
    """Run that seed and tell all that happened."""
    chaos = Chaos(seed)
    broken = chaos.run()
    print(*chaos.log, "", *broken, f"{len(broken)} broken", sep="\n")
    return len(broken) > 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
