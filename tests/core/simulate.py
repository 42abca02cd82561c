"""Many random runs at once: `make simulate SEEDS=0-99999`, or `python -m tests.core.simulate A-B [--seconds S]`.

Two processes run them in slices. A seed with something broken is printed at once, with the command that replays it;
every hundredth is run twice, and must go the same both times. What came of all is appended to the results.
"""

from __future__ import annotations

import argparse
import faulthandler
import gc
import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial

from msgspec import Struct, field

from tests.core.chaos import Chaos
from tests.results import commit_of_package, record

SLICE = 50
AGAIN = 100
"""Every so many seeds, one is run twice."""
STUCK_S = 120
"""A run takes hundredths of a second: one that takes so long hangs, and is shown with where it does."""
BARS = {"nodes": 1, "calls": 5, "streams": 1, "frames": 50, "faults": 1, "runs of handlers": 5, "streams completed": 1}
"""What the histogram counts in each run, and how wide its bars are."""


class Slice(Struct):
    """What came of some seeds."""

    count: int
    sizes: dict[str, Counter[int]]
    broken: list[str] = []
    again: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)


def run_slice(seeds: range, until: float) -> Slice:
    """Run `seeds`, one after the other; none of them after `until`."""
    done = Slice(0, {what: Counter() for what in BARS})
    for seed in seeds if time.monotonic() < until else ():
        done.count += 1
        faulthandler.dump_traceback_later(STUCK_S, exit=True)
        chaos = Chaos(seed)
        broken = _outcome(chaos)
        if seed % AGAIN == 0:
            done.again += 1
            again = Chaos(seed)
            _outcome(again)
            if chaos.digest != again.digest:
                broken.append("it went another way when it was run again")
        if broken:
            command = f"see: python -m tests.core.test_simulation {seed}"
            done.broken.append("\n  ".join([f"seed {seed}:", *broken, command]))
        _count(chaos, done)
    faulthandler.cancel_dump_traceback_later()
    gc.collect()
    return done


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the seeds that the command line names; 0 if nothing was broken."""
    options = argparse.ArgumentParser(prog="python -m tests.core.simulate")
    options.add_argument("seeds", help="A-B, both included")
    options.add_argument("--seconds", type=float, default=float("inf"), help="begin nothing more after that")
    options.add_argument("--processes", type=int, default=2)
    options.add_argument("--no-record", action="store_true", help="append nothing to the results")
    chosen = options.parse_args(arguments)
    first, _, last = chosen.seeds.partition("-")
    seeds = range(int(first), int(last or first) + 1)
    began = time.monotonic()
    commit = commit_of_package()
    total = Slice(0, {what: Counter() for what in BARS})
    # Fewer and larger collections: a run makes its cycles and is thrown away whole.
    gc.freeze()
    gc.set_threshold(200_000, 50, 50)
    with multiprocessing.get_context("fork").Pool(chosen.processes) as pool:
        run = partial(run_slice, until=began + chosen.seconds)
        for done in pool.imap_unordered(run, _slices(seeds)):
            _add(total, done)
            for broken in done.broken:
                print(broken, flush=True)
            rate = total.count / (time.monotonic() - began)
            if done.count and (sys.stderr.isatty() or total.count % 1_000 == 0):
                print(f"{total.count} of {len(seeds)} seeds, {rate:.1f}/s", file=sys.stderr, flush=True)
    seconds = time.monotonic() - began
    _show(total, seconds)
    if not chosen.no_record and total.count:
        counts = {"seeds": total.count, "broken": len(total.broken), "run_twice": total.again, **total.outcomes}
        record("simulate", commit, seeds.start, counts, {"seconds": seconds, "seeds_per_s": total.count / seconds})
    return len(total.broken) > 0


def _outcome(chaos: Chaos) -> list[str]:
    try:
        return chaos.run()
    except Exception as error:  # a core that raises is broken, and the other seeds are run all the same
        return [f"raised {error!r}"]


def _slices(seeds: range) -> Iterator[range]:
    for start in range(seeds.start, seeds.stop, SLICE):
        yield range(start, min(start + SLICE, seeds.stop))


def _count(chaos: Chaos, done: Slice) -> None:
    counts = chaos.counts()
    counts["runs of handlers"] = sum(len(call.runs) for call in chaos.calls)
    counts["streams completed"] = sum(one.out.outcome is None for one in chaos.streams)
    for what, width in BARS.items():
        done.sizes[what][counts[what] // width * width] += 1
    done.outcomes.update(counts)
    done.outcomes.update(chaos.outcomes())


def _add(total: Slice, done: Slice) -> None:
    total.count += done.count
    total.again += done.again
    total.broken += done.broken
    total.outcomes.update(done.outcomes)
    for what, sizes in done.sizes.items():
        total.sizes[what].update(sizes)


def _show(total: Slice, seconds: float) -> None:
    for what, sizes in total.sizes.items():
        width = BARS[what]
        print(f"\n{what} in a run" + (f" (in steps of {width})" if width > 1 else ""))
        for size in sorted(sizes):
            print(f"{size:8} {sizes[size]:8} {'#' * round(60 * sizes[size] / max(sizes.values()))}")
    print("\nall together")
    for what, count in sorted(total.outcomes.items()):
        print(f"{count:12} {what}")
    broken = f"{len(total.broken)} with something broken"
    print(f"\n{total.count} runs ({total.again} of them twice) in {seconds:.0f} s, {broken}")
    if total.count and not total.broken:
        print(f"with 95 % confidence fewer than 1 in {total.count // 3:,} breaks a promise that is checked here")


if __name__ == "__main__":
    sys.exit(main())
