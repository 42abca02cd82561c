"""Many hostile inputs: `make fuzz N=10000000 SEED=1`, or `python -m tests.fuzz.run N --seed S`.

Two processes feed the decoders. Whatever escapes one but what it declares, takes over 50 ms of processor time or more
than 32 MiB is printed with its input, which is drawn from a seed of its own and so comes again. Then a live broker's
socket has its turn: see `live.py`.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import random
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec import Struct, field

from tests.fuzz.decoders import targets
from tests.results import commit_of_package, record

SLICE = 20_000
LIMIT_NS = 50_000_000
MEMORY_KIB = 32 * 1024
_START: list[int] = []
"""The high-water mark of this process's memory (KiB) before its first input: it never goes down, so misses nothing."""


class Fed(Struct):
    """What came of some inputs."""

    count: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    found: list[str] = []
    slowest_ns: int = 0
    slowest: str = ""
    grown_kib: int = 0


def feed(job: tuple[int, int]) -> Fed:
    """Feed `count` inputs that follow from `seed` to all targets, each in its share."""
    seed, count = job
    dice, fed = random.Random(seed), Fed()
    gc.collect()
    gc.freeze()  # what the process has had until now is not to be looked through on account of an input
    with tempfile.TemporaryDirectory() as folder:
        table = targets(dice, Path(folder))
        names, shares = list(table), [share for _, share in table.values()]
        if not _START:
            _START.append(_high_water())
        for name in dice.choices(names, shares, k=count):
            target = table[name][0]
            began = time.thread_time_ns()
            try:
                outcome = target(dice)
            except Exception as error:  # which is what is looked for
                outcome = f"ESCAPED {type(error).__name__}"
                fed.found.append(f"{name}: {error!r:.500} at input {fed.count} of seed {seed}")
            took = time.thread_time_ns() - began
            fed.count += 1
            fed.outcomes[f"{name}: {outcome}"] += 1
            if took > fed.slowest_ns:
                fed.slowest_ns, fed.slowest = took, f"{name} at input {fed.count} of seed {seed}"
            if outcome.isupper() or outcome.startswith("UNPRINTABLE"):
                fed.found.append(f"{name}: {outcome} at input {fed.count} of seed {seed}")
        fed.grown_kib = _high_water() - _START[0]
    gc.unfreeze()
    if fed.slowest_ns > LIMIT_NS:
        fed.found.append(f"{fed.slowest_ns / 1e6:.1f} ms for one input: {fed.slowest}")
    if fed.grown_kib > MEMORY_KIB:
        fed.found.append(f"{fed.grown_kib / 1024:.1f} MiB more than before, in the inputs of seed {seed}")
    return fed


def main(arguments: Sequence[str] | None = None) -> int:
    """Feed the decoders, then a live broker; 0 if nothing escaped and all limits held."""
    options = argparse.ArgumentParser(prog="python -m tests.fuzz.run")
    options.add_argument("inputs", type=int, help="for the decoders")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--broker", type=int, help="messages for a live broker [default: a tenth of INPUTS]")
    options.add_argument("--connections", type=int, help="raw connections to it [default: a thousandth of INPUTS]")
    options.add_argument("--seconds", type=float, default=float("inf"), help="for the decoders, at most")
    options.add_argument("--processes", type=int, default=2)
    options.add_argument("--no-record", action="store_true", help="append nothing to the results")
    chosen = options.parse_args(arguments)
    commit = commit_of_package()
    found = _feed_all(chosen, commit)
    messages = chosen.inputs // 10 if chosen.broker is None else chosen.broker
    connections = chosen.inputs // 1_000 if chosen.connections is None else chosen.connections
    if messages or connections:
        found += _fuzz_broker(chosen, messages, connections, commit)
    return found > 0


def _feed_all(chosen: argparse.Namespace, commit: str) -> int:
    total, began, told = Fed(), time.monotonic(), 0.0
    with multiprocessing.get_context("fork").Pool(chosen.processes) as pool:
        for fed in pool.imap_unordered(feed, slices(chosen.seed, chosen.inputs)):
            add(total, fed)
            for line in fed.found:
                print("FOUND", line, flush=True)
            if time.monotonic() - began > chosen.seconds:
                pool.terminate()
                break
            if time.monotonic() - told > 10:
                told = time.monotonic()
                print(f"{total.count} inputs, {total.count / (told - began):,.0f}/s", file=sys.stderr, flush=True)
    seconds = time.monotonic() - began
    show(total)
    rate = total.count / max(seconds, 1e-9)
    print(f"seed {chosen.seed}: {total.count} inputs in {seconds:.0f} s, {rate:,.0f}/s, {len(total.found)} findings")
    print(f"slowest {total.slowest_ns / 1e6:.2f} ms ({total.slowest})")
    print(f"memory grew by {total.grown_kib / 1024:.1f} MiB at most")
    if not chosen.no_record and total.count:
        rates = {
            "seconds": seconds,
            "inputs_per_s": rate,
            "slowest_ms": total.slowest_ns / 1e6,
            "memory_mib": total.grown_kib / 1024,
        }
        counts = {"inputs": total.count, "found": len(total.found), **summary(total)}
        record("fuzz decoders", commit, chosen.seed, counts, rates)
    return len(total.found)


def _fuzz_broker(chosen: argparse.Namespace, messages: int, connections: int, commit: str) -> int:
    from tests.fuzz.live import attack  # needs sockets, which a process that forks must not have

    outcome = attack(chosen.seed, messages, connections)
    print(f"\na live broker, {messages} messages and {connections} connections:")
    for name, count in outcome.counts.items():
        print(f"{count:12} {name}")
    for name, rate in outcome.rates.items():
        print(f"{rate:12.1f} {name}")
    for line in outcome.found:
        print("FOUND", line)
    if not chosen.no_record:
        record("fuzz broker", commit, chosen.seed, {**outcome.counts, "found": len(outcome.found)}, outcome.rates)
    return len(outcome.found)


def slices(seed: int, inputs: int) -> Iterator[tuple[int, int]]:
    """The seeds and lengths that so many inputs are made of."""
    for number, start in enumerate(range(0, inputs, SLICE)):
        yield seed * 1_000_000 + number, min(SLICE, inputs - start)


def add(total: Fed, fed: Fed) -> None:
    """Count what came of a slice."""
    total.count += fed.count
    total.outcomes.update(fed.outcomes)
    total.found += fed.found
    total.grown_kib = max(total.grown_kib, fed.grown_kib)
    if fed.slowest_ns > total.slowest_ns:
        total.slowest_ns, total.slowest = fed.slowest_ns, fed.slowest


def summary(total: Fed) -> dict[str, int]:
    """Of each target, how many inputs were refused, and how many were not."""
    brief: Counter[str] = Counter()
    for outcome, count in total.outcomes.items():
        name, _, what = outcome.partition(": ")
        brief[f"{name}: {'refused' if what.startswith('refused') else what}"] += count
    return dict(sorted(brief.items()))


def show(total: Fed) -> None:
    """Print each class of outcomes."""
    for outcome, count in sorted(total.outcomes.items(), key=lambda pair: (pair[0].split(": ")[0], -pair[1])):
        print(f"{count:12} {outcome}")


def _high_water() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    sys.exit(main())
